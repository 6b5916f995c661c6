"""Keyed randomness, distributions and traces: every draw is a pure function of its coordinates."""

from scenarios.draws._composed import Distribution, Mixture, Trace
from scenarios.draws._distributions import Exponential, Fixed, Gamma, Lognormal, Normal, Uniform, Weibull
from scenarios.draws._keyed import Stream, uniform, uniforms
from scenarios.draws._traces import MeasuredTimes

__all__ = [
    "Distribution",
    "Exponential",
    "Fixed",
    "Gamma",
    "Lognormal",
    "MeasuredTimes",
    "Mixture",
    "Normal",
    "Stream",
    "Trace",
    "Uniform",
    "Weibull",
    "uniform",
    "uniforms",
]

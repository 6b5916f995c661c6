"""Keyed randomness, distributions and traces: every draw is a pure function of its coordinates."""

from __future__ import annotations

from scenarios.draws._composed import DISTRIBUTIONS, Distribution, Mixture, Trace
from scenarios.draws._derived import Capped, Durations, Scaled, quantiles
from scenarios.draws._distributions import Exponential, Fixed, Gamma, Lognormal, Normal, Uniform, Weibull
from scenarios.draws._keyed import (
    Draws,
    Floats,
    Integers,
    Stream,
    Words,
    draws_of,
    subjects,
    uniform,
    uniforms,
)
from scenarios.draws._reading import columns_of
from scenarios.draws._resolution import describe_steps
from scenarios.draws._sample import Sample, sample_of
from scenarios.draws._traces import Found, MeasuredTimes, Wanted, measured, needed

__all__ = [
    "Capped",
    "DISTRIBUTIONS",
    "Distribution",
    "Draws",
    "Durations",
    "Exponential",
    "Fixed",
    "Floats",
    "Found",
    "Gamma",
    "Integers",
    "Lognormal",
    "MeasuredTimes",
    "Mixture",
    "Normal",
    "Sample",
    "Scaled",
    "Stream",
    "Trace",
    "Uniform",
    "Wanted",
    "Weibull",
    "Words",
    "columns_of",
    "describe_steps",
    "draws_of",
    "measured",
    "needed",
    "quantiles",
    "sample_of",
    "subjects",
    "uniform",
    "uniforms",
]

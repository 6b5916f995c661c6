"""The simulated job service: typed configuration, keyed randomness, and the service as a state machine.

Importing this package pulls in no web framework. The Flask application is in `server.app`, and
``python -m server`` serves it.
"""

from server._board import Board, Counters, JobView, Reply, Ticket
from server._config import Capacity, Fault, Job, Outage, RateLimit, Service, Simulation
from server._distributions import Distribution, Mixture, Trace
from server._document import Document, DocumentError, Problem, read_document
from server._laws import Exponential, Fixed, Gamma, Lognormal, Normal, Uniform, Weibull
from server._random import uniform, uniforms
from server._traces import MeasuredTimes
from server._validate import suggest, validate
from server._values import (
    Count,
    Fraction,
    Mistake,
    Model,
    Number,
    Positive,
    PositiveSeconds,
    Seconds,
    describe_seconds,
    require_type,
)

__all__ = [
    "Board",
    "Capacity",
    "Count",
    "Counters",
    "Distribution",
    "Document",
    "DocumentError",
    "Exponential",
    "Fault",
    "Fixed",
    "Fraction",
    "Gamma",
    "Job",
    "JobView",
    "Lognormal",
    "MeasuredTimes",
    "Mistake",
    "Mixture",
    "Model",
    "Normal",
    "Number",
    "Outage",
    "Positive",
    "PositiveSeconds",
    "Problem",
    "RateLimit",
    "Reply",
    "Seconds",
    "Service",
    "Simulation",
    "Ticket",
    "Trace",
    "Uniform",
    "Weibull",
    "describe_seconds",
    "read_document",
    "require_type",
    "suggest",
    "uniform",
    "uniforms",
    "validate",
]

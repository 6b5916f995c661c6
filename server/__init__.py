"""The simulated job service: typed configuration, keyed randomness, and the service as a state machine.

Importing this package pulls in no web framework. The Flask application is in `server.app`, and
``python -m server`` serves it.
"""

from server._board import Board, Counters, JobView, Reply, Ticket
from server._config import Capacity, Fault, Job, Outage, RateLimit, Service, Simulation
from server._distributions import Distribution
from server._random import uniform, uniforms
from server._values import Seconds

__all__ = [
    "Board",
    "Capacity",
    "Counters",
    "Distribution",
    "Fault",
    "Job",
    "JobView",
    "Outage",
    "RateLimit",
    "Reply",
    "Seconds",
    "Service",
    "Simulation",
    "Ticket",
    "uniform",
    "uniforms",
]

"""Poll an asynchronous job until it ends: backoff laws, policies and a poller without input or output.

This door exports what is pure, on the standard library alone. The driver over requests has an address of its
own, ``client.blocking``, and ``python -m client`` is its command. Durations are seconds (float, or timedelta
where you give one); times are seconds on a monotonic clock. The formulas are in ``docs/client.md``.

    from client import Backoff, PollingPolicy
    from client.blocking import VideoTranslationClient

    policy = PollingPolicy(Backoff("exponential", 0.5, maximum=10, jitter="full"), deadline=60)
    with VideoTranslationClient("http://127.0.0.1:5000", policy) as client:
        job = client.submit()
        result = client.wait_for_completion(job)
"""

from __future__ import annotations

from ._address import checked_address, same_origin
from ._anchors import ANCHORS
from ._backoff import Backoff
from ._bounded import BadReply, Body
from ._calls import Source, StatusCall, SubmitCall
from ._causes import Cause, cause_of
from ._checks import InvalidSetting, Parameter, parameters
from ._conversation import Conversation, SendRequest
from ._curves import CURVES, EDGE_S, curve_parameters
from ._dialect import NATIVE, Dialect
from ._dialects import DIALECTS
from ._driver import Driver, Outgoing
from ._errors import (
    ClientError,
    DeadlineExceeded,
    GaveUp,
    IllegalEvent,
    JobFailed,
    PollingError,
    StatusReadFailed,
    SubmitFailed,
    UnknownState,
)
from ._events import Done, Failure, Send, Undeclared, Wait, is_retryable
from ._fleet import Budget, Fleet, Order, Talk
from ._hints import Hint, HintField
from ._jitter import FARTHEST, JITTERS
from ._policy import ErrorPolicy, HintPolicy, PollingPolicy
from ._poller import Poller
from ._presets import ORIGINS, PRESETS, Preset
from ._records import Attempt, JobRef, JobStatus, Result, Submission
from ._retry_after import parse_retry_after
from ._sent import secrets_of
from ._wire import Request, Response

__all__ = [
    "ANCHORS",
    "Attempt",
    "Backoff",
    "BadReply",
    "Body",
    "Budget",
    "CURVES",
    "Cause",
    "ClientError",
    "Conversation",
    "DIALECTS",
    "DeadlineExceeded",
    "Dialect",
    "Done",
    "Driver",
    "EDGE_S",
    "ErrorPolicy",
    "FARTHEST",
    "Failure",
    "Fleet",
    "GaveUp",
    "Hint",
    "HintField",
    "HintPolicy",
    "IllegalEvent",
    "InvalidSetting",
    "JITTERS",
    "JobFailed",
    "JobRef",
    "JobStatus",
    "NATIVE",
    "ORIGINS",
    "Order",
    "Outgoing",
    "PRESETS",
    "Parameter",
    "Poller",
    "PollingError",
    "PollingPolicy",
    "Preset",
    "Request",
    "Response",
    "Result",
    "Send",
    "SendRequest",
    "Source",
    "StatusCall",
    "StatusReadFailed",
    "Submission",
    "SubmitCall",
    "SubmitFailed",
    "Talk",
    "Undeclared",
    "UnknownState",
    "Wait",
    "cause_of",
    "checked_address",
    "curve_parameters",
    "is_retryable",
    "parameters",
    "parse_retry_after",
    "same_origin",
    "secrets_of",
]

"""Settings that well-known clients ship, for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ._backoff import Backoff
from ._policy import PollingPolicy

PRESETS: Final[Mapping[str, PollingPolicy]] = MappingProxyType(
    {
        # google/api_core/future/polling.py, DEFAULT_POLLING: Retry(initial=1.0, maximum=20.0, multiplier=1.5,
        # timeout=900); retry_base.exponential_sleep_generator sleeps random.uniform(0, delay); the first
        # done() comes before any sleep. One difference: theirs stops when the next sleep would pass the
        # timeout, ours polls once more when it falls due.
        "google-api-core-lro": PollingPolicy(
            Backoff("exponential", 1.0, multiplier=1.5, maximum=20.0, jitter="full"),
            first_poll="immediately",
            deadline=900.0,
        ),
    }
)
"""Named policies, read-only. "google-api-core-lro": google-api-core's polling of a long-running operation."""

"""``new``: a scenario file made of something that the user has. Each source is a function to a ``Draft``."""

from __future__ import annotations

from harness.new._asked import from_questions
from harness.new._draft import IN_THE_WAY, Draft, place_of, write_draft
from harness.new._preset import from_preset
from harness.new._run import from_run
from harness.new._target import from_curl
from harness.new._trace import from_trace

__all__ = [
    "Draft",
    "IN_THE_WAY",
    "from_curl",
    "from_preset",
    "from_questions",
    "from_run",
    "from_trace",
    "place_of",
    "write_draft",
]

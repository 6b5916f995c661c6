"""The plan as text: fits 80 columns, and is plain where there is no colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plan._plan import Plan


def render(plan: Plan, width: int | None = None, *, colour: bool = False) -> str:
    """The plan as text of at most ``width`` columns (None: the terminal's, or 80 in a pipe)."""
    raise NotImplementedError

"""Records that are made fast: nobody can tell them from others."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from client import Attempt, JobStatus, Request, Wait
from client._maker import maker

CASES = (
    (Wait, (1.5,), {}),
    (Request, ("GET", "/x"), {"headers": {"A": "b"}, "private": {"C": "secret"}}),
    (JobStatus, ("j", "pending"), {"hint": "Retry-After", "word": "at work"}),
    (Attempt, (1, 0.0, 0.1, 0.2, 200, "pending", None, None), {"command": Wait(2.0), "resent": 1}),
)


@pytest.mark.parametrize(("kind", "given", "named"), CASES)
def test_what_is_made_fast_is_a_record_like_any_other(
    kind: type[object], given: tuple[object, ...], named: dict[str, object]
) -> None:
    """Of the same class, equal, shown alike, frozen, copied and pickled, with the same defaults."""
    usual, fast = kind(*given, **named), maker(kind)(*given, **named)
    assert type(fast) is kind
    assert fast == usual
    assert repr(fast) == repr(usual)
    assert replace(fast) == pickle.loads(pickle.dumps(fast)) == usual  # type: ignore[type-var]  # noqa: S301 - our own
    with pytest.raises(FrozenInstanceError):
        setattr(fast, next(iter(kind.__slots__)), None)  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        maker(kind)()


def test_defaults_are_nobody_elses() -> None:
    """Each request has headers of its own unless they are given."""
    made = maker(Request)
    assert made("GET", "/").headers is not made("GET", "/").headers

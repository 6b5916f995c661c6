"""Frozen records in a fraction of the time, for what is made at every poll.

The ``__init__`` of a frozen dataclass calls ``object.__setattr__`` for each field, which takes some ten times
as long as a plain assignment to a slot: several microseconds of a poll. What ``maker`` returns fills a record
while its class still allows that, and then gives it the frozen one. Nothing tells the two ways apart.
"""

from __future__ import annotations

from dataclasses import field, fields, make_dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")


def maker(kind: type[_T]) -> type[_T]:
    """Return what makes instances of a frozen dataclass of slots, of the same arguments.

    kind: a class without a ``__post_init__`` of its own, for that would not be called.
    """

    def freeze(self: Any) -> None:
        self.__class__ = kind

    plain = make_dataclass(
        kind.__name__,
        [
            (
                each.name,
                each.type,
                field(default=each.default, default_factory=each.default_factory),
            )
            for each in fields(kind)  # type: ignore[arg-type]  # it is a dataclass
        ],
        namespace={"__post_init__": freeze},
    )
    own = {
        "__slots__": (),
        "__init__": plain.__init__,  # type: ignore[misc]  # of this very class
        "__post_init__": freeze,
        "__setattr__": object.__setattr__,
        "__delattr__": object.__delattr__,
    }
    return type(kind.__name__, (kind,), own)

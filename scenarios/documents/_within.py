"""Bounds that nobody needs to cross, each with its reason: slips of the keyboard are told before they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from scenarios.documents._words import name_value

YEAR: Final = 366 * 86_400.0
"""Seconds of the longest year: no visit lasts longer, and so no duration does."""


@dataclass(frozen=True)
class Within:
    """Marks a number that must lie from ``low`` to ``high``; ``why`` says what a number beyond would mean.

    It goes last among a type's annotations, where the value is a number already.
    """

    high: float
    why: str
    low: float | None = None
    spelled: str | None = None
    """The upper bound as people write it; None: as the number that it is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        found = handler(schema)
        for one in found.get("anyOf", [found]):
            if one.get("type") in ("number", "integer"):
                one["maximum"] = self.high
                if self.low is not None:
                    one.pop("exclusiveMinimum", None)
                    one["minimum"] = self.low
        return found

    def _check(self, value: float) -> float:
        if value > self.high:
            most = self.spelled or f"{self.high:,.15g}"
            raise ValueError(f"must be at most {most}, for {self.why}; not {name_value(value)}")
        if self.low is not None and value < self.low:
            raise ValueError(f"must be at least {self.low:g}, for {self.why}; not {name_value(value)}")
        return value

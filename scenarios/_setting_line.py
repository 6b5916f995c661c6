"""One setting by itself, as ``plan`` prints it and people paste it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import RootModel

from client import PollingPolicy
from scenarios._schema import Name
from scenarios._settings import Setting
from scenarios.documents import Diagnostic, DocumentError, parse_document, validate

_CALLED: Final = "SETTING"  # what diagnostics call the text, which is no file


class _Named(RootModel[dict[Name, Setting]]):
    """What stands under ``settings:``."""


def read_setting(text: str) -> tuple[str | None, PollingPolicy]:
    """Return the name and the policy of a setting in YAML: ``name: {curve: ...}``, or the mapping alone.

    Raises ``DocumentError`` with every fault.
    """
    document = parse_document(text, _CALLED)
    if any(isinstance(value, Mapping) for value in document.data.values()) and not {*document.data} & {
        "curve",
        "preset",
    }:
        settings = validate(document, _Named).root
        if len(settings) != 1:
            raise DocumentError((Diagnostic(_CALLED, 1, "", "give one setting, not several"),))
        ((name, setting),) = settings.items()
        return name, setting.policy
    return None, validate(document, Setting).policy

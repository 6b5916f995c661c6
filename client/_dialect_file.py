"""A dialect by its name or from a file, for a command line: every fault with its line and its remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from ._calls import StatusCall, SubmitCall, made
from ._checks import InvalidSetting
from ._dialect import Dialect
from ._dialects import DIALECTS
from ._sent import secrets_sent
from ._wire import cut

_CALLS: Final[Mapping[str, type[Any]]] = {"submit": SubmitCall, "status": StatusCall}
_WORDS: Final = ("pending", "completed", "error")
_OF_SCENARIOS: Final = {"target", "workload", "settings", "job", "service"}
_SUFFIXES: Final = (".yaml", ".yml", ".json")


def read_dialect(name: str, environment: Mapping[str, str]) -> Dialect:
    """Return the dialect of this name, or the one in this file (YAML, or JSON).

    The file has ``submit`` and ``status``, at the top or below ``dialect``. environment: has its secrets.
    Raises ValueError with every fault, one a line: the file, the line, the key, and what would be right.
    """
    if name in DIALECTS:
        return DIALECTS[name]
    if not name.endswith(_SUFFIXES) and not Path(name).is_file():
        near = get_close_matches(name.lower(), DIALECTS, 1)
        guess = f"; did you mean {near[0]}?" if near else ""
        known = f"choose from {', '.join(DIALECTS)}, or a YAML file with submit and status"
        raise ValueError(f"invalid choice: {cut(name)!r} ({known}){guess}")
    data, lines = _read(name)
    if _OF_SCENARIOS & {*data}:
        raise ValueError(
            f"{name}: this is a scenario; put what stands under its dialect into a file of its own, and give "
            "the target's base_url as --url, its headers as --header"
        )
    faults = [(lines.get(path, 1), path, said) for path, said in _faults(data, environment)]
    faults += [(line, path, "this key is here twice; keep one") for path, line in lines.items() if line < 0]
    if faults:
        raise ValueError(
            "\n".join(f"{name}:{abs(line)}: {path}: {said}" for line, path, said in sorted(faults))
        )
    return Dialect.of(data, name=name)


def _read(name: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return what a file says, and the lines of its keys, by their paths; negative: it is not the first."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise ValueError(f"{name}: a dialect's file needs: pip install pyyaml") from None
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
        root, data = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except OSError as error:
        raise ValueError(f"{name}: {error.strerror or error}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        said = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ValueError(f"{name}:{line}: this is no YAML: {said}") from None
    if isinstance(data, dict) and "dialect" in data:
        data = data["dialect"]
        pairs = root.value if isinstance(root, yaml.MappingNode) else ()
        root = next((value for key, value in pairs if key.value == "dialect"), None)
    if not isinstance(data, dict):
        raise ValueError(f"{name}:1: give a mapping with submit and status")
    lines: dict[str, int] = {}
    for section, inner in getattr(root, "value", ()):
        _note(lines, str(section.value), section.start_mark.line + 1)
        for key, _ in inner.value if isinstance(inner, yaml.MappingNode) else ():
            _note(lines, f"{section.value}.{key.value}", key.start_mark.line + 1)
    return data, lines


def _note(lines: dict[str, int], path: str, line: int) -> None:
    lines[path] = -line if path in lines else line


def _faults(data: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for section, keys in data.items():
        if section not in _CALLS:
            yield str(section), "unknown key; the keys here are submit and status"
        elif not isinstance(keys, dict):
            yield section, "give its keys, a line each"
        else:
            yield from _faults_of(section, keys, environment)


def _faults_of(
    section: str, keys: Mapping[str, Any], environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with each key by itself, then what is wrong between them."""
    sound: dict[str, Any] = {}
    for key, value in keys.items():
        alone = {word: () for word in _WORDS if section == "status"}
        try:
            call: Any = made(_CALLS[section], section, {**alone, key: value})
            json.dumps(value, allow_nan=False)
        except InvalidSetting as error:
            yield f"{section}.{key}", _said(error)
        except (TypeError, ValueError) as error:
            yield f"{section}.{key}", f"JSON has no such value ({error}); put it in quotes"
        else:
            sound[key] = value
            for name in dict.fromkeys(secrets_sent(call)):
                if name not in environment:
                    yield (
                        f"{section}.{key}",
                        f"the environment has no {name}; set it first: export {name}=...",
                    )
    words = {key: value for key, value in sound.items() if key in _WORDS}
    try:
        made(_CALLS[section], section, words)
    except InvalidSetting as error:
        yield f"{section}.{error.field if error.field in words else next(iter(words))}", _said(error)


def _said(error: InvalidSetting) -> str:
    return f"{cut(repr(error.value))} cannot be used: {error.remedy}"

"""A scenario that can be moved: its trace files beside it, under names that no two of them share.

In a name stand the first digits of the file's SHA-256, so that the scenario's text names the values too: of
two runs with one text, the traces were the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from scenarios._scenario import Scenario
from scenarios.documents import YamlPath, describe_path
from scenarios.draws import Found

_FOLDER: Final = "traces"
_LONGEST_STEM: Final = 40
_DIGITS: Final = 12


class Portable(NamedTuple):
    """The text of a scenario that names copies of its trace files, and where these are to be had."""

    text: str
    files: Mapping[str, Path]
    """For the name of each copy, relative to the scenario, the file that was read."""
    found: tuple[Found, ...]
    """What was found in each trace; ``file`` is the name of the copy."""

    @property
    def sha256(self) -> str:
        """The fingerprint of the text, in hexadecimal digits."""
        return sha256(self.text.encode()).hexdigest()


def portable(scenario: Scenario) -> Portable:
    """Return the scenario as a run's folder keeps it; its text is changed in the names of files alone."""
    files: dict[str, Path] = {}
    found: list[Found] = []
    places: dict[tuple[int, int], str] = {}
    root = yaml.compose(scenario.text, Loader=yaml.SafeLoader) if scenario.measured else None
    for path, each in scenario.measured.items():
        seen = each.found(describe_path(path))
        node = _node(root, (*path, "file"))
        if node is not None:
            name = f"{_FOLDER}/{_name(Path(each.file).name, seen.sha256)}"
            files[name] = Path(each.file)
            seen = replace(seen, file=name)
            places[node.start_mark.index, node.end_mark.index] = json.dumps(name)
        found.append(seen)
    text = scenario.text
    for (start, end), name in sorted(places.items(), reverse=True):
        text = text[:start] + name + text[end:]
    return Portable(text, files, tuple(found))


def _name(name: str, digest: str) -> str:
    """Return the name of a copy: plain letters, the digits, and what says how it is packed."""
    stem, suffix = re.fullmatch(r"(.*?)((?:\.[A-Za-z0-9]{1,8}){0,2})", name, re.DOTALL).groups()  # type: ignore[union-attr] # it matches any text
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:_LONGEST_STEM] or "trace"
    digits = f"-{digest[:_DIGITS]}"
    return f"{stem.removesuffix(digits)}{digits}{suffix}"


def _node(node: yaml.Node | None, path: YamlPath) -> yaml.ScalarNode | None:
    """Return the single value at a path; None where there is none."""
    for part in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part] if part < len(node.value) else None
        else:
            node = dict(_pairs(node)).get(str(part))
    return node if isinstance(node, yaml.ScalarNode) else None


def _pairs(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    """Yield the pairs of a mapping; what is merged into it comes first, and of several the first last."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in reversed(sources):
                yield from _pairs(source)
    yield from ((key.value, value) for key, value in node.value)

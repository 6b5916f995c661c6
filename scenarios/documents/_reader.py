"""YAML text becomes plain data that remembers its lines, so that every fault can name the line to change.

The data is what ``yaml.safe_load`` gives, with the traps of YAML 1.1 reported instead of obeyed: duplicate
keys, keys that turn into true or a number, 1:30 read as 90, 010 as 8, and 1,5 as two keys in braces. Anchors,
aliases and merge keys work as usual.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, Final

import yaml
from yaml.reader import ReaderError

from scenarios.documents._spellings import whose_base
from scenarios.documents._words import printable

_MOST_BYTES: Final = 1 << 20
_MOST_NODES: Final = 100_000
_MOST_LEVELS: Final = 100
_MOST_SHOWN: Final = 20  # diagnostics
_LONGEST_PATH: Final = 120  # characters that are shown of where in a file a fault is
_LONGEST_FILE: Final = 1_000  # of the file's name
_LONGEST_MESSAGE: Final = 3_000  # some list what there is to choose from

YamlPath = tuple[str | int, ...]
"""Where something stands in a file: keys, and indices of lists."""


@dataclass(frozen=True, order=True)
class Diagnostic:
    """One fault of a file: where it is, what is wrong there and what would be right."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{_cut(self.path)}: " if self.path else ""
        message = _cut(self.message, _LONGEST_MESSAGE)
        return printable(f"{_cut(self.file, _LONGEST_FILE)}:{self.line}: {place}{message}")


class DocumentError(ValueError):
    """A file cannot be used; ``diagnostics`` are all that were found, ``str()`` gives one per line.

    ``str()`` shows the first twenty and counts the others: a file with more is not the file that was meant.
    """

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__(diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        shown, others = self.diagnostics[:_MOST_SHOWN], self.diagnostics[_MOST_SHOWN:]
        lines = [str(diagnostic) for diagnostic in shown]
        if others:
            lines.append(f"{printable(others[0].file)}: and {len(others):,} more")
        return "\n".join(lines)


@dataclass(frozen=True)
class Document:
    """A YAML file that has been read: its text, its data and the line of everything in it.

    ``diagnostics`` are those that leave the data readable (a duplicate key, say); ``validate`` reports
    them together with its own.
    """

    file: str
    text: str
    data: dict[str, Any]
    diagnostics: tuple[Diagnostic, ...] = ()
    lines: Mapping[YamlPath, tuple[int, int]] = field(default_factory=dict, repr=False)
    """For each path the line of its key and the line of its value."""

    def line_of(self, path: YamlPath, *, key: bool = False) -> int:
        """Return the line of the value at ``path``, or of its key; of the nearest parent that exists."""
        while path and path not in self.lines:
            path, key = path[:-1], True
        key_line, value_line = self.lines.get(path, (1, 1))
        return key_line if key else value_line


def describe_path(path: YamlPath) -> str:
    """Return a path as people write it: ``service.faults[0].rate``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _cut(text: str, longest: int = _LONGEST_PATH) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def is_there(path: Path) -> bool:
    """Say whether there is something at a path that a user has typed, whatever that is.

    ``Path.exists`` raises for what cannot be a path: a name of thousands of characters, or one with a NUL.
    """
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read a YAML file whose top level is a mapping.

    Raises DocumentError when there is no data to go on with: the file is missing, a folder, unreadable,
    larger than 1 MiB, not UTF-8, not YAML, empty, a list or a single value, or expands without end.
    """
    file = os.fspath(path)
    return parse_document(_read_text(file), file)


def parse_document(text: str, file: str) -> Document:
    """Read YAML text, which diagnostics call ``file``; raises DocumentError as ``read_document`` does."""
    try:
        return _Builder(file, text, _Loader(text)).document()
    except _Abort as abort:
        raise _unusable(file, abort.line, abort.message) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _unusable(file, line, f"the character U+{error.character:04X} is not allowed in YAML") from None
    except yaml.MarkedYAMLError as error:
        raise _unusable(file, *_explain(error)) from None


def _read_text(file: str) -> str:
    try:
        if not (S_ISREG(mode := Path(file).stat().st_mode) or S_ISDIR(mode)):  # opening a FIFO waits for ever
            raise _unusable(file, 1, "this is a device or a pipe; name a regular file")
        with Path(file).open("rb") as stream:
            raw = stream.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise _unusable(file, 1, "there is no such file") from None
    except IsADirectoryError:
        raise _unusable(file, 1, "this is a folder; name a YAML file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _unusable(file, 1, f"the file cannot be read: {reason}") from None
    if len(raw) > _MOST_BYTES:
        raise _unusable(file, 1, "the file is larger than 1 MiB; is it the right one?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unusable(file, line, "this is not UTF-8 text; save the file as UTF-8") from None


def _unusable(file: str, line: int, message: str) -> DocumentError:
    return DocumentError((Diagnostic(file, line, "", message),))


def _explain(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    """Return the line and the wording of a syntax error, with the usual cause where there is one."""
    problem, context = error.problem or "", error.context or ""
    found = error.problem_mark.line + 1 if error.problem_mark else 1
    begun = error.context_mark.line + 1 if error.context_mark else found
    if "'\\t'" in problem:
        return found, "a tab cannot indent or separate YAML; use spaces"
    if "found character" in problem:
        return found, f"a value cannot start with {problem.split()[2]}; put it in quotes"
    if problem.startswith("mapping values"):
        return found, "a second ': ' on one line, or a wrong indentation; text with ': ' in it needs quotes"
    if "quoted scalar" in context and "unexpected end" in problem:
        return begun, "a quote is opened here and never closed"
    if "flow" in context:
        return begun, f"a bracket is opened here and not closed; {problem}"
    if "block" in context:
        return found, "this does not line up with the lines above; check the indentation"
    if "expected ':'" in problem:
        return begun, "not a 'key: value' line"
    if "undefined alias" in problem:
        return found, f"the alias *{problem.split(chr(39))[1]} has no anchor of that name above it"
    if "single document" in context:
        return found, "one document to a file; remove the second '---'"
    return found, f"not valid YAML: {context}{', ' if context else ''}{problem}"


class _Abort(Exception):
    """The document must not be followed any further."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(line, message)
        self.line = line
        self.message = message


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses deep nesting; PyYAML's composer would run into Python's recursion limit."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise _Abort(self.line + 1, f"more than {_MOST_NODES:,} values in one file; is it the right one?")
        self._level += 1
        if self._level > _MOST_LEVELS:
            raise _Abort(self.line + 1, f"nested more than {_MOST_LEVELS} levels deep")
        node = super().compose_node(parent, index)
        self._level -= 1
        return node


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


_MERGE: Final = "tag:yaml.org,2002:merge"
_TEXT: Final = "tag:yaml.org,2002:str"
_NUMBERS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_DIGITS_AND_COMMA: Final = re.compile(r"[+-]?\d+,$")


class _Builder:
    """Turns a tree of YAML nodes into plain data, noting lines and faults on the way."""

    def __init__(self, file: str, text: str, loader: _Loader) -> None:
        self._file = file
        self._text = text
        self._loader = loader
        self._diagnostics: list[Diagnostic] = []
        self._lines: dict[YamlPath, tuple[int, int]] = {}
        self._visited = 0
        self._open: set[yaml.Node] = set()

    def document(self) -> Document:
        root = self._loader.get_single_node()
        if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
            raise _Abort(1, "the file is empty")
        if not isinstance(root, yaml.MappingNode):
            kind = "a list" if isinstance(root, yaml.SequenceNode) else "a single value"
            raise _Abort(_line(root), f"the top level must be a mapping of 'key: value' lines, not {kind}")
        data = self._mapping(root, ())
        self._lines[()] = (1, _line(root))
        return Document(self._file, self._text, data, tuple(self._diagnostics), self._lines)

    def _note(self, line: int, path: YamlPath, message: str) -> None:
        self._diagnostics.append(Diagnostic(self._file, line, describe_path(path), message))

    def _enter(self, node: yaml.Node) -> None:
        """Count a visit; aliases make a small file large, or a node a part of itself."""
        self._visited += 1
        if self._visited > _MOST_NODES:
            raise _Abort(_line(node), f"the aliases expand to more than {_MOST_NODES:,} values")
        if node in self._open:
            raise _Abort(_line(node), "an alias stands inside of what it is an alias for")

    def _value(self, node: yaml.Node, path: YamlPath) -> Any:
        self._enter(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.add(node)
        value = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        self._open.remove(node)
        return value

    def _scalar(self, node: yaml.ScalarNode, path: YamlPath) -> Any:
        try:
            value = self._loader.construct_object(node)
            if node.tag in _NUMBERS and (fault := whose_base(node.value, value)):
                self._note(_line(node), path, fault)
            return value
        except yaml.constructor.ConstructorError:
            self._note(_line(node), path, f"the tag {node.tag} is not supported; remove it")
        except (ValueError, OverflowError):
            shown = node.value if len(node.value) <= 40 else node.value[:37] + "..."
            self._note(_line(node), path, f"{shown} cannot be read; put it in quotes if it is text")
        return None

    def _list(self, node: yaml.Node, path: YamlPath) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            here = (*path, index)
            self._lines[here] = (_line(item), _line(item))
            items.append(self._value(item, here))
        return items

    def _mapping(self, node: yaml.Node, path: YamlPath) -> dict[str, Any]:
        data = {}
        for key, (line, value) in self._pairs(node, path).items():
            here = (*path, key)
            self._lines[here] = (line, _line(value))
            data[key] = self._value(value, here)
        return data

    def _pairs(self, node: yaml.Node, path: YamlPath) -> dict[str, tuple[int, yaml.Node]]:
        """Return key -> (line, value): the merged ones first, overridden by the mapping's own."""
        merged: dict[str, tuple[int, yaml.Node]] = {}
        own: dict[str, tuple[int, yaml.Node]] = {}
        for key_node, value in node.value:
            self._enter(key_node)
            if key_node.tag == _MERGE:
                for key, pair in self._merged(value, path).items():
                    merged.setdefault(key, pair)
                continue
            if number := self._decimal_comma(key_node, value):
                last = (*path, next(reversed(own), ""))
                point = number.replace(",", ".")
                self._note(
                    _line(key_node), last, f"a comma separates keys here; write {point}, with a decimal point"
                )
                continue
            key, line = self._key(key_node, path), _line(key_node)
            if key in own:
                self._note(line, (*path, key), f"duplicate key, first given on line {own[key][0]}; keep one")
            else:
                own[key] = (line, value)
        return merged | own

    def _decimal_comma(self, key: yaml.Node, value: yaml.Node) -> str | None:
        """Return the number that ``{a: 1,5s}`` was meant to hold, where ``key`` is the 5s of it."""
        at = key.start_mark.index
        before = _DIGITS_AND_COMMA.search(self._text, max(0, at - 40), at)
        if value.start_mark.index != value.end_mark.index or not before or not key.value[:1].isdecimal():
            return None
        return f"{before[0]}{key.value}" if len(key.value) <= 40 else None

    def _merged(self, node: yaml.Node, path: YamlPath) -> dict[str, tuple[int, yaml.Node]]:
        """Return the pairs of what stands after ``<<:``; where a list has a key twice, the first counts."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        pairs: dict[str, tuple[int, yaml.Node]] = {}
        for source in sources:
            self._enter(source)
            if not isinstance(source, yaml.MappingNode):
                self._note(_line(node), (*path, "<<"), "'<<' takes an alias of a mapping, or a list of such")
                continue
            self._open.add(source)
            for key, pair in self._pairs(source, path).items():
                pairs.setdefault(key, pair)
            self._open.remove(source)
        return pairs

    def _key(self, node: yaml.Node, path: YamlPath) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise _Abort(_line(node), "a key must be plain text, not a list or a mapping")
        if node.tag != _TEXT:
            kind = node.tag.rsplit(":", 1)[-1]
            self._note(_line(node), (*path, node.value), f"YAML reads this key as {kind}; put it in quotes")
        return str(node.value)

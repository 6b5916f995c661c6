"""A scenario to be written, and the writing: nothing is overwritten unasked, and what is there is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness._refusal import FAILED, UNUSABLE, Refusal
from scenarios import load_scenario
from scenarios.documents import DocumentError, is_there

IN_THE_WAY: Final = "is there already, and nothing is overwritten; name a new file with --out, or add --force"
"""What is said of a file that would be overwritten."""


@dataclass(frozen=True)
class Draft:
    """A scenario to be written: its name, its text, and the texts of files that it needs, by name.

    found: what there is to say of where it came from, in lines.
    """

    name: str
    text: str
    files: Mapping[str, str] = field(default_factory=dict)
    found: tuple[str, ...] = ()


def place_of(name: str, out: str | None) -> Path:
    """Return where the scenario of this name goes: where ``--out`` says, else into this folder."""
    return Path(out or f"{name}.yaml")


def write_draft(draft: Draft, out: str | None, *, force: bool = False) -> Path:
    """Write the scenario and its files beside it; return its path.

    force: replace files that are there. Raises ``Refusal`` when a file is there already or cannot be written,
    or the scenario is not valid.
    """
    path = place_of(draft.name, out)
    wanted = {path: draft.text} | {path.parent / name: text for name, text in draft.files.items()}
    if not force and (there := [str(each) for each in wanted if is_there(each)]):
        raise Refusal(
            f"{', '.join(there)}: {IN_THE_WAY}",
            UNUSABLE,
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for each, text in wanted.items():
            each.write_text(text, encoding="utf-8")
    except OSError as error:
        said = f"cannot write {path}: {error.strerror or error}; name another with --out"
        raise Refusal(said, FAILED) from error
    try:
        load_scenario(path, secrets=False)
    except DocumentError as error:
        raise Refusal(f"the scenario was written, but needs your hand:\n{error}", UNUSABLE) from error
    return path

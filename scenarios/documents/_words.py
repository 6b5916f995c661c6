"""The words that messages for people share."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final

_ALIKE: Final = 0.6  # difflib's own cutoff: "constnat" is found, a word of another kind is not


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return the clause that helps after an unknown ``word``: the known one that was meant, else all of them.

    ``otherwise`` introduces the list, such as "the settings are".
    """
    names = list(known)
    guess = suggest(word, names)
    return f"did you mean {guess!r}?" if guess is not None else f"{otherwise} {', '.join(names)}"


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was most likely meant, or None."""
    plain = {_plain(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=_ALIKE)
    return plain[close[0]] if close else None


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def spell_seconds(seconds: float) -> str:
    """Return a duration for people: ``15 ms``, ``4 s``, ``2 min``, ``1.5 h``; six significant digits."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.6g} ms"
    if seconds >= 3600:
        return f"{seconds / 3600:.6g} h"
    if seconds >= 120:
        return f"{seconds / 60:.6g} min"
    return f"{seconds:.6g} s"


def counted(count: int, noun: str) -> str:
    """Return so many of a thing: "1 job", "1,240 jobs"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def printable(text: str) -> str:
    """Return the text with every character that a terminal would obey, or could not show, escaped."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def name_value(value: object) -> str:
    """Return how an error message should call a value that came out of a YAML file."""
    if value is None:
        return "null (nothing)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int | float | str):
        try:
            text = repr(value)
        except ValueError:  # CPython refuses to print integers of more than 4300 digits
            return "a huge number"
        return text if len(text) <= 60 else text[:57] + "..."
    return f"a {type(value).__name__}"

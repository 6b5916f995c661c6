"""Small pages besides the report: a Jinja template, one style sheet, no scripts, nothing from outside."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from harness.measure._numbers import number
from scenarios.documents import printable


def render_page(room: str, template: str, **values: Any) -> str:
    """Return a page made of a template in ``room``, which has ``values``, ``css`` and our words at hand.

    All that is put in is escaped for HTML; text of users needs ``printable`` besides.
    """
    from jinja2 import Environment

    source = files(room).joinpath(template).read_text(encoding="utf-8")
    css = files("harness.measure").joinpath("small.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made = environment.from_string(source).render(css=css, number=number, printable=printable, **values)
    return made + "\n"

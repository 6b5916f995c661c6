"""Small pages besides the report: templates in one frame, one style sheet, no scripts."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from harness.measure._numbers import number
from scenarios.documents import printable


def render_page(room: str, template: str, **values: Any) -> str:
    """Return a page made of a template in ``room``, which has ``values``, ``css`` and our words at hand.

    All that is put in is escaped for HTML; text of users needs ``printable`` besides.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader

    loader = ChoiceLoader([PackageLoader(each, "") for each in dict.fromkeys((room, "harness.measure"))])
    css = files("harness.measure").joinpath("small.css").read_text(encoding="utf-8")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template(template)
    return page.render(css=css, number=number, printable=printable, **values) + "\n"

"""Text for terminals and pipes: a page to print on, and the table that every text uses."""

from __future__ import annotations

import shutil
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


class Page(Console):
    """A console of ``width`` columns (None: the terminal's, or 80 in a pipe) that keeps what is printed.

    ``colour`` adds ANSI colours, for a terminal.
    """

    def __init__(self, width: int | None = None, *, colour: bool = False) -> None:
        self._printed = StringIO()
        super().__init__(
            file=self._printed,
            width=width or shutil.get_terminal_size((80, 24)).columns,
            force_terminal=colour,
            color_system="standard" if colour else None,
            highlight=False,
        )

    def text(self) -> str:
        """Return what was printed, without blanks at the ends of lines."""
        return "\n".join(line.rstrip() for line in self._printed.getvalue().splitlines()) + "\n"


def grid(title: str = "", gap: int = 0) -> Table:
    """Return an empty table as all our texts have them: a rule below the headings and no other lines.

    ``gap`` is the number of blanks between columns, beside the one that is always there.
    """
    return Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap, 0, 0),
        header_style="bold",
        title=Text(title) if title else None,
        title_justify="left",
        title_style="bold",
    )

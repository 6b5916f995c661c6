"""``python -m harness`` and ``backoff-harness``: the command line."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Final

_HOME: Final = Path(__file__).resolve().parent.parent


def run(name: str = "backoff-harness") -> None:
    """Run the command line and exit; ``name`` is what help calls it."""
    from harness._child import end_with_parent
    from harness._refusal import INTERRUPTED

    end_with_parent()
    _print_anything()
    try:
        import click

        from harness._cli import main

        sys.exit(main.main(prog_name=name, standalone_mode=False))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


def _print_anything() -> None:
    """Print names of files that are no text as they are, and what a terminal has no code for as "?"."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        unicode = sys.stdout.encoding.lower().startswith("utf")
        sys.stdout.reconfigure(errors="surrogateescape" if unicode else "replace")


if __name__ == "__main__":
    # `python -m` puts the working directory first: a folder there called scenarios would hide ours.
    if not sys.flags.safe_path and Path(sys.path[0]).resolve() != _HOME:
        del sys.path[0]
    run("python -m harness")

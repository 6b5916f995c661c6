"""``python -m harness``: the command line."""

from __future__ import annotations

import sys

from harness._refusal import INTERRUPTED

try:
    import click

    from harness._cli import main

    sys.exit(main.main(prog_name="python -m harness", standalone_mode=False))
except KeyboardInterrupt:
    sys.exit(INTERRUPTED)
except click.Abort:
    click.echo("interrupted", err=True)
    sys.exit(INTERRUPTED)
except click.ClickException as error:
    error.show()
    sys.exit(error.exit_code)

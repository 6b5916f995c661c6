"""``python -m client``: poll the service, print each attempt and the final status."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from ._address import shown
from ._checks import InvalidSetting
from ._command import (
    BROKEN_PIPE,
    EXIT_CODES,
    INTERRUPTED,
    PROGRAM,
    USAGE,
    as_json,
    attempt_line,
    parse,
    result_line,
)
from ._dialect import NATIVE, Dialect
from ._dialects import DIALECTS
from ._errors import SubmitFailed
from ._events import Undeclared, Wait
from ._wire import cut
from .blocking import Attempt, VideoTranslationClient

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options, policy = parse(argv)
    try:
        with VideoTranslationClient(
            options.url, policy, dialect=options.dialect, headers=dict(options.header), ca=options.ca
        ) as client:
            return _run(client, options)
    except InvalidSetting as error:
        _complain(str(error))
        return USAGE
    except SubmitFailed as error:
        _complain(str(error))
        _show_undeclared(options.dialect, error.undeclared)
        if error.status_code is None and error.retryable:
            _suggest_server(options)
        return EXIT_CODES["gave_up"]
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, say) has seen enough; leave the interpreter nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _run(client: VideoTranslationClient, options: Namespace) -> int:
    attempts: list[Attempt] = []
    submission = client.submit(options.key, json=options.body) if options.submit else None
    job_id = submission.id if submission else options.job
    job = submission or options.job
    started_at = submission.replied_at if submission else client.now()
    if not options.json:
        called = "the implicit job" if job_id is None else f"job {cut(job_id)}"
        speaking = "" if client.dialect == NATIVE else f"; speaking {client.dialect.describe()}"
        print(f"polling {called} at {client.base_url}; {client.policy.describe()}{speaking}", flush=True)

    def report(attempt: Attempt) -> None:
        attempts.append(attempt)
        if not options.json:
            print(attempt_line(attempt, started_at), flush=True)
        if attempt.number == 1 and attempt.status_code is None and isinstance(attempt.command, Wait):
            _suggest_server(options)

    result = client.poll(job, started_at=started_at, on_attempt=report)
    print(as_json(result, attempts) if options.json else result_line(result), flush=True)
    _show_undeclared(client.dialect, result.failure.undeclared if result.failure else None)
    return EXIT_CODES[result.outcome]


def _show_undeclared(dialect: Dialect, reply: Undeclared | None) -> None:
    if reply is not None:
        keys = " or ".join(reply.keys)
        _complain(f"the dialect {dialect.name} does not declare this reply; see its {keys}: {reply.quote}")


def _suggest_server(options: Namespace) -> None:
    parts = urlsplit(options.url)
    # Of anybody else's service we do not know why: the simulator speaks the named dialects, without TLS.
    if parts.hostname in _LOOPBACK and parts.scheme == "http" and options.dialect in DIALECTS.values():
        _complain(
            f"nothing answers at {shown(options.url)}: is the simulator running? Start it with: "
            "python -m server (if config.yaml gives it another address, name that with --url)"
        )


def _complain(message: str) -> None:
    print(f"{PROGRAM}: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

"""The words of ``python -m client``: its options, the policy they mean, and the lines it prints."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NoReturn

from ._address import checked_address
from ._backoff import Backoff
from ._checks import InvalidSetting, Parameter, parameters
from ._curves import curve_parameters, spell
from ._dialect import NATIVE, Dialect
from ._dialect_file import read_dialect
from ._dialects import DIALECTS
from ._durations import parse_duration
from ._events import Outcome, Wait
from ._policy import ErrorPolicy, PollingPolicy
from ._presets import PRESETS
from ._records import Attempt, Result, polls_made
from ._sent import checked_headers, secrets_of
from ._wire import printable

PROGRAM: Final = f"python -m {__package__}"
EXIT_CODES: Final[dict[Outcome, int]] = {"completed": 0, "error": 1, "timeout": 3, "gave_up": 4}
USAGE: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE

_DEADLINE: Final = 60.0
_INITIAL: Final = 0.5
_MAXIMUM: Final = 10.0
_HERE: Final[Mapping[str, str | float]] = {
    "curve": "exponential", "initial": _INITIAL, "maximum": _MAXIMUM, "jitter": "full",
}  # fmt: skip
# What makes a cadence; of the policy, that is what is chosen by a word.
_OF_CURVES: Final = parameters(Backoff)
_OF_CADENCE: Final = tuple(each for each in parameters(PollingPolicy) if each.rule.kind == "word")
_PATIENCE: Final = ErrorPolicy(max_consecutive=4)  # someone is watching: say soon that nobody answers


class _Version(argparse.Action):
    """Look the version up when it is asked for: it lies in a file."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        try:
            known = version("backoff-harness")
        except PackageNotFoundError:  # run from a copy of the sources that was never installed
            known = "unknown"
        print(f"{parser.prog}, version {known}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line: the usage of so many options would push it out of sight."""

    def error(self, message: str) -> NoReturn:
        lines = "\n".join(map(printable, message.split("\n")))  # of a file with several faults, several
        self.exit(USAGE, f"{self.prog}: {lines}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = _Parser(
        prog=PROGRAM,
        description="Poll a job of the video-translation service until it ends, printing each attempt.",
        epilog="Exit codes: 0 completed; 1 the job ended in error; 2 bad usage; 3 the deadline passed; "
        "4 gave up (nobody answered, the job was not accepted, or a budget ran out); 130 interrupted. "
        "Durations are seconds, or have units: 250ms, 1m30s. "
        f"Example: {PROGRAM} --submit --initial 500ms --deadline 30s",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    parser.add_argument("--url", default="http://127.0.0.1:5000", help="where the service is (%(default)s)")
    parser.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", type=_header,
        help="send this header too (repeatable); ${NAME} in it is taken from the environment",
    )  # fmt: skip
    parser.add_argument(
        "--ca", metavar="FILE", help="trust the authorities in this PEM file instead of the usual ones"
    )
    parser.add_argument(
        "--dialect", type=_dialect, default=NATIVE, metavar="NAME|FILE.yaml",
        help=f"how the service speaks: one of {', '.join(DIALECTS)}, or a file with submit and status",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end, and no lines")
    job = parser.add_argument_group("job").add_mutually_exclusive_group()
    job.add_argument(
        "--job", metavar="ID", help="poll this job (default: the implicit one, such as at /status)"
    )
    job.add_argument("--submit", action="store_true", help="submit a job, then poll it")
    parser.add_argument("--key", type=int, metavar="N", help="with --submit: the job's key")
    parser.add_argument(
        "--body", type=_body, metavar="JSON", help="with --submit: members of the request's body"
    )
    curve = parser.add_argument_group("backoff")
    curve.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        metavar="NAME",
        help=f"what a well-known client ships, instead of the options below: {', '.join(sorted(PRESETS))}",
    )
    for each in (*_OF_CURVES, *_OF_CADENCE):
        curve.add_argument(f"--{each.name.replace('_', '-')}", **_option(each))
    limits = parser.add_argument_group("limits (also on top of a preset)")
    deadline = limits.add_mutually_exclusive_group()
    deadline.add_argument(
        "--deadline",
        type=_seconds,
        metavar="TIME",
        help=f"stop after this long ({spell(_DEADLINE)}, or the preset's)",
    )
    deadline.add_argument("--no-deadline", action="store_true", help="poll for as long as it takes")
    limits.add_argument("--max-attempts", type=int, metavar="N", help="stop after N polls answered 'pending'")
    limits.add_argument(
        "--max-failures",
        type=int,
        metavar="N",
        help=f"retry N failed polls in a row ({_PATIENCE.max_consecutive}, or the preset's), then give up",
    )
    limits.add_argument(
        "--request-timeout",
        type=_seconds,
        metavar="TIME",
        help="most time for one request (10 s, or the preset's)",
    )
    return parser


def _option(parameter: Parameter) -> dict[str, Any]:
    """Return how argparse takes one parameter of the backoff law."""
    words = (parameter.words[0].lower() + parameter.words[1:]).rstrip(".").replace("``", "")
    default = _HERE.get(parameter.name, parameter.default)
    if default not in (None, ()):
        words = f"{words.partition(';')[0]} ({default if isinstance(default, str) else f'{default:g}'})"
    option: dict[str, Any] = {"help": words}
    if parameter.rule.kind == "word":
        return option | {"choices": parameter.rule.words}
    if parameter.rule.several:
        return option | {"type": _delays, "metavar": "TIME,TIME..."}
    if parameter.rule.kind == "seconds":
        return option | {"type": _seconds, "metavar": "TIME"}
    return option | {"type": float, "metavar": "X"}


def _header(text: str) -> tuple[str, str]:
    """Return a header's name and value; no message shows a value, which may be a secret."""
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError("write it as 'Name: value'")
    name, value = name.strip(), value.strip()
    if unset := [each for each in secrets_of(value) if each not in os.environ]:
        raise argparse.ArgumentTypeError(f"{name}: the environment has no {', '.join(unset)}")
    try:
        checked_headers({name: value})
    except InvalidSetting as error:
        raise argparse.ArgumentTypeError(f"{name}: {error.remedy}") from None
    return name, value


def _dialect(text: str) -> Dialect:
    try:
        return read_dialect(text, os.environ)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _body(text: str) -> dict[str, Any]:
    """Return the members of a body; no message shows them, for they may hold a secret."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise argparse.ArgumentTypeError('write it as a JSON object, such as \'{"url": "..."}\'')
    if unset := [name for name in secrets_of(body) if name not in os.environ]:
        raise argparse.ArgumentTypeError(f"the environment has no {', '.join(unset)}")
    return body


def _delays(text: str) -> tuple[float, ...]:
    try:
        return tuple(parse_duration(delay) for delay in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used: give durations, like 1,2.5,10s") from None


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, PollingPolicy]:
    """Return the options and the policy they mean; exit with code 2 and a message if they make no sense."""
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.key is not None and not options.submit:
        parser.error("--key goes with --submit")
    if options.body is not None and not options.submit:
        parser.error("--body goes with --submit")
    if options.job is None and not options.submit and options.dialect.status.implicit is None:
        called = options.dialect.name
        parser.error(f"say which job, --job ID or --submit: {called} has none of its own (status.implicit)")
    call = options.dialect.submit
    if options.key is not None and call.key is None and call.key_header is None:
        parser.error(f"--key: a submission in the dialect {options.dialect.name} carries none")
    try:
        checked_address(options.url)
        return options, _policy(options)
    except ValueError as error:
        parser.error(str(error))


def _policy(options: argparse.Namespace) -> PollingPolicy:
    given, words = _given(options, _OF_CURVES), _given(options, _OF_CADENCE)
    if options.preset is None:
        policy = _from_curve(given, words)
    elif given or words:
        raise ValueError(
            f"--{next(iter(given | words)).replace('_', '-')} cannot be used with --preset, which sets it"
        )
    else:
        policy = PRESETS[options.preset]
    if options.no_deadline:
        policy = replace(policy, deadline=None)
    if options.deadline is not None:
        policy = replace(policy, deadline=options.deadline)
    if options.max_attempts is not None:
        policy = replace(policy, max_attempts=options.max_attempts)
    if options.max_failures is not None:
        policy = replace(policy, errors=replace(policy.errors, max_consecutive=options.max_failures))
    if options.request_timeout is not None:
        policy = replace(policy, request_timeout=options.request_timeout)
    return policy


def _given(options: argparse.Namespace, of: Iterable[Parameter]) -> dict[str, Any]:
    given = {each.name: getattr(options, each.name) for each in of}
    return {name: value for name, value in given.items() if value is not None}


def _from_curve(given: dict[str, Any], words: dict[str, Any]) -> PollingPolicy:
    curve = given.pop("curve", "exponential")
    given.setdefault("jitter", "full")
    if "initial" in curve_parameters(curve):
        given.setdefault("initial", _INITIAL)
        given.setdefault("maximum", max(_MAXIMUM, given["initial"]))
    return PollingPolicy(Backoff(curve, **given), **words, deadline=_DEADLINE, errors=_PATIENCE)


def attempt_line(attempt: Attempt, started_at: float) -> str:
    """Return one status request in a line: "poll 2 at 1.31 s: pending; next in 0.84 s"."""
    at = f"{attempt.sent_at - started_at:.2f} s"
    line = f"poll {attempt.number} at {at}: {attempt.status or attempt.failure}"
    if attempt.retry_after is not None:
        source = "" if attempt.hint in (None, "Retry-After") else f" ({attempt.hint})"
        line += f", retry after {spell(attempt.retry_after)}{source}"
    if isinstance(attempt.command, Wait):
        line += f"; next in {max(0.0, attempt.command.until - attempt.replied_at):.2f} s"
    return line


def result_line(result: Result) -> str:
    """Return how it all ended, in one line that begins with the outcome."""
    polls = f"{polls_made(result.attempts)} in {result.elapsed:.2f} s"
    counts = f"{polls}, {result.wasted} pending, {result.failures} failed"
    lag = "" if result.finished_ago is None else f"; the job had ended {result.finished_ago:.2f} s before"
    why = f": {result.reason}" if result.outcome in ("timeout", "gave_up") else ""
    return f"{result.outcome}{why} ({counts}{lag})"


def as_json(result: Result, attempts: Sequence[Attempt]) -> str:
    """Return the result, with a list of its polls, as one JSON object; times are seconds since the start."""
    polls = [
        {
            "number": attempt.number,
            "planned_at_s": attempt.planned_at - result.started_at,
            "sent_at_s": attempt.sent_at - result.started_at,
            "replied_at_s": attempt.replied_at - result.started_at,
            "status_code": attempt.status_code,
            "status": attempt.status,
            "failure": attempt.failure,
            "retry_after_s": attempt.retry_after,
            "hint": attempt.hint,
            "resent": attempt.resent,
        }
        for attempt in attempts
    ]
    fields = asdict(result)
    del fields["started_at"], fields["detected_at"]  # they are on a clock that only this process knows
    failure = fields.pop("failure")
    fields["undeclared"] = failure and failure["undeclared"]
    fields |= {"elapsed_s": result.elapsed, "finished_ago_s": fields.pop("finished_ago"), "polls": polls}
    return json.dumps(fields, indent=2)

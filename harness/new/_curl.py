"""A curl command as data: what it asks for, with its secrets taken out. Nothing is sent here.

The words are the shell's (``shlex``) and the options curl's, a row each. What a run could not do as the
command does it, such as a form or an upload, is a fault; what makes no difference to a service is passed
over.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl, quote, urlsplit

from harness._refusal import UNUSABLE, Refusal
from harness.new._secrets import Secrets

_LARGEST_BODY: Final = 1 << 20  # bytes of a file that -d names
_JSON: Final = "application/json"
_BY_THE_TRANSPORT: Final = ("accept-encoding", "connection", "content-length", "host", "transfer-encoding")
_ENDS: Final = ("|", "||", "&", "&&", ";", ">", ">>", "2>", "2>&1", "<")
_ANSI_C: Final = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_PLACE: Final = re.compile(r"\{\w+\}")

# Options by what they mean here. Those in _CANNOT are faults, for the reason beside them.
_DATA: Final = ("-d", "--data", "--data-ascii", "--data-raw", "--data-binary", "--data-urlencode", "--json")
_ONE: Final[Mapping[str, tuple[str, ...]]] = {
    "method": ("-X", "--request"),
    "user": ("-u", "--user"),
    "agent": ("-A", "--user-agent"),
    "referer": ("-e", "--referer"),
    "bearer": ("--oauth2-bearer",),
    "ca": ("--cacert",),
}
_MANY: Final[Mapping[str, tuple[str, ...]]] = {
    "header": ("-H", "--header"),
    "cookie": ("-b", "--cookie"),
    "url": ("--url",),
}
_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "get": ("-G", "--get"),
    "insecure": ("-k", "--insecure"),
    "head": ("-I", "--head"),
}
_PASSED_OVER: Final = (
    "-s", "--silent", "-S", "--show-error", "-v", "--verbose", "-i", "--include", "--show-headers", "-f",
    "--fail", "--fail-with-body", "-N", "--no-buffer", "-L", "--location", "-#", "--progress-bar",
    "--compressed", "--basic", "-0", "--http1.0", "--http1.1", "--http2", "--tlsv1.2", "--tlsv1.3", "-4",
    "--ipv4", "-6", "--ipv6", "-g", "--globoff", "-O", "--remote-name", "-J", "--no-keepalive", "-q",
    "--disable", "--path-as-is", "--no-progress-meter", "--retry-all-errors", "--retry-connrefused",
)  # fmt: skip
_PASSED_OVER_WITH_VALUE: Final = (
    "-o", "--output", "-w", "--write-out", "-m", "--max-time", "--connect-timeout", "--retry",
    "--retry-delay", "--retry-max-time", "-D", "--dump-header", "-c", "--cookie-jar", "--max-redirs",
    "--trace", "--trace-ascii", "--keepalive-time", "--limit-rate", "--stderr",
)  # fmt: skip
_CANNOT: Final[Mapping[str, tuple[str, ...]]] = {
    "a target's submissions are JSON, no forms and no uploads": ("-F", "--form", "--form-string", "-T",
        "--upload-file"),
    "no run goes through a proxy, or to another place than the address names": ("-x", "--proxy", "--resolve",
        "--connect-to", "--unix-socket", "--socks5", "--preproxy"),
    "a target has no certificate or signature of the client's": ("-E", "--cert", "--key", "--aws-sigv4"),
    "put what the file says into the command": ("-K", "--config", "--netrc-file"),
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """What a curl command asks for. Secrets stand in it as ``${NAME}``; ``secrets`` has what they are.

    base: scheme, host and port. insecure: whether any certificate is good. notes: what is worth saying.
    """

    base: str
    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any] | None
    secrets: Secrets
    ca: str | None
    insecure: bool
    notes: tuple[str, ...]

    @property
    def host(self) -> str:
        """The host's name or number, in lower case and without brackets."""
        return (urlsplit(self.base).hostname or "").rstrip(".")


def read_curl(command: str) -> Call:
    """Return what a curl command asks for, or raise ``Refusal`` with every fault, which shows no secret."""
    given, unknown = _options(_words(command))
    faults = [f"the option {name} of curl is not known here: leave it away" for name in unknown]
    for why, names in _CANNOT.items():
        faults += [f"{name} cannot be had: {why}" for name, _ in given.cannot if name in names]
    if given.head:
        faults.append("-I asks for no body: give the command that submits a job")
    urls = [*given.urls, *given.url]
    if len(urls) != 1 and not unknown:
        faults.append(f"give one address, not {len(urls)}" + ("" if urls else ": curl ... https://host/path"))
    reader = _Reader(given, Secrets())
    call = reader.call(urls[0]) if urls else None
    faults += reader.faults
    if faults or call is None:
        raise Refusal("\n".join(f"--curl: {fault}" for fault in faults), UNUSABLE)
    return call


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message.replace("argument ", "").replace("expected one argument", "needs a value"))


class _Note(argparse.Action):
    """Keep which option of several was given, with its value."""

    def __call__(self, _parser: object, namespace: Any, values: Any, option: str | None = None) -> None:
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), (option, values)])


def _options(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options that are known, and the names of those that are not."""
    parser = _Parser(prog="curl", add_help=False, allow_abbrev=False)
    parser.add_argument("urls", nargs="*")
    for name, options in _ONE.items():
        parser.add_argument(*options, dest=name)
    for name, options in _MANY.items():
        parser.add_argument(*options, dest=name, action="append", default=[])
    for name, options in _FLAGS.items():
        parser.add_argument(*options, dest=name, action="store_true")
    parser.add_argument(*_DATA, dest="data", action=_Note, default=[])
    parser.add_argument(*_PASSED_OVER, dest="ignored", action="store_true")
    parser.add_argument(*_PASSED_OVER_WITH_VALUE, dest="ignored_value")
    cannot = [name for names in _CANNOT.values() for name in names]
    parser.add_argument(*cannot, dest="cannot", action=_Note, default=[])
    try:
        given, rest = parser.parse_known_intermixed_args(words)
    except ValueError as error:
        raise Refusal(f"--curl: {error}", UNUSABLE) from None
    return given, [word.partition("=")[0] for word in rest if word.startswith("-")]


def _words(command: str) -> list[str]:
    """Return the words of a shell command, without its first, curl."""
    text = _ANSI_C.sub(lambda found: shlex.quote(_ESCAPE.sub(_unescaped, found[1])), command)
    text = re.sub(r"\\\r?\n", " ", text)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Refusal(f"--curl: the command cannot be taken apart: {str(error).lower()}", UNUSABLE) from None
    if not words or Path(words[0]).name not in ("curl", "curl.exe"):
        raise Refusal("--curl: give one command that begins with curl, in quotes", UNUSABLE)
    for index, word in enumerate(words):
        if word in _ENDS:
            raise Refusal(f"--curl: leave away what comes after the command, from {word} on", UNUSABLE)
        if (index and word == "-:") or word == "--next":
            raise Refusal("--curl: give one request, without --next", UNUSABLE)
    return words[1:]


def _unescaped(found: re.Match[str]) -> str:
    """Return what an escape of the shell's $'...' stands for."""
    known = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
    text = found[1]
    if text[0] in "uUx" and len(text) > 1:
        return chr(int(text[1:], 16))
    return chr(int(text, 8)) if text[0] in "01234567" else known.get(text, text)


class _Reader:
    """Makes a call of the options, and notes what is wrong with them."""

    def __init__(self, given: argparse.Namespace, secrets: Secrets) -> None:
        self.faults: list[str] = []
        self._given = given
        self._secrets = secrets
        self._notes: list[str] = []

    def call(self, url: str) -> Call | None:
        """Return the call, None where the faults leave none."""
        given = self._given
        parts = self._address(url)
        if parts is None:
            return None
        base, path, asked, user = parts
        data = list(self._data())
        if given.get:
            asked += parse_qsl("&".join(text for _, text in data), keep_blank_values=True)
            data = []
        query = dict(asked)
        if len(query) < len(asked):
            self._notes.append(
                "a parameter that is in the address more than once is sent once, as it is last"
            )
        body = self._body(data)
        method = given.method or ("POST" if data else "GET")
        if not data and given.method is None and not given.cannot:
            self.faults.append(
                "it reads (GET) rather than submits: give the command that submits a job, or add -X GET"
            )
        headers = self._headers(given.user or user)
        for name in query:
            query[name] = self._secrets.parameter(name, query[name])
        if given.insecure and base.startswith("https:"):
            self._notes.append(
                "-k: this one request trusted any certificate; runs do not: name the authority as ca: FILE"
            )
        return Call(
            base=base,
            method=method.upper(),
            path=path,
            headers=headers,
            query=query,
            body=None if body is None else self._secrets.body(body),
            secrets=self._secrets,
            ca=given.ca,
            insecure=given.insecure,
            notes=tuple(self._notes),
        )

    def _address(self, url: str) -> tuple[str, str, list[tuple[str, str]], str | None] | None:
        """Return base address, path, query and user info; None, and a fault, where it is no address."""
        whole = url if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url) else f"http://{url}"
        try:
            parts = urlsplit(whole)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            self.faults.append("the address is none that can be polled: give one like https://host/path")
            return None
        user, _, host = parts.netloc.rpartition("@")
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
        return f"{parts.scheme}://{host}", path, parse_qsl(parts.query, keep_blank_values=True), user or None

    def _data(self) -> Iterator[tuple[str, str]]:
        """Yield what -d and its kin give, as curl would send it."""
        for option, text in self._given.data:
            if option == "--data-urlencode":
                name, equals, value = text.partition("=")
                yield option, f"{name}{equals}{quote(value)}" if equals else quote(text)
            elif text.startswith("@") and option != "--data-raw":
                yield option, self._file(text[1:])
            else:
                yield option, text

    def _file(self, name: str) -> str:
        if name == "-":
            self.faults.append("-d @-: put the body into the command, or into a file")
            return "{}"
        try:
            with Path(name).open("rb") as stream:
                content = stream.read(_LARGEST_BODY + 1)
            if len(content) > _LARGEST_BODY:
                raise ValueError("it is larger than 1 MiB")
            return content.decode("utf-8")
        except (OSError, ValueError) as error:
            self.faults.append(
                f"the body's file {name!r} cannot be read: {getattr(error, 'strerror', None) or error}"
            )
            return "{}"

    def _body(self, data: list[tuple[str, str]]) -> dict[str, Any] | None:
        if not data:
            return None
        joined = "".join(text if option == "--json" else f"&{text}" for option, text in data).removeprefix(
            "&"
        )
        try:
            body = json.loads(joined, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            self.faults.append(
                "the body is no JSON object ({...}), and a target's submissions are such: give it as JSON"
            )
            return None
        return body

    def _headers(self, user: str | None) -> dict[str, str]:
        given, headers = self._given, dict[str, str]()
        for text in given.header:
            name, colon, value = text.partition(":")
            name, value = name.strip(), value.strip()
            if text.startswith("@"):
                self.faults.append("-H @FILE cannot be had: put the headers into the command")
            elif not colon and text.endswith(";"):
                headers[text[:-1]] = ""
            elif not colon:
                self.faults.append("-H: write it as 'Name: value'")
            elif value:  # curl sends a header without a value not at all
                headers[name] = value
        for name, value in (("User-Agent", given.agent), ("Referer", given.referer)):
            if value:
                headers[name] = value
        if cookies := given.cookie:
            if any("=" not in each for each in cookies):
                self.faults.append("-b FILE cannot be had: write cookies as 'name=value'")
            headers["Cookie"] = "; ".join(cookies)
        if given.bearer:
            headers["Authorization"] = f"Bearer {given.bearer}"
        elif user is not None and ":" not in user:
            self.faults.append("-u: curl would ask for the password; write -u 'user:password'")
        elif user is not None and "$" in user:
            self.faults.append(
                "-u: the shell has not filled in its variables; put the command in double quotes"
            )
        elif user is not None:
            headers["Authorization"] = f"Basic {self._secrets.basic(user)}"
        return {
            name: self._secrets.header(name, headers[name])
            for name in headers
            if self._is_kept(name, headers)
        }

    def _is_kept(self, name: str, headers: Mapping[str, str]) -> bool:
        plain, media = name.lower(), headers[name].partition(";")[0].strip().lower()
        if plain == "content-type" and self._given.data and not media.endswith(("/json", "+json")):
            self.faults.append("the Content-Type is none of JSON, which a target's submissions are")
        if _PLACE.search(headers[name]) and "${" not in headers[name]:
            self.faults.append(
                f"the header {name} holds {{...}}, which a scenario reads as a place for an input"
            )
        usual = plain in ("content-type", "accept") and media in (_JSON, "*/*")
        return not usual and plain not in _BY_THE_TRANSPORT


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)

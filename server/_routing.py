"""Which requests are answered below Flask: the plain submissions and status requests of the dialect spoken.

All others (other paths and methods, escapes in a path, what has mistakes) are Flask's: whoever is in doubt
here returns None, and nothing has happened yet.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from werkzeug.exceptions import HTTPException
from werkzeug.sansio.utils import get_current_url, get_host

from scenarios import RESERVED_PATHS
from server._answering import Asked, Pending, answer_status, answer_submission
from server._connection import Request
from server._parsing import LARGEST_BODY, LARGEST_SCENARIO, LARGEST_UPLOAD
from server._simulator import Simulator
from server._speaking import Dialect, Place, Route

_PART: Final = r"[A-Za-z0-9._~:@!$&'()*+,;=-]+"
_PLAIN: Final = re.compile(f"/(?:{_PART}|/)*")
_PAIR: Final = r"[A-Za-z0-9_.~-]+=[A-Za-z0-9_.~-]*"
_QUERY: Final = re.compile(f"{_PAIR}(?:&{_PAIR})*")
_NOT_OURS: Final = f"(?!(?:{'|'.join(map(re.escape, RESERVED_PATHS))})(?:/|$))"
_FIELD: Final = re.compile(r"<(\w+)>")


class FastLane:
    """The requests that need no Flask, of one simulator, whatever dialect it speaks at the moment."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._dialect: Dialect | None = None
        self._paths: dict[tuple[str, str], str] = {}
        self._rules: dict[str, list[tuple[re.Pattern[str], str]]] = {}

    def room(self, request: Request) -> int:
        """Return how many bytes the body of a request may have."""
        if request.method == "PUT" and request.target.startswith(b"/admin/"):
            return LARGEST_SCENARIO
        return LARGEST_BODY if self._simulator.dialect.strict else LARGEST_UPLOAD

    def enter(self, request: Request, peer: str, local: tuple[str, int]) -> Pending | None:
        """Return the reply to a request; None for one that is for Flask."""
        if request.overfull or "origin" in request.headers:
            return None
        path, asks, query = request.target.decode("latin-1").partition("?")
        found = self._match(request.method, path)
        if found is None or (asks and not _QUERY.fullmatch(query)):
            return None
        kind, job_id = found
        parameters = dict(reversed([pair.split("=") for pair in query.split("&")])) if asks else {}
        try:
            place = Place(_origin(request.headers.get("host"), local), "", path)
            asked = Asked(place, request.headers, parameters, peer, request.body)
            if kind == "submit":
                return answer_submission(self._simulator, asked)
            return answer_status(self._simulator, asked, job_id)
        except HTTPException:
            return None

    def _match(self, method: str, path: str) -> tuple[str, str | None] | None:
        """Return whether this is a submission or a status request, and the job's id if the path has one."""
        dialect = self._simulator.dialect
        if dialect is not self._dialect:
            self._learn(dialect)
        if kind := self._paths.get((method, path)):
            return kind, None
        for rule, kind in self._rules.get(method, ()):
            if match := rule.fullmatch(path):
                return kind, match["job_id"] if kind == "status" else None
        return None

    def _learn(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._paths, self._rules = {}, {}
        for kind, routes in (("submit", dialect.submit), ("status", dialect.status)):
            for route in routes:
                if "<" in route.rule:
                    self._rules.setdefault(route.method, []).append((_pattern(route), kind))
                elif _PLAIN.fullmatch(route.rule):
                    self._paths[route.method, route.rule] = kind


def _pattern(route: Route) -> re.Pattern[str]:
    """Return the expression of a rule: a field is a part of the path, whole."""
    parts = _FIELD.split(route.rule)
    texts = [f"(?P<{part}>{_PART})" if index % 2 else re.escape(part) for index, part in enumerate(parts)]
    return re.compile(_NOT_OURS + "".join(texts))


@lru_cache(maxsize=256)
def _origin(host: str | None, local: tuple[str, int]) -> str:
    """Return what Flask calls ``request.host_url``; raise HTTPException for nonsense."""
    return get_current_url("http", get_host("http", host, local)).rstrip("/")

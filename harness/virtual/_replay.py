"""The service once more, with the requests of a live run: what each reply took, and when each job finished.

Where requests wait for the service's workers, what one takes is not drawn, but follows from all the others.
They are on record, so the shipped service tells it again. It is asked at the moments at which clients sent,
some milliseconds before the requests arrived; who came first of two that were sent at nearly the same time is
not on record either. So a single request may be off by what another one takes; most are not.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from harness.measure import response_name
from scenarios import Simulation
from scenarios.draws import Floats
from server import Board, InService, NoReply, Reply, Ticket

if TYPE_CHECKING:
    import polars as pl

_MOST_REQUESTS: Final = 400_000
"""In a visit: some seconds of work."""


class Replay(NamedTuple):
    """What a service tells of the rows of a visit, in their order (seconds of the visit).

    left_at: when the reply to each poll left; NaN where it is not that on record.
    finished_at: when each job finished; NaN where that was forgotten.
    """

    left_at: Floats
    finished_at: Floats


def replayed(simulation: Simulation, jobs: pl.DataFrame, polls: pl.DataFrame) -> Replay | None:
    """Play the requests of a visit once more.

    None where they are too many, or where it is not known when each was sent.
    """
    requests = [
        (at, is_poll, row)
        for is_poll, rows in enumerate((jobs, polls))
        for row, at in enumerate(rows["sent_at_s"].to_list())
    ]
    if len(requests) > _MOST_REQUESTS or not all(at is not None and 0.0 <= at < inf for at, _, _ in requests):
        return None
    return _Service(simulation, jobs, polls).replay(sorted(requests))


class _Service:
    def __init__(self, simulation: Simulation, jobs: pl.DataFrame, polls: pl.DataFrame) -> None:
        self._board = Board(simulation)
        self._jobs, self._polls = jobs, polls
        self._responses: list[str] = polls["response"].cast(str).to_list()
        self._left_at = np.full(polls.height, np.nan)
        self._in_service: dict[InService, int] = {}

    def replay(self, requests: list[tuple[float, int, int]]) -> Replay:
        """Play requests, each as (when it was sent, whether it is a poll, its row), in their order."""
        board, tickets = self._board, dict[int, tuple[Ticket, int]]()
        submitted = list(zip(self._jobs["key"].to_list(), self._jobs["lane"].to_list(), strict=True))
        asked = list(zip(self._polls["key"].to_list(), self._polls["attempt"].to_list(), strict=True))
        for at, is_poll, row in requests:
            self._depart(at)
            if is_poll:
                key, attempt = asked[row]
                if key not in tickets:
                    continue
                ticket, lane = tickets[key]
                reply = board.poll(at, ticket, attempt, lane)
                if isinstance(reply, InService):
                    self._in_service[reply] = row
                else:
                    self._leave(row, reply)
            else:
                key, lane = submitted[row]
                tickets[key] = board.submit(at, key)[0], lane
        end = self._depart(inf, requests[-1][0] if requests else 0.0)
        finished = [board.settled(end, tickets[key][0]).finished_at for key, _ in submitted]
        return Replay(self._left_at, np.where(np.isinf(finished), np.nan, finished))

    def _depart(self, until: float, latest: float = 0.0) -> float:
        """Let go all that is served by then; return when the last one was."""
        while (at := self._board.next_departure) < until:
            latest = max(latest, at)
            for request in self._board.departures(at):
                if request.reply is not None:
                    self._leave(self._in_service.pop(request), request.reply)
        return latest

    def _leave(self, row: int, reply: Reply | NoReply) -> None:
        if response_name(reply.status_code) == self._responses[row]:
            self._left_at[row] = reply.at

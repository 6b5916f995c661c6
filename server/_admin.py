"""Calls for whoever runs the simulator: reset, swap the scenario, counters, the truth about a job.

They want a token and a client on this machine. Forwarding headers are not believed.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import inf
from typing import Final

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, NotFound, Unauthorized, UnprocessableEntity

from scenarios import Simulation
from scenarios.documents import DocumentError, LocalDiagnostic
from scenarios.draws import measured
from server._pages import names_this_machine
from server._parsing import LARGEST_SCENARIO, json_object, simulation
from server._problems import refusal
from server._routes import follow_dialect
from server._simulator import Simulator
from server._tickets import UnknownTicket

admin = Blueprint("admin", __name__, url_prefix="/admin")

_LONGEST_LEAD: Final = 3600


@admin.before_request
def _guard() -> None:
    if not _is_loopback(request.remote_addr):
        raise Forbidden("admin calls are answered on this machine only")
    if not names_this_machine(f"//{request.host}"):
        raise Forbidden("admin calls are for an address of this machine, such as 127.0.0.1 or localhost")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected: str = current_app.config["ADMIN_TOKEN"]
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), expected.encode()):
        raise Unauthorized(
            "admin calls need the header 'Authorization: Bearer TOKEN' with the simulator's token",
            www_authenticate=WWWAuthenticate("bearer", {"realm": "simulator"}),
        )


@admin.post("/reset")
def reset() -> Response:
    """Start over; the body may delay time zero of the outages: ``{"starts_in": 0.5}``."""
    body = json_object(request)
    starts_in = body.pop("starts_in", 0)
    is_number = isinstance(starts_in, int | float) and not isinstance(starts_in, bool)
    if body or not is_number or not 0 <= starts_in <= _LONGEST_LEAD:
        raise UnprocessableEntity(f"the only member is 'starts_in': seconds from 0 to {_LONGEST_LEAD}")
    _simulator().reset(starts_in)
    return Response(status=204)


def _recorded(wanted: Simulation) -> Iterator[LocalDiagnostic]:
    """Yield the recorded times: other processes would have to read their files, which may have changed."""
    for path, _ in measured(wanted):
        yield path, "its times are in a file; start the simulator with this scenario instead"


@admin.put("/scenario")
def swap_scenario() -> Response:
    """Serve another simulation from now on."""
    request.max_content_length = LARGEST_SCENARIO
    try:
        wanted = simulation(request)
    except DocumentError as error:
        problems = [str(one) for one in error.diagnostics]
        return refusal(422, "this is no simulation; see 'problems'", problems=problems)
    if _simulator().processes > 1 and (unfit := [*wanted.shared_state(), *_recorded(wanted)]):
        problems = [f"{'.'.join(map(str, path))}: {why}" for path, why in unfit]
        return refusal(422, "several processes cannot serve this; see 'problems'", problems=problems)
    _simulator().install(wanted)
    follow_dialect(current_app, _simulator())
    return jsonify(simulation=_simulator().fingerprint)


@admin.get("/counters")
def counters() -> Response:
    """Answer what has been done since the last reset."""
    counted, cpu_seconds, in_flight = _simulator().activity()
    several = {"processes": _simulator().processes} if _simulator().processes > 1 else {}
    return jsonify(**counted._asdict(), cpu_seconds=cpu_seconds, in_flight=in_flight, **several)


@admin.get("/jobs/<job_id>")
def truth(job_id: str) -> Response:
    """Answer what has been decided about a job, in seconds on the server's clock."""
    try:
        ticket, now = _simulator().truth(job_id)
    except UnknownTicket as error:
        raise NotFound(str(error)) from None
    told = {**ticket._asdict(), "duration": ticket.finished_at - ticket.started_at}
    if ticket.finished_at == inf:  # polls and other jobs will decide when it ends
        told |= {"finished_at": None, "duration": None}
    return jsonify(**told, now=now)


def _simulator() -> Simulator:
    simulator: Simulator = current_app.extensions["simulator"]
    return simulator


def _is_loopback(text: str | None) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(text or "")
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback

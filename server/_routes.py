"""Which requests the application answers: the simulator's own, and those of the dialect that it speaks."""

from __future__ import annotations

from urllib.parse import unquote

from flask import Flask
from werkzeug.routing import Map, Rule

from scenarios import RESERVED_PATHS
from server._simulator import Simulator
from server._speaking import Route


def is_ours(path: str) -> bool:
    """Say whether a path is the simulator's own, whatever the dialect."""
    return any(path == ours or path.startswith(f"{ours}/") for ours in RESERVED_PATHS)


def follow_dialect(app: Flask, simulator: Simulator) -> None:
    """Have ``app`` answer the requests of the dialect that is spoken now, and of no other.

    Flask adds routes to a running application but takes none away, so it gets another map. A rule belongs to
    one map: the simulator's own are copied, with the mark by which Flask answers OPTIONS.
    """
    kept = [rule for rule in app.url_map.iter_rules() if is_ours(rule.rule)]
    rules = [_marked(rule.empty()) for rule in kept]
    for endpoint, routes in (("submit", simulator.dialect.submit), ("status", simulator.dialect.status)):
        rules += [_marked(_rule(route, f"simulator.{endpoint}")) for route in routes]
    # Slashes are not merged: an unknown path is a 404, not a redirect to a guess.
    app.url_map = Map(rules, merge_slashes=False)


def _rule(route: Route, endpoint: str) -> Rule:
    return Rule(unquote(route.rule), endpoint=endpoint, methods={route.method, "OPTIONS"})


def _marked(rule: Rule) -> Rule:
    rule.provide_automatic_options = True  # type: ignore[attr-defined] # Flask's own addition
    return rule

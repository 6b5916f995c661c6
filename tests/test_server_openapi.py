"""The OpenAPI document of the simulator, and what Schemathesis makes of it: no reply is unplanned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from host_parts import TOKEN, Service, hosted
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error

from server._command import main
from server._openapi import openapi
from server.app import create_app

SIMULATION = {"job": {"duration": "1h"}}  # without faults: every 5xx would be unplanned


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with hosted("fast") as service:
        service.serve()
        yield service


@pytest.mark.parametrize("dialect", ["native", "take-home", "heygen-v2", "azure", "google-lro", "replicate"])
def test_the_document_names_the_routes_of_any_dialect(dialect: str) -> None:
    """Every path and method that the application answers is there, with an operation, and no other."""
    app = create_app({**SIMULATION, "service": {"dialect": dialect}})
    told = openapi(app)
    ours = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, methods in told["paths"].items() for method in methods} == ours
    assert all(f"{{{field['name']}}}" in path for path, field in _fields(told))
    Draft202012Validator.check_schema(told["paths"]["/admin/reset"]["post"]["requestBody"]["content"])


def _fields(told: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in told["paths"].items():
        for operation in methods.values():
            for field in operation["parameters"]:
                if field["in"] == "path":
                    yield path, field


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Without listening anywhere."""
    assert main(["--openapi"]) == 0
    assert "/jobs" in json.loads(capsys.readouterr().out)["paths"]


def attacked(service: Service, examples: int) -> int:
    """Send generated requests to every operation of both hosts; return how many were sent."""
    app = create_app(SIMULATION, admin_token=TOKEN)
    found = schemathesis.openapi.from_dict(openapi(app))
    count = 0
    for result in found.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def attack(case: schemathesis.Case) -> None:
            nonlocal count
            count += 2
            headers = {"Authorization": f"Bearer {TOKEN}"}
            for where in ({"app": app}, {"base_url": service.url}):
                response = case.call(**where, headers=headers)
                case.validate_response(response, checks=[not_a_server_error])

        attack()
    return count


def test_no_generated_request_meets_a_server_error(service: Service) -> None:
    """A few of the requests that the slow proof sends by the thousands, to Flask and to the fast host."""
    assert attacked(service, 8) > 80


@pytest.mark.slow
def test_thousands_of_generated_requests_meet_no_server_error(service: Service) -> None:
    """Zero unplanned 5xx."""
    assert attacked(service, 300) > 2_000

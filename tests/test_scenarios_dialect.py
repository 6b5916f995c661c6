"""The key ``dialect``: a name or a mapping, every fault at its key, and what the client makes of it."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from client import DIALECTS, NATIVE, Dialect, HintField, Source, StatusCall, SubmitCall, secrets_of
from scenarios import OwnDialect, Scenario, Service, Simulation, client_dialect, load_scenario
from scenarios._dialect import HintKeys, StatusKeys, SubmitKeys, Where
from scenarios.documents import DocumentError

REST = """\
name: least
job: {duration: 1s}
workload: {lanes: 1, arrivals: {type: constant, rate: 1}, jobs: 1}
settings: {only: {curve: constant, initial: 1s}}
service:
"""
OWN = """\
  dialect:
    submit:
      path: /v2/things
      headers: {Authorization: "Bearer ${DIALECT_TOKEN}"}
      query: {api-version: "2024"}
      json: {url: "http://x", days: [1, 2.5, null, true]}
      accepted: [200]
      id: data.id
      location: {body: data.url}
    status:
      path: /v2/things/{+id}
      state: data.state
      pending: [queued, in progress]
      completed: [done]
      error: [failed]
      not_ready: [409]
      retryable: [423]
      progress: null
      finished_ago: {header: X-Ago}
      hints: [{body: data.wait, unit: ms}, {header: X-Wait}]
"""
Load = Callable[..., Scenario]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def from_text(text: str, **how: Any) -> Scenario:
        file = tmp_path / "x.yaml"
        file.write_text(REST + text)
        return load_scenario(file, **how)

    return from_text


@pytest.mark.parametrize("name", DIALECTS)
def test_a_name_means_the_clients_dialect_with_the_simulators_truth(load: Load, name: str) -> None:
    """As the lanes read it."""
    scenario = load(f"  dialect: {name}\n")
    assert scenario.service.dialect == name
    assert scenario.dialect == DIALECTS[name].with_truth()


def test_without_the_key_the_service_is_native(load: Load) -> None:
    """And its simulation is the one it was before there were others; under another dialect it is another."""
    scenario = load("  retry_after: none\n")
    assert scenario.dialect is NATIVE
    assert (
        scenario.simulation.fingerprint
        == Simulation(job=scenario.job).fingerprint
        == "cfa874ce2fab45e3dc941019da505819f3739c270f79f980f8ec9aa80aaf90c3"
    )
    assert load("  dialect: azure\n").simulation.fingerprint != scenario.simulation.fingerprint


def test_a_mapping_means_what_the_client_makes_of_the_same_data(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key by key; the secret stays a name."""
    monkeypatch.setenv("DIALECT_TOKEN", "s3cret")
    scenario = load(OWN)
    expected = Dialect(
        SubmitCall(
            path="/v2/things",
            headers={"Authorization": "Bearer ${DIALECT_TOKEN}"},
            query={"api-version": "2024"},
            json={"url": "http://x", "days": [1, 2.5, None, True]},
            accepted=(200,),
            id="data.id",
            location=Source(body="data.url"),
        ),
        StatusCall(
            path="/v2/things/{+id}",
            state="data.state",
            pending=("queued", "in progress"),
            completed=("done",),
            error=("failed",),
            not_ready=(409,),
            retryable=(423,),
            progress=None,
            finished_ago=Source(header="X-Ago"),
            hints=(HintField(body="data.wait", unit="ms"), HintField(header="X-Wait")),
        ),
    )
    assert client_dialect(scenario.service.dialect) == expected
    assert scenario.dialect == expected.with_truth()
    assert "s3cret" not in repr(scenario) + scenario.text + scenario.simulation.model_dump_json()


def test_a_mapping_is_written_out_as_it_was_read(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left away and what is null differ; reading it again gives the same."""
    monkeypatch.setenv("DIALECT_TOKEN", "s3cret")
    service = load(OWN).service
    written = service.model_dump(mode="json", exclude_none=True)
    assert written["dialect"]["status"]["progress"] is None
    assert "finished_at" not in written["dialect"]["status"]
    assert Service.model_validate(written) == service


@pytest.mark.parametrize(
    ("model", "kind"),
    [(SubmitKeys, SubmitCall), (StatusKeys, StatusCall), (HintKeys, HintField), (Where, Source)],
)
def test_the_keys_and_their_defaults_are_the_clients(model: Any, kind: Any) -> None:
    """None is missing, none is more, and what the schema shows as a default is one."""
    keys = {field.alias or name: field.default for name, field in model.model_fields.items()}
    parameters = signature(kind).parameters
    assert set(keys) == set(parameters)
    if kind in (SubmitCall, StatusCall):
        made = kind()
        for name, default in keys.items():
            value = getattr(made, name)
            assert default == (Where(header=value.header) if isinstance(value, Source) else value), name


def test_every_fault_of_a_dialect_is_told_at_once_with_line_path_and_remedy(load: Load) -> None:
    """Before anything is sent; no value of a header is repeated, and the simulator is sent no secret."""
    with pytest.raises(DocumentError) as refused:
        load(
            """\
  dialect:
    submit:
      path: jobs
      method: PO ST
      headers: {Authorization: "Bearer ${NOBODY_HAS_THIS}", "a b": x, X-Key: "s3cr\\net"}
      query: {v: "${s3cret}${not closed"}
      accepted: [200, 9]
      json: {a: {b: ["${NOR_THIS}", 2024-01-01]}}
      id: "a["
      locaton: {}
      location: {}
    status:
      path: /jobs
      state: "nope(@)"
      pending: [queued, Run, yes]
      error: [failed, run, QUEUED, completed]
      hints: [{header: X, unit: d}, {body: "a["}]
      finished_ago: 7
    statos: {}
"""
        )
    faults = [str(fault).split("x.yaml:")[1] for fault in refused.value.diagnostics]
    place = "service.dialect"
    wanted = [
        (8, f"{place}.submit.path", "'jobs' cannot be used: begin it with a slash"),
        (9, f"{place}.submit.method", "give a method of HTTP, such as GET or POST"),
        (10, f"{place}.submit.headers.X-Key", "give it a value in one line"),
        (10, f"{place}.submit.headers.a b", "give a name of letters, digits and hyphens"),
        (11, f"{place}.submit.query.v", "write a secret as ${NAME}"),
        (12, f"{place}.submit.accepted[1]", "must be at least 100, not 9"),
        (13, f"{place}.submit.json.a.b[1]", "JSON has no such value: a date; put it in quotes"),
        (14, f"{place}.submit.id", "'a[' cannot be used: write it as JMESPath has it"),
        (15, f"{place}.submit.locaton", "unknown key; did you mean 'location'?"),
        (16, f"{place}.submit.location", "give a header or a body, and one of the two"),
        (18, f"{place}.status.path", "'/jobs' cannot be used: put {id} where the job's id belongs"),
        (19, f"{place}.status.state", "no function is called nope"),
        (20, f"{place}.status.pending[2]", "must be text, not true; put it in quotes"),
        (21, f"{place}.status.error[1]", "'run' is in pending and in error; keep it in one of the two"),
        (21, f"{place}.status.error[2]", "'QUEUED' is in pending and in error"),
        (21, f"{place}.status.error[3]", "'completed' is in completed and in error"),
        (22, f"{place}.status.hints[0].unit", "must be one of ms, s, m, h; not 'd'"),
        (22, f"{place}.status.hints[1].body", "write it as JMESPath has it"),
        (23, f"{place}.status.finished_ago", "give a member's name, or {header: NAME}, not 7"),
        (24, f"{place}.statos", "unknown key; did you mean 'status'?"),
    ]
    assert len(faults) == len(wanted)
    for fault, (line, path, remedy) in zip(faults, wanted, strict=True):
        assert fault.startswith(f"{line}: {path}: "), fault
        assert remedy in fault


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("azrue", "'azrue' is no dialect; did you mean 'azure'?"),
        ("xyz", "there are native, take-home, heygen-v2, azure, google-lro, openai-video, replicate"),
        ("[1]", "give the name of a dialect, or a mapping with submit and status, not a list"),
        ("null", "give the name of a dialect, or a mapping"),
    ],
)
def test_what_is_no_dialect_is_told_with_those_there_are(load: Load, value: str, remedy: str) -> None:
    """A name that is a letter off is guessed."""
    with pytest.raises(DocumentError) as refused:
        load(f"  dialect: {value}\n")
    (fault,) = refused.value.diagnostics
    assert (fault.line, fault.path) == (6, "service.dialect")
    assert remedy in fault.message


def test_the_simulator_needs_no_secret_of_its_dialect(load: Load) -> None:
    """It is never sent one, so none need be set."""
    scenario = load(OWN)
    assert isinstance(scenario.service.dialect, OwnDialect)
    assert not any(secrets_of([scenario.dialect.submit.headers, scenario.dialect.status.headers]))

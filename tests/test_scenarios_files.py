"""The files that come with the project: scenarios, their JSON Schema, config.yaml; and how one is chosen."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel
from test_scenarios_load import SKETCH

from harness.virtual import visit_costs
from scenarios import (
    ARRIVALS,
    Address,
    Config,
    choose_scenario,
    describe,
    json_schema,
    load_config,
    load_scenario,
    planned,
)
from scenarios.documents import DocumentError
from scenarios.draws import DISTRIBUTIONS

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted((ROOT / "scenarios").glob("*.yaml"))
CONFIG = Config(
    scenario=ROOT / "scenarios" / "long-tail.yaml",
    simulator=Address("127.0.0.1", 5000),
    reports=Path("reports"),
    file=ROOT / "config.yaml",
)


@pytest.fixture(scope="module")
def schema() -> jsonschema.protocols.Validator:
    """The committed schema, itself checked."""
    loaded: dict[str, Any] = json.loads((ROOT / "scenarios" / "scenario.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(loaded)
    return jsonschema.Draft202012Validator(loaded)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_scenario_is_sound(file: Path, schema: jsonschema.protocols.Validator) -> None:
    """It loads, bears its file's name, starts with its question and its schema, has aims and a baseline."""
    scenario = load_scenario(file)
    first, second = scenario.text.splitlines()[:2]
    assert scenario.name == file.stem
    assert first == f"# {scenario.question}"
    assert second == "# yaml-language-server: $schema=scenario.schema.json"
    assert scenario.objectives
    assert scenario.baseline is not None
    assert list(schema.iter_errors(yaml.safe_load(scenario.text))) == []


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_scenario_is_small_enough_to_run_live(file: Path) -> None:
    """A hundred jobs or more, and a live run of about two minutes at most."""
    scenario = load_scenario(file)
    assert sum(1 for _ in planned(scenario, 0)) >= 100
    (cost,) = (line for line in describe(scenario, visit_costs(scenario)) if line.startswith("  cost: "))
    match = re.search(r"about (\d+) s", cost)
    assert match is not None
    assert int(match[1]) <= 110


def test_six_scenarios_ship() -> None:
    """The questions that the project promises to answer."""
    assert [file.stem for file in SHIPPED] == [
        "long-tail",
        "metastable",
        "outage",
        "rate-limited",
        "thundering-herd",
        "video-translation",
    ]


def test_the_committed_schema_is_current() -> None:
    """After a change of the models, scenarios/scenario.schema.json is written anew from ``json_schema``."""
    committed = json.loads((ROOT / "scenarios" / "scenario.schema.json").read_text())
    assert committed == json.loads(json.dumps(json_schema())), "write it anew with: make schema"


def test_the_schema_accepts_the_designs_sketch(schema: jsonschema.protocols.Validator) -> None:
    """What loads is valid for editors too."""
    assert list(schema.iter_errors(yaml.safe_load(SKETCH))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("multiplier", "multipler"),
        ("median: 4s", "median: 4 sec"),
        ("rate: 0.01", "rate: 2"),
        ("lanes: 20", "lanes: 0"),
        ("jitter: full", "jitter: some"),
        ("type: poisson, ", ""),
        ("type: lognormal, median: 4s", "median: 4s"),
        ("google-api-core-lro", "aws"),
        ("  google:", "  goo gle:"),
        ("seed: 42", "seed: true"),
        ("name: video-translation\n", ""),
        ("lag_p95: 2s", "lag_p95: 0"),
        ("duration: {type: lognormal, median: 4s, sigma: 0.6}", "duration: {type: mixture, of: []}"),
    ],
)
def test_the_schema_marks_what_the_loader_refuses(
    schema: jsonschema.protocols.Validator, old: str, new: str
) -> None:
    """Editors underline faults of single keys before anything runs."""
    assert old in SKETCH
    assert list(schema.iter_errors(yaml.safe_load(SKETCH.replace(old, new))))


def test_every_key_is_in_the_reference() -> None:
    """docs/scenarios.md names every key of every model, and no key that there is not."""
    keys: set[str] = set()
    for definition in (json_schema(), *json_schema()["$defs"].values()):
        keys |= set(definition["properties"])
    reference = (ROOT / "docs" / "scenarios.md").read_text()
    tables = re.findall(r"^\| key \|.*\n((?:\|.*\n)+)", reference, re.MULTILINE)
    documented = set(re.findall(r"^\| `([a-z_0-9]+)`", "".join(tables), re.MULTILINE))
    assert documented == keys


@pytest.mark.parametrize("model", [*ARRIVALS, *DISTRIBUTIONS], ids=lambda model: model.__name__)
def test_every_type_is_in_the_reference_with_the_keys_it_needs(model: type[BaseModel]) -> None:
    """The tables of types in docs/scenarios.md have every arrival and distribution there is."""
    reference = (ROOT / "docs" / "scenarios.md").read_text()
    tables = "".join(re.findall(r"^\| `type:` \|.*\n((?:\|.*\n)+)", reference, re.MULTILINE))
    rows = re.findall(r"^\| `([a-z_]+)` \| ([^|]*) \|", tables, re.MULTILINE)
    keys = [
        re.findall("`([a-z_0-9]+)`", cell)
        for name, cell in rows
        if name == model.model_fields["type"].default
    ]
    needed = {field.alias or name for name, field in model.model_fields.items() if field.is_required()}
    assert any(needed <= set(each) for each in keys)


def test_every_kind_is_in_the_reference() -> None:
    """Each value of each key that has a choice, a row of some table, is named there, or with the presets."""
    reference = "".join((ROOT / "docs" / name).read_text() for name in ("scenarios.md", "presets.md"))
    values = set(_choices(json_schema()))
    assert {each for each in values if not re.search(rf"\b{re.escape(each)}\b", reference)} == set()


def _choices(part: object) -> Iterator[str]:
    """Yield every word that a schema allows by name."""
    if isinstance(part, dict):
        words = [*part.get("enum", ()), part.get("const")]
        yield from (word for word in words if isinstance(word, str))
        for each in part.values():
            yield from _choices(each)
    elif isinstance(part, list):
        for each in part:
            yield from _choices(each)


def test_the_examples_in_the_reference_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each whole scenario in docs/scenarios.md is one, where its secrets are set."""
    monkeypatch.setenv("API_TOKEN", "s3cret")
    blocks = re.findall(r"```yaml\n(name: .*?)```", (ROOT / "docs" / "scenarios.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        file = tmp_path / "example.yaml"
        file.write_text(block)
        load_scenario(file)


def test_the_shipped_configuration_leads_to_a_scenario() -> None:
    """config.yaml is sound, and names a scenario that loads."""
    config = load_config(ROOT / "config.yaml")
    assert config.simulator == Address("127.0.0.1", 5000)
    assert config.reports == ROOT / "reports"
    assert load_scenario(config.scenario).name == "video-translation"


def test_paths_in_a_configuration_start_at_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a command is started makes no difference; absolute paths stay what they are."""
    (tmp_path / "config.yaml").write_text("scenario: a/b.yaml\nreports: /elsewhere\n")
    monkeypatch.chdir(tmp_path)
    assert load_config("config.yaml") == Config(
        scenario=tmp_path / "a" / "b.yaml",
        simulator=Address("127.0.0.1", 5000),
        reports=Path("/elsewhere"),
        file=Path("config.yaml"),
    )


def test_a_faulty_configuration_is_refused_like_a_scenario(tmp_path: Path) -> None:
    """All faults at once, with line and remedy."""
    file = tmp_path / "config.yaml"
    file.write_text("scenaro: x\nsimulator:\n  host: ''\n  port: 70000\nreports: 3\n")
    with pytest.raises(DocumentError) as caught:
        load_config(file)
    assert str(caught.value).replace(f"{file}:", "").split("\n") == [
        "1: scenario: this key is required and missing",
        "1: scenaro: unknown key; did you mean 'scenario'?",
        "3: simulator.host: must not be empty",
        "4: simulator.port: must be at most 65535, not 70000",
        "5: reports: must be text, not 3; put it in quotes",
    ]


def test_the_command_line_comes_before_the_environment_before_the_configuration(tmp_path: Path) -> None:
    """Unset and empty are passed over."""
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.touch()
    other.touch()
    assert choose_scenario(str(one), {"BACKOFF_SCENARIO": str(other)}, CONFIG) == one
    assert choose_scenario(None, {"BACKOFF_SCENARIO": str(other)}, CONFIG) == other
    assert choose_scenario("", {"BACKOFF_SCENARIO": ""}, CONFIG) == CONFIG.scenario


def test_a_configuration_that_names_no_file_is_the_one_at_fault(tmp_path: Path) -> None:
    """The fault is told where it can be mended: in config.yaml, unless another scenario is asked for."""
    file = tmp_path / "config.yaml"
    file.write_text("reports: here\nscenario: gone.yaml\n")
    config = load_config(file)
    with pytest.raises(DocumentError, match=r"config\.yaml:2: scenario: there is no such file: .*gone\.yaml"):
        choose_scenario(None, {}, config)
    assert choose_scenario("outage", {}, config).name == "outage.yaml"


def test_a_bare_name_is_a_shipped_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anywhere, `outage` means the project's; a file of that name in the working directory comes first."""
    monkeypatch.chdir(tmp_path)
    assert choose_scenario("outage", {}, CONFIG) == ROOT / "scenarios" / "outage.yaml"
    Path("outage").touch()
    assert choose_scenario("outage", {}, CONFIG) == Path("outage")


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        ("outgae", "did you mean 'outage'?"),
        ("here/thundering_herd.yaml", "did you mean 'thundering-herd'?"),
        ("xyz", f"name a file, or one of {', '.join(file.stem for file in SHIPPED)}"),
    ],
)
def test_an_unknown_scenario_names_the_known_ones(asked: str, remedy: str) -> None:
    """A slip of the finger gets a guess, anything else the list."""
    with pytest.raises(DocumentError) as caught:
        choose_scenario(asked, {}, CONFIG)
    assert str(caught.value) == f"{asked}:1: there is no such scenario; {remedy}"


def test_loading_is_light() -> None:
    """Locust loads the scenario at its start: no web framework and no load generator comes along."""
    code = (
        f"import sys; from scenarios import load_scenario; load_scenario({str(SHIPPED[0])!r}); "
        "print(*sorted({'flask', 'requests', 'locust', 'gevent', 'polars'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == []

"""What each form can express, what is refused with which nearest setting, and the command's manners."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from export_parts import DEMANDING, LIMITED, seeded, settings_of_all_kinds

from client import CURVES, JITTERS, PRESETS, Backoff, ErrorPolicy, HintPolicy, PollingPolicy
from harness._cli import main
from harness.export import FORMS, CannotExpress, Origin, adapt, export_setting
from harness.export._law import CURVE_TEXTS, JITTER_TEXTS, law_text
from scenarios import load_scenario, read_setting

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = ROOT / "scenarios" / "video-translation.yaml"
FOR_EVER = 1e300  # seconds; beyond it an uncapped curve need not grow
HOSTILE = Origin(
    "a", "b", "*/ */ \"\"\" ''' `x` $(touch pwned)\n#!\r\u2028\u202e\x00import os\\\ncoding: rot13 \\"
)


def export(*arguments: object, given: str | None = None) -> Result:
    words = ["export", *map(str, arguments)]
    return CliRunner().invoke(main, words, input=given, catch_exceptions=False)


def fibonacci(law: Backoff, k: int) -> float:
    """F(k), by the curve itself."""
    assert law.initial is not None
    return replace(law, maximum=None).ceiling(k) / law.initial


def test_every_curve_and_jitter_can_be_written_as_code() -> None:
    """A new row of the client's tables needs its text here; the plain languages refuse nothing."""
    assert set(CURVE_TEXTS) == set(CURVES)
    assert set(JITTER_TEXTS) == set(JITTERS)
    plain = ("bash", "go", "javascript", "json", "python")
    for policy in [*settings_of_all_kinds(CURVES, JITTERS), *LIMITED, DEMANDING, *PRESETS.values()]:
        for form in plain:
            assert adapt(policy, FORMS[form]) == (policy, [])


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_laws_text_means_the_law(name: str) -> None:
    """The two expressions, read by Python, give each delay, also the thousandth, and never overflow."""
    law, source = PRESETS[name].cadence, seeded(1)
    text = law_text(law)
    previous = law.ceiling(1)
    for k in (1, 2, 3, 40, 900):
        u = source.random()
        names: dict[str, Any] = {"k": k, "u": u, "previous": previous, "delays": law.delays}
        names["fibonacci"] = partial(fibonacci, law)
        names["c"] = eval(text.ceiling, names) if text.ceiling else None  # noqa: S307 - our own text
        expected = law.delay(k, previous, u)
        found = eval(text.delay, names)  # noqa: S307 - our own text
        assert found == pytest.approx(expected, rel=1e-12) or min(found, expected) > FOR_EVER
        previous = expected


@pytest.mark.parametrize(
    ("law", "k"),
    [
        (Backoff("exponential", 1e-9, multiplier=1.0000001, maximum=2e-9), 10**7),
        (Backoff("exponential", 1e-9, multiplier=1.0000001, maximum=2e-9), 10**6),
        (Backoff("exponential", 1e-3, multiplier=1e9, maximum=1e7), 3),
        (Backoff("exponential", 1e-300, multiplier=1e200), 10**9),
        (Backoff("exponential", 5, multiplier=1, maximum=5), 10**9),
        (Backoff("fibonacci", 1e-3, maximum=1e9), 10**9),
    ],
)
def test_no_exponent_overflows_or_stops_short(law: Backoff, k: int) -> None:
    """Growth as slow or as steep as can be, at a delay as far as one likes."""
    text = law_text(law)
    names: dict[str, Any] = {"k": k, "u": 0.5, "fibonacci": partial(fibonacci, law)}
    found = eval(text.delay, names)  # noqa: S307 - our own text
    assert found == pytest.approx(law.ceiling(k), rel=1e-6) or law.maximum is None


@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_nearest_setting_can_be_expressed(form: str) -> None:
    """Taking the nearest leaves no difference, whatever one starts from, and reading its YAML gives it."""
    for policy in [*settings_of_all_kinds(CURVES, JITTERS), *LIMITED, DEMANDING, *PRESETS.values()]:
        for typical_s in (None, 30.0):
            nearest, differences = adapt(policy, FORMS[form], typical_s)
            assert adapt(nearest, FORMS[form], typical_s) == (nearest, [])
            assert (nearest == policy) == (differences == [])


@pytest.mark.parametrize(
    ("form", "policy", "keys", "nearest"),
    [
        (
            "google-api-core",
            PollingPolicy(Backoff("constant", 5), max_attempts=3),
            ["jitter", "max_attempts"],
            PollingPolicy(Backoff("constant", 10, jitter="full")),
        ),
        (
            "google-api-core",
            PollingPolicy(Backoff("fibonacci", 1, maximum=8, jitter="full")),
            ["curve"],
            PollingPolicy(Backoff("exponential", 1, multiplier=1.618, maximum=8, jitter="full")),
        ),
        (
            "azure-core",
            PollingPolicy(Backoff("exponential", 1, maximum=8), deadline=60, max_attempts=9),
            ["curve", "first_poll", "deadline", "max_attempts"],
            # 1, 2, 4 and 8 s cover a job of 15 s: 3.75 s each.
            PollingPolicy(Backoff("constant", 3.75), first_poll="immediately"),
        ),
        (
            "botocore",
            PollingPolicy(Backoff("constant", 5), deadline=60, first_poll="immediately"),
            ["deadline"],
            PollingPolicy(Backoff("constant", 5), max_attempts=13, first_poll="immediately"),
        ),
        (
            "stamina",
            PollingPolicy(Backoff("exponential", 1, maximum=8, jitter="full"), hints=HintPolicy(maximum=9)),
            ["jitter", "hints"],
            PollingPolicy(Backoff("exponential", 0.5, maximum=4), hints=HintPolicy(honour=False)),
        ),
        (
            "tenacity",
            PollingPolicy(Backoff("constant", 1), errors=ErrorPolicy(max_consecutive=2)),
            ["on_error"],
            PollingPolicy(Backoff("constant", 1)),
        ),
        (
            "urllib3",
            PollingPolicy(Backoff("exponential", 1, maximum=8, jitter="decorrelated")),
            ["jitter"],
            PollingPolicy(Backoff("exponential", 1, maximum=8, jitter="full")),
        ),
    ],
)
def test_what_a_form_lacks_is_refused_with_the_nearest(
    form: str, policy: PollingPolicy, keys: list[str], nearest: PollingPolicy
) -> None:
    """Each key with its reason; constant waits have the mean of what was asked for, jitter its mean too."""
    with pytest.raises(CannotExpress) as refused:
        export_setting(policy, form, Origin("mine"), typical_s=15.0)
    assert [each.key for each in refused.value.differences] == keys
    assert refused.value.nearest == nearest
    *_, yaml = str(refused.value).partition("--nearest): ")
    assert read_setting(yaml) == ("nearest", nearest)
    taken = export_setting(policy, form, Origin("mine"), typical_s=15.0, nearest=True)
    assert taken.policy == nearest
    if FORMS[form].comment:
        assert all(f"Differs from it: {key}:" in taken.text for key in keys)


def test_azure_core_alone_cannot_leave_retry_after_alone() -> None:
    """A setting that ignores hints is refused there, and one that obeys any is what it does."""
    with pytest.raises(CannotExpress, match="always obeyed"):
        export_setting(PRESETS["boto3-waiter-ec2"], "azure-core", Origin("mine"))
    assert export_setting(PRESETS["azure-core-lro"], "azure-core", Origin("mine")).differences == ()


@pytest.mark.parametrize("form", ["python", "tenacity"])
def test_a_field_that_no_template_knows_is_refused(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the client's policies gain, an export never drops it in silence."""
    known = "harness.export._differences._KNOWN"
    from harness.export import _differences

    narrowed = {kind: names - {"deadline", "multiplier"} for kind, names in _differences._KNOWN.items()}
    monkeypatch.setattr(known, narrowed)
    policy = PollingPolicy(Backoff("exponential", 1, multiplier=3, maximum=9), deadline=10)
    with pytest.raises(CannotExpress) as refused:
        export_setting(policy, form, Origin("mine"))
    assert [each.key for each in refused.value.differences] == ["deadline", "multiplier"]


def test_an_anchor_is_refused_by_code_and_carried_by_json() -> None:
    """Loops count waits from the reply; the numbers can say otherwise."""
    policy = PollingPolicy(
        Backoff("constant", 5), anchor="start", missed="catch_up", restart_on="progress", deadline=60
    )
    with pytest.raises(CannotExpress) as refused:
        export_setting(policy, "python", Origin("mine"))
    assert [each.key for each in refused.value.differences] == ["anchor", "missed", "restart_on"]
    assert refused.value.nearest == PollingPolicy(Backoff("constant", 5), deadline=60)
    data = json.loads(export_setting(policy, "json", Origin("mine")).text)
    assert (data["anchor"], data["missed"], data["restart_on"]) == ("start", "catch_up", "progress")


def test_json_has_every_field_and_the_first_delays() -> None:
    """What any program can read: the policy in seconds, its YAML, the bounds of ten delays."""
    data = json.loads(export_setting(DEMANDING, "json", Origin("mine", "video", "Which?")).text)
    assert (data["setting"], data["scenario"], data["unit"]) == ("mine", "video", "seconds")
    assert data["cadence"]["jitter"] == "equal"
    assert data["errors"]["backoff"]["jitter"] == "decorrelated"
    assert data["hints"] == {"honour": True, "maximum": 20.0, "spread": 0.25}
    assert [each["most"] for each in data["first_delays"]] == [0.5, 1, 2, 4, 6, 6, 6, 6, 6, 6]
    assert [each["least"] for each in data["first_delays"]][:4] == [0.25, 0.5, 1, 2]
    assert read_setting(data["yaml"]) == ("setting", DEMANDING)


@pytest.mark.parametrize("form", sorted(name for name, form in FORMS.items() if form.comment))
def test_what_a_user_typed_stays_on_its_line_of_comment(form: str) -> None:
    """Newlines, ends of comments, encodings and what the eye cannot see do no harm in any language."""
    policy = PollingPolicy(Backoff("constant", 1))
    text = export_setting(policy, form, HOSTILE, nearest=True).text
    plain = export_setting(policy, form, Origin("a", "b"), nearest=True).text
    sign = FORMS[form].comment

    def code(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith(f"{sign} ")]

    assert code(text) == code(plain)
    assert not {"\u202e", "\x00"} & set(text)
    typed = next(number for number, line in enumerate(text.splitlines()) if "Setting a" in line)
    assert typed >= 2, "Python looks for an encoding in the first two lines"


def test_python_forms_pass_the_linter(tmp_path: Path) -> None:
    """No unused or unsorted import, no undefined name, nothing old-fashioned, no overlong line."""
    policies = [*[*settings_of_all_kinds(CURVES, JITTERS)][::2], *LIMITED, DEMANDING]
    for form in FORMS:
        if FORMS[form].language == "Python":
            for number, policy in enumerate(policies):
                text = export_setting(
                    policy, form, Origin("mine", "video"), typical_s=30.0, nearest=True
                ).text
                (tmp_path / f"{form}{number}.py").write_text(text)
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--line-length", "120"]
    ran = subprocess.run(
        [*command, "--select", "E,F,W,I,UP,B,SIM", tmp_path], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_a_setting_is_named_with_its_scenario_or_alone() -> None:
    """Of the default scenario, of a named one, a preset, YAML in an argument or on standard input."""
    named = export("video-translation", "exponential", "--to", "json")
    assert json.loads(named.stdout)["scenario"] == "video-translation"
    assert export("exponential", "--to", "json").stdout == named.stdout
    preset = json.loads(export("stamina", "--to", "json").stdout)
    assert (preset["setting"], preset["scenario"], preset["deadline"]) == ("stamina", None, 45.0)
    yaml = "best: {curve: schedule, delays: [3s, 1s, 2s]}"
    typed = json.loads(export(yaml, "--to", "json").stdout)
    assert (typed["setting"], typed["cadence"]["delays"]) == ("best", [3.0, 1.0, 2.0])
    assert json.loads(export("-", "--to", "json", given=yaml).stdout) == typed
    within = json.loads(export(DEFAULT, "{curve: constant, initial: 2s}", "--to", "json").stdout)
    assert (within["setting"], within["scenario"]) == ("setting", "video-translation")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name one setting"),
        (["a", "b", "c", "--to", "go"], "name one setting"),
        (["exponential"], "say which form with --to"),
        (["exponential", "--to", "stamnia"], "did you mean 'stamina'?"),
        (["exponentail", "--to", "go"], "did you mean 'exponential'?"),
        (["outage.yaml", "--to", "go"], "is a scenario; name one of its settings"),
        (["nowhere", "exponential", "--to", "go"], "nowhere"),
        (["{curve: constnt, initial: 1s, inital: 2s}", "--to", "go"], "SETTING:1: inital: unknown key"),
        (["{curve: constant", "--to", "go"], "SETTING:1"),
        (["a: {preset: stamina}\nb: {preset: stamina}", "--to", "go"], "give one setting"),
        (["constant-1s", "--to", "botocore"], "first_poll: the first poll always comes at once"),
        (["exponential", "--to", "go", "--out", "."], "exists; it is not overwritten"),
        (["exponential", "--to", "go", "--out", "no/such/folder"], "cannot be written: No such file"),
    ],
)
def test_unusable_input_ends_with_status_2_and_the_remedy(words: list[str], said: str) -> None:
    """Nothing is printed on standard output, and what was wrong is told in a line."""
    done = export(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_file_is_written_once(tmp_path: Path) -> None:
    """--out makes a new file, prints nothing, and never touches one that is there."""
    file = tmp_path / "poll.py"
    done = export("exponential", "--to", "python", "--out", file)
    assert (done.exit_code, done.output) == (0, "")
    text = file.read_text()
    assert text == export("exponential", "--to", "python").stdout
    again = export("constant-1s", "--to", "python", "--out", file)
    assert (again.exit_code, file.read_text()) == (2, text)


def test_nearest_says_on_standard_error_how_it_differs() -> None:
    """Standard output holds the text alone, ready for a file."""
    done = export("constant-1s", "--to", "botocore", "--nearest")
    assert done.exit_code == 0
    assert "differs: first_poll: the first poll always comes at once" in done.stderr
    assert "note: Retry-After is not read." in done.stderr
    assert json.loads(done.stdout)["version"] == 2


def test_the_forms_are_listed() -> None:
    """--list has each form with what it cannot express, and needs no setting."""
    done = export("--list")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[2:] if line[:1].strip()] == [*FORMS]


def test_every_setting_of_the_shipped_scenarios_can_be_exported_to_the_plain_languages() -> None:
    """As it is, without a difference."""
    for path in sorted((ROOT / "scenarios").glob("*.yaml")):
        for name, policy in load_scenario(path).settings.items():
            for form in ("bash", "go", "javascript", "json", "python"):
                assert export_setting(policy, form, Origin(name)).differences == ()


def test_the_page_has_the_table_of_forms() -> None:
    """docs/export.md names each form, what it is for and what it cannot express, as the table has it."""
    page = (ROOT / "docs" / "export.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{name}` | {form.takes} | {'; '.join(form.cannot) or 'nothing: it can express everything'} |"
        for name, form in FORMS.items()
    ]

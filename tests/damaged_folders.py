"""Run folders of every engine, and seeded damage to their files."""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

import yaml
from hostile_parts import NASTY, RAW, as_json, mutated, spoilt
from live_like import live_like, scenario_of
from own_runs import own_run

from harness._reports import make_report, simulate_to_folder
from harness.measure import PollRow, RunFolder, ScenarioInfo
from scenarios import load_scenario, portable, resolve

MADE: Final = "report.html"
"""What no command reads."""

OUTSIDE: Final = ("/dev/zero", "/dev/urandom", "/etc/passwd", "/proc/self/environ")

TEXT: Final = """
name: small
question: Which one?
seed: 7
job: {duration: {type: trace, file: seconds.csv, resolution: exact}}
service: {delay: 5ms}
workload: {lanes: 2, arrivals: {type: constant, rate: 10}, duration: 1500ms}
settings:
  constant: {curve: constant, initial: 300ms, deadline: 20s}
  exponential: {curve: exponential, initial: 200ms, maximum: 2s, deadline: 20s}
objectives: {lag_p95: 2s, polls_per_job: 9}
"""


def whole_folders(root: Path) -> dict[str, Path]:
    """A folder of a run like a live one, of a simulated one and of one on a user's own service; reported."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "seconds.csv").write_text("seconds\n0.7\n1.1\n1.31\n0.52\n")
    scenario = scenario_of(root, TEXT, seed=7)
    live = RunFolder(root / "live")
    live.path.mkdir()
    played = live_like(scenario, 1)
    kept, run = portable(scenario), played.run
    info = replace(run.info, scenario=ScenarioInfo(scenario.name, kept.text, "", kept.found, kept.files))
    live.write(info, run.visits, run.jobs, [PollRow(*row) for row in played.polls.iter_rows()])
    run.jobs.write_parquet(live.path / "jobs.parquet")
    simulated = simulate_to_folder(resolve(str(root / "live-like.yaml")), None, None, str(root / "simulated"))
    own_run(load_scenario(scenario.path), root / "own")
    folders = {"live": live.path, "simulated": simulated, "own": root / "own"}
    for folder in folders.values():
        make_report(folder)
    return folders


def damaged(folders: dict[str, Path], seed: int, to: Path) -> Path:
    """Copy one of the folders and damage the copy; the same seed gives the same damage."""
    rng = random.Random(seed)  # noqa: S311 - damage is no secret
    name = rng.choice([*folders, "live"])
    shutil.copytree(folders[name], to)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        files = sorted(each for each in to.rglob("*") if _is_whole(each) and each.name != MADE)
        if files:
            _damage(rng.choice(files), rng, folders)
    return to


def _is_whole(file: Path) -> bool:
    """Whether it is a file of the folder still, no link to somebody else's, and no hole of terabytes."""
    return file.is_file() and not file.is_symlink() and file.stat().st_size < 1 << 22


def _damage(file: Path, rng: random.Random, folders: dict[str, Path]) -> None:
    kind = rng.random()
    if kind < 0.08:
        _replaced(file, rng, folders)
    elif kind < 0.3 or file.suffix == ".parquet":
        file.write_bytes(spoilt(file.read_bytes(), rng))
    elif file.suffix == ".json":
        file.write_bytes(as_json(mutated(_json(file), rng, rng.choice((1, 1, 3)))))
    elif file.suffix == ".yaml":
        tree = mutated(_yaml(file), rng)
        file.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    else:
        _mutate_rows(file, rng)


def _json(file: Path) -> object:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):  # damaged already
        return {}


def _yaml(file: Path) -> object:
    try:
        return yaml.safe_load(file.read_bytes())
    except (ValueError, yaml.YAMLError, RecursionError):
        return {}


def _replaced(file: Path, rng: random.Random, folders: dict[str, Path]) -> None:
    """Put something else in the file's place: a pipe, a device, a folder, another run's file, nothing."""
    other = folders[rng.choice(sorted(folders))] / file.name
    theirs = other.read_bytes() if other.is_file() else b""
    file.unlink()
    match rng.randrange(8):
        case 0:
            os.mkfifo(file)
        case 1:
            file.symlink_to(
                rng.choice(("/dev/zero", "/dev/urandom", "/etc/passwd", "/proc/self/environ", file.name))
            )
        case 2:
            file.symlink_to(other)
        case 3:
            file.mkdir()
        case 4:
            with file.open("wb") as stream:
                stream.truncate(rng.choice((1 << 20, 1 << 33, 1 << 42)))
        case 5:
            pass
        case _:
            file.write_bytes(theirs)


def _mutate_rows(file: Path, rng: random.Random) -> None:
    rows = [line.split(",") for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    row = rng.choice(rows or [[""]])
    column = rng.randrange(max(map(len, rows), default=1))
    value = str(RAW.get(str(nasty := rng.choice(NASTY)), nasty))
    match rng.randrange(9):
        case 0:
            rows = [each[:column] + each[column + 1 :] for each in rows]
        case 1:
            rows = (
                [rows[0], *([*each[:column], value, *each[column + 1 :]] for each in rows[1:])]
                if rows
                else []
            )
        case 2:
            rows = [each for each in rows if each is not row]
        case 3:
            rows.append(row)
        case 4:
            rng.shuffle(rows)
        case 5:
            rows = rows[:1]
        case _:
            if rng.random() < 0.2:  # a header is read by other means than the rows
                row, value = (rows or [row])[0], rng.choice(("\r", 'a"b', '"', "\0", "\ud800", value))
            row[column % max(1, len(row)) : column % max(1, len(row)) + 1] = [value]
    text = "\n".join(",".join(each) for each in rows) + "\n"
    file.write_text(text, encoding="utf-8", errors="replace", newline="")

"""The arrows between the rooms, the purity of the cores and the doors are as the design says."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GROUND = {"scenarios", "scenarios.documents", "scenarios.draws"}
MAY_IMPORT = {
    "client": set(),
    "scenarios.documents": set(),
    "scenarios.draws": {"scenarios.documents"},
    "scenarios": {"client", *GROUND},
    "server": GROUND,
    "harness.measure": GROUND,
    "harness.virtual": {"client", *GROUND, "server", "harness.measure"},
    "harness.plan.limit": {"scenarios.documents", "scenarios.draws"},
    "harness.plan": {
        "client",
        *GROUND,
        "server",
        "harness.measure",
        "harness.virtual",
        "harness.plan.limit",
    },
    "harness.live": {"client", *GROUND, "server", "harness.measure", "harness.virtual"},
    "harness.export": {"client", *GROUND},
    "harness.new": {"client", *GROUND, "harness.measure", "harness.live"},
    "harness": {
        "client",
        *GROUND,
        "harness.export",
        "harness.new",
        "server",
        "harness.measure",
        "harness.virtual",
        "harness.plan",
        "harness.live",
    },
}
TOP_ROOMS = {room.split(".")[0] for room in MAY_IMPORT}
# What every room of the harness stands on: modules that import nothing of ours.
GROUND_FLOOR = {"harness._child", "harness._refusal", "harness._version"}
DRIVERS = {"client.asynchronous", "client.blocking", "server.app", "harness.locustfile"}
# What a module of the core imports inside a function, for the few who need it.
LAZY = {"_expressions.py": {"jmespath"}, "_dialect_file.py": {"yaml"}}
CLIENT_DRIVERS = {"asynchronous.py", "blocking.py", "__main__.py"}
IMPURE = {
    "time",
    "datetime",
    "random",
    "secrets",
    "socket",
    "os",
    "threading",
    "asyncio",
    "gevent",
    "locust",
    "requests",
}
TOP_LEVEL = {
    *TOP_ROOMS,
    "tests",
    "docs",
    "benchmarks",
    "config.yaml",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "SECURITY.md",
    "pyproject.toml",
}


def modules(room: str) -> list[Path]:
    """The files of a room, without those of the rooms inside it."""
    return [path for path in sorted(folder(room).rglob("*.py")) if room_of(dotted(path)) == room]


def folder(room: str) -> Path:
    return ROOT / room.replace(".", "/")


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str | None:
    """The innermost room that a module lies in; None for other people's."""
    rooms = [room for room in MAY_IMPORT if module == room or module.startswith(f"{room}.")]
    return max(rooms, key=len, default=None)


def imported(path: Path) -> set[str]:
    """Every absolute module name that the file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_its_arrows_allow(room: str) -> None:
    """Data flows one way: no room reaches back, nor behind another room's door."""
    for path in modules(room):
        for name in imported(path):
            other = room_of(name)
            if other in (None, room):
                continue
            if name in GROUND_FLOOR and room.startswith("harness."):
                continue
            assert other in MAY_IMPORT[room], f"{path} imports {name}"
            assert name == other or name in DRIVERS, f"{path} goes behind the door of {other}: {name}"


@pytest.mark.parametrize("module", sorted(GROUND_FLOOR))
def test_the_harness_ground_floor_imports_nothing_of_ours(module: str) -> None:
    """What rooms of the harness may import from above their own doors must itself look at none of them."""
    assert not {name for name in imported(folder(module).with_suffix(".py")) if room_of(name)}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_nothing_is_unpickled(room: str) -> None:
    """Data from files, pipes and sockets is only ever read as data."""
    for path in modules(room):
        assert not imported(path) & {"pickle", "marshal", "shelve", "dill", "cloudpickle"}, path


def test_only_the_edges_of_the_harness_exit() -> None:
    """Helpers raise a refusal, so that they can be called from Python."""
    edges = {"harness/__main__.py", "harness/_cli.py", "harness/live/_arguments.py", "harness/live/_hooks.py"}
    # These end a process that was told to twice, or whose parent or master is gone.
    edges |= {"harness/_child.py", "harness/live/_lifeline.py", "harness/live/_signals.py"}
    exiting = set()
    for path in folder("harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "exit", "os._exit"):
                exiting.add(path.relative_to(ROOT).as_posix())
    assert exiting <= edges


def test_the_clients_core_needs_the_standard_library_alone() -> None:
    """Only the drivers may need anything installed; expressions need jmespath, when one is written."""
    for path in modules("client"):
        if path.name not in CLIENT_DRIVERS:
            foreign = {name.split(".")[0] for name in imported(path)} - sys.stdlib_module_names - {"client"}
            assert foreign <= LAZY.get(path.name, set()), f"{path} imports {foreign}"
            for node in ast.parse(path.read_text()).body:
                names = (
                    [alias.name.split(".")[0] for alias in node.names] if isinstance(node, ast.Import) else []
                )
                assert not foreign & set(names), f"{path} imports {names} before they are needed"


@pytest.mark.parametrize(
    "module",
    [
        "client/_poller.py",
        "client/_backoff.py",
        "client/_policy.py",
        "client/_dialect.py",
        "client/_conversation.py",
        "harness/live/_budget.py",
        "harness/live/_commands.py",
        "harness/live/_schedule.py",
        "harness/live/_sweep.py",
        "harness/live/_states.py",
        "harness/live/_visit.py",
        "server/_board.py",
        "server/_sharing.py",
    ],
)
def test_a_sans_io_core_has_no_clock_no_socket_and_no_dice(module: str) -> None:
    """The state machines get time and randomness as arguments."""
    assert not {name.split(".")[0] for name in imported(ROOT / module)} & IMPURE


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("client", {"requests", "urllib3", "httpx", "gevent", "jmespath", "locust"}),
        ("server", {"flask", "werkzeug", "requests", "gevent", "locust"}),
        ("scenarios", {"flask", "requests", "gevent", "locust"}),
    ],
)
def test_opening_a_door_does_not_pull_in_a_driver(package: str, heavy: set[str]) -> None:
    """`import client` or `import server` loads neither requests nor flask."""
    code = f"import sys, {package}; print(*sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_nothing_with_threads_of_its_own_is_loaded_before_locust_forks() -> None:
    """`--processes` forks after the locustfile's imports; threads of polars do not survive it."""
    heavy = {"pandas", "polars"}
    code = f"import sys, harness.live._hooks; print(*sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_every_public_name_is_sorted_and_documented(room: str) -> None:
    """A door lists its names plainly sorted, and each says what it is."""
    door = importlib.import_module(room)
    assert door.__doc__
    assert door.__all__ == sorted(door.__all__)
    for name in door.__all__:
        thing = getattr(door, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            assert inspect.getdoc(thing), f"{room}.{name} has no docstring"
        else:  # a constant or a type alias: its docstring is the string right after it
            documented = any(name in documented_constants(path) for path in modules(room))
            assert documented, f"{room}.{name} has no docstring after it"


def documented_constants(path: Path) -> set[str]:
    """The names assigned at the top of a module that have a string right after the assignment."""
    body = ast.parse(path.read_text()).body
    names: set[str] = set()
    for node, after in pairwise(body):
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_no_files_import_each_other_in_a_circle() -> None:
    """Whatever the place of an import (at the top, for types only, inside a function), it counts as one."""
    paths = {dotted(path): path for room in MAY_IMPORT for path in modules(room)}
    graph = {name: neighbours(path, set(paths)) - {name} for name, path in paths.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def neighbours(path: Path, ours: set[str]) -> set[str]:
    """The files of ours that a file imports; ``from room import name`` may mean the file of that name."""
    package = list(path.relative_to(ROOT).parts[:-1])
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= (names & ours) | ({module} if names - ours else set())
    return found & ours


def test_the_harness_has_one_public_file_and_nothing_imports_it() -> None:
    """Locust executes every file below the folder whose name has no leading underscore."""
    public = [path.name for path in folder("harness").rglob("*.py") if not path.name.startswith("_")]
    assert public == ["locustfile.py"]
    for room in MAY_IMPORT:
        for path in modules(room):
            assert "harness.locustfile" not in imported(path), path


def test_nothing_joins_the_top_level() -> None:
    """The top level is fixed; what git tracks there is what the design lists."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = {line.split("/")[0] for line in tracked.splitlines()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_every_room_is_packaged() -> None:
    """What setuptools is told to install is every room, and the client by its second name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["setuptools"]["packages"]) == {*MAY_IMPORT, "backoff_client"}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_constant_is_final_and_private_unless_another_file_reads_it(room: str) -> None:
    """No constant is reassigned, and a name without an underscore is read outside of its file."""
    files = [*(ROOT / "tests").glob("*.py"), *(path for place in MAY_IMPORT for path in modules(place))]
    everywhere = {path: path.read_text() for path in files}
    for path in modules(room):
        for node in ast.parse(everywhere[path]).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for name in (target.id for target in targets if isinstance(target, ast.Name)):
                if not name.strip("_").isupper() or len(name.strip("_")) == 1:  # a function, a type, a T
                    continue
                final = isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).startswith("Final")
                typed = isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("TypeVar")
                assert final or typed, f"{path}: {name} is not Final"
                read = any(name in text for other, text in everywhere.items() if other != path)
                assert name.startswith("_") or read, f"{path}: nothing else reads {name}"

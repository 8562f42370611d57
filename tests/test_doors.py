"""A room imports only from the rooms above it, and time passes without knowing any neuron by name."""

import ast
from pathlib import Path

import pytest

import ranvier

PACKAGE = Path(ranvier.__file__).parent
ROOMS = ("spikes", "neurons", "gradients", "ops", "layers", "losses", "audit", "data", "training", "studies", "cli")
FILES = [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_from_above(path):
    room = path.relative_to(PACKAGE).parts[0]
    doors = (*ROOMS[: ROOMS.index(room) + 1], "errors", "__version__")
    names = [name.split(".") for name in imported(ast.parse(path.read_text("utf-8")))]
    assert not [name for name in names if name[0] == "ranvier" and name[1:] and name[1] not in doors]
    assert not [name for name in names if not name[0]], "a relative import hides its room"


def test_ops_know_no_neuron_by_name():
    models = {"CubaLIF", "LIF", "LI"}
    for path in (path for path in FILES if path.relative_to(PACKAGE).parts[0] == "ops"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        assert not models & {getattr(node, key, None) for node in nodes for key in ("id", "attr", "name")}, path
    for path in (PACKAGE / "ops").rglob("*.jinja"):
        assert not any(model in path.read_text("utf-8") for model in models), path

"""Importing costs nothing until something is used."""

import importlib
import json
import subprocess
import sys

import pytest

import ranvier

PROBE = """
import time; start = time.perf_counter()
import ranvier, sys, json
seconds = time.perf_counter() - start
heavy = sorted({"torch", "numba", "numpy", "rich", "jaxtyping"} & set(sys.modules))
print(json.dumps({"seconds": seconds, "heavy": heavy}), file=sys.stderr)
"""


def test_importing_is_silent_quick_and_light():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    found = json.loads(line)
    assert found["heavy"] == []
    assert found["seconds"] < 2


@pytest.mark.parametrize("name", ranvier.__all__)
def test_every_public_name_is_there(name):
    assert getattr(ranvier, name) is not None
    assert name in dir(ranvier)


@pytest.mark.parametrize("room", ["spikes", "neurons", "gradients", "ops", "layers", "losses", "data", "training"])
def test_every_name_a_room_offers_is_there(room):
    module = importlib.import_module(f"ranvier.{room}")
    for name in getattr(module, "__all__", ()):
        assert hasattr(module, name), name


def test_public_names_are_those_of_their_rooms():
    from ranvier import Spikes

    assert Spikes is ranvier.spikes.Spikes


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ranvier' has no attribute 'Spike'"):
        ranvier.Spike  # noqa: B018

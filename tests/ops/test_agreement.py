"""The kernels against the reference, by the rules of agreement in cases.py."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ranvier.gradients import EventProp
from ranvier.neurons import CubaLIF
from ranvier.ops.clocked import cpu
from ranvier.spikes import Spikes, ragged
from tests.ops import cases
from tests.ops.cases import (
    ALWAYS,
    FLOOR,
    KINDS,
    SIZES,
    Case,
    Outcome,
    case,
    clear_case,
    differences,
    run,
    same_spikes,
)
from tests.twins import some

MARGIN = 2e-6  # thresholds; about ten roundings of a float32 membrane


def one(*values: object, name: str):
    """A case; slow unless its kind is tested always."""
    return pytest.param(*values, id=name, marks=() if values[0] in ALWAYS else pytest.mark.slow)


# in a single step nothing spikes without an initial state, and a spike's hold loses its only arrival
KINDS_AND_SIZES = [
    one(kind, size, name=f"{kind}-{SIZES[size]}")
    for kind in KINDS
    for size in range(len(SIZES))
    if size or not (kind.startswith("delays") or kind.endswith("entered-membrane"))
]


def is_quiet(size: int) -> bool:
    """No input at all, or no samples: nothing but the initial state moves."""
    return SIZES[size][4] == 0.0 or SIZES[size][1] == 0


def assert_within_rule(given: Case, found: Outcome, truth: Outcome, forced: Spikes | None = None) -> None:
    apart = differences(found, truth)
    rounding = dict.fromkeys(apart, FLOOR[torch.float32] / 2)
    wrong: dict[str, tuple[float, float]] = {}
    for draw in range(10):
        single = differences(run(given, "reference", torch.float32, forced, jitter=draw), truth)
        rounding = {name: max(rounding[name], single[name]) for name in apart}
        wrong = {name: (apart[name], rounding[name]) for name in apart if not apart[name] <= 2 * rounding[name]}
        if not wrong:
            return
    raise AssertionError(f"relative differences of kernel and of float32 reference: {wrong}")


@pytest.fixture(autouse=True)
def _poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill the kernels' fresh arrays with NaN (floats) and nonsense (indices), so that an unwritten cell shows."""

    def poisoned(shape, dtype=float):
        array = np.empty(shape, dtype)
        array.fill(np.nan if array.dtype.kind == "f" else -(2**30))
        return array

    class Poisoned:
        empty = staticmethod(poisoned)

        def __getattr__(self, name: str):
            return getattr(np, name)

    monkeypatch.setattr(cpu, "np", Poisoned())


def test_every_feature_of_a_kernel_is_tested_always() -> None:
    everything, always = (set().union(*map(cases.features, kinds)) for kinds in (KINDS, ALWAYS))
    assert always == everything


@pytest.mark.parametrize(("kind", "size"), KINDS_AND_SIZES)
def test_kernel_equals_reference(kind: str, size: int) -> None:
    given = clear_case(kind, size, MARGIN, alive=not is_quiet(size))
    truth = run(given, "reference", torch.float64)
    found = run(given, "numba", torch.float32)
    if not is_quiet(size):
        assert truth.spikes.n_events > 0
        assert truth.numbers["d w_in"].norm() > 0
        if given.recurrent and given.n_steps > 1:
            assert truth.numbers["d w_rec"].norm() > 0
    assert found.spikes.record.backend == "numba"
    assert same_spikes(found, truth)
    assert found.spikes.record.clipped == truth.spikes.record.clipped
    assert_within_rule(given, found, truth)


IN_DOUBLE = [
    kind
    for kind in KINDS
    if kind in ("eventprop", "superspike-fixed", "esser-per-unit-local", "lif-esser-through-reset")
    or kind.startswith(("refractory", "delays"))
]
# a kernel in float64 is the same text: one of each way and model, with a hold among them
ALWAYS_IN_DOUBLE = (
    "eventprop",
    "esser-per-unit-local",
    "lif-esser-through-reset",
    "refractory-eventprop-entered-membrane",
)


@pytest.mark.parametrize("kind", some(IN_DOUBLE, ALWAYS_IN_DOUBLE))
def test_float64_kernel_equals_reference_to_rounding(kind: str) -> None:
    given = case(kind, 1, seed=3)
    truth, found = run(given, "reference", torch.float64), run(given, "numba", torch.float64)
    assert truth.spikes.n_events > 0
    assert all(value.norm() > 0 for name, value in truth.numbers.items() if name.startswith(("d w", "d d_")))
    assert same_spikes(found, truth)
    assert max(differences(found, truth).values()) < FLOOR[torch.float64]


@pytest.mark.parametrize("kind", some(["eventprop", "superspike", "esser", "lif-superspike"], ["eventprop", "esser"]))
@pytest.mark.parametrize("size", [1, 2, 8])
def test_forced_spikes_happen_and_carry_the_gradient(kind: str, size: int) -> None:
    """Near ties: all paths are given the float64 reference's spikes, shifted by a step so that none is at threshold."""
    given = case(kind, size, seed=1)
    natural = run(given, "reference", torch.float64).spikes
    steps = (natural.steps + 1).clamp(max=given.n_steps - 1)
    keep = (natural.steps + 1) < given.n_steps
    forced = Spikes(
        units=natural.units[keep],
        times=(steps[keep].double() * natural.dt),
        amplitudes=natural.amplitudes.detach()[keep],
        offsets=ragged.offsets_after(natural.offsets, ragged.positions(keep)),
        unit_shape=natural.unit_shape,
        duration=natural.duration,
        steps=steps[keep],
        dt=natural.dt,
    )
    truth = run(given, "reference", torch.float64, forced)
    found = run(given, "numba", torch.float32, forced)
    assert forced.n_events > 0
    assert torch.equal(found.spikes.steps, forced.steps)
    assert torch.equal(found.spikes.units.sort().values, forced.units.sort().values)
    assert truth.numbers["d w_in"].norm() > 0
    assert_within_rule(given, found, truth, forced)


@pytest.mark.parametrize("kind", some(["eventprop", "superspike", "esser"], ["eventprop", "esser"]))
def test_near_ties_change_few_spikes_and_no_number_is_lost(kind: str) -> None:
    given = case(kind, 2, seed=5)
    truth, found = run(given, "reference", torch.float64), run(given, "numba", torch.float32)
    assert truth.spikes.n_events > 100
    assert abs(found.spikes.n_events - truth.spikes.n_events) <= 0.02 * truth.spikes.n_events
    for name, value in found.numbers.items():
        assert bool(value.isfinite().all()), name


def test_a_neuron_that_fires_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Always above threshold: the room for spikes grows, and the kernel goes on at the sample it left."""
    given = Case(CubaLIF(20e-3, 5e-3), EventProp(), False, 30, 4, 6, 40, 1.0, 0)
    original = cases.tensors

    def loud(given: Case) -> dict[str, Tensor]:
        values = original(given)
        generator = torch.Generator().manual_seed(1)
        return values | {
            "raster": torch.ones_like(values["raster"]),
            "w_in": 50.0 + torch.rand(values["w_in"].shape, generator=generator).double(),
        }

    monkeypatch.setattr(cases, "tensors", loud)
    truth, found = run(given, "reference", torch.float64), run(given, "numba", torch.float32)
    assert truth.spikes.n_events >= 29 * 4 * 40
    assert same_spikes(found, truth)
    assert_within_rule(given, found, truth)

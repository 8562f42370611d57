"""What the op refuses, reports and leaves undone."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from ranvier.errors import RunawayError
from ranvier.gradients import EventProp, Surrogate
from ranvier.neurons import LI, CubaLIF, continuous
from ranvier.ops.clocked import clocked
from ranvier.ops.exact import cpu, exact, op
from ranvier.spikes import Spikes, Support, collate
from tests.ops.exact.nets import BACKENDS, gradients, net, random_net

both = pytest.mark.parametrize("backend", BACKENDS)
NUMBERS = continuous(CubaLIF(20e-3, 5e-3))
W = torch.ones(2, 3)


def given(n_units: int = 2, **more) -> Spikes:
    return Spikes.from_samples([([1e-3, 2e-3], [0, 1])], unit_shape=n_units, duration=10e-3, **more)


@pytest.mark.usefixtures("as_users_run_it")
def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"`spikes` must come from as many units as `w_in` has rows, 2. Got 4"):
        exact(given(4), W, None, NUMBERS, EventProp())
    with pytest.raises(ValueError, match=r"`w_rec` must be \[3, 3\]. Got \[2, 2\]"):
        exact(given(), W, torch.ones(2, 2), NUMBERS, EventProp())
    with pytest.raises(ValueError, match=r"`d_in` must be \[2, 3\]. Got \[3, 3\]"):
        exact(given(), W, None, NUMBERS, EventProp(), d_in=torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"`d_rec` must be \[3, 3\]. Got \[2, 3\]"):
        exact(given(), W, torch.ones(3, 3), NUMBERS, EventProp(), d_rec=torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"`d_rec` needs recurrent weights `w_rec`. Got none"):
        exact(given(), W, None, NUMBERS, EventProp(), d_rec=torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"`neuron` must describe 3 units. Got 2"):
        exact(given(), W, None, continuous(CubaLIF([0.01, 0.02])), EventProp())


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_delays_are_finite_and_not_negative(value: float) -> None:
    wrong = torch.zeros(2, 3)
    wrong[1, 2] = value
    with pytest.raises(ValueError, match=r"`d_in` must be finite delays >= 0 s"):
        exact(given(), W, None, NUMBERS, EventProp(), d_in=wrong)
    wrong = torch.zeros(3, 3)
    wrong[0, 1] = value
    with pytest.raises(ValueError, match=r"`d_rec` must be finite delays >= 0 s"):
        exact(given(), W, torch.ones(3, 3), NUMBERS, EventProp(), d_rec=wrong)


@pytest.mark.usefixtures("as_users_run_it")
def test_what_belongs_elsewhere() -> None:
    with pytest.raises(ValueError, match=r"must be in continuous time. Got a grid of 0.001 s"):
        exact(given().on_grid(1e-3, coincident="sum"), W, None, NUMBERS, EventProp())
    with pytest.raises(TypeError, match=r"in continuous time must be EventProp.*Got Surrogate"):
        exact(given(), W, None, NUMBERS, Surrogate())
    with pytest.raises(TypeError, match=r"must be EventProp.*Got 'eventprop'"):
        exact(given(), W, None, NUMBERS, "eventprop")
    with pytest.raises(ValueError, match="must have a threshold"):
        exact(given(), W, None, continuous(LI()), EventProp())
    silent = Support(torch.zeros(1), torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=torch.int32))
    with pytest.raises(ValueError, match="no surrogate support"):
        exact(given()._with(support=silent), W, None, NUMBERS, EventProp())


@pytest.mark.usefixtures("as_users_run_it")
def test_states_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"`state` must name states among V, I.*Got 'U'"):
        exact(given(), W, None, NUMBERS, EventProp(), state={"U": torch.zeros(1, 3)})
    with pytest.raises(ValueError, match=r"`state\['V'\]` must be \[1, 3\]. Got \[3\]"):
        exact(given(), W, None, NUMBERS, EventProp(), state={"V": torch.zeros(3)})
    state = {"V": torch.zeros(1, 3)}
    for delays in ({"d_in": torch.zeros(2, 3)}, {"d_rec": torch.zeros(3, 3)}):
        with pytest.raises(ValueError, match=r"`state` .*synaptic delays"):
            exact(given(), W, torch.ones(3, 3), NUMBERS, EventProp(), state=state, **delays)


@pytest.mark.usefixtures("as_users_run_it")
def test_options_that_do_not_exist() -> None:
    for wrong in (0, -1, 1.5, True, None):
        with pytest.raises(ValueError, match=r"`max_spikes_per_unit` must be a whole number >= 1. Got"):
            exact(given(), W, None, NUMBERS, EventProp(), max_spikes_per_unit=wrong)
    with pytest.raises(ValueError, match=r"`overflow` must be 'raise' or 'truncate'. Got 'cut'"):
        exact(given(), W, None, NUMBERS, EventProp(), overflow="cut")
    with pytest.raises(ValueError, match=r"`backend` must be 'auto', 'reference' or 'numba'. Got 'cuda'"):
        exact(given(), W, None, NUMBERS, EventProp(), backend="cuda")


@pytest.mark.usefixtures("as_users_run_it")
def test_a_demanded_path_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"`backend` 'numba' needs float32 or float64 .* Got torch.float16"):
        exact(given(), W.half(), None, NUMBERS, EventProp(), backend="numba")
    with pytest.raises(ValueError, match=r"`backend` 'numba' needs .* on the CPU. Got .* meta"):
        exact(given(), W.to("meta"), None, NUMBERS, EventProp(), backend="numba")


@pytest.mark.usefixtures("as_users_run_it")
def test_spikes_on_another_device() -> None:
    with pytest.raises(ValueError, match=r"^`spikes` must be on the device of `w_in`, cpu\. Got meta\.$"):
        exact(given().to("meta"), W, None, NUMBERS, EventProp())


@pytest.mark.usefixtures("as_users_run_it")
def test_recurrent_weights_of_another_dtype_or_device() -> None:
    w_rec = torch.full((3, 3), -1.0)
    for wrong in (w_rec.double(), w_rec.to("meta"), w_rec.int()):
        with pytest.raises((ValueError, TypeError), match=r"`w_rec` must be"):
            exact(given(), 20 * W, wrong, NUMBERS, EventProp())
    with pytest.raises((ValueError, TypeError), match=r"`d_in` must be"):
        exact(given(), 20 * W, None, NUMBERS, EventProp(), d_in=torch.zeros(2, 3, device="meta"))


def test_the_path_is_reported() -> None:
    for backend, path in (("auto", "numba"), ("numba", "numba"), ("reference", "reference")):
        out, _ = exact(given(), 10 * W, None, NUMBERS, EventProp(), backend=backend)
        assert out.n_events > 0
        assert out.record.backend == path


@both
def test_what_comes_out(backend: str) -> None:
    """A valid `Spikes` in the weights' dtype, sorted, whose amplitudes carry no gradient."""
    network = random_net(3, n_samples=3, recurrent=True).to(torch.float32).leaves()
    out, final = network.run(backend)
    assert out.n_events > 5
    out.__class__(**{name: value for name, value in out.__dict__.items() if name != "record"})  # its own checks
    assert (out.times.dtype, out.marks.dtype, out.units.dtype) == (torch.float32, torch.float32, torch.int32)
    assert out.times.requires_grad
    assert out.marks.requires_grad
    assert not out.amplitudes.requires_grad
    assert out.duration == network.duration
    assert set(final) == {"V", "I"}
    for value in final.values():
        assert value.shape == (3, 3)
        assert value.dtype == torch.float32
        assert value.requires_grad


# ------------------------------------------------------------------------------------------------ runaways


def runaway(backend: str, overflow: str, limit: int = 4):
    """Three samples of which the second drives unit 2 of 3 with far too much."""
    weights = [[8.0, 0.0, 0.0], [0.0, 9.0, 500.0]]
    loud = net([([1.0], [0]), ([1.0], [1]), ([1.0], [0])], weights, duration=60.0, limit=limit).leaves()
    return loud, loud.run(backend, overflow=overflow)


@both
def test_a_runaway_is_an_error_that_says_where(backend: str) -> None:
    with pytest.raises(RunawayError, match=r"4 spikes per unit.*Got more in sample 1"):
        runaway(backend, "raise")


@both
def test_the_sample_named_is_the_one_that_ran_away(backend: str) -> None:
    """The sample before spikes exactly as often as is allowed (E1, weight 30: six times)."""
    batch = net([([2.0], [0]), ([2.0], [1]), ([2.0], [1])], [[30.0], [300.0]], duration=60.0, limit=6)
    with pytest.raises(RunawayError, match=r"6 spikes per unit.*Got more in sample 1"):
        batch.run(backend)


@both
def test_exactly_the_limit_is_no_runaway(backend: str) -> None:
    """E1, weight 30: six spikes."""
    one = net([([2.0], [0])], [[30.0]], duration=60.0, limit=6)
    out, _ = one.run(backend)
    assert (out.n_events, out.record.truncated) == (6, 0)
    with pytest.raises(RunawayError):
        replace(one, limit=5).run(backend)


@both
def test_a_runaway_cut_short_is_silent_and_counted(backend: str) -> None:
    loud, (out, final) = runaway(backend, "truncate")
    assert out.record.truncated == 1
    counts = out.counts()
    assert counts[1, 2] == 4
    assert final["V"][1, 2] == 0
    without = net([([1.0], [0]), ([1.0], [1]), ([1.0], [0])], [[8.0, 0.0, 0.0], [0.0, 9.0, 0.0]], duration=60.0)
    rest, _ = without.run(backend)
    assert rest.n_events == int(counts.sum()) - 4
    others = out.units != 2
    torch.testing.assert_close(out.times[others], rest.times, rtol=1e-13, atol=0)
    found = gradients(out.times.sum() + final["V"].sum() + final["I"].sum(), loud.values)
    for name, value in found.items():
        assert bool(value.isfinite().all()), name


def test_counts_of_truncated_spikes_add_up_in_a_batch() -> None:
    _, (out, _) = runaway("numba", "truncate")
    assert collate([out, out]).record.truncated == 2
    assert out[[0]].record.truncated == 0


# ------------------------------------------------------------------------------------------------ the bound


@both
def test_bounded_slopes_are_counted_and_bound_the_jump(backend: str) -> None:
    """The grazing weight of E2 once more: the bound takes the factor it says off every gradient of the time."""
    found = {}
    for bound in (0.0, 0.5):
        one = net([([0.0], [0])], [[6.4]], duration=60.0, min_slope=bound).leaves()
        out, _ = one.run(backend)
        assert out.record.clipped == (1 if bound else 0)
        found[bound] = gradients(out.times.sum(), one.values)
    for name in ("w_in", "times", "amplitudes", "threshold", "tau_mem", "tau_syn", "bias"):
        ratio = float(found[0.5][name] / found[0.0][name])
        assert ratio == pytest.approx(0.2796216159 / 0.5, rel=1e-8), name


# ------------------------------------------------------------------------------------------- nothing to do


@both
@pytest.mark.parametrize("refractory", [0.0, 3.0, math.inf])
@pytest.mark.parametrize("recurrent", [False, True])
def test_silence_gives_zeros_not_nan(refractory: float, recurrent: bool, backend: str) -> None:
    more = {"w_rec": torch.ones(3, 3, dtype=torch.float64)} if recurrent else {}
    quiet = net(
        [([1.0, 2.0], [0, 1])],
        torch.full((2, 3), 1e-3, dtype=torch.float64),
        duration=60.0,
        refractory=refractory,
        **more,
    ).leaves()
    out, _ = quiet.run(backend)
    assert out.n_events == 0
    for name, value in gradients(out.times.sum() + out.counts().sum(), quiet.values).items():
        assert bool((value == 0).all()), name


def test_inputs_without_gradient_cost_none() -> None:
    source, w = given(), torch.full((2, 3), 9.0, requires_grad=True)
    out, _ = exact(source, w, None, NUMBERS, EventProp())
    out.times.sum().backward()
    assert source.times.grad is None
    assert w.grad.norm() > 0


def test_a_second_derivative_is_refused_not_wrong() -> None:
    w = torch.full((2, 3), 9.0, requires_grad=True)
    out, _ = exact(given(), w, None, NUMBERS, EventProp(), backend="numba")
    (first,) = torch.autograd.grad(out.times.square().sum(), w, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@both
def test_an_input_within_rounding_of_the_end_happens(backend: str) -> None:
    """float32 times may lie past `duration` by their rounding; they arrive at its end."""
    late = Spikes.from_samples([([0.1], [0])], unit_shape=1, duration=0.1)
    assert float(late.times.double()) > late.duration
    _, final = exact(late, torch.full((1, 1), 7.0), None, NUMBERS, EventProp(), backend=backend)
    assert float(final["I"]) == 7


def test_a_finer_grid_comes_closer() -> None:
    """The clocked engine approaches these spikes as its step shrinks."""
    from ranvier.neurons import dynamics

    neuron = CubaLIF(20e-3, 5e-3)
    w = torch.tensor([[14.0, 8.0], [5.0, 9.0]], dtype=torch.float64)
    w_rec = torch.tensor([[0.0, 2.0], [-1.0, 0.0]], dtype=torch.float64)
    source = Spikes.from_samples([([1e-3, 4e-3], [0, 1])], unit_shape=2, duration=40e-3, dtype=torch.float64)
    truth, _ = exact(source, w, w_rec, continuous(neuron), EventProp())
    errors = []
    for dt in (1e-4, 1e-5, 1e-6):
        numbers = dynamics(neuron, dt, None, torch.float64)
        found, _ = clocked(source.on_grid(dt, coincident="sum"), w, w_rec, numbers, EventProp())
        assert found.units.tolist() == truth.units.tolist()
        errors.append(float((found.times - truth.times).abs().max()))
    assert truth.n_events > 3
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_runs_it() -> None:
    network = random_net(3, n_samples=4)
    before, _ = network.run("numba")
    child = os.fork()
    if child == 0:
        try:
            after, _ = network.run("numba")
            os._exit(0 if torch.equal(after.times, before.times) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_few_units_walk_alone_and_little_work_stays_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    numbers = op.numbers_of(NUMBERS)

    def shape(n_samples: int, n_units: int, *, recurrent: bool = False) -> tuple[str, int]:
        none = np.zeros(n_samples)
        events = cpu.Events(np.zeros(n_samples + 1, np.int64), none, none.astype(np.int32), none)
        weights = cpu.Weights(np.zeros((1, n_units)), np.zeros((n_units, n_units)) if recurrent else None, None, None)
        return cpu._family(weights, numbers), len(cpu._ranges(events, weights, numbers))

    assert shape(10, 8) == ("narrow_", 1)
    assert shape(10, 9) == ("", 1)
    assert shape(100_000, 8) == ("narrow_", 2)
    assert shape(1000, 100) == ("", 2)
    assert shape(10, 8, recurrent=True) == ("recurrent_", 2)

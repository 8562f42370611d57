"""What the ops refuse, report and leave undone."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ranvier.gradients import EventProp, Surrogate
from ranvier.neurons import LI, LIF, CubaLIF, dynamics
from ranvier.ops import compile as compiling
from ranvier.ops.clocked import clocked, cpu
from ranvier.ops.readout import readout
from ranvier.spikes import Spikes

DT = 1e-3
NUMBERS = dynamics(CubaLIF(20e-3, 5e-3), DT, None, torch.float32)
KEPT = (compiling._module, compiling._templates, compiling._writable_folder, cpu._forward_kernel, cpu._backward_kernel)


def given(n_units: int = 2) -> Spikes:
    return Spikes.from_samples([([1e-3, 2e-3], [0, 1])], unit_shape=n_units, duration=10e-3).on_grid(
        DT, coincident="sum"
    )


@pytest.mark.usefixtures("as_users_run_it")
def test_wrong_arguments_get_one_sentence() -> None:
    w = torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"`spikes` must come from as many units as `w_in` has rows, 2. Got 4"):
        clocked(given(4), w, None, NUMBERS, EventProp())
    with pytest.raises(ValueError, match=r"`w_rec` must be \[3, 3\]. Got \[2, 2\]"):
        clocked(given(), w, torch.ones(2, 2), NUMBERS, EventProp())
    with pytest.raises(ValueError, match="needs spikes on a time grid"):
        clocked(Spikes.from_samples([([1e-3], [0])], unit_shape=2, duration=1e-2), w, None, NUMBERS, EventProp())
    with pytest.raises(ValueError, match=r"`state` must name states among V, I. Got 'U'"):
        clocked(given(), w, None, NUMBERS, EventProp(), state={"U": torch.zeros(1, 3)})
    with pytest.raises(ValueError, match=r"`state\['V'\]` must be \[1, 3\]. Got \[3\]"):
        clocked(given(), w, None, NUMBERS, EventProp(), state={"V": torch.zeros(3)})
    with pytest.raises(ValueError, match="must have a threshold"):
        clocked(given(), w, None, dynamics(LI(), DT, None, torch.float32), EventProp())
    with pytest.raises(ValueError, match=r"`dynamics` must describe 3 units. Got 2"):
        clocked(given(), w, None, dynamics(CubaLIF([0.01, 0.02]), DT, None, torch.float32), EventProp())
    with pytest.raises(TypeError, match="`gradient` must be EventProp"):
        clocked(given(), w, None, NUMBERS, "eventprop")


@pytest.mark.usefixtures("as_users_run_it")
def test_what_is_on_another_device_is_named_and_not_moved() -> None:
    w, far = torch.ones(2, 3), torch.device("meta")
    where = r" must be on the device of `w_in`, cpu\. Got meta\.$"
    with pytest.raises(ValueError, match=f"^`spikes`{where}"):
        clocked(given().to(far), w, None, NUMBERS, EventProp())
    with pytest.raises(ValueError, match=f"^`spikes`{where}"):
        readout(given().to(far), w, dynamics(LI(), DT, None, torch.float32))
    with pytest.raises(ValueError, match=f"^`forced`{where}"):
        clocked(given(), w, None, NUMBERS, EventProp(), forced=given(3).to(far))
    with pytest.raises(ValueError, match=rf"^`state\['V'\]`{where}"):
        clocked(given(), w, None, NUMBERS, EventProp(), state={"V": torch.zeros(1, 3, device=far)})
    with pytest.raises(ValueError, match=f"^`d_in`{where}"):
        clocked(given(), w, None, NUMBERS, EventProp(), d_in=torch.zeros(2, 3, device=far))


def test_delta_neurons_refuse_eventprop_and_say_why() -> None:
    numbers = dynamics(LIF(), DT, None, torch.float32)
    with pytest.raises(ValueError, match="spike times equal its input times"):
        clocked(given(), torch.ones(2, 3), None, numbers, EventProp())


@pytest.mark.usefixtures("as_users_run_it")
def test_a_demanded_path_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"`backend` 'numba' needs float32 or float64 weights on the CPU. Got torch.float16"
    ):
        clocked(given(), torch.ones(2, 3, dtype=torch.float16), None, NUMBERS, EventProp(), backend="numba")
    with pytest.raises(ValueError, match=r"`backend` must be 'auto', 'reference' or 'numba'\. Got 'cuda'"):
        readout(given(), torch.ones(2, 3), dynamics(LI(), DT, None, torch.float32), backend="cuda")


def test_the_path_is_reported() -> None:
    for backend, path in (("auto", "numba"), ("numba", "numba"), ("reference", "reference")):
        out, _ = clocked(given(), torch.ones(2, 3), None, NUMBERS, EventProp(), backend=backend)
        assert out.record.backend == path


def test_bounded_slopes_are_counted_and_bound_the_jump() -> None:
    """w just above the least weight that spikes (E2): the crossing grazes and the slope is below the bound."""
    source = Spikes.from_samples([([1e-3], [0])], unit_shape=1, duration=20e-3).on_grid(1e-4, coincident="sum")
    numbers = dynamics(CubaLIF(20e-3, 5e-3), 1e-4, None, torch.float32)
    found = {}
    for bound in (0.0, 0.5):
        w = torch.full((1, 1), 6.4, requires_grad=True)
        out, _ = clocked(source, w, None, numbers, EventProp(min_slope=bound))
        assert out.n_events == 1
        (found[bound],) = torch.autograd.grad(out.times.sum(), w)
        assert out.record.clipped == (1 if bound else 0)
    assert abs(float(found[0.5])) < abs(float(found[0.0]))


def test_silence_gives_zeros_not_nan() -> None:
    for gradient in (EventProp(), Surrogate()):
        w = torch.full((2, 3), 1e-3, requires_grad=True)
        out, _ = clocked(given(), w, None, NUMBERS, gradient)
        assert out.n_events == 0
        (out.counts().sum() + out.times.sum()).backward()
        assert bool(w.grad.isfinite().all())
        assert (float(w.grad.abs().sum()) == 0) == isinstance(gradient, EventProp)  # SuperSpike's tail wakes


def test_inputs_without_gradient_cost_none() -> None:
    source, w = given(), torch.full((2, 3), 9.0, requires_grad=True)
    out, _ = clocked(source, w, None, NUMBERS, EventProp())
    out.times.sum().backward()
    assert source.times.grad is None


def test_kernels_are_written_once_and_found_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    for cached in KEPT:
        cached.cache_clear()
    try:
        clocked(given(), torch.ones(2, 3), None, NUMBERS, EventProp())
        written = sorted(path.name for path in (tmp_path / "kernels").glob("*.py"))
        assert len(written) == 1
        stamp = (tmp_path / "kernels" / written[0]).stat().st_mtime_ns
        for cached in (compiling._module, cpu._forward_kernel):
            cached.cache_clear()
        clocked(given(), torch.ones(2, 3), None, NUMBERS, EventProp())
        assert (tmp_path / "kernels" / written[0]).stat().st_mtime_ns == stamp
        assert not list((tmp_path / "kernels").glob("*.tmp"))
        assert list((tmp_path / "kernels").rglob("*.nbc"))  # the compiled code is on disk
    finally:
        monkeypatch.undo()
        for cached in KEPT:
            cached.cache_clear()


def test_an_unwritable_cache_warns_and_still_works(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "file"))
    for cached in KEPT:
        cached.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="is not writable"):
            out, _ = clocked(given(), torch.full((2, 3), 9.0), None, NUMBERS, EventProp())
        assert out.n_events > 0
    finally:
        monkeypatch.undo()
        for cached in KEPT:
            cached.cache_clear()


def test_what_an_unwritable_cache_holds_is_not_compiled_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    for cached in KEPT:
        cached.cache_clear()
    try:
        clocked(given(), torch.ones(2, 3), None, NUMBERS, EventProp())
        kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kernels").rglob("*") if path.is_file()}
        assert len(kept) >= 3  # the kernel, Numba's index, the code
        monkeypatch.setattr(compiling, "writable", lambda _: False)
        for cached in KEPT:
            cached.cache_clear()
        with pytest.warns(RuntimeWarning, match="is not writable"):
            copy = compiling._writable_folder()
        clocked(given(), torch.ones(2, 3), None, NUMBERS, EventProp())
        assert {path.relative_to(copy) for path in copy.rglob("*") if path.is_file()} == {
            path.relative_to(tmp_path / "kernels") for path in kept
        }
        assert {path: path.stat().st_mtime_ns for path in kept} == kept
        (kernel,) = [module.kernel for name, module in sys.modules.items() if _of(module, copy)]
        assert sum(kernel.stats.cache_hits.values()) == 1
        assert not sum(kernel.stats.cache_misses.values())
    finally:
        monkeypatch.undo()
        for cached in KEPT:
            cached.cache_clear()


def _of(module: Any, folder: Path) -> bool:
    return str(getattr(module, "__file__", None)).startswith(str(folder))


def test_a_second_derivative_is_refused_not_wrong() -> None:
    w = torch.full((2, 3), 9.0, requires_grad=True)
    out, _ = clocked(given(), w, None, NUMBERS, EventProp())
    (first,) = torch.autograd.grad(out.times.square().sum(), w, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()

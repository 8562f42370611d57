"""What a loss says to the time of a spike that a readout receives: on a grid, the loss's change over one step."""

import pytest
import torch
from torch import Tensor

from ranvier.neurons import LI, dynamics
from ranvier.ops.readout import readout
from ranvier.spikes import Spikes

DT, STEPS = 1e-3, 400
TIMES = dynamics(LI(tau_mem=20e-3, tau_syn=5e-3), DT, None, torch.float64)


def given(step: int) -> Spikes:
    raster = torch.zeros(STEPS, 1, 2, dtype=torch.float64)
    raster[step, 0, 1] = 1.0
    spikes = Spikes.from_dense(raster, dt=DT)
    return spikes._with(times=spikes.times.clone().requires_grad_())


def loss_of(trace: Tensor, kind: str) -> Tensor:
    elapsed = torch.arange(STEPS, dtype=torch.float64)[:, None] / STEPS
    weight = {"constant": torch.ones_like(elapsed), "exponential": torch.exp(-elapsed), "late": (elapsed > 0.1) * 1.0}
    if kind == "moment":
        return trace[45, 0, 0] * 2.0 - trace[100, 0, 1]
    return (trace[:, 0] * weight[kind] * torch.tensor([1.0, -3.0])).mean()


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("kind", ["constant", "exponential", "late", "moment"])
def test_the_gradient_of_a_time_is_the_change_over_the_step_before(kind: str, delayed: bool, backend: str) -> None:
    w = torch.tensor([[9.0, 9.0], [2.0, 0.7]], dtype=torch.float64)
    d = torch.full_like(w, 7 * DT).requires_grad_() if delayed else None
    found = {}
    for step in (30, 29):
        spikes = given(step)
        found[step] = loss_of(readout(spikes, w, TIMES, d_in=d, backend=backend)[0], kind)
        if step == 30:
            found[step].backward()
            gradient = spikes.times.grad
            assert gradient is not None
    change = (found[30] - found[29]).item() / DT
    assert gradient.item() == pytest.approx(change, rel=1e-9, abs=1e-12)
    if d is not None:
        assert d.grad is not None
        assert d.grad[1].sum().item() == pytest.approx(change, rel=1e-9, abs=1e-12)
    if kind == "constant":  # what is left is the response's tail beyond the window
        assert abs(change) < 1e-6
    else:
        assert abs(change) > 1e-5

"""The recurrent workload W1 and its plain PyTorch loop.

700 inputs at 1 % per (step, channel) -> 256 recurrent CubaLIF -> 20 leaky integrators; batch 32, 100 steps of 10 ms,
tau_mem 20 ms, tau_syn 10 ms, threshold 1; cross-entropy of the readout's maximum over time; Adam. One full training
step is: zero the gradients, forward, loss, backward, optimiser, read the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp

import torch
from torch import Tensor, nn

import ranvier as rv

LEARNING_RATE = 1e-5  # so small that the network keeps firing as aimed while one batch is trained over and over


@dataclass(frozen=True)
class Work:
    """Sizes of a workload; `density` is the input's, per step and channel."""

    batch: int = 32
    steps: int = 100
    dt: float = 10e-3
    n_in: int = 700
    n_hidden: int = 256
    n_out: int = 20
    density: float = 0.01
    tau_mem: float = 20e-3
    tau_syn: float = 10e-3


@dataclass(frozen=True)
class Problem:
    """One batch and initial weights, the same for every competitor."""

    work: Work
    raster: Tensor
    labels: Tensor
    w_in: Tensor
    w_rec: Tensor
    w_out: Tensor


def problem(work: Work, gain: float, seed: int = 0) -> Problem:
    """Draw a batch and weights; `gain` scales the input weights and so sets the hidden firing rate."""
    generator = torch.Generator().manual_seed(seed)

    def normal(n_in: int, n_out: int, scale: float) -> Tensor:
        return torch.randn(n_in, n_out, generator=generator) * scale / n_in**0.5

    raster = (torch.rand(work.steps, work.batch, work.n_in, generator=generator) < work.density).float()
    labels = torch.randint(work.n_out, (work.batch,), generator=generator)
    return Problem(
        work,
        raster,
        labels,
        normal(work.n_in, work.n_hidden, gain),
        normal(work.n_hidden, work.n_hidden, 0.5),
        normal(work.n_hidden, work.n_out, 1.0),
    )


def ranvier_step(given: Problem, gradient: rv.EventProp | rv.Surrogate) -> tuple[Callable[[], float], rv.Network]:
    """A training step of this library, and the network."""
    work = given.work
    network = rv.Network(
        hidden=rv.Spiking(
            work.n_in,
            work.n_hidden,
            rv.CubaLIF(work.tau_mem, work.tau_syn),
            recurrent=True,
            gradient=gradient,
        ),
        output=rv.Readout(work.n_hidden, work.n_out, rv.LI(work.tau_mem, work.tau_syn)),
    )
    hidden, output = network.layers["hidden"], network.layers["output"]
    with torch.no_grad():
        hidden.w_in.copy_(given.w_in)
        hidden.w_rec.copy_(given.w_rec)
        output.w_in.copy_(given.w_out)
    spikes = rv.Spikes.from_dense(given.raster, dt=work.dt)
    loss = rv.MaxOverTimeCrossEntropy()
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)

    def step() -> float:
        optimiser.zero_grad()
        value = loss(network(spikes).output, given.labels)
        value.backward()
        optimiser.step()
        return value.item()

    return step, network


class _Spike(torch.autograd.Function):
    """A threshold with the surrogate derivative of the compared method."""

    @staticmethod
    def forward(ctx, x: Tensor, shape: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.shape = shape
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * ctx.shape(x), None


class Loop(nn.Module):
    """The same network as the field writes it: dense products, a Python loop over unbound time steps."""

    def __init__(self, given: Problem, shape: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.work, self.shape = given.work, shape
        self.w_in, self.w_rec = nn.Parameter(given.w_in.clone()), nn.Parameter(given.w_rec.clone())
        self.w_out = nn.Parameter(given.w_out.clone())

    def forward(self, raster: Tensor) -> tuple[Tensor, Tensor]:
        """Readout traces [T, B, n_out] and hidden spikes [T, B, n_hidden]; the grid convention of `ranvier.neurons`."""
        work = self.work
        a, b = exp(-work.dt / work.tau_syn), exp(-work.dt / work.tau_mem)
        gain = work.tau_syn / (work.tau_mem - work.tau_syn) * (b - a)
        v = i = raster.new_zeros(raster.shape[1], work.n_hidden)
        y = j = raster.new_zeros(raster.shape[1], work.n_out)
        traces, fired = [], []
        for current in (raster @ self.w_in).unbind(0):
            v, i = b * v + gain * i, a * i
            y, j = b * y + gain * j, a * j
            spikes = _Spike.apply(v - 1, self.shape)
            v = v * (1 - spikes.detach())
            i = i + current + spikes @ self.w_rec
            traces.append(y)
            fired.append(spikes)
            j = j + spikes @ self.w_out
        return torch.stack(traces), torch.stack(fired)


def loop_step(given: Problem, shape: Callable[[Tensor], Tensor]) -> tuple[Callable[[], float], Loop]:
    """A training step of the plain loop, and the loop."""
    loop = Loop(given, shape)
    optimiser = torch.optim.Adam(loop.parameters(), LEARNING_RATE, fused=True)

    def step() -> float:
        optimiser.zero_grad()
        traces, _ = loop(given.raster)
        value = torch.nn.functional.cross_entropy(traces.amax(0), given.labels)
        value.backward()
        optimiser.step()
        return value.item()

    return step, loop

"""Membranes of leaky integrators in continuous time: the truth, in plain torch.

The membrane is a sum over events, V(t) = bias (1 - e^(-t / tau_mem)) + sum_e a_e w_in[u_e] K(t - t_e), with `K` in
response.py. Everything is done sample by sample in float64; autograd does the rest.

Axis letters: B samples, N units, E events of one sample, Q times.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from ranvier.neurons.continuous import Continuous
from ranvier.ops.membrane.response import response
from ranvier.spikes import Spikes


def at(spikes: Spikes, w_in: Tensor, neuron: Continuous, asked: Tensor) -> Tensor:
    """V at the times asked [Q], for all samples [Q, B, N]; an event at a time asked comes after it."""
    found = [
        _membrane(neuron, times, rows, asked[:, None].expand(-1, w_in.shape[1]), times < asked[:, None])
        for times, rows in _samples(spikes, w_in)
    ]
    return torch.stack(found, 1).to(w_in.dtype) if found else w_in[None, :0].expand(asked.numel(), -1, -1)


def maximum(spikes: Spikes, w_in: Tensor, neuron: Continuous) -> Tensor:
    """The maximum of V over [0, duration] [B, N]: the largest value at any place where V could turn."""
    found = [_maximum(neuron, times, rows, spikes.duration) for times, rows in _samples(spikes, w_in)]
    return torch.stack(found).to(w_in.dtype) if found else w_in[:0]


def _samples(spikes: Spikes, w_in: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Times [E] and what they add to the currents [E, N], sample by sample."""
    times = spikes.times.double().clamp(max=spikes.duration)
    rows = spikes.amplitudes.double()[:, None] * w_in.double()[spikes.units.long()]
    bounds = spikes.offsets.tolist()
    for start, stop in pairwise(bounds):
        yield times[start:stop], rows[start:stop]


def _membrane(neuron: Continuous, times: Tensor, rows: Tensor, t: Tensor, before: Tensor) -> Tensor:
    """V at times t [Q, N], of the events [Q, E] or [Q, E, N] that are before."""
    before = before if before.ndim == 3 else before[..., None]
    since = torch.where(before, t[:, None, :] - times[:, None], 0.0)
    driven = (response(since, neuron.tau_mem, neuron.tau_syn) * torch.where(before, rows, 0.0)).sum(1)
    return driven - neuron.bias * torch.expm1(-t / neuron.tau_mem)


def _current(neuron: Continuous, times: Tensor, rows: Tensor, t: Tensor, before: Tensor) -> Tensor:
    since = torch.where(before, t[:, None] - times, 0.0)
    return (torch.exp(-since[..., None] / neuron.tau_syn) * torch.where(before[..., None], rows, 0.0)).sum(1)


def _maximum(neuron: Continuous, times: Tensor, rows: Tensor, duration: float) -> Tensor:
    """The maximum [N] of one sample. Where it lies is found without gradient: V moves with a kink only."""
    entered, t, at_end = _place(neuron, times, rows, duration)
    ends = torch.cat([times, times.new_tensor([duration])])
    t = torch.where(at_end, ends[entered], t)
    before = torch.arange(len(times), device=times.device)[:, None] < entered
    return _membrane(neuron, times, rows, t[None, :], before[None])[0]


@torch.no_grad()
def _place(neuron: Continuous, times: Tensor, rows: Tensor, duration: float) -> tuple[Tensor, Tensor, Tensor]:
    """How many events came before the maximum, its time, and whether it is the end of that segment, [N] each."""
    n_events, n_units = rows.shape
    order = torch.arange(n_events + 1, device=times.device)
    before = order[:, None] > order[:n_events]  # [E+1, E]: the events before segment s, from begin to end
    begin = torch.cat([times.new_zeros(1), times])
    end = torch.cat([times, times.new_tensor([duration])])
    tau_mem, tau_syn = neuron.tau_mem, neuron.tau_syn

    def wide(t: Tensor) -> Tensor:
        return t[:, None].expand(-1, n_units)

    u = _membrane(neuron, times, rows, wide(begin), before) - neuron.bias
    i = _current(neuron, times, rows, begin, before)
    x = u / i - 1
    w = x * (tau_mem - tau_syn) / tau_mem
    late = begin[:, None] - tau_syn * x * torch.where(w == 0, 1.0, torch.log1p(w) / torch.where(w == 0, 1.0, w))
    inside = (i > u) & (late > wide(begin)) & (late < wide(end))
    turn = torch.where(inside, late, wide(begin))
    inside[0] |= i[0] < u[0]  # falls from the start
    # an event is a kink where the membrane rose before it and falls after it
    last = _membrane(neuron, times, rows, wide(end), before) - neuron.bias
    rose = _current(neuron, times, rows, end, before) >= last
    falls = torch.cat([i[1:] < last[:-1], torch.ones_like(rose[:1])])
    at_turn = torch.where(inside, _membrane(neuron, times, rows, turn, before), -torch.inf)
    at_end = torch.where(rose & falls, last + neuron.bias, -torch.inf)
    value, which = torch.cat([at_turn, at_end]).flip(0).max(0)  # of equal ones the latest
    which = torch.where(value.isnan(), 0, 2 * n_events + 1 - which)
    entered = which % (n_events + 1)
    return entered, turn.gather(0, entered[None])[0], which > n_events

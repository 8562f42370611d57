"""Weighted integrals of membranes, (1/T) times the integral of V(t) w(t) over [0, T]: plain torch, any device.

V is linear in the events, so the integral is a sum over them, sum_e a_e w_in[u_e] J(t_e) with

    J(t_e) = (1/T) integral from t_e to T of w(t) K(t - t_e) dt

and K in response.py. All weights but the sigmoid have J in closed form; README.md derives them.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ranvier.neurons.continuous import Continuous
from ranvier.ops.membrane.response import response, slopes, values
from ranvier.spikes import Spikes, ragged

_AT_ONCE = 1 << 15  # values of w K at a time in a quadrature; more leave the cache


def integral(spikes: Spikes, w_in: Tensor, neuron: Continuous, weight: str) -> Tensor:
    """See `Membrane.integral`; [B, N]."""
    n_samples, n_in, n_units = spikes.n_samples, *w_in.shape
    duration, tau_mem, tau_syn = spikes.duration, neuron.tau_mem, neuron.tau_syn
    left = duration - spikes.times.double().clamp(max=duration)
    amplitudes, rows = spikes.amplitudes.double(), w_in.double()
    sample = ragged.samples_of(spikes.offsets, spikes.n_events)
    if neuron.per_unit:
        each = amplitudes[:, None] * _of_event(weight, left[:, None], tau_mem, tau_syn, duration)
        each = each * rows.index_select(0, spikes.units)
        driven = each.new_zeros(n_samples, n_units).index_add(0, sample, each)
    else:
        each = amplitudes * _of_event(weight, left, tau_mem, tau_syn, duration)
        cells = sample * n_in + spikes.units
        driven = each.new_zeros(n_samples * n_in).index_add(0, cells, each).view(n_samples, n_in) @ rows
    return (driven + neuron.bias * _of_bias(weight, tau_mem, duration)).to(w_in.dtype)


def _of_event(weight: str, left: Tensor, tau_mem: Tensor, tau_syn: Tensor, duration: float) -> Tensor:
    """J of events with `left` seconds until T, [E] or [E, N]."""
    if weight == "sigmoid":
        found: Any = _Sigmoid.apply(left, tau_mem, tau_syn, duration)
        return found
    k = response(left, tau_mem, tau_syn)
    if weight == "exponential":
        # e^(-t/T) K is a membrane with both rates raised by 1/T
        fading, leak, decay = torch.exp(-left / duration), 1 / tau_mem + 1 / duration, 1 / tau_syn + 1 / duration
        area = (-torch.expm1(-decay * left) / (decay * tau_mem) - fading * k) / leak
        return area * torch.exp((left - duration) / duration) / duration
    current = -tau_syn * torch.expm1(-left / tau_syn)  # integral of the current
    area = current - tau_mem * k
    if weight == "constant":
        return area / duration
    return (tau_syn * (left - current) - tau_mem * area) / duration**2


def _of_bias(weight: str, tau_mem: Tensor, duration: float) -> Tensor:
    """The same of 1 - e^(-t / tau_mem), the membrane under a bias of one; [] or [N]."""
    if weight == "sigmoid":
        nodes, weights = _nodes(_order(duration, tau_mem), tau_mem.device)
        return -(torch.expm1(-duration * nodes / tau_mem[..., None]) * _sigmoid(nodes) * weights).sum(-1)
    ratio = tau_mem / duration
    area = -ratio * torch.expm1(-1 / ratio)  # (1/T) integral of e^(-t / tau_mem)
    if weight == "constant":
        return 1 - area
    if weight == "linear":
        return 0.5 - ratio + ratio * area
    leak = 1 / ratio + 1
    return -np.expm1(-1.0) + torch.expm1(-leak) / leak


class _Sigmoid(torch.autograd.Function):
    """J under the sigmoid weight, by Gauss-Legendre quadrature, with the derivatives taken under the integral."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, tau_mem: Tensor, tau_syn: Tensor, duration: float) -> Tensor:
        nodes, weights = _nodes(_order(duration, torch.minimum(tau_mem, tau_syn)), left.device)
        learned = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        chunk = max(1, _AT_ONCE // (nodes.numel() * max(1, tau_mem.numel())))
        parts = [_quadrature(part, tau_mem, tau_syn, duration, nodes, weights, learned) for part in left.split(chunk)]
        found, *by = (torch.cat(each) for each in zip(*parts, strict=True))
        ctx.shapes = (left.shape, tau_mem.shape, tau_syn.shape)
        ctx.save_for_backward(*by)
        return found

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the signature)
        ctx: Any, incoming: Tensor
    ) -> tuple[Tensor | None, ...]:
        grads = [
            (incoming * slope).sum_to_size(shape) if needed else None
            for slope, shape, needed in zip(ctx.saved_tensors, ctx.shapes, ctx.needs_input_grad, strict=False)
        ]
        return (*grads, None, None, None)[:4]


def _quadrature(
    left: Tensor, tau_mem: Tensor, tau_syn: Tensor, duration: float, nodes: Tensor, weights: Tensor, learned: bool
) -> list[Tensor]:
    """J, its derivative by `left`, and where learned by tau_mem and tau_syn, for some events."""
    since = left[..., None] * nodes
    drive = _sigmoid((duration - left[..., None] + since) / duration) * weights * left[..., None] / duration
    call = (since, tau_mem[..., None], tau_syn[..., None])
    return [(drive * each).sum(-1) for each in (*values(*call), *(slopes(*call) if learned else ()))]


def _sigmoid(fraction: Tensor) -> Tensor:
    return torch.sigmoid((0.5 - fraction) / 0.2)


def _order(duration: float, tau: Tensor) -> int:
    """Nodes enough for e^(-t / tau) on [0, T], and 20 for the sigmoid's poles."""
    return 20 + ceil(0.4 * duration / tau.min().item())


@lru_cache(maxsize=16)
def _leggauss(order: int) -> tuple[Any, Any]:
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return (nodes + 1) / 2, weights / 2


def _nodes(order: int, device: torch.device) -> tuple[Tensor, Tensor]:
    nodes, weights = _leggauss(order)
    return torch.from_numpy(nodes).to(device), torch.from_numpy(weights).to(device)

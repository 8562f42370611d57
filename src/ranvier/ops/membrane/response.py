"""What a unit of current leaves on a membrane, in plain torch: the one function all else here is a sum of.

    K(d) = tau_syn / (tau_mem - tau_syn) (e^(-d / tau_mem) - e^(-d / tau_syn))

is the membrane at d after the current jumped by one, stable for all time constants, equal ones included. README.md has
the other form, for nearly equal exponentials, and the derivatives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def response(d: Tensor, tau_mem: Tensor, tau_syn: Tensor) -> Tensor:
    """K(d) for d >= 0, all three in float64 and broadcast against each other; differentiable once in each."""
    found: Any = _Response.apply(d, tau_mem, tau_syn)
    return found


def values(d: Tensor, tau_mem: Tensor, tau_syn: Tensor) -> tuple[Tensor, Tensor]:
    """K and its derivative by d, without autograd."""
    k, _, es = _decays(d, tau_mem, tau_syn)
    return k, (es - k) / tau_mem


def slopes(d: Tensor, tau_mem: Tensor, tau_syn: Tensor) -> tuple[Tensor, Tensor]:
    """The derivatives of K by tau_mem and by tau_syn, without autograd."""
    k, em, es = _decays(d, tau_mem, tau_syn)
    near, z, difference = _nearness(d, tau_mem, tau_syn)
    chi = torch.full_like(z, 1 / 20)
    for order in range(18, 0, -1):
        chi.mul_(z).div_(order).add_(1 / (order + 1))
    moment = torch.where(near, d * d / tau_mem * es * chi, tau_syn / difference * (d * em - tau_mem * k))
    return (moment / tau_mem - k) / tau_mem, (d * k - moment) / tau_syn**2


def _decays(d: Tensor, tau_mem: Tensor, tau_syn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """K, and the decays of membrane and current."""
    em, es = torch.exp(-d / tau_mem), torch.exp(-d / tau_syn)
    near, z, difference = _nearness(d, tau_mem, tau_syn)
    divided = torch.where(z == 0, 1.0, torch.expm1(z) / torch.where(z == 0, 1.0, z))
    return torch.where(near, d / tau_mem * es * divided, tau_syn / difference * (em - es)), em, es


def _nearness(d: Tensor, tau_mem: Tensor, tau_syn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether the exponents differ by less than 1; where so, z, else 0; where not, tau_mem - tau_syn, else 1."""
    z = d * (tau_mem - tau_syn) / (tau_mem * tau_syn)
    near = z.abs() < 1
    return near, torch.where(near, z, 0.0), torch.where(near, 1.0, tau_mem - tau_syn)


class _Response(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, d: Tensor, tau_mem: Tensor, tau_syn: Tensor) -> Tensor:
        k, ctx.by_d = values(d, tau_mem, tau_syn)
        ctx.save_for_backward(d, tau_mem, tau_syn)
        return k

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the signature)
        ctx: Any, incoming: Tensor
    ) -> tuple[Tensor | None, ...]:
        given, needed = ctx.saved_tensors, ctx.needs_input_grad
        by = (ctx.by_d, *(slopes(*given) if needed[1] or needed[2] else ()))
        grads = [
            (incoming * slope).sum_to_size(value.shape) if wanted else None
            for value, slope, wanted in zip(given, by, needed, strict=False)
        ]
        return (*grads, None, None)[:3]

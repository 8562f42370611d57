"""The same network as plain PyTorch loops over time.

Variants: `dense`, the input multiplied and unbound before the loop; `sparse`, its spikes as a sparse matrix;
`tutorial`, as tutorials have it, with step t indexed inside the loop from a product that needs gradient. The surrogate
is SuperSpike's.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Any

import torch
from torch import Tensor, nn

SAME_MODEL = True


class Spike(torch.autograd.Function):
    """A threshold with the derivative 1 / (1 + 10 |x|)^2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """One where x >= 0."""
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """The surrogate."""
        (x,) = ctx.saved_tensors
        return grad / (1 + 10 * x.abs()).square()


class Loop(nn.Module):
    """Dense products in a Python loop."""

    def __init__(self, given: dict[str, Any], variant: str) -> None:
        super().__init__()
        self.variant, self.recurrent = variant, given["recurrent"]
        self.w_in, self.w_rec, self.w_out = (
            nn.Parameter(torch.from_numpy(given[name]).clone()) for name in ("w_in", "w_rec", "w_out")
        )
        self.w_rec.requires_grad_(given["recurrent"])
        self.a, self.b = exp(-given["dt"] / given["tau_syn"]), exp(-given["dt"] / given["tau_mem"])
        self.gain = given["tau_syn"] / (given["tau_mem"] - given["tau_syn"]) * (self.b - self.a)

    def forward(self, raster: Tensor, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Readout traces [T, B, n_out] and hidden spikes [T, B, N]."""
        n_steps, n_samples, _ = shape
        a, b, gain = self.a, self.b, self.gain
        if self.variant == "sparse":
            current = torch.sparse.mm(raster, self.w_in).view(n_steps, n_samples, -1)
        else:
            current = raster @ self.w_in
        steps = [None] * n_steps if self.variant == "tutorial" else current.unbind(0)
        v = i = current.new_zeros(n_samples, self.w_in.shape[1])
        y = j = current.new_zeros(n_samples, self.w_out.shape[1])
        traces, fired = [], []
        for t in range(n_steps):
            arrived = current[t] if self.variant == "tutorial" else steps[t]
            v, i = b * v + gain * i, a * i
            y, j = b * y + gain * j, a * j
            spikes = Spike.apply(v - 1)
            v = v * (1 - spikes.detach())
            i = i + arrived
            if self.recurrent:
                i = i + spikes @ self.w_rec
            traces.append(y)
            fired.append(spikes)
            j = j + spikes @ self.w_out
        return torch.stack(traces), torch.stack(fired)


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:
    """See README.md."""
    device = given.get("device", "cpu")
    loop = Loop(given, variant).to(device)
    raster, labels = (torch.from_numpy(given[name]).to(device) for name in ("raster", "labels"))
    raster = raster.float()
    shape = tuple(raster.shape)
    if variant == "sparse":
        raster = raster.view(-1, shape[2]).to_sparse_csr()
    parameters = [value for value in loop.parameters() if value.requires_grad]
    optimiser = torch.optim.Adam(parameters, given["learning_rate"], fused=True)

    def step() -> float:
        optimiser.zero_grad()
        traces, _ = loop(raster, shape)
        value = nn.functional.cross_entropy(traces.amax(0), labels)
        value.backward()
        optimiser.step()
        return value.item()

    def density() -> float:
        with torch.no_grad():
            return loop(raster, shape)[1].mean().item()

    return step, density

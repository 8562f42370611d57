"""The same network as plain PyTorch loops over time, layer by layer.

Variants: `dense`, what a layer receives multiplied and unbound before its loop; `sparse`, the input's spikes as a
sparse matrix; `tutorial`, as tutorials have it, with step t indexed inside the loop from a product that needs gradient.
The surrogate is SuperSpike's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import exp
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.torch_step import trained

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
    """Dense products, each for all steps at once but the recurrent ones, and a Python loop over time for each layer."""

    def __init__(self, given: dict[str, Any], variant: str) -> None:
        super().__init__()
        self.variant, self.recurrent = variant, given["recurrent"]
        suffixes = ["", *(f"_{layer}" for layer in range(2, given["n_layers"] + 1))]
        self.w_in, self.w_rec = (
            nn.ParameterList(torch.from_numpy(given[name + suffix]).clone() for suffix in suffixes)
            for name in ("w_in", "w_rec")
        )
        self.w_rec.requires_grad_(given["recurrent"])
        self.w_out = nn.Parameter(torch.from_numpy(given["w_out"]).clone())
        self.a, self.b = exp(-given["dt"] / given["tau_syn"]), exp(-given["dt"] / given["tau_mem"])
        self.gain = given["tau_syn"] / (given["tau_mem"] - given["tau_syn"]) * (self.b - self.a)
        self.shape = (*given["raster"].shape[:2], -1)

    def forward(self, raster: Tensor) -> tuple[Tensor, ...]:
        """Readout traces [T, B, n_out] and each hidden layer's spikes [T, B, N]."""
        layers = []
        for w_in, w_rec in zip(self.w_in, self.w_rec, strict=True):
            spikes = layers[-1] if layers else raster
            current = torch.sparse.mm(spikes, w_in).view(self.shape) if spikes.is_sparse_csr else spikes @ w_in
            layers.append(self._hidden(current, w_rec))
        return self._readout(layers[-1] @ self.w_out), *layers

    def _hidden(self, current: Tensor, w_rec: Tensor) -> Tensor:
        """The spikes [T, B, N] of a layer that receives a current [T, B, N]."""
        v = i = current.new_zeros(current.shape[1:])
        fired = []
        for arrived in self._steps(current):
            v, i = self.b * v + self.gain * i, self.a * i
            spikes = Spike.apply(v - 1)
            v = v * (1 - spikes.detach())
            i = i + arrived
            if self.recurrent:
                i = i + spikes @ w_rec
            fired.append(spikes)
        return torch.stack(fired)

    def _readout(self, current: Tensor) -> Tensor:
        """The traces [T, B, n_out] of leaky integrators that receive a current [T, B, n_out]."""
        v = i = current.new_zeros(current.shape[1:])
        traces = []
        for arrived in self._steps(current):
            v, i = self.b * v + self.gain * i, self.a * i + arrived
            traces.append(v)
        return torch.stack(traces)

    def _steps(self, current: Tensor) -> Iterable[Tensor]:
        return (current[t] for t in range(len(current))) if self.variant == "tutorial" else current.unbind(0)


def build(given: dict[str, Any], variant: str) -> tuple[Callable[[], float], Callable[[], float]]:
    """See README.md."""
    device = given.get("device", "cpu")
    raster = torch.from_numpy(given["raster"]).to(device).float()
    if variant == "sparse":
        raster = raster.view(-1, raster.shape[2]).to_sparse_csr()
    return trained(Loop(given, variant).to(device), raster, given)

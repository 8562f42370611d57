"""Cross-entropy on times to first spike, with a pull that draws the label neuron's spike forward.

    L = mean over the batch of  -ln( exp(-t_y / tau_0) / sum_k exp(-t_k / tau_0) ) + pull(t_y)

    pull(t) = alpha (exp(t / tau_1) - 1)   exponential: Wunderlich & Pehle, Sci. Rep. 11:12829 (2021)
    pull(t) = alpha / (1.01 T - t)         reciprocal: Nowotny, Turner & Knight, arXiv 2212.01232

t_k is the first spike of output k, y the label and T the window's duration.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.autograd.function import once_differentiable

from ranvier.losses.check import class_labels
from ranvier.losses.first import FirstSpikeLoss
from ranvier.neurons.number import number
from ranvier.spikes import Spikes

_SLOPE = 50.0  # 1/s: threshold 1 over tau_mem 20 ms


@dataclass(frozen=True)
class FirstSpikeCrossEntropy(FirstSpikeLoss):
    """The loss of the module's docstring, on the spikes of the output layer.

    Silent outputs are left out of the sum. A sample whose label neuron is silent contributes the constant
    ln(n_classes), the loss of a guess; `silent` says what else. The loss of Göltz, Kriener et al., Nat. Mach. Intell.
    3:823 (2021), is this one with tau_0 = 0.2 tau_syn, tau_1 = tau_syn and alpha = 0.005, but for its constant of 100
    for a silent label neuron.

    Args:
        tau_0: softness of the competition, s, > 0.
        tau_1: time scale of the exponential pull, s, > 0. A label neuron later than 88 tau_1, its phantom
            included, overflows float32.
        alpha: strength of the pull, >= 0; in s for the reciprocal one.
        pull: "exponential" or "reciprocal".
        silent: "ignore": a silent label neuron gets no gradient. "phantom": it is pulled as if it spiked at T. The
            phantom has no slope of its own, so the membrane V at T is taken to cross with `phantom_slope`:
            dt/dV = -1 / phantom_slope. Needs output spikes that carry their layer's final membrane.
        phantom_slope: 1/s, > 0; the literature's is threshold / tau_mem. Only for "phantom", 50 by default.
    """

    tau_0: float = 0.5e-3
    tau_1: float = 6.4e-3
    alpha: float = 3e-3
    pull: Literal["exponential", "reciprocal"] = "exponential"
    silent: Literal["ignore", "phantom"] = "ignore"
    phantom_slope: float | None = None

    def __post_init__(self) -> None:
        for name in ("tau_0", "tau_1"):
            tau = number(f"`{name}` of FirstSpikeCrossEntropy", getattr(self, name), "> 0", "s")
            object.__setattr__(self, name, tau)
        object.__setattr__(self, "alpha", number("`alpha` of FirstSpikeCrossEntropy", self.alpha, ">= 0"))
        for name, known in (("pull", ("exponential", "reciprocal")), ("silent", ("ignore", "phantom"))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"`{name}` of FirstSpikeCrossEntropy must be '{known[0]}' or '{known[1]}'. "
                    f"Got {getattr(self, name)!r}."
                )
        if self.phantom_slope is not None:
            if self.silent == "ignore":
                raise ValueError(
                    "`phantom_slope` of FirstSpikeCrossEntropy needs silent='phantom'. "
                    f"Got {self.phantom_slope} with 'ignore'."
                )
            slope = number("`phantom_slope` of FirstSpikeCrossEntropy", self.phantom_slope, "> 0", "1/s")
            object.__setattr__(self, "phantom_slope", slope)

    def _mean_loss(self, output: Spikes, times: Tensor, labels: Tensor) -> Tensor:
        membrane = _final_membrane(output) if self.silent == "phantom" else None
        return self.of_times(times, labels, duration=output.duration, membrane=membrane)

    def of_times(
        self,
        times: Float[Tensor, "batch unit"],
        labels: Integer[Tensor, " batch"],
        *,
        duration: float | None = None,
        membrane: Float[Tensor, "batch unit"] | None = None,
    ) -> Float[Tensor, ""]:
        """The same from first spike times [B, n_classes] in seconds, infinite where silent.

        Args:
            times: [B, n_classes].
            labels: [B].
            duration: T in seconds, for the reciprocal pull and for phantoms.
            membrane: V at T, for phantoms.
        """
        labels = class_labels("FirstSpikeCrossEntropy", labels, times)
        if not len(labels):
            return times.sum() * 0.0
        place = labels[:, None]
        phantoms = self._phantoms(place, duration, membrane) if self.silent == "phantom" else None
        return cast(Tensor, _Mean.apply(self, times, phantoms, place, duration))  # pyright: ignore[reportUnknownMemberType]

    def pull_and_slope(self, times: Tensor, duration: float | None) -> tuple[Tensor, Tensor]:
        """The pull on spikes at these times in seconds, and its derivative."""
        if self.pull == "exponential":
            pull = (times * (1 / self.tau_1)).expm1_().mul_(self.alpha)
            return pull, (pull + self.alpha).mul_(1 / self.tau_1)
        left = 1.01 * _window(duration) - times
        pull = self.alpha / left
        return pull, pull / left

    def _phantoms(self, place: Tensor, duration: float | None, membrane: Tensor | None) -> Tensor:
        """The label neurons' phantom spikes [B, 1]: at T, and earlier where the membrane there is higher."""
        if membrane is None:
            raise ValueError(
                "`membrane` of FirstSpikeCrossEntropy.of_times must be given for silent='phantom'. Got None."
            )
        last = membrane.gather(1, place)
        return _window(duration) - (last - last.detach()) / (self.phantom_slope or _SLOPE)


class _Mean(torch.autograd.Function):
    """The mean over the batch, and its gradient in closed form: few operations, since a batch costs less than they do.

    Of first times [B, N], the label neurons' phantoms [B, 1] or None, and `place`, the labels [B, 1].
    """

    @staticmethod
    def forward(
        ctx: Any,
        loss: FirstSpikeCrossEntropy,
        times: Tensor,
        phantoms: Tensor | None,
        place: Tensor,
        duration: float | None,
    ) -> Tensor:
        label_time = times.gather(1, place)
        silent = label_time == torch.inf
        pulled = label_time if phantoms is None else torch.where(silent, phantoms, label_time)
        pull, slope = loss.pull_and_slope(pulled, duration)
        shares = (times * (-1 / loss.tau_0)).log_softmax(1)
        cost = pull - shares.gather(1, place)
        g_times = shares.exp_().mul_(-1 / loss.tau_0).scatter_add_(1, place, slope + 1 / loss.tau_0)
        guess = log(times.shape[1])
        g_phantoms = None if phantoms is None else torch.where(silent, slope, 0.0)
        ctx.save_for_backward(g_times.masked_fill_(silent, 0.0), g_phantoms)
        cost = cost.masked_fill_(silent, guess) if phantoms is None else torch.where(silent, pull + guess, cost)
        return cost.mean()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the signature)
        ctx: Any, incoming: Tensor
    ) -> tuple[Tensor | None, ...]:
        g_times, g_phantoms = ctx.saved_tensors
        incoming = incoming / len(g_times)
        return None, incoming * g_times, None if g_phantoms is None else incoming * g_phantoms, None, None


def _window(duration: float | None) -> float:
    if duration is None:
        raise ValueError(
            "`duration` of FirstSpikeCrossEntropy.of_times must be given for this pull and phantoms. Got None."
        )
    return duration


def _final_membrane(output: Spikes) -> Tensor:
    if output.membrane is None:
        raise ValueError(
            "`output` of FirstSpikeCrossEntropy with silent='phantom' must carry its layer's final membrane, "
            "as in continuous time. Got none."
        )
    return output.membrane

"""The guard against numbers that are not finite: one look per step, at the norm of every tensor."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ranvier.errors import RunError


class Norms(NamedTuple):
    """What one step's look returns, as plain numbers.

    Attributes:
        loss: the loss without penalties.
        penalty: the sum of the activity penalties.
        gradients: L2 norm of each parameter's gradient, in the order of the parameters; 0 where there is
            none.
    """

    loss: float
    penalty: float
    gradients: Sequence[float]


class Guard:
    """Watches the named parameters of a network.

    Args:
        network: whose trainable parameters are watched.
    """

    def __init__(self, network: nn.Module) -> None:
        named = [(name, value) for name, value in network.named_parameters() if value.requires_grad]
        self.names = [name.removeprefix("layers.") for name, _ in named]
        self.parameters = [value for _, value in named]

    def look(self, loss: Float[Tensor, ""], penalty: Float[Tensor, ""], where: str) -> Norms:
        """Check loss, gradients and weights between the backward pass and the optimiser's step.

        All norms are computed together and read in one transfer to the host.

        Args:
            loss: without penalties.
            penalty: the sum of the activity penalties.
            where: place in the training for the message, such as "epoch 3, batch 17".

        Raises:
            RunError: naming the first tensor that holds NaN or infinity, or whose norm overflows.
        """
        weights = [value.detach() for value in self.parameters]
        present = [index for index, value in enumerate(self.parameters) if value.grad is not None]
        gradients = [value.grad for value in self.parameters if value.grad is not None]
        norms = _norms([*weights, *gradients])
        first, second, *numbers = torch.stack([loss.detach(), penalty.detach(), *norms]).tolist()
        of_weights, of_present = numbers[: len(weights)], numbers[len(weights) :]
        of_gradients = [0.0] * len(weights)
        for index, norm in zip(present, of_present, strict=True):
            of_gradients[index] = norm
        self._check(of_weights, [first, second], of_gradients, where)
        return Norms(first, second, of_gradients)

    def look_at_weights(self, where: str) -> None:
        """Check the weights alone, before they are kept. Raises as `look` does."""
        norms = torch.stack(_norms([value.detach() for value in self.parameters])).tolist()
        self._check(norms, [], [], where)

    def _check(self, weights: Sequence[float], losses: Sequence[float], gradients: Sequence[float], where: str) -> None:
        watched = [
            *(("the weights", name, norm) for name, norm in zip(self.names, weights, strict=True)),
            *zip(("the loss", "the penalty"), ("", ""), losses, strict=False),
            *(("the gradient", name, norm) for name, norm in zip(self.names, gradients, strict=False)),
        ]
        for kind, name, norm in watched:
            if not isfinite(norm):
                tensor = f"{kind} of `{name}`" if name else kind
                raise RunError(f"Training stopped because {tensor} must stay finite. Got {norm} in {where}.")


def _norms(tensors: list[Tensor]) -> list[Tensor]:
    return list(torch._foreach_norm(tensors))  # pyright: ignore[reportPrivateImportUsage]

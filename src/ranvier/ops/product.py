"""A gradient that is a matrix product, kept as its factors until somebody asks for its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map_only


class Product(Tensor):
    """`left` [..., K] times `right` [K, N], as a tensor [..., N].

    What a layer sends back to all cells [T, B, N] of the one before is the adjoint of few units times their weights.
    The layer before can multiply a block of samples at a time, and the whole, often the largest array of a step, is
    never there. To everybody else this is a tensor: any operation multiplies first, perhaps much later, so the factors
    must be nobody else's to change.
    """

    left: Tensor
    right: Tensor

    @staticmethod
    def __new__(cls, left: Tensor, right: Tensor) -> Product:
        """A tensor without numbers of its own."""
        shape = (*left.shape[:-1], right.shape[1])
        return Tensor._make_wrapper_subclass(cls, shape, dtype=left.dtype, device=left.device)

    def __init__(self, left: Tensor, right: Tensor) -> None:
        self.left, self.right = left, right

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """`func` of the numbers."""
        given, named = tree_map_only(cls, cls.multiplied, (args, kwargs or {}))
        return func(*given, **named)

    def multiplied(self) -> Tensor:
        """The numbers."""
        return self.left @ self.right


def factors(gradient: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Left and right where they are known and take less room than the product, else None."""
    if isinstance(gradient, Product) and gradient.left.shape[-1] < gradient.shape[-1]:
        return gradient.left, gradient.right
    return None

"""`Verdict`: all that training asks of a loss about one batch."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float, Int, Int64
from torch import Tensor


class Verdict(NamedTuple):
    """What a loss's `judge` says of a batch.

    Attributes:
        loss: the mean loss.
        predicted: the class of each sample [B], -1 where there is no decision.
        ties: how many samples have no single winner.
    """

    loss: Float[Tensor, ""]
    predicted: Int64[Tensor, " batch"]
    ties: Int[Tensor, ""]

"""What all losses ask of their arguments."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def class_labels(loss: str, labels: Any, scores: Float[Tensor, "batch unit"]) -> Int64[Tensor, " batch"]:
    """The labels as int64 [B], or an error naming the loss, the rule and what came.

    The range is looked at on the CPU only: elsewhere it would cost a wait for the device, which reports it
        itself.

    Args:
        loss: for the message.
        labels: what was given.
        scores: what they are held against, one number or first time per class [B, n_classes].
    """
    if (
        not isinstance(labels, Tensor)
        or labels.dtype == torch.bool
        or labels.is_floating_point()
        or labels.is_complex()
    ):
        got = f"a {labels.dtype} tensor" if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"`labels` of {loss} must be a tensor of whole numbers. Got {got}.")
    n_samples, n_classes = scores.shape
    if tuple(labels.shape) != (n_samples,):
        raise ValueError(f"`labels` of {loss} must hold one label per sample, [{n_samples}]. Got {list(labels.shape)}.")
    if labels.device != scores.device:
        raise ValueError(
            f"`labels` of {loss} must be on the device of the output, {scores.device}. Got {labels.device}."
        )
    if n_samples and labels.device.type == "cpu":
        for worst in (bound.item() for bound in torch.aminmax(labels)):
            if not 0 <= worst < n_classes:
                raise ValueError(f"`labels` of {loss} must be >= 0 and < {n_classes}, the output units. Got {worst}.")
    return labels.long()

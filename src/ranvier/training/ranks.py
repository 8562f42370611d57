"""The processes that train one network together: which part of a batch is this one's, and what is added up over all.

Every process holds the whole network and computes a share of each batch. What it finds is summed, so that all take the
same step: the loss is a mean over samples and enters with the share's part of the batch, a penalty is a function of the
counts of the whole batch. `Ranks` is a process that trains alone, for which all of that is nothing to do.

Axis letters: B samples of a batch, b of them this process's, N units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from ranvier.errors import LostProcessError

_WAIT = timedelta(minutes=30)  # for a process that is silent; one that ended is noticed at once

Rows = TypeVar("Rows", bound=Any)
Found = TypeVar("Found")


class Ranks:
    """A process that trains alone: the base of those that train together.

    Attributes:
        count: processes.
        index: this one's number, from 0; the first one writes and shows.
    """

    count = 1
    index = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.index == 0

    def mine(self, rows: Rows) -> Rows:
        """This process's share of a batch: a contiguous part, as long as the others' or by one longer or shorter."""
        return rows

    def weigh(self, mean: Float[Tensor, ""], n_mine: int, n_samples: int) -> Float[Tensor, ""]:  # noqa: ARG002
        """What a mean over this process's samples contributes to the mean over the batch."""
        return mean

    def whole(self, rows: Float[Tensor, "share unit"], n_samples: int) -> Float[Tensor, "batch unit"]:  # noqa: ARG002
        """The rows [B, N] of a whole batch, of which this process has [b, N]; only its own carry gradient."""
        return rows

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over all processes in the place of each tensor. They are added in their common type."""

    def add_gradients(self, parameters: Sequence[nn.Parameter], loss: Float[Tensor, ""]) -> Float[Tensor, ""]:  # noqa: ARG002
        """Add up the gradients, in place, and the loss."""
        return loss

    def from_first(self, find: Callable[[], Found]) -> Found:
        """What the first process finds; the others do not look."""
        return find()

    def of_each(self, value: Found) -> list[Found]:
        """What every process has, in the order of their numbers."""
        return [value]

    def copy_first(self, network: nn.Module) -> None:
        """Give a network the parameters and buffers that it has in the first process."""

    def wait(self) -> None:
        """Go on when all are here."""

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Inside, the first process is alone; the others come in when it has left, for what it has prepared."""
        yield


ALONE = Ranks()


class _Together(Ranks):
    """One of several processes.

    Every method but `mine` and `weigh` is called by all of them, in the same order.

    Args:
        group: torch's, of all processes.
        device: where its backend wants tensors.

    Raises:
        LostProcessError: from any method, where another process ended or does not answer.
    """

    def __init__(self, group: Any, device: str) -> None:
        self.count, self.index = dist.get_world_size(group), dist.get_rank(group)
        self._group, self._device = group, device

    def _bounds(self, n_samples: int) -> tuple[int, int]:
        """The first of this process's samples and the one after its last; the earlier processes have one more."""
        each, more = divmod(n_samples, self.count)
        first = self.index * each + min(self.index, more)
        return first, first + each + (self.index < more)

    def mine(self, rows: Rows) -> Rows:
        """See `Ranks`."""
        first, after = self._bounds(len(rows))
        return rows[first:after]

    def weigh(self, mean: Float[Tensor, ""], n_mine: int, n_samples: int) -> Float[Tensor, ""]:
        """See `Ranks`."""
        return mean * (n_mine / n_samples)

    def whole(self, rows: Float[Tensor, "share unit"], n_samples: int) -> Float[Tensor, "batch unit"]:
        """See `Ranks`."""
        first, after = self._bounds(n_samples)
        known = rows.new_zeros(n_samples, *rows.shape[1:])
        known[first:after] = rows.detach()
        self.add_up([known])
        return torch.cat([known[:first], rows, known[after:]])

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """See `Ranks`."""
        flat = torch.cat([tensor.detach().reshape(-1).to(self._device) for tensor in tensors])
        with _answered():
            dist.all_reduce(flat, group=self._group)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def add_gradients(self, parameters: Sequence[nn.Parameter], loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """See `Ranks`. A parameter that has a gradient in no process keeps none."""
        gradients = [
            torch.zeros_like(parameter.detach()) if parameter.grad is None else parameter.grad
            for parameter in parameters
        ]
        present = torch.tensor([parameter.grad is not None for parameter in parameters])
        total = loss.detach().clone()
        self.add_up([*gradients, present, total])
        for parameter, gradient, is_there in zip(parameters, gradients, present.tolist(), strict=True):
            parameter.grad = gradient if is_there else None
        return total

    def from_first(self, find: Callable[[], Found]) -> Found:
        """See `Ranks`."""
        found: list[Any] = [find() if self.is_first else None]
        with _answered():
            dist.broadcast_object_list(found, src=0, group=self._group)
        return found[0]

    def of_each(self, value: Found) -> list[Found]:
        """See `Ranks`."""
        found: list[Any] = [None] * self.count
        with _answered():
            dist.all_gather_object(found, value, group=self._group)
        return found

    def copy_first(self, network: nn.Module) -> None:
        """See `Ranks`."""
        tensors = [tensor.detach() for tensor in (*network.parameters(), *network.buffers())]
        for tensor, first in zip(tensors, self.from_first(lambda: tensors), strict=True):
            tensor.copy_(first)

    def wait(self) -> None:
        """See `Ranks`."""
        with _answered():
            dist.barrier(group=self._group)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """See `Ranks`."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def leave(self) -> None:
        """Close the connections, which tells the others of an error. Torch does so once nothing refers to the group."""
        group, self._group = self._group, None
        dist.destroy_process_group(group)


@contextmanager
def together(network: nn.Module | None = None, *, wait: timedelta = _WAIT) -> Iterator[Ranks]:
    """Inside, all processes of torch's default group, if there is one, work together; all of them must enter.

    They leave together, too. If one leaves with an error, or dies, each other one gets a LostProcessError as soon as it
    needs it.

    Args:
        network: what they train; it tells the device of what they exchange.
        wait: how long a process may be silent while others need it.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        yield ALONE
        return
    device = "cpu" if network is None else next((value.device.type for value in network.parameters()), "cpu")
    with _answered():
        ranks = _Together(dist.new_group(timeout=wait, backend="nccl" if device == "cuda" else "gloo"), device)
    try:
        yield ranks
        ranks.wait()
    finally:
        ranks.leave()


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch has no narrower class for a closed connection
        error.with_traceback(None)  # whose frames refer to the group, see `leave`
        raise LostProcessError("Training stopped because another of its processes ended or did not answer.") from error

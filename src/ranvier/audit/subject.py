"""What is checked: a network, what it is fed, and what is asked of its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ranvier.audit import activity
from ranvier.audit.activity import Call
from ranvier.errors import RunawayError
from ranvier.gradients import EventProp
from ranvier.layers import Network, Spiking
from ranvier.spikes import Spikes

Loss = Callable[..., Tensor]

UNBOUNDED = EventProp(min_slope=0.0)
_STEEP = EventProp(min_slope=0.01)  # crossings below this slope are called exploding


@dataclass(frozen=True)
class Run:
    """A loss and what the layers did."""

    loss: Tensor
    calls: list[Call]

    @property
    def spiking(self) -> list[Call]:
        """The calls of spiking layers."""
        return [call for call in self.calls if isinstance(call.module, Spiking)]

    @property
    def silent(self) -> str | None:
        """The first layer that emitted nothing."""
        return next((call.name for call in self.calls if not call.emitted.n_events), None)

    @property
    def grid(self) -> float | None:
        """The grid step, where any layer lies on one."""
        ends = (end for call in self.calls for end in (call.received, call.emitted) if end is not None)
        return next((end.dt for end in ends if end.dt is not None), None)

    def agreement(self, other: Run) -> float:
        """The fraction of (sample, unit) pairs, of all spiking layers together, that spike as often in another run."""
        counts = {call.name: activity.counts(call.emitted) for call in other.spiking}
        pairs = [activity.counts(call.emitted) == counts[call.name] for call in self.spiking if call.name in counts]
        return float(torch.cat([each.flatten() for each in pairs]).double().mean()) if pairs else 1.0


@dataclass(frozen=True)
class Subject:
    """See the module's docstring; `seed` is what random layers draw from, the same in every run."""

    network: Network
    batch: Spikes
    loss: Loss
    labels: Tensor | None
    seed: int

    def run(self) -> Run:
        """The loss, and what the layers did on the way.

        Raises:
            ValueError: the loss is not one number.
        """
        self._seed()
        with activity.watched(self.network) as calls:
            output = self.network(self.batch).output
        value = cast(object, self.loss(output) if self.labels is None else self.loss(output, self.labels))
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"`loss` of check_gradients must return one number as a tensor. Got {got}.")
        return Run(value.reshape(()), calls)

    def _seed(self) -> None:
        torch.default_generator.manual_seed(self.seed)  # torch.manual_seed asks for a stack trace, in a ms
        if self.batch.times.is_cuda:
            torch.cuda.manual_seed_all(self.seed)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name in the network."""
        named = self.network.named_parameters()
        return {name.removeprefix("layers."): value for name, value in named if value.requires_grad}

    def gradient(self, run: Run) -> dict[str, Tensor]:
        """The gradient of a run's loss by every parameter; zero where they are not connected."""
        parameters = self.parameters
        if not run.loss.requires_grad:
            return {name: torch.zeros_like(value) for name, value in parameters.items()}
        found = torch.autograd.grad(run.loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
        return dict(zip(parameters, found, strict=True))

    def exact(self, gradient: EventProp) -> Subject:
        """The same weights, shared, and the same events in continuous time."""
        batch = self.batch
        if batch.dt is not None or batch.support is not None:
            batch = Spikes.trusted(
                units=batch.units,
                times=batch.times.detach(),
                amplitudes=batch.amplitudes.detach(),
                offsets=batch.offsets,
                unit_shape=batch.unit_shape,
                duration=batch.duration,
            )
        return Subject(self.network.with_gradient(gradient), batch, self.loss, self.labels, self.seed)

    def truth(self) -> Run | str:
        """The run on the exact engine, its records counting exploding jumps; or why there is none."""
        try:
            with torch.no_grad():
                run = self.exact(_STEEP).run()
        except (AttributeError, RuntimeError, RunawayError, TypeError, ValueError) as error:
            return " ".join(str(error).split())
        if run.grid is not None:
            return f"One of its layers puts its input on a grid of {run.grid:g} s."
        if not bool(run.loss.isfinite()):
            return f"Its loss there must be finite. Got {run.loss.item()}."
        return run

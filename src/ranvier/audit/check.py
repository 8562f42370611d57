"""`check_gradients`: a network's gradients against central differences of the exact engine.

The truth of a network on a grid is the same network with the same weights in continuous time, fed the same events.
Everything happens in float64, since in float32 a difference of two losses is mostly rounding.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from ranvier.audit import activity
from ranvier.audit.compare import compared, described, ratio
from ranvier.audit.report import LayerReport, ParameterReport, Report, Status
from ranvier.audit.subject import UNBOUNDED, Loss, Run, Subject
from ranvier.gradients import Surrogate
from ranvier.layers import Network, SilentLayerWarning
from ranvier.neurons.number import number
from ranvier.spikes import Spikes

_EXACT, _GRID = 1e-6, 0.5  # default tolerances; see the room's README
_AGREEMENT = 0.9  # least fraction of spike counts that must be the exact engine's
_USABLE = 0.5  # least fraction of a parameter's directions


def check_gradients(
    network: Network,
    batch: Spikes,
    loss: Loss,
    labels: Tensor | None = None,
    *,
    n_directions: int = 16,
    tolerance: float | None = None,
    seed: int = 0,
) -> Report:
    """Compare a network's gradients with the slopes of its loss, and say what else stands in their way.

        report = rv.check_gradients(network, batch, rv.FirstSpikeCrossEntropy(), labels)
        report = rv.check_gradients(network, batch, lambda output: output.first_times().sum())
        print(report)
        assert report.passed

    The network is left as it is: all work is done on a float64 copy. Its mode (`train` or `eval`) is kept, and random
    layers draw the same numbers in every run.

    Args:
        network: on a grid or in continuous time, as `batch` is; every `requires_grad` parameter is checked.
        batch: input; a few samples are enough, and cheap.
        loss: of the network's output, a scalar. On a grid it is also given the output of the exact engine, so a loss on
            traces must take a `Membrane` too, as the library's do. Leave activity penalties out: their gradient is a
            heuristic under EventProp, and the slope of a count is zero.
        labels: passed on as the loss's second argument.
        n_directions: per parameter; a smaller tensor is checked entry by entry. The gradient's own comes on top.
        tolerance: largest relative error that passes, > 0; by default 1e-6 in continuous time and 0.5 on a grid,
            where EventProp's error is of the order of dt. Surrogate gradients have nothing to pass.
        seed: of the directions and of random layers.

    Returns:
        A report. There is no verdict on a network with a silent layer, or one whose spike counts on the grid agree with
        the exact engine's in less than 90 % of the (sample, unit) pairs.

    Raises:
        TypeError, ValueError: naming argument, rule and value; also for a surrogate layer in continuous time.
    """
    _check_arguments(network, batch, loss, n_directions, tolerance, seed)
    with _unseen(network):
        subject = Subject(copy.deepcopy(network).double(), batch.to(torch.float64), loss, labels, seed)
        return _audit(subject, n_directions, tolerance, torch.Generator().manual_seed(seed))


def _check_arguments(network: Any, batch: Any, loss: Any, n_directions: Any, tolerance: Any, seed: Any) -> None:
    if not isinstance(network, Network):
        raise TypeError(f"`network` of check_gradients must be a Network. Got {type(network).__name__}.")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError("`network` of check_gradients must have a parameter that requires gradient. Got none.")
    if not isinstance(batch, Spikes):
        raise TypeError(f"`batch` of check_gradients must be Spikes. Got {type(batch).__name__}.")
    if not len(batch):
        raise ValueError("`batch` of check_gradients must hold at least one sample. Got none.")
    if not callable(loss):
        raise TypeError(f"`loss` of check_gradients must be called with the network's output. Got {loss!r}.")
    for name, value, least in (("n_directions", n_directions, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"`{name}` of check_gradients must be a whole number >= {least}. Got {value!r}.")
    if tolerance is not None:
        number("`tolerance` of check_gradients", tolerance, "> 0")


@contextmanager
def _unseen(network: Network) -> Iterator[None]:
    """Leave no trace on torch's random state, and warn of nothing that the report says."""
    devices = {parameter.device for parameter in network.parameters() if parameter.device.type == "cuda"}
    with torch.random.fork_rng(list(devices)), warnings.catch_warnings():
        warnings.simplefilter("ignore", SilentLayerWarning)
        yield


def _audit(subject: Subject, n_directions: int, tolerance: float | None, generator: torch.Generator) -> Report:
    run = subject.run()
    if not bool(run.loss.isfinite()):
        raise ValueError(f"`loss` of check_gradients must be finite for the batch. Got {run.loss.item()}.")
    gradient, grid = subject.gradient(run), subject.batch.dt or run.grid
    found = subject.truth() if _silent(subject, run) is None else None
    truth = found if isinstance(found, Run) else None
    is_biased = any(isinstance(layer.gradient, Surrogate) for layer in subject.network.spiking().values())
    limit = tolerance or (_EXACT if grid is None else _GRID)
    parameters = [described(name, value) for name, value in gradient.items()]
    reason = _refusal(subject, run, found, grid)
    if reason is None:
        parameters = _compared(subject, gradient, grid, n_directions, limit, generator)
    status, verdict = ("refused", reason) if reason else _judge(parameters, limit, grid, is_biased=is_biased)
    return Report(
        status=status,
        verdict=verdict,
        method=f"{_method(subject.network)} {'in continuous time' if grid is None else f'on a grid of {grid:g} s'}",
        n_samples=len(subject.batch),
        tolerance=limit,
        agreement=None if truth is None or grid is None else run.agreement(truth),
        parameters=tuple(parameters),
        layers=_layers(run, truth, on_grid=grid is not None),
    )


def _method(network: Network) -> str:
    """The kinds of gradient in a network, joined by "+"."""
    return "+".join(sorted({type(layer.gradient).__name__ for layer in network.spiking().values()})) or "Autograd"


def _silent(subject: Subject, run: Run) -> str | None:
    """The first layer that emitted nothing, or was not even called."""
    called = {call.name for call in run.calls}
    return run.silent or next((name for name in subject.network.spiking() if name not in called), None)


def _refusal(subject: Subject, run: Run, truth: Run | str | None, grid: float | None) -> str | None:
    """Why there can be no verdict, if so."""
    silent = _silent(subject, run)
    if silent is not None or truth is None:
        return f"Layer '{silent}' emits no spike in this batch, and silence has no gradient to check."
    if isinstance(truth, str):
        return f"The exact engine cannot run this network. {truth}"
    if truth.silent is not None:
        return f"Layer '{truth.silent}' emits no spike on the exact engine: make dt smaller than {grid:g} s."
    agreement = run.agreement(truth)
    if grid is not None and agreement < _AGREEMENT:
        return (
            f"Only {agreement:.1%} of the units spike as often as on the exact engine, and at least {_AGREEMENT:.0%} "
            f"must: make dt smaller than {grid:g} s."
        )
    return None


def _compared(
    subject: Subject,
    gradient: dict[str, Tensor],
    grid: float | None,
    n_directions: int,
    tolerance: float,
    generator: torch.Generator,
) -> list[ParameterReport]:
    """All gradients against the differences; in continuous time those without the bound on slopes."""
    reference = subject.exact(UNBOUNDED)
    base = reference.run()
    judged = reference.gradient(base) if grid is None else gradient
    found = [
        compared(reference, base, name, value, n_directions=n_directions, tolerance=tolerance, generator=generator)
        for name, value in judged.items()
    ]
    if grid is not None:
        return found
    moved = {name: float((gradient[name] - value).norm()) for name, value in judged.items()}
    return [replace(each, clip_error=ratio(moved[each.name], each.norm)) for each in found]


def _layers(run: Run, truth: Run | None, *, on_grid: bool) -> tuple[LayerReport, ...]:
    exact = {} if truth is None else {call.name: call.emitted for call in truth.spiking}
    layers: list[LayerReport] = []
    for call in run.spiking:
        counts, twin = activity.counts(call.emitted), exact.get(call.name)
        report = LayerReport(
            name=call.name,
            spikes_per_sample=call.emitted.n_events / len(call.emitted),
            dead=float((counts.sum(0) == 0).double().mean()),
        )
        if twin is not None:
            agreement = float((counts == activity.counts(twin)).double().mean()) if on_grid else None
            report = replace(report, exploding=twin.record.clipped / max(twin.n_events, 1), agreement=agreement)
        layers.append(report)
    return tuple(layers)


def _judge(
    found: list[ParameterReport], tolerance: float, grid: float | None, *, is_biased: bool
) -> tuple[Status, str]:
    broken = [each.name for each in found if not isfinite(each.norm)]
    if broken:
        return "failed", f"The gradient of '{broken[0]}' must be finite. Got infinite or undefined entries."
    if all(each.norm == 0 for each in found):
        return "refused", "Every gradient is zero, so there is nothing to check."
    errors = {each.name: _error(each) for each in found}
    name = max(errors, key=lambda name: errors[name])
    worst = errors[name]
    if is_biased and any(each.usable for each in found):
        cosines = [each.cosine for each in found if each.cosine is not None]
        lowest = f", lowest cosine {min(cosines):.2f}" if cosines else ""
        return "biased", (
            "A surrogate's gradient is biased by design and not meant to agree: "
            f"relative error up to {worst:.2g} ('{name}'){lowest}."
        )
    if worst > tolerance:
        advice = "" if grid is None else "; on a grid, whose error is of the order of dt, try a smaller one"
        return "failed", (
            f"The gradient of '{name}' must agree with the differences to {tolerance:g}. "
            f"Got a relative error of {worst:.2g}{advice}."
        )
    poor = min(found, key=lambda each: each.usable / each.tried if each.tried else 1.0)
    if poor.usable < _USABLE * poor.tried:
        return "refused", (
            f"Only {poor.usable} of {poor.tried} directions of '{poor.name}' were usable, and at least "
            f"{_USABLE:.0%} must be: along the others the spikes' pattern changes at every step tried."
        )
    bounded = max((each.clip_error or 0.0 for each in found), default=0.0)
    aside = f", but for `min_slope`, which moves it by {bounded:.1g}" if bounded > tolerance else ""
    return "passed", f"The gradient agrees with the differences to {worst:.1g}{aside}."


def _error(found: ParameterReport) -> float:
    """The larger of the errors over the directions and along the gradient."""
    straight = 0.0 if found.along is None else abs(found.along - 1)
    return max(found.relative_error or 0.0, straight)

"""One parameter's gradient against the slopes of the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, isfinite, sqrt

import torch
from torch import Tensor, nn

from ranvier.audit import activity
from ranvier.audit.report import ParameterReport
from ranvier.audit.slopes import Slope, directions, slope
from ranvier.audit.subject import Run, Subject
from ranvier.errors import RunawayError

_PRECISION = 0.1  # of the tolerance, allowed to the differences themselves


def described(name: str, gradient: Tensor) -> ParameterReport:
    """What can be said of a gradient alone."""
    zeros = float((gradient == 0).double().mean()) if gradient.numel() else 0.0
    return ParameterReport(name, gradient.numel(), float(gradient.norm()), zeros)


@torch.no_grad()
def compared(
    subject: Subject,
    base: Run,
    name: str,
    gradient: Tensor,
    *,
    n_directions: int,
    tolerance: float,
    generator: torch.Generator,
) -> ParameterReport:
    """A gradient against central differences.

    Args:
        subject: whose loss is differentiated, on the exact engine; its parameter is moved and put back.
        base: its run where it stands.
        name: of the parameter.
        gradient: of the parameter.
        n_directions: at most, the gradient's own apart.
        tolerance: which the differences must resolve.
        generator: of the directions.
    """
    report, parameter = described(name, gradient), subject.parameters[name]
    if not parameter.numel() or not isfinite(report.norm):
        return report
    resolution = _PRECISION * tolerance
    size = float(parameter.square().mean().sqrt()) or 1.0

    def along(direction: Tensor) -> Slope:
        return slope(_line(subject, base, parameter, direction), base.loss.item(), size, 0.1 * resolution)

    tried = directions(parameter, n_directions, generator)
    found, promised = [along(each) for each in tried], [float((gradient * each).sum()) for each in tried]
    resolved = [place for place, each in enumerate(found) if isfinite(each.error)]
    scale = max(_norm([found[place].value for place in resolved]), _norm(promised)) / sqrt(len(tried))
    usable = [place for place in resolved if found[place].error <= resolution * scale or scale == 0]
    ours, true = [promised[place] for place in usable], [found[place].value for place in usable]
    both = _norm(ours) * _norm(true)
    report = replace(
        report,
        relative_error=ratio(_norm([a - b for a, b in zip(ours, true, strict=True)]), _norm(true)) if usable else None,
        cosine=sum(a * b for a, b in zip(ours, true, strict=True)) / both if both else None,
        usable=len(usable),
        tried=len(tried),
    )
    if report.norm == 0:
        return report
    steepest = gradient / gradient.abs().max()
    straight, promise = along(steepest), float((gradient * steepest).sum())
    if straight.error > resolution * promise:
        return replace(report, tried=report.tried + 1)
    return replace(report, along=straight.value / promise, usable=report.usable + 1, tried=report.tried + 1)


def ratio(part: float, whole: float) -> float:
    """A relative size, where nothing of nothing is 0."""
    return part / whole if whole else (inf if part else 0.0)


def _line(subject: Subject, base: Run, parameter: nn.Parameter, direction: Tensor) -> Callable[[float], float | None]:
    """The loss as a function of the distance moved along a direction; None where the spikes' pattern is another."""
    start, pattern = parameter.clone(), activity.pattern(base.calls)

    def loss_at(step: float) -> float | None:
        parameter.copy_(start + step * direction)
        try:
            run = subject.run()
        except RunawayError:
            return None
        finally:
            parameter.copy_(start)
        value = run.loss.item()
        return value if isfinite(value) and activity.same(activity.pattern(run.calls), pattern) else None

    return loss_at


def _norm(values: list[float]) -> float:
    return sqrt(sum(value * value for value in values))

"""`Report`: what the auditor found, as numbers and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

Status = Literal["passed", "biased", "failed", "refused"]


@dataclass(frozen=True)
class ParameterReport:
    """One parameter's gradient against the truth.

    Attributes:
        name: in the network.
        entries: how many numbers it holds.
        norm: of its gradient.
        zeros: fraction of its gradient's entries that are exactly 0.
        relative_error: norm of (gradient - truth) over norm of truth, from the usable directions; None without any,
            infinite where the truth is 0 and the gradient is not.
        cosine: between gradient and truth, from the same; None where one of them is 0.
        along: the truth's slope along the gradient over the one that the gradient promises: 1 when it is right, below
            0 when it leads uphill; None where it is 0 or that direction was not usable.
        usable, tried: directions, the gradient's own among them.
        clip_error: how far `min_slope` moves the gradient, relative to its norm; only in continuous time, where
            everything else here is of the gradient without that bound.
    """

    name: str
    entries: int
    norm: float
    zeros: float
    relative_error: float | None = None
    cosine: float | None = None
    along: float | None = None
    usable: int = 0
    tried: int = 0
    clip_error: float | None = None


@dataclass(frozen=True)
class LayerReport:
    """One spiking layer's activity.

    Attributes:
        name: in the network.
        spikes_per_sample: mean.
        dead: fraction of units that spike in no sample.
        exploding: fraction of spikes that cross the threshold with I + bias - V below 0.01 thresholds, where credit for
            a spike's time is multiplied by more than 100; counted on the exact engine. None where that cannot run.
        agreement: the report's, of this layer alone.
    """

    name: str
    spikes_per_sample: float
    dead: float
    exploding: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class Report:
    """What `check_gradients` found; print it for a table.

    Attributes:
        status: "passed"; "biased": a surrogate's gradient, not meant to be exact; "failed"; "refused": no verdict.
        verdict: the same in one sentence, with the reason.
        method: what was checked, as in "EventProp in continuous time".
        n_samples: of the batch.
        tolerance: largest relative error that passes.
        agreement: on a grid, fraction of (sample, unit) pairs of all spiking layers together that spike as often as on
            the exact engine; else None.
        parameters, layers: in the network's order.
    """

    status: Status
    verdict: str
    method: str
    n_samples: int
    tolerance: float
    agreement: float | None
    parameters: tuple[ParameterReport, ...]
    layers: tuple[LayerReport, ...]

    @property
    def passed(self) -> bool:
        """Whether the gradient is right; False also where it is biased by design or there is no verdict."""
        return self.status == "passed"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; an infinite relative error as "inf"."""
        content = asdict(self)
        for parameter in content["parameters"]:
            if parameter["relative_error"] is not None and not isfinite(parameter["relative_error"]):
                parameter["relative_error"] = str(parameter["relative_error"])
        return content

    def __str__(self) -> str:
        """The tables and the verdict."""
        parameters = [("parameter", "norm", "zeros", "error", "cosine", "along", "usable", "clip")]
        for each in self.parameters:
            error, usable = _number(each.relative_error, ".1e"), f"{each.usable}/{each.tried}"
            shown = (
                _number(each.cosine, ".4f"),
                _number(each.along, ".4f"),
                usable,
                _number(each.clip_error or None, ".1e"),
            )
            parameters.append((each.name, f"{each.norm:.2e}", f"{each.zeros:.0%}", error, *shown))
        layers = [("layer", "spikes/sample", "dead", "exploding", "agreement")]
        for layer in self.layers:
            shares = (_number(layer.exploding, ".2%"), _number(layer.agreement, ".1%"))
            layers.append((layer.name, f"{layer.spikes_per_sample:.1f}", f"{layer.dead:.1%}", *shares))
        title = f"{self.method}, {self.n_samples} samples, tolerance {self.tolerance:g}"
        if self.agreement is not None:
            title += f"\n{self.agreement:.1%} of the spike counts are the exact engine's"
        blocks = [title, _table(parameters), _table(layers), f"{self.status.upper()}: {self.verdict}"]
        return "\n\n".join(block for block in blocks if block)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, those of dashes alone left out; nothing for a heading alone."""
    columns = [column for column in zip(*rows, strict=True) if any(cell != "-" for cell in column[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines: list[str] = []
    for row in zip(*columns, strict=True):
        first, *others = (
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]))
    return "\n".join(lines)

"""What is asked about membranes, joined to autograd: the choice of path and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ranvier.neurons.continuous import Continuous
from ranvier.ops import inputs
from ranvier.ops.membrane import cpu, reference
from ranvier.spikes import Spikes


def maximum(spikes: Spikes, w_in: Tensor, neuron: Continuous, path: str) -> Tensor:
    """The maxima [B, N] over [0, duration]; see `Membrane.maximum`."""
    if path == "reference":
        return reference.maximum(spikes, w_in, neuron)
    return _run("maximum", spikes, w_in, neuron, None)


def at(spikes: Spikes, w_in: Tensor, neuron: Continuous, asked: Tensor, path: str) -> Tensor:
    """The membranes [K, B, N] at the times asked [K], float64 and ascending; see `Membrane.at`."""
    if path == "reference":
        return reference.at(spikes, w_in, neuron, asked)
    return _run("at", spikes, w_in, neuron, inputs.array(asked))


def _run(question: cpu.Question, spikes: Spikes, w_in: Tensor, neuron: Continuous, asked: Any) -> Tensor:
    found: Any = _Membrane.apply(
        (question, spikes, asked),
        spikes.times,
        spikes.amplitudes,
        w_in,
        neuron.tau_mem,
        neuron.tau_syn,
        neuron.bias,
    )
    return found


class _Membrane(torch.autograd.Function):
    """The kernels in autograd."""

    @staticmethod
    def forward(
        ctx: Any,
        call: tuple[cpu.Question, Spikes, Any],
        times: Tensor,
        amplitudes: Tensor,
        w_in: Tensor,
        tau_mem: Tensor,
        tau_syn: Tensor,
        bias: Tensor,
    ) -> Tensor:
        question, spikes, asked = call
        given = cpu.Given(
            spikes.offsets.numpy(),
            inputs.array(times),
            spikes.units.numpy(),
            inputs.array(amplitudes),
            inputs.array(w_in),
            _numbers(tau_mem),
            _numbers(tau_syn),
            _numbers(bias),
        )
        per_unit = tau_mem.ndim > 0
        if question == "maximum":
            found, where = cpu.maximum(given, spikes.duration, per_unit)
        else:
            found, where = cpu.at(given, spikes.duration, per_unit, asked), (asked,)
        ctx.call = (question, given, spikes.duration, per_unit, where)
        ctx.save_for_backward(times, amplitudes, w_in)
        return torch.from_numpy(found)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the signature)
        ctx: Any, incoming: Tensor
    ) -> tuple[Tensor | None, ...]:
        ctx.saved_tensors  # noqa: B018 (raises if one was changed in place)
        question, given, duration, per_unit, where = ctx.call
        _, times, amplitudes, w_in, tau_mem, tau_syn, bias = ctx.needs_input_grad
        found = cpu.backward(
            question,
            given,
            duration,
            per_unit,
            where,
            inputs.array(incoming),
            weights=w_in,
            events=times or amplitudes,
            flow=tau_mem or tau_syn,
        )
        return (
            None,
            torch.from_numpy(found.times) if times else None,
            torch.from_numpy(found.amplitudes) if amplitudes else None,
            torch.from_numpy(found.w_in) if w_in else None,
            _of_units(found.tau_mem, per_unit) if tau_mem else None,
            _of_units(found.tau_syn, per_unit) if tau_syn else None,
            _of_units(found.bias, per_unit) if bias else None,
        )


def _numbers(values: Tensor) -> cpu.Array:
    return inputs.array(values).reshape(-1)


def _of_units(values: cpu.Array, per_unit: bool) -> Tensor:
    return torch.from_numpy(values) if per_unit else torch.tensor(np.sum(values))

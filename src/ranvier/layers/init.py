"""Initial weights: small functions that make a drawing rule `(shape, generator) -> weights`."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from ranvier.neurons import Neuron, dynamics
from ranvier.neurons.number import number

Initialiser = Callable[[tuple[int, int], "torch.Generator | None"], Tensor]


def normal(mean: float, std: float) -> Initialiser:
    """Draw independent normal weights.

    Args:
        mean: of every weight.
        std: standard deviation, >= 0.
    """
    mean, std = number("`mean` of init.normal", mean, "finite"), number("`std` of init.normal", std, ">= 0")

    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Float[Tensor, "n_in unit"]:
        return torch.randn(shape, generator=generator) * std + mean

    return draw


def fan_in(mean: float, std: float) -> Initialiser:
    """Draw normal weights whose sum over the n_in inputs has the given mean and standard deviation.

    The number of inputs is the first entry of the shape: mean / n_in and std / sqrt(n_in) per weight.
    """
    mean, std = number("`mean` of init.fan_in", mean, "finite"), number("`std` of init.fan_in", std, ">= 0")

    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Float[Tensor, "n_in unit"]:
        n_in = max(shape[0], 1)
        return torch.randn(shape, generator=generator) * (std / sqrt(n_in)) + mean / n_in

    return draw


def uniform(low: float, high: float) -> Initialiser:
    """Draw independently and uniformly from `low` to `high`, low <= high."""
    low, high = number("`low` of init.uniform", low, "finite"), number("`high` of init.uniform", high, "finite")
    if high < low:
        raise ValueError(f"`high` of init.uniform must be at least `low`, {low}. Got {high}.")

    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Float[Tensor, "n_in unit"]:
        return torch.rand(shape, generator=generator) * (high - low) + low

    return draw


def divided(rule: Initialiser, by: float) -> Initialiser:
    """Draw by another rule, and divide mean and standard deviation, as for inputs that come `by` times.

    Args:
        rule: the other rule.
        by: > 0; behind a `DelayLine` its number of copies.
    """
    by = number("`by` of init.divided", by, "> 0")

    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Float[Tensor, "n_in unit"]:
        return rule(shape, generator) / by

    return draw


def gamma_times(
    mean: float, n_units: int, *, lowest: float, generator: torch.Generator | None = None
) -> tuple[float, ...]:
    """Draw a time constant for each neuron, for `CubaLIF(tau_mem=...)`: Gamma of shape 3, clipped.

    Values below `lowest` become `lowest`, those above 3 mean become 3 mean.

    Nowotny, Turner & Knight, Neuromorph. Comput. Eng. (2025), arXiv 2212.01232, their heterogeneous networks; they have
    `lowest` 3 ms for membranes and 1 ms for synapses.

    Args:
        mean: of the distribution before it is clipped, s, > 0.
        n_units: how many.
        lowest: s, > 0 and at most 3 mean.
        generator: source of randomness.
    """
    mean = number("`mean` of init.gamma_times", mean, "> 0", "s")
    lowest = number("`lowest` of init.gamma_times", lowest, "> 0", "s")
    if lowest > 3 * mean:
        raise ValueError(f"`lowest` of init.gamma_times must be at most 3 mean, {3 * mean}. Got {lowest}.")
    if not isinstance(cast(object, n_units), int) or isinstance(n_units, bool) or n_units < 1:
        raise ValueError(f"`n_units` of init.gamma_times must be a whole number >= 1. Got {n_units!r}.")
    waits = torch.empty(3, n_units, dtype=torch.float64).exponential_(generator=generator)  # their sum is Gamma(3, 1)
    return tuple(float(time) for time in (waits.sum(0) * (mean / 3)).clamp(lowest, 3 * mean))


def fluctuation_driven(
    neuron: Neuron,
    rate: float,
    *,
    dt: float | None = None,
    mean: float = 0.0,
    xi: float = 1.0,
    share: float = 1.0,
    fan_in: int | None = None,
) -> Initialiser:
    """Draw normal weights under which the membrane of a neuron without reset fluctuates below its threshold.

    Inputs are Poisson trains. Over time the membrane then has the given mean, and mean plus `xi` standard deviations
    is the threshold. With n inputs and the response eps(t) of the membrane to one arrival of weight 1

        mu_W = mean / (n rate ebar)        sigma_W^2 = ((threshold - mean) / xi)^2 / (n rate ehat) - mu_W^2

    where ebar is the integral of eps, ehat that of its square; on a grid dt times the sums over our own steps. For
    CubaLIF in continuous time ebar = tau_syn, ehat = tau_syn^2 / (2 (tau_syn + tau_mem)). The neuron's bias counts
    towards the mean. Neurons differ in their means, since each keeps the weights it drew: over time and neurons the
    variance is (1 + rate ebar^2 / ehat) times that over time. Rossbroich, Gygax & Zenke (2022), whose grid is another.

    A layer with recurrence shares the variance between its connections: `share=0.9` in the rule of the inputs and
    `share=0.1` in that of the recurrent weights, both with `fan_in` n_in + n_out; sigma_W^2's first term is
    multiplied by the share, and the mean weight is the same in both.

    Args:
        neuron: model and values, which may differ between units.
        rate: of every input, Hz, > 0; the literature's is the data set's mean rate, in every layer.
        dt: grid step, s, > 0; None for continuous time.
        mean: of the membrane, below the threshold.
        xi: standard deviations from the mean to the threshold, > 0; usually 1 to 3.
        share: of the membrane's variance that this connection makes, > 0 and <= 1.
        fan_in: all inputs of a neuron, those of its other connections too; None for this connection's alone.

    Raises:
        ValueError: naming argument, rule and value; when weights are drawn, `mean` is out of reach: so few inputs at
            so low a rate fluctuate more than `xi` allows.
    """
    rule = "init.fluctuation_driven"
    rate, mean = number(f"`rate` of {rule}", rate, "> 0", "Hz"), number(f"`mean` of {rule}", mean, "finite")
    xi, share = number(f"`xi` of {rule}", xi, "> 0"), number(f"`share` of {rule}", share, "> 0")
    if share > 1:
        raise ValueError(f"`share` of {rule} must be > 0 and <= 1. Got {share}.")
    dt = None if dt is None else number(f"`dt` of {rule}", dt, "> 0", "s")
    whole = isinstance(cast(object, fan_in), int) and not isinstance(fan_in, bool)
    if fan_in is not None and not (whole and fan_in >= 1):
        raise ValueError(f"`fan_in` of {rule} must be a whole number >= 1, or None. Got {fan_in!r}.")
    if fan_in is None and share < 1 and mean != 0:
        raise ValueError(f"`fan_in` of {rule} must be given where `share` is below 1 and `mean` is not 0. Got None.")
    if not isinstance(cast(object, neuron), Neuron) or not neuron.spiking:
        raise TypeError(f"`neuron` of {rule} must be a spiking model such as CubaLIF(). Got {neuron!r}.")
    values = neuron.tensors()
    room = values["threshold"] - mean
    if not bool((room > 0).all()):
        raise ValueError(f"`mean` of {rule} must be below the threshold, {values['threshold'].min()}. Got {mean}.")
    ebar, ehat = _response_moments(neuron, dt)
    pull = mean - values.get("bias", torch.zeros((), dtype=torch.float64))

    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Float[Tensor, "n_in unit"]:
        n_in = max(shape[0], 1)
        mu = pull / ((fan_in or n_in) * rate * ebar)
        variance = share * (room / xi).square() / (n_in * rate * ehat) - mu.square()
        if not bool((variance >= 0).all()):
            raise ValueError(
                f"`mean` of {rule} must be within reach of {n_in} inputs of {rate} Hz, which alone fluctuate more than "
                f"`xi` = {xi} allows. Got {mean}."
            )
        drawn = torch.randn(shape, generator=generator)
        return drawn * variance.sqrt().to(drawn.dtype) + mu.to(drawn.dtype)

    return draw


def _response_moments(neuron: Neuron, dt: float | None) -> tuple[Tensor, Tensor]:
    """The integrals of the membrane's response to one arrival and of its square, s; [] or [N], float64.

    One linear system each, so that equal time constants are no special case. The response is an entry of exp(A t),
    with A the flow: its integrals are entries of -A^-1 and of -(A x 1 + 1 x A)^-1, x the Kronecker product. On a grid,
    with the propagator P, of dt (1 - P)^-1 and dt (1 - P x P)^-1, less step 0 where arrivals come after it.
    """
    flow = neuron.flow(neuron.tensors())[0]
    n_states, entered = flow.shape[-1], neuron.states.index(neuron.entered)
    one = torch.eye(n_states, dtype=torch.float64)
    pair = entered * (n_states + 1)  # the entered state, twice
    if dt is None:
        single, double = -flow, -(_kron(flow, one) + _kron(one, flow))
        scale, at_once = 1.0, 0.0
    else:
        step = dynamics(neuron, dt, None, torch.float64).propagator
        single, double = one - step, torch.eye(n_states**2, dtype=torch.float64) - _kron(step, step)
        scale, at_once = dt, float(neuron.arrival == "after" and entered == 0)
    ebar, ehat = single.inverse()[..., 0, entered], double.inverse()[..., 0, pair]
    return scale * (ebar - at_once), scale * (ehat - at_once)


def _kron(a: Tensor, b: Tensor) -> Tensor:
    """The Kronecker product of the last two axes; torch's takes that of all."""
    return (a[..., :, None, :, None] * b[..., None, :, None, :]).flatten(-4, -3).flatten(-2)

"""Yin-Yang with learned delays: one exact spike per neuron, told by the output that spikes first.

Göltz et al., DelGrad, Nat. Commun. 16:8245 (2025). Their single nets of 4-30-3, evaluated from the spikes they
published, reach 96.7 % with weights alone, 97.5 % with axonal delays and 98.2 % with synaptic delays.

Units. Their neuron is C dV/dt = -g V + sum of w exp(-(t - t_i) / tau_syn), with threshold 1, C = tau_syn = 1 and
g = 1/2, so tau_mem = C / g = 2. Divided by g it is ours, tau_mem dV/dt = -V + I, with weights w / g. When it spikes
depends on the ratio of weights to threshold alone: with threshold g in place of 1 the weights are theirs as they stand,
and so are initial values, learning rates and bumps. The loss measures time in tau_syn, as theirs does.

Delays. An axonal delay belongs to the sender, one for each input and one for each hidden neuron; a synaptic one to the
connection. Both are tau_syn sigmoid(x), where x is learned and starts normal, with mean 0 and standard deviation 1/4.

One departure. A spike that grazes the threshold has an endless gradient. They leave a sample out of a neuron's weight
gradient where its share of one weight's is above 0.2, which happens a few times in 300 epochs; here the slope is
bounded, which keeps the sign, so low that it concerns a few in a million spikes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ranvier.data import Splits, load_yinyang
from ranvier.gradients import EventProp
from ranvier.layers import Delay, Delays, Network, Spiking, init
from ranvier.losses import DeltaMSE
from ranvier.neurons import CubaLIF
from ranvier.studies.config import RunConfig
from ranvier.studies.study import Study, augment_of, fit_config, gridded, regularisers_of
from ranvier.training import WakeSilent

_N_OUT = 3
_FIRST, _LAST, _BIAS, _DELTA = 0.15, 2.0, 0.9, 0.2  # input spikes and the loss's margin, in tau_syn
_MIN_SLOPE = 1 / 300  # concerns 13 to 225 of the 33 million hidden spikes of a training (docs/results.md)
_WAKE = WakeSilent(tolerated={"hidden": 0.3, "output": 0.0}, bump=5e-4)


def load(config: RunConfig) -> Splits:
    """The data in continuous time."""
    return load_yinyang(
        t_min=_FIRST * config.tau_syn,
        t_max=_LAST * config.tau_syn,
        bias_time=_BIAS * config.tau_syn if config.bias_spike else None,
        duration=config.duration,
    )


def assemble(config: RunConfig, splits: Splits) -> Study:
    """The study's parts; see `Study`."""
    assert config.hidden_weights is not None  # RunConfig sees to it
    source = torch.Generator().manual_seed(config.seed)
    rules = Delays(longest=config.tau_syn, initial=_sigmoid_of_normal(config.tau_syn, 0.25))
    layers: dict[str, Any] = {}  # as Network takes them
    n_in = splits.train.inputs.n_units
    for name, before, n_out in (("hidden", "input", config.hidden), ("output", "hidden", _N_OUT)):
        if config.delays == "axonal":
            layers[f"{before}_delays"] = Delay(n_in, rules, generator=source)
        layers[name] = Spiking(
            n_in,
            n_out,
            neuron(config.tau_mem, config.tau_syn),
            gradient=EventProp(min_slope=_MIN_SLOPE),
            weights=init.normal(*(config.hidden_weights if name == "hidden" else config.output_weights)),
            delays=rules if config.delays == "synaptic" else None,
            generator=source,
        )
        n_in = n_out
    return Study(
        splits=gridded(splits, config),
        network=Network(**layers),
        loss=DeltaMSE(delta=_DELTA * config.tau_syn, unit=config.tau_syn),
        fit=fit_config(config, _rates(config), _WAKE),
        regularisers=regularisers_of(config),
        augment=augment_of(config),
    )


def neuron(tau_mem: float, tau_syn: float) -> CubaLIF:
    """The neuron of the module's docstring, in whose threshold the leak is."""
    return CubaLIF(tau_mem=tau_mem, tau_syn=tau_syn, threshold=tau_syn / tau_mem, refractory=torch.inf)


def _rates(config: RunConfig) -> dict[str, float]:
    if config.delay_rate is None:
        return {}
    layers = ("input_delays", "hidden_delays") if config.delays == "axonal" else ("hidden.delays", "output.delays")
    return dict.fromkeys(layers, config.delay_rate)


def _sigmoid_of_normal(longest: float, std: float) -> init.Initialiser:
    def draw(shape: tuple[int, int], generator: torch.Generator | None) -> Tensor:
        return longest * torch.sigmoid(std * torch.randn(shape, generator=generator))

    return draw

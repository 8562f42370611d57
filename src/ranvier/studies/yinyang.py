"""Yin-Yang: three classes of points in a disc, told by the first spike or by the largest membrane.

Wunderlich & Pehle, Sci. Rep. 11:12829 (2021), figure 2: 98.1 ± 0.2 % test accuracy after 100 epochs in
continuous time. With EventProp both layers spike and the class is the output that spikes first; a surrogate
gradient does not flow through times, so there the output is a leaky readout and the class is the one that
rises highest.
"""

from __future__ import annotations

import torch

from ranvier.data import Splits, load_yinyang
from ranvier.layers import Network, Readout, Spiking, init
from ranvier.losses import FirstSpikeCrossEntropy, MaxOverTimeCrossEntropy
from ranvier.neurons import LI, CubaLIF
from ranvier.studies.config import RunConfig
from ranvier.studies.study import Study, augment_of, fit_config, gradient_of, gridded, regularisers_of

_N_IN, _N_OUT = 5, 3


def load(config: RunConfig) -> Splits:
    """The data in continuous time."""
    return load_yinyang(duration=config.duration)


def assemble(config: RunConfig, splits: Splits) -> Study:
    """The study's parts; see `Study`."""
    assert config.hidden_weights is not None  # RunConfig sees to it
    source = torch.Generator().manual_seed(config.seed)
    neuron, gradient = CubaLIF(tau_mem=config.tau_mem, tau_syn=config.tau_syn), gradient_of(config)
    hidden = Spiking(
        _N_IN,
        config.hidden,
        neuron,
        gradient=gradient,
        weights=init.normal(*config.hidden_weights),
        generator=source,
    )
    output_weights = init.normal(*config.output_weights)
    if config.gradient == "eventprop":
        loss = FirstSpikeCrossEntropy()
        output = Spiking(config.hidden, _N_OUT, neuron, gradient=gradient, weights=output_weights, generator=source)
    else:
        loss = MaxOverTimeCrossEntropy()
        readout = LI(tau_mem=config.tau_mem, tau_syn=config.tau_syn)
        output = Readout(config.hidden, _N_OUT, readout, weights=output_weights, generator=source)
    return Study(
        splits=gridded(splits, config),
        network=Network(hidden=hidden, output=output),
        loss=loss,
        fit=fit_config(config),
        regularisers=regularisers_of(config),
        augment=augment_of(config),
    )

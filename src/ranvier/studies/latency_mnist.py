"""Latency-coded images, MNIST and Fashion-MNIST: bright pixels spike first, the highest readout wins.

Wunderlich & Pehle, Sci. Rep. 11:12829 (2021), figure 3: 97.6 ± 0.1 % test accuracy on MNIST after 100 epochs.
"""

from __future__ import annotations

import torch

from ranvier.data import Splits, load_fashion_mnist, load_mnist
from ranvier.layers import Network, Readout, Spiking, init
from ranvier.losses import MaxOverTimeCrossEntropy
from ranvier.neurons import LI, CubaLIF
from ranvier.studies.config import RunConfig
from ranvier.studies.study import Study, augment_of, fit_config, gradient_of, gridded, regularisers_of

_N_OUT = 10


def load(config: RunConfig) -> Splits:
    """The data in continuous time."""
    read = load_mnist if config.dataset == "mnist" else load_fashion_mnist
    return read(config.data_dir, duration=config.duration)


def assemble(config: RunConfig, splits: Splits) -> Study:
    """The study's parts; see `Study`."""
    assert config.hidden_weights is not None  # RunConfig sees to it
    source = torch.Generator().manual_seed(config.seed)
    n_in = splits.train.inputs.n_units
    hidden = Spiking(
        n_in,
        config.hidden,
        CubaLIF(tau_mem=config.tau_mem, tau_syn=config.tau_syn),
        gradient=gradient_of(config),
        weights=init.normal(*config.hidden_weights),
        generator=source,
    )
    output = Readout(
        config.hidden,
        _N_OUT,
        LI(tau_mem=config.tau_mem, tau_syn=config.tau_syn),
        weights=init.normal(*config.output_weights),
        generator=source,
    )
    return Study(
        splits=gridded(splits, config),
        network=Network(hidden=hidden, output=output),
        loss=MaxOverTimeCrossEntropy(),
        fit=fit_config(config),
        regularisers=regularisers_of(config),
        augment=augment_of(config),
    )

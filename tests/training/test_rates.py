"""Learning rates: their decay, and parameters with rates of their own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ranvier.errors import RunError
from ranvier.layers import Delays, Network, Spiking, init
from ranvier.neurons import CubaLIF
from ranvier.training import FitConfig, checkpoint, fit
from tests.training.tiny import LOSS, equal, tiny_data, tiny_network, weights

TRAIN, VALIDATION = tiny_data(50, 42), tiny_data(20, 41)
CONFIG = FitConfig(epochs=1, batch_size=50, learning_rate=1e-3, threads=1)


def delayed_network() -> Network:
    source, neuron = torch.Generator().manual_seed(0), CubaLIF(tau_mem=20e-3, tau_syn=5e-3)
    delays = Delays(longest=5e-3)
    return Network(
        hidden=Spiking(5, 12, neuron, weights=init.normal(2.0, 0.78), delays=delays, generator=source),
        output=Spiking(12, 3, neuron, weights=init.normal(2.5, 0.5), delays=delays, generator=source),
    )


def run(config: FitConfig, network: Network | None = None, folder: Path | None = None) -> tuple[Any, dict[str, float]]:
    """A training's result and, by parameter, the largest change; in one step Adam's is the learning rate."""
    network = delayed_network() if network is None else network
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    result = fit(network, LOSS, TRAIN, VALIDATION, config, run_dir=folder, resume=folder is not None, progress=False)
    changed = {name: (value - before[name]).abs().max().item() for name, value in network.named_parameters()}
    return result, {name.removeprefix("layers."): change for name, change in changed.items()}


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, (1e-3, 1e-3, 1e-3, 1e-3)),
        ({"hidden.delays": 3e-2}, (1e-3, 3e-2, 1e-3, 1e-3)),
        ({"hidden": 2e-2}, (2e-2, 2e-2, 1e-3, 1e-3)),
        ({"hidden": 2e-2, "hidden.delays.free": 3e-2}, (2e-2, 3e-2, 1e-3, 1e-3)),
        ({"hidden.w_in": 2e-2, "output": 3e-2, "hidden.delays": 4e-2}, (2e-2, 4e-2, 3e-2, 3e-2)),
    ],
    ids=["none", "delays", "a layer", "the longest counts", "all"],
)
def test_parameters_have_their_own_rates(rates: dict[str, float], expected: tuple[float, ...]) -> None:
    result, changed = run(replace(CONFIG, rates=rates))
    names = ("hidden.w_in", "hidden.delays.free", "output.w_in", "output.delays.free")
    assert [changed[name] for name in names] == pytest.approx(expected, rel=1e-2)
    assert result.metrics["learning_rate"] == 1e-3


def test_all_rates_decay_every_so_many_epochs(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=1, rates={"hidden.delays": 4e-3}, decay=0.5, decay_every=3)
    network, told = delayed_network(), []
    for epochs in range(1, 8):
        result, _ = run(replace(config, epochs=epochs), network, tmp_path)
        groups = checkpoint.load(tmp_path / "last.pt")["optimiser"]["param_groups"]
        assert [group["lr"] / result.metrics["learning_rate"] for group in groups] == [1.0, 4.0]
        told.append(result.metrics["learning_rate"])
    assert told == [1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 5e-4, 2.5e-4]


def test_resumed_equals_whole_to_the_bit(tmp_path: Path) -> None:
    config = replace(CONFIG, batch_size=16, epochs=4, rates={"hidden.delays": 4e-3}, decay_every=2)
    whole, parts = delayed_network(), delayed_network()
    run(config, whole)
    run(replace(config, epochs=3), parts, tmp_path)
    parts = delayed_network()
    run(config, parts, tmp_path)
    assert equal(weights(parts), weights(whole))


@pytest.mark.parametrize(
    "change", [{"rates": {"hidden.delays": 5e-3}}, {"decay_every": 3}], ids=["rates", "decay_every"]
)
def test_other_rates_are_not_resumed(tmp_path: Path, change: dict[str, Any]) -> None:
    config = replace(CONFIG, rates={"hidden.delays": 4e-3}, decay_every=2)
    run(config, folder=tmp_path)
    with pytest.raises(RunError, match=f"`{next(iter(change))}` of FitConfig must be as when the run was started"):
        run(replace(config, epochs=2, **change), folder=tmp_path)


def test_rates_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must name parameters of the network \(hidden\.w_in, .*\)\. Got 'hid'\."):
        fit(tiny_network(), LOSS, TRAIN, VALIDATION, replace(CONFIG, rates={"hid": 1.0}), progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": {"hidden": 0.0}}, "`rates` of FitConfig must be > 0. Got 0.0 for 'hidden'."),
        ({"decay_every": 0}, "`decay_every` of FitConfig must be a whole number >= 1. Got 0."),
    ],
    ids=["rates", "decay_every"],
)
def test_impossible_rates_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared whole)
        FitConfig(**change)
    assert str(raised.value) == message

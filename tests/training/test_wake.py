from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ranvier.layers import Network, Spiking
from ranvier.spikes import Spikes
from ranvier.training import FitConfig, WakeAfterEpoch, WakeSilent, checkpoint, fit
from ranvier.training.metrics import Activity
from ranvier.training.wake import Waker
from tests.training.tiny import LOSS, equal, tiny_data, tiny_network, weights

TRAIN, VALIDATION = tiny_data(50, 42), tiny_data(20, 41)
CONFIG = FitConfig(epochs=4, batch_size=16, learning_rate=5e-3, threads=1)
NEVER_CONTENT = WakeSilent({"hidden": 0.0}, bump=1e-6)  # some of the hidden neurons are always silent


def activity(hidden: list[list[int]], output: list[list[int]]) -> dict[str, Spikes]:
    """One batch of the tiny network: the neurons that spike, sample by sample."""

    def spikes(units: list[list[int]], n_units: int) -> Spikes:
        raster = torch.zeros(4, len(units), n_units)
        for sample, chosen in enumerate(units):
            raster[1, sample, chosen] = 1.0
        return Spikes.from_dense(raster, dt=1e-3)

    return {"hidden": spikes(hidden, 12), "output": spikes(output, 3)}


ALL, OUT = list(range(12)), [0, 1, 2]


def changes(network: Network, act: Callable[[], Any]) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """What `act` returns and adds to the weights of both layers."""
    before = weights(network)
    result = act()
    hidden, output = (new - old for new, old in zip(weights(network), before, strict=True))
    return result, hidden, output


def test_only_neurons_that_miss_a_spike_are_woken() -> None:
    network = tiny_network()
    waker = Waker(WakeSilent({"hidden": 0.1, "output": 0.0}, bump=0.25), network)
    missing = activity([ALL, [*range(2, 12)], [*range(1, 12)]], [OUT, OUT, OUT])  # 3 of 36
    woken, hidden, output = changes(network, lambda: waker.wake(missing))
    assert not woken  # a twelfth of the spikes is tolerated
    assert not hidden.any()
    waker = Waker(WakeSilent({"hidden": 0.05}, bump=0.25), network)
    woken, hidden, output = changes(network, lambda: waker.wake(missing))
    assert woken
    assert torch.allclose(hidden[:, :2], torch.tensor(0.25), atol=1e-6)
    assert not hidden[:, 2:].any()
    assert not output.any()


def test_what_is_tolerated_is_a_share_of_neurons_and_samples() -> None:
    missing = activity([ALL, ALL], [[0], [0, 1]])  # 3 of 6
    for tolerated, expected in ((0.5, False), (0.49, True), (1.0, False), (0.0, True)):
        assert Waker(WakeSilent({"output": tolerated}), tiny_network()).wake(missing) is expected


def test_the_first_layer_of_the_network_goes_first() -> None:
    network = tiny_network()
    waker = Waker(WakeSilent({"output": 0.0, "hidden": 0.0}), network)
    _, hidden, output = changes(network, lambda: waker.wake(activity([[]], [[]])))
    assert bool((hidden > 0).all())
    assert not output.any()
    _, hidden, output = changes(network, lambda: waker.wake(activity([ALL], [[0]])))
    assert not hidden.any()
    assert (output > 0).all(0).tolist() == [False, True, True]


def test_bumps_double_while_the_same_layer_stays_silent() -> None:
    network = tiny_network()
    waker = Waker(WakeSilent({"hidden": 0.0, "output": 0.0}, bump=0.5), network)
    silent, mute, well = activity([[]], [[]]), activity([ALL], [[]]), activity([ALL], [OUT])
    sizes = []
    for batch in (silent, silent, silent, mute, mute, silent, well, silent):
        _, hidden, output = changes(network, lambda batch=batch: waker.wake(batch))
        sizes.append((round(hidden.mean().item(), 3), round(output.mean().item(), 3)))
    assert sizes == [(0.5, 0), (1, 0), (2, 0), (0, 0.5), (0, 1), (0.5, 0), (0, 0), (0.5, 0)]


def test_it_goes_on_from_its_state() -> None:
    network, silent = tiny_network(), activity([[]], [[]])
    first, second = (Waker(WakeSilent({"hidden": 0.0}, bump=0.5), network) for _ in range(2))
    first.wake(silent)
    second.load_state_dict(first.state_dict())
    assert first.state_dict() == {"last": "hidden", "bump": 0.5}
    _, hidden, _ = changes(network, lambda: second.wake(silent))
    assert hidden.mean().item() == pytest.approx(1.0)


def test_a_woken_batch_has_no_gradient_step() -> None:
    network = tiny_network()
    result, hidden, output = changes(
        network,
        lambda: fit(network, LOSS, TRAIN, VALIDATION, replace(CONFIG, epochs=1, wake=NEVER_CONTENT), progress=False),
    )
    assert result.metrics["woken"] == 4
    assert result.metrics["gradient_norms"] == {"hidden": 0.0, "output": 0.0}
    assert not output.any()
    assert hidden.max().item() == pytest.approx(15e-6, rel=0.1)  # 1 + 2 + 4 + 8
    assert hidden.min().item() >= 0


def test_silent_neurons_wake_and_training_goes_on() -> None:
    network = tiny_network()
    with torch.no_grad():
        network.layers["output"].w_in[:, 0] = 0.0
    wake = WakeSilent({"output": 0.0}, bump=0.01)
    result = fit(network, LOSS, TRAIN, VALIDATION, replace(CONFIG, epochs=12, wake=wake), progress=False)
    assert result.metrics["silent"]["output"] == 0
    assert min(result.metrics["gradient_norms"].values()) > 0
    assert result.metrics["woken"] < 4
    plain = tiny_network()
    with torch.no_grad():
        plain.layers["output"].w_in[:, 0] = 0.0
    result = fit(plain, LOSS, TRAIN, VALIDATION, replace(CONFIG, epochs=2), progress=False)
    assert result.metrics["silent"]["output"] > 0
    assert result.metrics["woken"] == 0


def test_a_training_resumed_amid_doubling_ends_with_the_same_bits(tmp_path: Path) -> None:
    def run(epochs: int, folder: Path | None = None) -> list[torch.Tensor]:
        network, config = tiny_network(), replace(CONFIG, epochs=epochs, wake=NEVER_CONTENT)
        fit(network, LOSS, TRAIN, VALIDATION, config, run_dir=folder, resume=folder is not None, progress=False)
        return weights(network)

    expected = run(3)
    run(1, tmp_path)
    assert checkpoint.load(tmp_path / "last.pt")["waker"] == {"last": "hidden", "bump": 8e-6}
    run(2, tmp_path)
    assert equal(run(3, tmp_path), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"hidden": 1.5},), "`tolerated` of WakeSilent must be shares from 0 to 1. Got 1.5 for 'hidden'."),
        (({"hidden": -0.1},), "`tolerated` of WakeSilent must be >= 0. Got -0.1."),
        (({}, 0.0), "`bump` of WakeSilent must be > 0. Got 0.0."),
    ],
    ids=["above", "below", "bump"],
)
def test_impossible_rules_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared whole)
        WakeSilent(*arguments)
    assert str(raised.value) == message


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must name spiking layers \(hidden, output\)\. Got 'hiden'\."):
        Waker(WakeSilent({"hiden": 0.1}), tiny_network())


def test_after_an_epoch_those_silent_throughout_are_raised_a_little() -> None:
    neuron = tiny_network().layers["hidden"].neuron
    layers = {
        "hidden": Spiking(5, 12, neuron, recurrent=True),
        "output": Spiking(12, 3, neuron),
    }
    network, seen = Network(**layers), Activity()
    for hidden in ([[0, 1, 2], [3]], [[4, 5], [*range(6, 11)]]):  # neuron 11 never
        seen.add(activity(hidden, [[0], [0]]), 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    WakeAfterEpoch(["hidden"]).wake(network, seen.never())
    for name, value in network.state_dict().items():
        added = value - before[name]
        raised = added[:, 11:] if name.startswith("layers.hidden") else added[:, :0]
        assert torch.allclose(raised, torch.tensor(2e-3), atol=1e-6)
        assert added.count_nonzero() == raised.numel()


def test_a_training_wakes_after_its_epochs() -> None:
    network = tiny_network()
    with torch.no_grad():
        network.layers["hidden"].w_in[:, 4] = -1.0
    before = network.layers["hidden"].w_in.clone()
    config = replace(CONFIG, epochs=3, wake_after=WakeAfterEpoch(["hidden"], bump=0.25))
    result = fit(network, LOSS, TRAIN, VALIDATION, config, progress=False)
    assert result.metrics["silent"]["hidden"] > 0
    grown = (network.layers["hidden"].w_in - before)[:, 4]
    assert torch.allclose(grown, torch.tensor(0.75), atol=1e-5)


def test_what_is_raised_after_an_epoch_must_be_there() -> None:
    rule = WakeAfterEpoch("hiden")
    with pytest.raises(ValueError, match=r"must name spiking layers \(hidden, output\)\. Got 'hiden'\."):
        fit(tiny_network(), LOSS, TRAIN, VALIDATION, replace(CONFIG, wake_after=rule), progress=False)
    with pytest.raises(ValueError, match=r"`bump` of WakeAfterEpoch must be > 0\. Got -1\.0\."):
        WakeAfterEpoch(["hidden"], bump=-1.0)

"""Real processes train together, and what they end with is compared with one process's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ranvier.data import DropEvents, LabelledSpikes, linear_latency, yinyang_points
from ranvier.errors import RunError
from ranvier.gradients import Esser, EventProp, SuperSpike, Surrogate
from ranvier.layers import Delays, Network, Readout, Spiking, init
from ranvier.losses import (
    IntegralCrossEntropy,
    LowerActivity,
    MaxOverTimeCrossEntropy,
    TargetActivity,
    UpperActivity,
)
from ranvier.neurons import LI, CubaLIF
from ranvier.training import FitConfig, Plateau, WakeAfterEpoch, WakeSilent, checkpoint, evaluate, fit
from ranvier.training.metrics import kept_lines
from tests.training.tiny import LOSS, distance, equal, tiny_data, tiny_network, weights

ROOT = Path(__file__).parents[2]
TRAIN, VALIDATION = tiny_data(49, 42), tiny_data(21, 41)  # the last batch of 16 holds one sample, for one process
CONFIG = FitConfig(epochs=2, batch_size=16, learning_rate=5e-3, threads=1)


def exact_data(n_samples: int, seed: int) -> LabelledSpikes:
    values, labels = yinyang_points(n_samples, seed)
    return LabelledSpikes(linear_latency(values, 0.0, 30e-3, duration=60e-3, bias_time=0.0), labels, 3)


def with_delays() -> Network:
    source = torch.Generator().manual_seed(0)
    neuron = CubaLIF(tau_mem=20e-3, tau_syn=5e-3)
    return Network(
        hidden=Spiking(5, 12, neuron, weights=init.normal(2.0, 0.78), delays=Delays(10e-3), generator=source),
        output=Spiking(12, 3, neuron, weights=init.normal(2.5, 0.5), generator=source),
    )


def with_readout(gradient: Any) -> Network:
    source = torch.Generator().manual_seed(0)
    neuron = CubaLIF(tau_mem=20e-3, tau_syn=5e-3, learn=("tau_mem",))
    return Network(
        hidden=Spiking(
            5,
            12,
            neuron,
            gradient=gradient,
            weights=init.normal(2.0, 0.78),
            recurrent=True,
            recurrent_weights=init.normal(0.0, 0.1),
            generator=source,
        ),
        output=Readout(12, 3, LI(tau_mem=20e-3, tau_syn=5e-3), weights=init.normal(0.5, 0.5), generator=source),
    )


class Sometimes(torch.nn.Module):
    """Scales amplitudes, or not."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1.0))
        self.calls = 0

    def forward(self, spikes: Any) -> Any:
        self.calls += self.training
        return spikes._with(amplitudes=spikes.amplitudes * self.scale) if self.calls % 2 else spikes


def with_a_silent_neuron() -> Network:
    network = tiny_network()
    with torch.no_grad():
        next(network.parameters())[:, 3] = 0.0
    return network


def trained(network: Network, loss: Any = LOSS, config: FitConfig = CONFIG, **options: Any) -> dict[str, Any]:
    """What a training ends with: its weights and its metrics."""
    data = {"train": TRAIN, "validation": VALIDATION} | {
        name: options.pop(name) for name in ("train", "validation") if name in options
    }
    result = fit(network, loss, *data.values(), config, progress=False, **options)
    found = evaluate(network, loss, data["validation"])
    return {"weights": weights(network), "metrics": result.metrics, "found": found, "best": result.best_validation}


def regularised(rules: list[Any], gradient: Any = None) -> dict[str, Any]:
    if gradient is None:
        return trained(tiny_network(), regularisers={"hidden": rules})
    return trained(with_readout(gradient), MaxOverTimeCrossEntropy(), regularisers={"hidden": rules})


EQUAL: dict[str, Callable[[], dict[str, Any]]] = {
    "EventProp on a grid": lambda: trained(tiny_network()),
    "EventProp in continuous time": lambda: trained(
        with_delays(), train=exact_data(49, 42), validation=exact_data(21, 41)
    ),
    "EventProp with readouts": lambda: trained(with_readout(EventProp()), IntegralCrossEntropy()),
    "dense surrogate": lambda: trained(with_readout(Surrogate(SuperSpike(scale=20.0))), MaxOverTimeCrossEntropy()),
    "compact surrogate": lambda: trained(with_readout(Surrogate(Esser(scale=1.0))), MaxOverTimeCrossEntropy()),
    "penalties": lambda: regularised([LowerActivity(0.1, 1.5), UpperActivity(0.1, 0.5)]),
    "a penalty on means over the batch": lambda: regularised([TargetActivity(0.1, 0.3, 1.0, over_batch=True)]),
    "the same with a surrogate": lambda: regularised(
        [TargetActivity(0.1, 0.3, 1.0, over_batch=True)], Surrogate(SuperSpike(scale=20.0))
    ),
    "augmentation": lambda: trained(tiny_network(), augment=DropEvents(0.3)),
    "waking": lambda: trained(
        tiny_network(), config=replace(CONFIG, epochs=1, wake=WakeSilent({"hidden": 0.03}, bump=0.05))
    ),
    "waking after an epoch": lambda: trained(
        with_a_silent_neuron(), config=replace(CONFIG, wake_after=WakeAfterEpoch("hidden", bump=0.05))
    ),
    "a parameter that every other batch does without": lambda: trained(
        Network(sometimes=Sometimes(), **with_readout(Surrogate(SuperSpike(scale=20.0))).layers),
        MaxOverTimeCrossEntropy(),
    ),
    "a plateau": lambda: trained(
        tiny_network(), config=replace(CONFIG, epochs=3, plateau=Plateau(0.0, 0.1, patience=1))
    ),
}


class Marked(torch.nn.Module):
    """Passes its input on; keeps what torch's global source gave it, and a buffer of what it saw."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.drawn: list[float] = []

    def forward(self, spikes: Any) -> Any:
        if self.training:
            self.seen += spikes.n_events
            self.drawn.append(float(torch.rand(())))
        return spikes


def marked() -> dict[str, Any]:
    network = tiny_network()
    marked = Network(mark=Marked(), **network.layers)
    fit(marked, LOSS, TRAIN, VALIDATION, CONFIG, progress=False)
    mark = marked.layers["mark"]
    return {"drawn": mark.drawn, "seen": float(mark.seen)}


def failing(act: Callable[[], None], at: int) -> Callable[..., Any]:
    """An augmentation that does something at its call number `at` in the second process."""
    calls = [0]

    def augment(spikes: Any, generator: torch.Generator) -> Any:
        calls[0] += 1
        if calls[0] == at and torch.distributed.get_rank() == 1:
            act()
        return spikes

    return augment


def mistake() -> None:
    raise ValueError("The second process has made a mistake.")


HELD: list[Exception] = []  # with their tracebacks, as a debugger holds them


def error_of(run: Callable[[], Any]) -> dict[str, Any]:
    started = time.monotonic()
    try:
        run()
    except Exception as error:
        HELD.append(error)
        return {"error": type(error).__name__, "told": str(error), "seconds": time.monotonic() - started}
    return {"error": None}


def worker(index: int, count: int, folder: Path) -> None:
    """What each of the processes does."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=index, world_size=count)
    own = folder / f"seen by {index}"  # the second process must need no disk
    found: dict[str, Any] = {name: run() for name, run in EQUAL.items()}
    found["marked"] = marked()
    found["other weights"] = trained(tiny_network(seed=index))
    augment = DropEvents(0.3)
    trained(tiny_network(), config=replace(CONFIG, epochs=1), augment=augment, run_dir=own)
    found["resumed"] = trained(tiny_network(seed=7), augment=augment, run_dir=own, resume=True)
    found["mistake"] = error_of(lambda: trained(tiny_network(), augment=failing(mistake, 3)))
    found["unwritable"] = error_of(lambda: trained(tiny_network(), run_dir=folder / "meeting"))
    found["other batches"] = error_of(lambda: trained(tiny_network(), config=replace(CONFIG, batch_size=16 + index)))
    found["other data"] = error_of(lambda: trained(tiny_network(), train=TRAIN[index:]))
    torch.save(found, folder / f"{index}.pt")

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    found["killed"] = error_of(lambda: trained(tiny_network(), augment=failing(die, 6), run_dir=folder / "killed"))
    torch.save(found, folder / f"{index}.pt")


def train_together(folder: Path, count: int) -> list[dict[str, Any]]:
    """What each of so many processes found."""
    code = "from pathlib import Path; from tests.training.test_ranks import worker; "
    calls = [f"worker({index}, {count}, Path({str(folder)!r}))" for index in range(count)]
    processes = [
        subprocess.Popen([sys.executable, "-c", code + call], cwd=ROOT, stderr=subprocess.PIPE) for call in calls
    ]
    said = [process.communicate(timeout=300)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, -signal.SIGKILL, 0][:count], "\n".join(said)
    return [torch.load(folder / f"{index}.pt", weights_only=False) for index in range(count)]


def timeless(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if "second" not in name}


@pytest.mark.filterwarnings("ignore::ranvier.layers.network.SilentLayerWarning")  # in batches of one sample
@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_that_train_together(tmp_path: Path, count: int) -> None:
    """One test, not one of each function below: processes take seconds to start."""
    found = train_together(tmp_path, count)
    for name, run in EQUAL.items():
        they_end_where_one_process_does(name, found, run())
    what_is_compared_happens(found[0])
    the_first_ones_weights_are_everybodys(found)
    what_layers_draw_is_each_ones_own_and_buffers_are_the_first_ones(found)
    resumed_equals_whole_to_the_bit(found)
    only_the_first_one_writes(tmp_path)
    another_number_of_processes_does_not_go_on(tmp_path, count)
    a_mistake_in_one_ends_the_others_at_once(found)
    those_that_differ_are_refused(found)
    a_killed_one_ends_the_others_and_the_run_goes_on(tmp_path, found)


Found = list[dict[str, Any]]


def they_end_where_one_process_does(name: str, found: Found, alone: dict[str, Any]) -> None:
    assert alone["metrics"]["spikes_per_sample"]["hidden"] > 0
    assert min(alone["metrics"]["gradient_norms"].values()) > 0
    first, *others = (each[name] for each in found)
    assert distance(first["weights"], alone["weights"]) < 1e-6, name
    told, expected = timeless(first["metrics"]), timeless(alone["metrics"])
    for other in others:
        assert equal(other["weights"], first["weights"]), name
        assert (timeless(other["metrics"]), other["best"]) == (told, first["best"]), name
    within_rounding = ("train_loss", "penalty", "validation_loss", "gradient_norms")
    for key, value in expected.items():
        assert told[key] == (pytest.approx(value, rel=1e-5) if key in within_rounding else value), (name, key)
    assert first["best"] == alone["best"], name
    assert first["found"].spikes_per_sample == alone["found"].spikes_per_sample, name


def what_is_compared_happens(first: dict[str, Any]) -> None:
    plain = first["EventProp on a grid"]["weights"]
    for name in ("augmentation", "penalties", "a penalty on means over the batch"):
        assert distance(first[name]["weights"], plain) > 1e-4, name
    assert 0 < first["waking"]["metrics"]["woken"] < 4
    assert torch.allclose(first["waking after an epoch"]["weights"][0][:, 3], torch.tensor(0.1))
    assert first["a plateau"]["metrics"]["learning_rate"] < 0.6 * CONFIG.learning_rate


def the_first_ones_weights_are_everybodys(found: Found) -> None:
    for each in found:
        assert equal(each["other weights"]["weights"], found[0]["EventProp on a grid"]["weights"])


def what_layers_draw_is_each_ones_own_and_buffers_are_the_first_ones(found: Found) -> None:
    first, *others = (each["marked"] for each in found)
    alone = marked()
    assert first["drawn"] == alone["drawn"]
    for other in others:
        assert not set(first["drawn"]) & set(other["drawn"])
        assert 0 < first["seen"] == other["seen"] < alone["seen"]


def resumed_equals_whole_to_the_bit(found: Found) -> None:
    for each in found:
        assert equal(each["resumed"]["weights"], found[0]["augmentation"]["weights"])
        assert timeless(each["resumed"]["metrics"]) == timeless(found[0]["augmentation"]["metrics"])


def only_the_first_one_writes(folder: Path) -> None:
    assert [line[:12] for line in kept_lines(folder / "seen by 0" / "metrics.jsonl", 99)] == [
        f'{{"epoch": {epoch},' for epoch in (1, 2)
    ]
    assert [path.name for path in folder.glob("seen by *")] == ["seen by 0"]


def another_number_of_processes_does_not_go_on(folder: Path, count: int) -> None:
    with pytest.raises(RunError, match=rf"as many processes as it was started with, {count}\. Got 1\."):
        trained(tiny_network(), augment=DropEvents(0.3), run_dir=folder / "seen by 0", resume=True)


def a_mistake_in_one_ends_the_others_at_once(found: Found) -> None:
    for index, each in enumerate(found):
        assert each["mistake"]["error"] == ("ValueError" if index == 1 else "LostProcessError")
        assert each["mistake"]["seconds"] < 10
        assert each["unwritable"]["error"] == ("LostProcessError" if index else "RunError")
        assert each["unwritable"]["seconds"] < 10
    assert "must be writable" in found[0]["unwritable"]["told"]


def those_that_differ_are_refused(found: Found) -> None:
    for each in found:
        assert {each[name]["error"] for name in ("other batches", "other data")} == {"RunError"}
        assert "`batch_size` of FitConfig must be the same in all processes." in each["other batches"]["told"]
        assert "`train` of fit must be the same in all processes." in each["other data"]["told"]
    assert found[0]["other batches"]["told"].endswith("Got 16 and 17.")


def a_killed_one_ends_the_others_and_the_run_goes_on(folder: Path, found: Found) -> None:
    assert "killed" not in found[1]
    for told in (each["killed"] for each in found if "killed" in each):
        assert told["error"] == "LostProcessError"
        assert told["told"] == "Training stopped because another of its processes ended or did not answer."
        assert told["seconds"] < 10
    loaded = checkpoint.load_last(folder / "killed")
    assert loaded is not None
    assert loaded.content["epoch"] == 1

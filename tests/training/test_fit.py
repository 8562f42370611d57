import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ranvier.data import DropEvents, LabelledSpikes
from ranvier.errors import RunError
from ranvier.losses import LowerActivity, UpperActivity
from ranvier.training import FitConfig, fit
from ranvier.training.identity import identity
from ranvier.training.threads import thread_count
from tests.training.tiny import LOSS, equal, tiny_data, tiny_network, weights

TRAIN, VALIDATION = tiny_data(50, 42), tiny_data(20, 41)
CONFIG = FitConfig(epochs=4, batch_size=16, learning_rate=5e-3, threads=1)


def run(folder: Path | None = None, config: FitConfig = CONFIG, **options: Any) -> tuple[Any, list[torch.Tensor]]:
    network = tiny_network()
    options = {"augment": DropEvents(0.1), "progress": False} | options
    return fit(network, LOSS, TRAIN, VALIDATION, config, run_dir=folder, **options), weights(network)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_learns() -> None:
    network = tiny_network()
    config = replace(CONFIG, epochs=25, learning_rate=0.05)
    result = fit(network, LOSS, TRAIN, VALIDATION, config, progress=False)
    first = fit(tiny_network(), LOSS, TRAIN, VALIDATION, replace(config, epochs=1), progress=False)
    assert result.metrics["train_loss"] < 0.7 * first.metrics["train_loss"]
    assert result.metrics["train_accuracy"] > 0.5


def test_the_seed_fixes_everything_and_matters() -> None:
    _, first = run()
    torch.rand(7)
    _, second = run()
    _, other = run(config=replace(CONFIG, seed=1))
    assert equal(first, second)
    assert not equal(first, other)
    assert not equal(first, weights(tiny_network()))


def test_randomness_and_threads_of_the_caller_are_left_alone() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    run()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_global_randomness_in_a_layer_is_repeated_on_resuming(tmp_path: Path) -> None:
    def noisy(spikes: Any, generator: torch.Generator) -> Any:
        return spikes._with(amplitudes=spikes.amplitudes + 0.1 * torch.randn(spikes.n_events))

    _, whole = run(augment=noisy)
    run(tmp_path, replace(CONFIG, epochs=2), augment=noisy)
    _, parts = run(tmp_path, resume=True, augment=noisy)
    assert equal(whole, parts)


def test_resumed_equals_whole_to_the_bit(tmp_path: Path) -> None:
    whole, expected = run(tmp_path / "whole")
    for epochs in (1, 3, 4):
        part, got = run(tmp_path / "parts", replace(CONFIG, epochs=epochs), resume=True)
    assert equal(got, expected)
    assert [line["epoch"] for line in lines(tmp_path / "parts")] == [1, 2, 3, 4]
    timeless = [
        {name: value for name, value in line.items() if "second" not in name}
        for line in (*lines(tmp_path / "parts"), *lines(tmp_path / "whole"))
    ]
    assert timeless[:4] == timeless[4:]
    assert (part.best_epoch, part.best_validation) == (whole.best_epoch, whole.best_validation)


class Died(BaseException):
    """What the file system raises in place of a power cut."""


@pytest.mark.parametrize("operation", ["replace", "fsync", "torn"])
def test_dying_at_any_file_operation_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    config = replace(CONFIG, epochs=2)
    _, expected = run(config=config)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    replaces, syncs = Path.replace, os.fsync
    finished, moment = False, 0
    while not finished:
        left, folder = [moment], tmp_path / f"{moment}"

        def dying(function: Callable[..., Any], left: list[int] = left) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                if left[0] == 0:
                    if operation == "torn":  # the end of what was written is lost
                        os.truncate(arguments[0], max(os.fstat(arguments[0]).st_size - 20, 0))
                    raise Died
                left[0] -= 1
                return function(*arguments)

            return call

        with monkeypatch.context() as patch:
            if operation == "replace":
                patch.setattr(Path, "replace", dying(replaces))
            else:
                patch.setattr(os, "fsync", dying(syncs) if operation == "fsync" else _files_only(dying(syncs), syncs))
            try:
                run(folder, config)
                finished = True
            except Died:
                pass
        _, got = run(folder, config, resume=True)
        assert equal(got, expected), moment
        assert [line["epoch"] for line in lines(folder)] == [1, 2], moment
        moment += 1
    assert moment > 5


def _files_only(dying: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    def call(descriptor: int) -> Any:
        is_folder = os.fstat(descriptor).st_mode & 0o040000
        return (plain if is_folder else dying)(descriptor)

    return call


def test_a_damaged_last_checkpoint_falls_back_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, expected = run()
    run(tmp_path, replace(CONFIG, epochs=3))
    last = tmp_path / "last.pt"
    last.write_bytes(last.read_bytes()[:-100])
    _, got = run(tmp_path, resume=True, progress=True)
    said = capsys.readouterr()
    assert "last.pt is damaged; continuing from previous.pt, of epoch 2." in said.err
    assert said.out == ""
    assert equal(got, expected)
    assert [line["epoch"] for line in lines(tmp_path)] == [1, 2, 3, 4]


def test_after_a_fall_back_the_good_checkpoint_survives_the_next_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected = run()
    run(tmp_path, replace(CONFIG, epochs=2))
    (tmp_path / "last.pt").write_bytes(b"damaged")
    replace_file = Path.replace

    def dying(path: Path, target: Path) -> Path:
        if path.name == ".last.pt.new":  # what was the last is the previous by now
            raise Died
        return replace_file(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(Died):
            run(tmp_path, resume=True)
    _, got = run(tmp_path, resume=True)
    assert equal(got, expected)


def test_only_damaged_checkpoints_are_an_error(tmp_path: Path) -> None:
    run(tmp_path, replace(CONFIG, epochs=2))
    for name in ("last.pt", "previous.pt"):
        (tmp_path / name).write_bytes(b"no zip")
    with pytest.raises(RunError, match=r"Got damaged last\.pt and previous\.pt\."):
        run(tmp_path, resume=True)


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path, replace(CONFIG, epochs=1))
    with pytest.raises(RunError, match="must not hold a run already"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 8}, "`batch_size` of FitConfig must be as when the run was started, 16. Got 8."),
        ({"epochs": 1}, "`epochs` of FitConfig must be at least those done, 2. Got 1."),
        ({"threads": 2}, "`threads` of FitConfig must be as when the run was started, 1. Got 2."),
    ],
    ids=["batch size", "fewer epochs", "threads"],
)
def test_another_configuration_is_not_resumed(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    run(tmp_path, replace(CONFIG, epochs=2))
    with pytest.raises(RunError) as raised:
        run(tmp_path, replace(CONFIG, **change), resume=True)
    assert str(raised.value) == message


def test_another_network_is_not_resumed(tmp_path: Path) -> None:
    from ranvier.layers import Network, Spiking

    run(tmp_path, replace(CONFIG, epochs=1))
    other = Network(hidden=Spiking(5, 7), output=Spiking(7, 3))
    with pytest.raises(RunError, match="Got other layers"):
        fit(other, LOSS, TRAIN, VALIDATION, CONFIG, run_dir=tmp_path, resume=True, progress=False)


def _one_label_changed() -> LabelledSpikes:
    labels = TRAIN.labels.clone()
    labels[-1] = (labels[-1] + 1) % TRAIN.n_classes
    return replace(TRAIN, labels=labels)


@pytest.mark.parametrize(
    "change",
    [
        {"train": TRAIN[:-1]},
        {"train": _one_label_changed()},
        {"train": replace(TRAIN, inputs=tiny_data(50, 43).inputs)},
        {"validation": VALIDATION[1:]},
    ],
    ids=["a sample less", "a label", "spikes", "validation"],
)
def test_other_data_are_not_resumed(tmp_path: Path, change: dict[str, Any]) -> None:
    run(tmp_path, replace(CONFIG, epochs=1))
    data = {"train": TRAIN, "validation": VALIDATION} | change
    with pytest.raises(RunError) as raised:
        fit(tiny_network(), LOSS, **data, config=CONFIG, run_dir=tmp_path, resume=True, progress=False)
    (name,) = change
    assert str(raised.value).startswith(f"`{name}` of fit must be what it was when the run was started, ")
    assert str(raised.value).endswith(f"Got {identity(data[name])}.")


def test_the_thread_count_of_the_start_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spying(spikes: Any, generator: torch.Generator) -> Any:
        seen.append(torch.get_num_threads())
        return spikes

    with thread_count(2):
        run(tmp_path, replace(CONFIG, epochs=1), augment=spying)
        assert torch.get_num_threads() == 2
        run(tmp_path, replace(CONFIG, epochs=2, threads=None), augment=spying, resume=True)
        assert torch.get_num_threads() == 2
    assert set(seen) == {1}


def test_metrics_tell_what_happened(tmp_path: Path) -> None:
    result, _ = run(tmp_path)
    told = lines(tmp_path)
    assert told[-1] == result.metrics
    assert [line["learning_rate"] for line in told] == pytest.approx([5e-3 * 0.95**epoch for epoch in range(4)])
    for line in told:
        assert set(line["rates"]) == set(line["spikes_per_sample"]) == set(line["silent"]) == {"hidden", "output"}
        assert line["rates"]["hidden"] == pytest.approx(line["spikes_per_sample"]["hidden"] / 12 / 60e-3)
        assert line["rates"]["hidden"] > 0
        assert 0 <= line["silent"]["hidden"] < 1
        assert set(line["gradient_norms"]) == {"hidden", "output"}
        assert min(line["gradient_norms"].values()) > 0
        assert set(line["clipped"]) == {"hidden", "output"}
        assert 0 <= line["ties"] <= 50
        assert line["samples_per_second"] == pytest.approx(50 / line["seconds"])


def test_the_first_of_equally_good_epochs_is_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ranvier.training import checkpoint
    from ranvier.training import fit as fit_function
    from ranvier.training.evaluate import Evaluation

    module = sys.modules[fit_function.__module__]
    accuracies = iter([0.5, 0.7, 0.7, 0.6])
    monkeypatch.setattr(module, "evaluate", lambda *_, **__: Evaluation(1.0, next(accuracies), 0, {}, {}, {}))
    result, _ = run(tmp_path)
    assert (result.best_epoch, result.best_validation) == (2, 0.7)
    assert checkpoint.load(tmp_path / "best.pt")["epoch"] == 2


def test_regularisers_act(tmp_path: Path) -> None:
    _, plain = run()
    result, woken = run(regularisers={"hidden": [LowerActivity(0.1, 5.0), UpperActivity(0.0, 1.0)]})
    assert result.metrics["penalty"] > 0
    assert not equal(plain, woken)


def test_a_regulariser_of_no_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must name spiking layers \(hidden, output\)\. Got 'hiden'\."):
        run(regularisers={"hiden": [LowerActivity(1.0, 1.0)]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "`epochs` of FitConfig must be a whole number >= 1. Got 0."),
        ({"batch_size": True}, "`batch_size` of FitConfig must be a whole number >= 1. Got True."),
        ({"seed": -1}, "`seed` of FitConfig must be a whole number >= 0. Got -1."),
        ({"threads": 0}, "`threads` of FitConfig must be a whole number >= 1. Got 0."),
        ({"learning_rate": float("nan")}, "`learning_rate` of FitConfig must be > 0. Got nan."),
        ({"decay": 0.0}, "`decay` of FitConfig must be > 0. Got 0.0."),
        ({"betas": (0.9, 1.0)}, "`betas` of FitConfig must be two numbers in [0, 1). Got (0.9, 1.0)."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared whole)
        FitConfig(**change)
    assert str(raised.value) == message


def test_empty_data_is_refused() -> None:
    with pytest.raises(ValueError, match="`validation` of fit must hold at least one sample"):
        fit(tiny_network(), LOSS, TRAIN, VALIDATION[:0], CONFIG, progress=False)


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_an_unwritable_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="must be writable"):
        run(tmp_path / name)


@pytest.mark.parametrize("name", ["best.pt", ".last.pt.new"])
def test_a_full_disk_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / f".{name}.tmp").symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"pt.* must be writable\. Got: No space left on device\."):
        run(tmp_path)


def test_progress_goes_to_standard_error_only(capsys: pytest.CaptureFixture[str]) -> None:
    run(progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    told = said.err.splitlines()
    assert len(told) == CONFIG.epochs
    assert told[0].startswith("epoch 1/4  loss ")
    assert "samples/s" in told[0]
    run(progress=False)
    said = capsys.readouterr()
    assert said.out + said.err == ""

import sys
import time
from pathlib import Path

import pytest
import torch

from ranvier.errors import RunError
from ranvier.spikes import Spikes
from ranvier.training.board import Board, scalars
from ranvier.training.metrics import Activity, MetricsFile, kept_lines


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", []),
        ('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n', [1, 2]),
        ('{"epoch": 1}\n{"epoch": 2}\n{"epo', [1, 2]),
        ('{"epoch": 2}\n{"epoch": 1}\n{"epoch": 2}\n', [1, 2]),
        ('rubbish\n{"no": 1}\n[]\n{"epoch": 1}\n\x00\n', [1]),
    ],
    ids=["empty", "too new", "torn", "repeated", "rubbish"],
)
def test_resuming_keeps_each_epoch_once(tmp_path: Path, text: str, kept: list[int]) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(text)
    MetricsFile(tmp_path, 2).append({"epoch": 3})
    assert path.read_text() == "".join(f'{{"epoch": {epoch}}}\n' for epoch in [*kept, 3])
    assert len(kept_lines(path, 0)) == 0


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(RunError, match="must be readable"):
        MetricsFile(tmp_path, 0)


def test_activity_counts_by_layer() -> None:
    batch = [([0.01, 0.02], [0, 0]), ([0.03], [2])]
    spikes = Spikes.from_samples(batch, unit_shape=4, duration=0.1)
    activity = Activity()
    for _ in range(2):
        activity.add({"hidden": spikes, "output": torch.zeros(3, 2, 1)}, 2)
    assert activity.spikes_per_sample() == {"hidden": 1.5}
    assert activity.rates() == {"hidden": pytest.approx(6 / (4 * 4 * 0.1))}
    assert activity.silent() == {"hidden": 0.5}
    assert activity.backends == {"hidden": "input"}


def test_scalars_are_named_by_path() -> None:
    assert scalars({"loss": 1, "rates": {"hidden": 2.5}, "name": "x", "flag": True}) == {
        "loss": 1.0,
        "rates/hidden": 2.5,
    }


def test_tensorboard_shows_each_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path)
    board.add({"epoch": 1, "rates": {"hidden": 2.5}})
    board.close()
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 2)  # files are read in the order of the second they were opened
    again = Board(tmp_path)
    again.add({"epoch": 1, "rates": {"hidden": 3.5}})
    again.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("rates/hidden")] == [(1, 3.5)]


def test_without_tensorboard_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    board = Board(tmp_path)
    board.add({"epoch": 1})
    board.close()
    assert list(tmp_path.iterdir()) == []

import io
import sys

import pytest

from ranvier.training.view import Lines, Live, View, view

LINE = {
    "epoch": 3,
    "train_loss": 0.5,
    "train_accuracy": 0.75,
    "validation_accuracy": 0.7,
    "rates": {"hidden": 4.25},
    "samples_per_second": 1234.5,
}
TEXT = "epoch  3/20  loss 0.5000  accuracy 75.00%  validation 70.00%  rates hidden 4.2 Hz  1,234 samples/s"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "kind"), [(Terminal(), Live), (io.StringIO(), Lines)], ids=["terminal", "file"])
def test_the_view_fits_standard_error(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, kind: type) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert type(view(show=True)) is kind
    assert type(view(show=False)) is View


def test_plain_lines() -> None:
    stream = io.StringIO()
    with Lines(stream) as screen:
        screen.begin_epoch(3, 20, 100)
        screen.batch(50, 0.5, lambda: (0.75, {}))
        screen.end_epoch(LINE, 20)
        screen.note("Something.")
    assert stream.getvalue() == f"{TEXT}\nSomething.\n"


def test_the_live_view_shows_progress_and_keeps_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    stream = Terminal()
    with Live(stream) as screen:
        screen.begin_epoch(3, 20, 100)
        screen.batch(50, 0.625, lambda: (0.75, {"hidden": 2.5}))
        screen.end_epoch(LINE, 20)
    shown = stream.getvalue()
    assert TEXT in shown
    assert "epoch 3/20" in shown
    assert "50/100" in shown
    assert "loss 0.6250" in shown
    assert "accuracy 75.0%" in shown
    assert "rates hidden 2.5 Hz" in shown

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ranvier.errors import RunError
from ranvier.layers import Network
from ranvier.losses import Verdict
from ranvier.training import FitConfig, checkpoint, fit
from tests.training.tiny import LOSS, equal, tiny_data, tiny_network, weights

TRAIN, VALIDATION = tiny_data(40, 42), tiny_data(10, 41)
CONFIG = FitConfig(epochs=3, batch_size=10, threads=1)
BAD_STEP = 6  # of 4 per epoch: epoch 2, batch 2


class Sabotaged:
    """A loss that spoils something at one training step, without being noticed elsewhere."""

    def __init__(self, spoil: Any) -> None:
        self.spoil, self.step, self.good = spoil, 0, []

    def judge(self, output: Any, labels: Tensor) -> Verdict:
        found = LOSS.judge(output, labels)
        if not torch.is_grad_enabled():
            return found
        self.step += 1
        return found._replace(loss=self.spoil(self, found.loss)) if self.step == BAD_STEP else found


def train(network: Network, spoil: Any, folder: Path | None = None) -> None:
    fit(network, Sabotaged(spoil), TRAIN, VALIDATION, CONFIG, run_dir=folder, progress=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_loss_stops(value: float) -> None:
    with pytest.raises(RunError) as raised:
        train(tiny_network(), lambda _, loss: loss * value)
    assert str(raised.value) == (
        f"Training stopped because the loss must stay finite. Got {value} in epoch 2, batch 2."
    )


def test_a_bad_gradient_stops_before_the_step(tmp_path: Path) -> None:
    network, before = tiny_network(), []

    def spoil(_: Sabotaged, loss: Tensor) -> Tensor:
        before.extend(weights(network))
        network.layers["output"].w_in.register_hook(lambda gradient: gradient * float("nan"))
        return loss

    with pytest.raises(RunError) as raised:
        train(network, spoil, tmp_path)
    assert str(raised.value) == (
        "Training stopped because the gradient of `output.w_in` must stay finite. Got nan in epoch 2, batch 2."
    )
    assert equal(weights(network), before)
    kept = checkpoint.load(tmp_path / "last.pt")
    assert kept["epoch"] == 1
    assert all(value.isfinite().all() for value in kept["network"].values())


def test_a_bad_weight_stops() -> None:
    network = tiny_network()

    def spoil(_: Sabotaged, loss: Tensor) -> Tensor:
        network.layers["hidden"].w_in.data[2, 3] = float("inf")  # unseen by autograd
        return loss

    with pytest.raises(
        RunError, match=r"the weights of `hidden\.w_in` must stay finite\. Got inf in epoch 2, batch 2\."
    ):
        train(network, spoil)


def test_a_weight_spoilt_by_the_last_step_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, step = tiny_network(), torch.optim.Adam.step
    steps = []

    def spoiling(self: Any, *rest: Any, **options: Any) -> Any:
        step(self, *rest, **options)
        steps.append(None)
        if len(steps) == 8:
            with torch.no_grad():
                network.layers["hidden"].w_in[0, 0] = float("nan")

    monkeypatch.setattr(torch.optim.Adam, "step", spoiling)
    with pytest.raises(RunError, match=r"the weights of `hidden\.w_in`.*Got nan in epoch 2, after its last batch\."):
        fit(network, LOSS, TRAIN, VALIDATION, CONFIG, run_dir=tmp_path, progress=False)
    assert checkpoint.load(tmp_path / "last.pt")["epoch"] == 1


def test_parameters_without_gradient_are_no_trouble() -> None:
    network = tiny_network()
    network.layers["hidden"].w_in.requires_grad_(False)
    frozen = network.layers["hidden"].w_in.clone()
    result = fit(network, LOSS, TRAIN, VALIDATION, CONFIG, progress=False)
    assert torch.equal(network.layers["hidden"].w_in, frozen)
    assert set(result.metrics["gradient_norms"]) == {"output"}

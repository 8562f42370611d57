from dataclasses import replace

import pytest
import torch

from ranvier.losses import Verdict
from ranvier.spikes import Spikes
from ranvier.training import evaluate
from tests.training.tiny import LOSS, tiny_data, tiny_network

DATA = tiny_data(30, 40)


def test_the_batch_size_does_not_matter() -> None:
    whole, parts = evaluate(tiny_network(), LOSS, DATA), evaluate(tiny_network(), LOSS, DATA, batch_size=7)
    assert parts == replace(whole, loss=parts.loss)
    assert parts.loss == pytest.approx(whole.loss)
    assert whole.spikes_per_sample["hidden"] > 0
    assert set(whole.backends) == {"hidden", "output"}


def test_accuracy_counts_right_answers_and_no_decision_is_wrong() -> None:
    class Fixed:
        def judge(self, output: Spikes, labels: torch.Tensor) -> Verdict:
            answer = DATA.labels.clone()
            answer[:6] = -1
            return Verdict(torch.tensor(2.0), answer, torch.tensor(4))

    result = evaluate(tiny_network(), Fixed(), DATA)
    assert (result.loss, result.accuracy, result.ties) == (2.0, 0.8, 4)


def test_it_leaves_no_gradient_behind() -> None:
    network = tiny_network()
    evaluate(network, LOSS, DATA)
    assert all(value.grad is None for value in network.parameters())
    assert not network.training


def test_no_data_is_refused() -> None:
    with pytest.raises(ValueError, match="`data` of evaluate must hold at least one sample"):
        evaluate(tiny_network(), LOSS, DATA[:0])

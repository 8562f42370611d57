"""Learning rates batch by batch: slow start, cuts on a plateau, decay, and all of them resumed."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from ranvier.training import EaseIn, FitConfig, Plateau, WakeAfterEpoch, checkpoint, fit
from ranvier.training.schedule import Rates
from tests.training.tiny import LOSS, equal, tiny_data, tiny_network, weights

TRAIN, VALIDATION = tiny_data(50, 42), tiny_data(20, 41)
CONFIG = FitConfig(epochs=4, batch_size=16, learning_rate=5e-3, threads=1)


def optimiser(*rates: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in rates], 1.0)


def test_a_slow_start_grows_batch_by_batch_up_to_the_full_rate() -> None:
    made = optimiser(0.1, 0.2)
    rates = Rates(FitConfig(ease_in=EaseIn(), decay=0.5, decay_every=2), made, 60)
    seen, expected, share = [], [], 1e-3
    for epoch in range(1, 5):
        for batch in range(60):
            rates.set(epoch, batch)
            seen.append([group["lr"] for group in made.param_groups])
            expected.append([rate * min(1.0, share) * (0.5 if epoch > 2 else 1.0) for rate in (0.1, 0.2)])
            share *= 1.05
    torch.testing.assert_close(torch.tensor(seen), torch.tensor(expected))
    assert seen[0][0] == pytest.approx(1e-4)
    assert seen[141][0] < 0.05 == seen[142][0]  # 1.05^142 is the first power above 1000
    assert EaseIn().share(10**6) == 1.0


def cuts(accuracies: list[float], rule: Plateau) -> list[int]:
    """The epochs after which the rate is cut."""
    rates, found = Rates(FitConfig(plateau=rule, decay=1.0), optimiser(1.0), 1), []
    for epoch, accuracy in enumerate(accuracies, 1):
        before = rates.share(epoch, 0)
        rates.end_epoch(accuracy)
        if rates.share(epoch, 0) != before:
            assert rates.share(epoch, 0) == before * rule.factor
            found.append(epoch)
    return found


def by_hand(accuracies: list[float], patience: int) -> list[int]:
    fast = slow = 0.0
    found, last = [], 0
    for epoch, accuracy in enumerate(accuracies, 1):
        fast, slow = 0.8 * fast + 0.2 * accuracy, 0.85 * slow + 0.15 * accuracy
        if fast <= slow and epoch - last >= patience:
            found.append(epoch)
            last = epoch
    return found


def test_cuts_come_where_accuracy_falls_and_not_too_close() -> None:
    rising = [0.01 * epoch for epoch in range(60)]
    noisy = [0.8 + 0.1 * (-1) ** (epoch // 7) for epoch in range(120)]
    assert cuts(rising, Plateau(patience=5)) == []
    assert cuts(rising + [0.5] * 30, Plateau(patience=5))[0] in range(61, 75)
    for patience in (1, 10, 50):
        found = cuts(noisy, Plateau(patience=patience))
        assert found == by_hand(noisy, patience)
        assert found
        assert all(later - earlier >= patience for earlier, later in pairwise(found))


def test_training_learns_at_these_rates() -> None:
    """With a start so slow that nothing moves, against none: the first epoch's steps are of Adam's size."""
    moved = []
    for ease_in in (EaseIn(start=1e-4, growth=1.0001), None):
        network = tiny_network()
        before = weights(network)
        result = fit(network, LOSS, TRAIN, VALIDATION, replace(CONFIG, epochs=1, ease_in=ease_in), progress=False)
        moved.append(max(float((a - b).abs().max()) for a, b in zip(before, weights(network), strict=True)))
        assert result.metrics["learning_rate"] == pytest.approx(5e-3 * (1.0 if ease_in is None else 1e-4 * 1.0001**3))
    assert 0 < moved[0] < 1e-5 < 5e-3 < moved[1]


ALL = FitConfig(
    epochs=5,
    batch_size=16,
    learning_rate=0.02,
    decay=0.9,
    ease_in=EaseIn(start=0.01, growth=1.4),
    plateau=Plateau(fast=0.0, slow=0.5, patience=1),
    wake_after=WakeAfterEpoch("hidden", bump=0.01),
    threads=1,
)


def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    def run(epochs: int, folder: Path | None = None) -> tuple[list[torch.Tensor], float]:
        network, config = tiny_network(), replace(ALL, epochs=epochs)
        resume = folder is not None
        result = fit(network, LOSS, TRAIN, VALIDATION, config, run_dir=folder, resume=resume, progress=False)
        return weights(network), result.metrics["learning_rate"]

    expected, rate = run(5)
    for epochs in (1, 3):
        run(epochs, tmp_path)
    assert checkpoint.load(tmp_path / "last.pt")["rates"]["averages"][0] > 0
    found, same = run(5, tmp_path)
    assert equal(found, expected)
    assert same == rate
    assert checkpoint.load(tmp_path / "last.pt")["rates"]["cut"] < 1  # a plateau was met


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EaseIn(start=2.0), "`start` of EaseIn must be > 0 and <= 1. Got 2.0."),
        (lambda: EaseIn(start=0.0), "`start` of EaseIn must be > 0. Got 0.0."),
        (lambda: EaseIn(growth=1.0), "`growth` of EaseIn must be > 1. Got 1.0."),
        (lambda: Plateau(fast=0.9), "`slow` of Plateau must be above `fast`, 0.9, and below 1. Got 0.85."),
        (lambda: Plateau(slow=1.0), "`slow` of Plateau must be above `fast`, 0.8, and below 1. Got 1.0."),
        (lambda: Plateau(patience=0), "`patience` of Plateau must be a whole number >= 1. Got 0."),
        (lambda: Plateau(factor=1.0), "`factor` of Plateau must be > 0 and < 1. Got 1.0."),
    ],
    ids=["start", "no-start", "growth", "fast", "slow", "patience", "factor"],
)
def test_impossible_rules_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared whole)
        make()
    assert str(raised.value) == message

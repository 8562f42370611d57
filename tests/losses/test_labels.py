import pytest
import torch

from ranvier.losses import (
    DeltaMSE,
    FirstSpikeCrossEntropy,
    IntegralCrossEntropy,
    MaxOverTimeCrossEntropy,
    MeanOverTimeCrossEntropy,
)
from tests.neurons.unchecked import unchecked

LOSSES = {
    "DeltaMSE": lambda labels: DeltaMSE(0.1).of_times(torch.rand(2, 3), labels),
    "FirstSpikeCrossEntropy": lambda labels: FirstSpikeCrossEntropy().of_times(torch.rand(2, 3), labels),
    "IntegralCrossEntropy": lambda labels: IntegralCrossEntropy()(torch.rand(4, 2, 3), labels),
    "MaxOverTimeCrossEntropy": lambda labels: MaxOverTimeCrossEntropy()(torch.rand(4, 2, 3), labels),
    "MeanOverTimeCrossEntropy": lambda labels: MeanOverTimeCrossEntropy()(torch.rand(4, 2, 3), labels),
}
RULES = [
    (torch.tensor([0, 3]), ValueError, "must be >= 0 and < 3, the output units. Got 3."),
    (torch.tensor([-1, 2]), ValueError, "must be >= 0 and < 3, the output units. Got -1."),
    (torch.tensor([-100, 2]), ValueError, "must be >= 0 and < 3, the output units. Got -100."),
    (torch.tensor([0]), ValueError, "must hold one label per sample, [2]. Got [1]."),
    (torch.tensor([[0], [1]]), ValueError, "must hold one label per sample, [2]. Got [2, 1]."),
    (torch.tensor([0.0, 1.0]), TypeError, "must be a tensor of whole numbers. Got a torch.float32 tensor."),
    (torch.tensor([True, False]), TypeError, "must be a tensor of whole numbers. Got a torch.bool tensor."),
    (torch.tensor([0, 1], device="meta"), ValueError, "must be on the device of the output, cpu. Got meta."),
    ([0, 1], TypeError, "must be a tensor of whole numbers. Got list."),
]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("labels", "error", "message"), RULES, ids=[rule[2][-25:] for rule in RULES])
def test_wrong_labels_are_named(name, labels, error, message):
    with unchecked(), pytest.raises(error) as caught:
        LOSSES[name](labels)
    assert str(caught.value) == f"`labels` of {name} {message}"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
@pytest.mark.parametrize("name", LOSSES)
def test_any_whole_numbers_will_do(name, dtype):
    torch.manual_seed(1)
    expected = LOSSES[name](torch.tensor([0, 2]))
    torch.manual_seed(1)
    assert torch.equal(LOSSES[name](torch.tensor([0, 2], dtype=dtype)), expected)

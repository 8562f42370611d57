"""Regression values: the authors' published sets (publication_data of lkriener/yin_yang_data_set)."""

import pytest
import torch

from ranvier.data import load_yinyang, yinyang_class, yinyang_points


@pytest.mark.parametrize(
    ("n_points", "seed", "counts", "sum_x", "sum_y", "first"),
    [
        pytest.param(
            5000,
            42,
            [1681, 1702, 1617],
            2528.3224565688,
            2505.7668617483,
            (0.68030754, 0.45049925, 2),
            id="train",
        ),
        pytest.param(
            1000,
            41,
            [316, 336, 348],
            496.4088964866,
            493.6485466656,
            (0.68057273, 0.32097339, 0),
            id="validation",
        ),
        pytest.param(1000, 40, [350, 316, 334], 498.2569893485, 488.7802356778, (0.23409665, 0.40172498, 2), id="test"),
    ],
)
def test_points_are_the_published_ones(n_points, seed, counts, sum_x, sum_y, first):
    values, labels = yinyang_points(n_points, seed)
    assert values.dtype == torch.float64
    assert labels.bincount().tolist() == counts
    assert values[:, 0].sum().item() == pytest.approx(sum_x, abs=1e-9)
    assert values[:, 1].sum().item() == pytest.approx(sum_y, abs=1e-9)
    assert (*values[0, :2].tolist(), labels[0].item()) == pytest.approx(first, abs=5e-9)
    assert torch.equal(values[:, 2:], 1 - values[:, :2])


def test_the_stream_goes_on_as_published():
    values, labels = yinyang_points(3, 42)
    assert values[1, :2].tolist() == pytest.approx([0.09767211, 0.68423303], abs=5e-9)
    assert values[2, :2].tolist() == pytest.approx([0.75536141, 0.42515587], abs=5e-9)
    assert labels.tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("x", "y", "label"),
    [
        (0.5, 0.9, 1),
        (0.5, 0.1, 0),
        (0.25, 0.7, 1),
        (0.75, 0.7, 0),
        (0.5, 0.5, 1),
        (0.75, 0.5, 2),
        (0.25, 0.45, 2),
    ],
)
def test_class_of_a_point(x, y, label):
    assert yinyang_class(x, y) == label


def test_splits_hold_the_encoded_points():
    splits = load_yinyang()
    assert [len(split) for split in splits] == [5000, 1000, 1000]
    for split, seed in zip(splits, (42, 41, 40), strict=True):
        values, labels = yinyang_points(len(split), seed)
        assert torch.equal(split.labels, labels)
        assert split.n_classes == 3
        assert split.inputs.duration == 60e-3
        times = split.inputs.first_times()
        torch.testing.assert_close(times[:, :4], (values * 30e-3).float(), rtol=0, atol=0)
        assert torch.equal(times[:, 4], torch.zeros(len(split)))


def test_times_can_be_chosen_and_the_bias_left_out():
    train = load_yinyang(t_min=1e-3, t_max=5e-3, bias_time=None, duration=7e-3).train
    assert train.inputs.unit_shape == (4,)
    assert train.inputs.duration == 7e-3
    assert train.inputs.times.min() >= 1e-3
    assert 4.9e-3 < train.inputs.times.max() <= 5e-3
    late = load_yinyang(bias_time=20e-3).train.inputs.first_times()
    assert late[:, 4].unique().tolist() == pytest.approx([20e-3])


@pytest.mark.usefixtures("as_users_run_it")
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"`n_points` of yinyang_points must be >= 1. Got 0."):
        yinyang_points(0, 1)

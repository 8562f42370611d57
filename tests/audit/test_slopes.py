"""Directions share the entries out; slopes know how well they are known."""

from math import cos, exp, inf, sin

import pytest
import torch

from ranvier.audit.slopes import directions, slope


@pytest.mark.parametrize("shape", [(), (1,), (7,), (40,), (3, 2), (5, 40), (40, 5), (2, 3, 40)], ids=str)
def test_directions_share_every_entry_once(shape):
    found = directions(torch.zeros(shape), 8, torch.Generator().manual_seed(0))
    size = torch.zeros(shape).numel()
    assert len(found) == min(8, size)
    assert all(each.shape == shape and each.dtype == torch.float64 for each in found)
    assert torch.equal(sum(each.abs() for each in found), torch.ones(shape, dtype=torch.float64))


def test_directions_hold_whole_columns():
    for direction in directions(torch.zeros(5, 40), 8, torch.Generator().manual_seed(0)):
        moved = direction.abs().sum(0)
        assert set(moved.tolist()) == {0.0, 5.0}
        assert (moved > 0).sum() == 5


def test_squared_slopes_add_up_to_the_squared_norm():
    gradient, generator = torch.randn(20, 30).double(), torch.Generator().manual_seed(0)
    draws = [
        sum(float((gradient * each).sum()) ** 2 for each in directions(gradient, 10, generator)) for _ in range(300)
    ]
    assert sum(draws) / len(draws) == pytest.approx(float(gradient.square().sum()), rel=0.1)


def test_a_smooth_function():
    found = slope(lambda x: sin(3 * x + 1), sin(1), 1.0, 1e-9)
    assert found.value == pytest.approx(3 * cos(1), rel=1e-9)
    assert abs(found.value - 3 * cos(1)) < found.error < 1e-8


def test_the_error_is_honest_where_rounding_is_large():
    found = slope(lambda x: 1e6 + exp(x), 1e6 + 1, 1.0, 0.0)
    assert abs(found.value - 1) < found.error < 1e-3


def test_a_slope_lost_in_rounding_is_not_called_exact():
    found = slope(lambda x: 1e6 + 1e-9 * x, 1e6, 1.0, 1e-9)
    assert abs(found.value - 1e-9) < found.error


@pytest.mark.parametrize("border", [3e-3, 1e-5])
def test_steps_over_the_border_do_not_count(border):
    found = slope(lambda x: sin(x) if abs(x) < border else None, 0.0, 1.0, 1e-9)
    assert found.value == pytest.approx(1, rel=1e-8)
    one_sided = slope(lambda x: sin(x) if x < border else None, 0.0, 1.0, 1e-9)
    assert one_sided.value == found.value


def test_without_three_steps_there_is_no_slope():
    assert slope(lambda x: None, 0.0, 1.0, 1e-9) == (0.0, inf)
    assert slope(lambda x: sin(x) if abs(x) > 1e-3 else None, 0.0, 1.0, 1e-9) == (0.0, inf)


def test_the_three_steps_must_be_in_a_row():
    usable = {1e-2, 2.5e-3, 1e-2 / 64}
    assert slope(lambda x: sin(x) if abs(x) in usable else None, 0.0, 1.0, 1e-9) == (0.0, inf)
    usable.add(1e-2 / 16)
    assert slope(lambda x: sin(x) if abs(x) in usable else None, 0.0, 1.0, 1e-9).value == pytest.approx(1)


def test_the_steps_shrink_below_a_kink():
    beside = slope(lambda x: x + (0.1 * (x - 5e-4) if x > 5e-4 else 0.0), 0.0, 1.0, 1e-9)
    assert beside.value == pytest.approx(1, rel=1e-8)

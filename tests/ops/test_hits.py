import numba
import numpy as np
import pytest

from ranvier.ops.hits import list_hits


@numba.njit
def listed(flags, places):
    return list_hits(flags, places)


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0, 0.02, 0.5, 1])
def test_hits_are_listed_in_ascending_order(real, share):
    random = np.random.default_rng(0)
    for n in (0, 1, 7, 8, 31, 32, 33, 40, 75, 256, 333):  # every way that stretches can end
        flags, places = (random.random(n) < share).astype(real), np.full(n, -1, np.int32)
        count = listed(flags, places)
        expected = np.flatnonzero(flags)
        assert count == len(expected)
        assert places.tolist() == [*expected, *[-1] * (n - count)]


def test_only_zero_is_no_hit():
    flags, places = np.array([-1.0, 0.0, -0.0, 1e-300, np.inf, np.nan]), np.zeros(6, np.int32)
    assert listed(flags, places) == 4
    assert places[:4].tolist() == [0, 3, 4, 5]

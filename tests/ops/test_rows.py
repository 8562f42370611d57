import numba
import numpy as np
import pytest

from ranvier.ops.rows import add_products, add_rows, add_to_rows, dot_rows


@numba.njit
def added(vector, matrix, which, scales, begin, end):
    add_rows(vector, matrix, which, scales, begin, end)


@numba.njit
def added_to(vector, matrix, which, scales, begin, end):
    add_to_rows(vector, matrix, which, scales, begin, end)


@numba.njit
def multiplied(vector, matrix, which, products, begin, end):
    dot_rows(vector, matrix, which, products, begin, end)


@numba.njit
def products_added(sums, vectors, matrix, n_vectors):
    add_products(sums, vectors, matrix, n_vectors)


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("scaled", [True, False])
def test_rows_are_added_up_and_added_to(real, scaled):
    random = np.random.default_rng(0)
    for n in (1, 3, 4, 21, 64, 85, 150):  # every way that stretches can end
        matrix, vector = random.normal(size=(9, n)).astype(real), random.normal(size=n).astype(real)
        which = random.integers(0, 9, 31, dtype=np.int32)  # each row several times
        scales = random.normal(size=31).astype(real) if scaled else None
        factors = np.ones(29 - 2) if scales is None else scales[2:29].astype(np.float64)
        close = {"rtol": 0, "atol": 1e-5 if real == np.float32 else 1e-13}

        total = vector.copy()
        added(total, matrix, which, scales, 2, 29)
        np.testing.assert_allclose(total, vector + factors @ matrix[which[2:29]], **close)

        rows = matrix.copy()
        added_to(vector, rows, which, scales, 2, 29)
        expected = matrix.astype(np.float64)
        np.add.at(expected, which[2:29], factors[:, None] * vector)
        np.testing.assert_allclose(rows, expected, **close)

        products = np.full(31, np.nan, real)
        multiplied(vector, matrix, which, products, 2, 29)
        np.testing.assert_allclose(products[2:29], matrix[which[2:29]].astype(np.float64) @ vector, **close)
        assert np.isnan(products).tolist() == [True] * 2 + [False] * 27 + [True] * 2


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_products_are_added_up(real):
    random = np.random.default_rng(0)
    close = {"rtol": 0, "atol": 1e-4 if real == np.float32 else 1e-12}
    for n_vectors, n_rows, n_columns in ((1, 1, 1), (4, 3, 16), (5, 20, 37), (8, 7, 48), (15, 1, 21), (16, 33, 64)):
        vectors, matrix, sums = (
            random.normal(size=shape).astype(real)
            for shape in ((n_vectors, n_rows), (n_rows, n_columns), (n_vectors + 2, n_columns))
        )
        total = sums.copy()
        products_added(total, vectors, matrix, n_vectors)
        np.testing.assert_allclose(total[:n_vectors], sums[:n_vectors] + vectors @ matrix, **close)
        assert (total[n_vectors:] == sums[n_vectors:]).all()


def test_no_events_change_nothing():
    matrix, vector, which = np.ones((2, 5)), np.ones(5), np.zeros(3, np.int32)
    added(vector, matrix, which, None, 1, 1)
    added_to(vector, matrix, which, None, 1, 1)
    assert vector.tolist() == [1] * 5
    assert matrix.tolist() == [[1] * 5] * 2

"""Statements about sweeps hold for measurements of which the answer is known."""

import pytest
from benchmarks.tables import KERNELS, crossing, floor_table, line, statements

from tests.benchmarks import results


@pytest.mark.parametrize(
    ("others", "at"),
    [((10.0, 10.0, 10.0), None), ((20.0, 5.0, 5.0), 0.01 * 10**0.5), ((5.0, 5.0, 5.0), 0.01)],
    ids=["never", "between points", "from the first"],
)
def test_the_crossing(others, at):
    sweep = results.sweep((10.0, 10.0, 10.0), others)
    assert crossing(sweep, results.OURS) == (at if at is None else pytest.approx(at))
    said = "EventProp none up to 30 %" if at is None else f"EventProp at {100 * at:.1f} %"
    assert said in statements(sweep)


def test_a_line_is_found():
    fixed, each, off = line((0, 1000, 9000), (2.0, 3.0, 11.0))
    assert (fixed, each) == (pytest.approx(2.0), pytest.approx(1e-3))
    assert off < 1e-9


def test_only_what_is_near_a_line_is_called_linear():
    spikes = (1e4, 1e5, 3e5)
    assert "EventProp 2.0 ms and 100 ns a hidden spike" in statements(
        results.sweep([2 + 1e-4 * number for number in spikes], spikes)
    )
    assert "No time is within 10% of linear" in statements(results.sweep((2.0, 9.0, 9.0), spikes))


def test_the_floor_is_told_beside_what_is_taken():
    kernels = dict.fromkeys(KERNELS, 1.0)
    taken = dict.fromkeys(KERNELS, 1.5) | {"layers": 0.5, "loss": 0.25, "optimiser": 0.125, "step": 6.875}
    told = floor_table({"W1": {"events": 12_345, "spikes": 678, "floor": kernels, "taken": taken}})
    assert "| input events, hidden spikes | 12,345, 678 |" in told
    assert "| all kernels: floor, taken | 4.00, 6.00 |" in told
    assert "| taken / floor | 1.50 |" in told
    assert told.endswith("| the step | 6.88 |")

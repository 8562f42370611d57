from dataclasses import replace

import pytest
import torch

from ranvier.spikes import Spikes, Support

NAN, INF = float("nan"), float("inf")


def spikes(**changes):
    """Five events in three samples of 0.1 s, the middle one empty."""
    values = {
        "units": torch.tensor([0, 2, 1, 1, 2], dtype=torch.int32),
        "times": torch.tensor([0.01, 0.02, 0.02, 0.005, 0.1]),
        "amplitudes": torch.ones(5),
        "offsets": torch.tensor([0, 3, 3, 5]),
        "unit_shape": (3,),
        "duration": 0.1,
    }
    return Spikes(**(values | changes))


def gridded(**changes):
    steps = torch.tensor([1, 2, 2, 0, 9], dtype=torch.int32)
    return spikes(**({"steps": steps, "dt": 0.01, "times": steps * 0.01} | changes))


def compact(**changes):
    support = Support(
        values=torch.zeros(3),
        units=torch.tensor([1, 2, 0], dtype=torch.int32),
        steps=torch.tensor([0, 3, 9], dtype=torch.int32),
        offsets=torch.tensor([0, 2, 2, 3]),
    )
    return replace(support, **changes)


def ints(*values):
    return torch.tensor(values, dtype=torch.int32)


def test_the_rules_accept_what_is_right():
    assert spikes().n_events == 5
    assert gridded().n_steps == 10
    assert gridded(support=compact()).support is not None
    assert gridded(support=Support(torch.zeros(10, 3, 3)), marks=torch.ones(5)).marks is not None


BROKEN = {
    "units-dtype": (TypeError, "`units` of Spikes must be int32. Got int64.", {"units": torch.arange(5)}),
    "units-list": (TypeError, "`units` of Spikes must be a tensor. Got list.", {"units": [0, 1]}),
    "times-dtype": (
        TypeError,
        "`times` of Spikes must be a floating type. Got int64.",
        {"times": torch.arange(5)},
    ),
    "times-none": (TypeError, "`times` of Spikes must be a tensor. Got NoneType.", {"times": None}),
    "amplitudes-dtype": (
        TypeError,
        "`amplitudes` of Spikes must have the type of `times`, float32. Got float64.",
        {"amplitudes": torch.ones(5, dtype=torch.float64)},
    ),
    "offsets-dtype": (
        TypeError,
        "`offsets` of Spikes must be int64. Got int32.",
        {"offsets": ints(0, 3, 3, 5)},
    ),
    "device": (
        ValueError,
        "`amplitudes` of Spikes must be on the device of `units`, cpu. Got meta.",
        {"amplitudes": torch.ones(5, device="meta")},
    ),
    "times-length": (
        ValueError,
        "`times` of Spikes must have one entry per unit index, (5,). Got (4,).",
        {"times": torch.zeros(4)},
    ),
    "amplitudes-length": (
        ValueError,
        "`amplitudes` of Spikes must have one entry per unit index, (5,). Got (6,).",
        {"amplitudes": torch.ones(6)},
    ),
    "marks-length": (
        ValueError,
        "`marks` of Spikes must have one entry per unit index, (5,). Got (1,).",
        {"marks": torch.ones(1)},
    ),
    "units-axes": (
        ValueError,
        "`units` of Spikes must have one axis. Got shape (1, 5).",
        {"units": ints(0, 2, 1, 1, 2)[None]},
    ),
    "offsets-axes": (
        ValueError,
        "`offsets` of Spikes must have one axis. Got shape ().",
        {"offsets": torch.tensor(0)},
    ),
    "unit-shape-int": (TypeError, "`unit_shape` of Spikes must be a tuple. Got 3.", {"unit_shape": 3}),
    "unit-shape-empty": (ValueError, "one or a tuple. Got ().", {"unit_shape": ()}),
    "unit-shape-zero": (
        ValueError,
        "`unit_shape` of Spikes must be positive whole numbers, one or a tuple. Got (3, 0).",
        {"unit_shape": (3, 0)},
    ),
    "unit-shape-float": (ValueError, "one or a tuple. Got (3.0,).", {"unit_shape": (3.0,)}),
    "unit-shape-huge": (
        ValueError,
        "`unit_shape` of Spikes must hold fewer than 2**31 units. Got (65536, 32768).",
        {"unit_shape": (65536, 32768)},
    ),
    "unit-negative": (
        ValueError,
        "`units` of Spikes must be in 0 to 2. Got -1.",
        {"units": ints(0, 2, -1, 1, 2)},
    ),
    "unit-too-high": (
        ValueError,
        "`units` of Spikes must be in 0 to 2. Got 3.",
        {"units": ints(0, 2, 1, 3, 2)},
    ),
    "offsets-none": (
        ValueError,
        "`offsets` of Spikes must run from 0 to the number of events, 5. Got [].",
        {"offsets": torch.zeros(0, dtype=torch.int64)},
    ),
    "offsets-begin": (ValueError, "of events, 5. Got [1, 5].", {"offsets": torch.tensor([1, 3, 3, 5])}),
    "offsets-end": (ValueError, "of events, 5. Got [0, 4].", {"offsets": torch.tensor([0, 3, 3, 4])}),
    "offsets-fall": (
        ValueError,
        "`offsets` of Spikes must be ascending. Got 2 after 3 at sample 1.",
        {"offsets": torch.tensor([0, 3, 2, 5])},
    ),
    "duration-zero": (
        ValueError,
        "`duration` of Spikes must be a positive number of seconds. Got 0.0.",
        {"duration": 0.0},
    ),
    "duration-negative": (ValueError, "positive number of seconds. Got -0.1.", {"duration": -0.1}),
    "duration-nan": (ValueError, "positive number of seconds. Got nan.", {"duration": NAN}),
    "duration-inf": (ValueError, "positive number of seconds. Got inf.", {"duration": INF}),
    "duration-text": (
        TypeError,
        "`duration` of Spikes must be a number of seconds. Got str.",
        {"duration": "1"},
    ),
    "duration-tensor": (
        TypeError,
        "`duration` of Spikes must be a number of seconds. Got a float32 tensor.",
        {"duration": torch.tensor(0.1)},
    ),
    "dt-alone": (
        ValueError,
        "`dt` and `steps` of Spikes must be given together. Got only `dt`.",
        {"dt": 0.01},
    ),
    "steps-alone": (ValueError, "must be given together. Got only `steps`.", {"steps": ints(1, 2, 2, 0, 9)}),
    "time-negative": (
        ValueError,
        "`times` of Spikes must be >= 0 s. Got -0.25.",
        {"times": torch.tensor([-0.25, 0.02, 0.02, 0.005, 0.1])},
    ),
    "time-nan": (
        ValueError,
        "`times` of Spikes must be finite. Got nan at event 1.",
        {"times": torch.tensor([0.01, NAN, 0.02, 0.005, 0.1])},
    ),
    "time-inf": (
        ValueError,
        "`times` of Spikes must be finite. Got inf at event 4.",
        {"times": torch.tensor([0.01, 0.02, 0.02, 0.005, INF])},
    ),
    "time-past-the-end": (
        ValueError,
        "`times` of Spikes must be at most `duration`, 0.1 s. Got 0.125.",
        {"times": torch.tensor([0.01, 0.02, 0.02, 0.005, 0.125])},
    ),
    "times-unsorted": (
        ValueError,
        "`times` of Spikes must ascend within a sample. Got 0.0078125 after 0.09375 in sample 2.",
        {"times": torch.tensor([0.01, 0.02, 0.02, 0.09375, 0.0078125])},
    ),
    "amplitude-nan": (
        ValueError,
        "`amplitudes` of Spikes must be finite. Got nan at event 2.",
        {"amplitudes": torch.tensor([1, 1, NAN, 1, 1])},
    ),
    "mark-inf": (
        ValueError,
        "`marks` of Spikes must be finite. Got -inf at event 0.",
        {"marks": torch.tensor([-INF, 1, 1, 1, 1])},
    ),
}

OFF_GRID = {
    "dt-zero": (
        ValueError,
        "`dt` of Spikes must be > 0 s and at most `duration`, 0.1 s. Got 0.0.",
        {"dt": 0.0},
    ),
    "dt-negative": (ValueError, "at most `duration`, 0.1 s. Got -0.01.", {"dt": -0.01}),
    "dt-nan": (ValueError, "at most `duration`, 0.1 s. Got nan.", {"dt": NAN}),
    "dt-too-long": (ValueError, "at most `duration`, 0.1 s. Got 0.2.", {"dt": 0.2}),
    "dt-text": (TypeError, "`dt` of Spikes must be a number of seconds. Got str.", {"dt": "1 ms"}),
    "dt-broken": (
        ValueError,
        "`duration` of Spikes must be a whole number of steps of 0.04 s. Got 0.1 s, 2.5 steps.",
        {"dt": 0.04},
    ),
    "dt-tiny": (
        ValueError,
        "`dt` of Spikes must give fewer than 2**30 steps. Got 1e-11 s in 0.1 s.",
        {"dt": 1e-11},
    ),
    "steps-dtype": (
        TypeError,
        "`steps` of Spikes must be int32. Got int64.",
        {"steps": torch.tensor([1, 2, 2, 0, 9])},
    ),
    "steps-length": (ValueError, "`steps` of Spikes must have one entry per unit index", {"steps": ints(1)}),
    "step-negative": (
        ValueError,
        "`steps` of Spikes must be in 0 to 9. Got -1.",
        {"steps": ints(1, 2, 2, -1, 9)},
    ),
    "step-too-high": (
        ValueError,
        "`steps` of Spikes must be in 0 to 9. Got 10.",
        {"steps": ints(1, 2, 2, 0, 10)},
    ),
    "steps-unsorted": (
        ValueError,
        "`steps` of Spikes must ascend within a sample. Got 1 after 2 in sample 0.",
        {"steps": ints(1, 2, 1, 0, 9)},
    ),
    "steps-and-times": (
        ValueError,
        "`times` of Spikes on a grid must be steps * dt.",
        {"steps": ints(1, 2, 3, 0, 9)},
    ),
}

BAD_SUPPORT = {
    "half": (
        ValueError,
        "must have all of `units`, `steps` and `offsets` or none. Got only some of them.",
        compact(steps=None),
    ),
    "raster-shape": (
        ValueError,
        "`support.values` of Spikes must be a raster [T, B, N], (10, 3, 3). Got (10, 3, 2).",
        Support(torch.zeros(10, 3, 2)),
    ),
    "dtype": (
        TypeError,
        "`support.units` of Spikes must be int32. Got int64.",
        compact(units=torch.tensor([1, 2, 0])),
    ),
    "length": (
        ValueError,
        "must have one unit and step per value. Got (2,), (3,)",
        compact(values=torch.zeros(2)),
    ),
    "bounds": (
        ValueError,
        "`support.offsets` of Spikes must have one entry per bound, (4,). Got (2,).",
        compact(offsets=torch.tensor([0, 3])),
    ),
    "offsets": (
        ValueError,
        "`support.offsets` of Spikes must run from 0",
        compact(offsets=torch.tensor([0, 2, 2, 2])),
    ),
    "unit": (ValueError, "`support.units` of Spikes must be in 0 to 2. Got 7.", compact(units=ints(1, 7, 0))),
    "step": (
        ValueError,
        "`support.steps` of Spikes must be in 0 to 9. Got 10.",
        compact(steps=ints(0, 3, 10)),
    ),
    "order": (
        ValueError,
        "`support.steps` of Spikes must ascend within a sample. Got 0 after 3 in sample 0.",
        compact(steps=ints(3, 0, 9)),
    ),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("error", "message", "changes"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_named_at_construction(error, message, changes):
    with pytest.raises(error) as caught:
        spikes(**changes)
    assert message in str(caught.value)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("error", "message", "changes"), OFF_GRID.values(), ids=OFF_GRID)
def test_a_broken_rule_of_the_grid_is_named_at_construction(error, message, changes):
    with pytest.raises(error) as caught:
        gridded(**changes)
    assert message in str(caught.value)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("error", "message", "support"), BAD_SUPPORT.values(), ids=BAD_SUPPORT)
def test_a_broken_rule_of_the_support_is_named_at_construction(error, message, support):
    with pytest.raises(error) as caught:
        gridded(support=support)
    assert message in str(caught.value)


def test_support_needs_a_grid():
    with pytest.raises(ValueError, match=r"`support` of Spikes needs a time grid. Got support without `dt`."):
        spikes(support=Support(torch.zeros(10, 3, 3)))


def test_times_may_fall_where_a_sample_ends_even_beside_empty_samples():
    times = torch.tensor([0.09, 0.01, 0.02])
    made = spikes(units=ints(0, 0, 0), times=times, amplitudes=torch.ones(3), offsets=torch.tensor([0, 0, 1, 1, 3, 3]))
    assert made.n_samples == 5


def test_a_time_at_the_end_of_the_window_survives_rounding_to_float32():
    at_end = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.1])
    assert float(at_end[4]) > 0.1
    assert spikes(times=at_end).n_events == 5

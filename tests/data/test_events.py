import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.data.events import EventCounts, EventRules, clean
from ranvier.data.spike_file import Events
from ranvier.errors import DataError

DURATION, N_UNITS = 1.0, 5
TIMES = st.one_of(
    st.floats(0, 1, width=16),
    st.sampled_from([math.nan, math.inf, -math.inf, -1e-3, -0.0, 0.0, 1.0, 1.001953125, 1.5, 60000.0]),
)
SAMPLES = st.lists(st.lists(st.tuples(TIMES, st.integers(0, N_UNITS - 1)), max_size=8), max_size=5)


def stored(samples, times_dtype=np.float16, units_dtype=np.uint16):
    return Events(
        times=np.array([time for sample in samples for time, _ in sample], dtype=times_dtype),
        units=np.array([unit for sample in samples for _, unit in sample], dtype=units_dtype),
        lengths=np.array([len(sample) for sample in samples], dtype=np.int64),
        samples=np.arange(100, 100 + len(samples)),
    )


def cleaned(samples, rules=None, **kinds):
    return clean(stored(samples, **kinds), rules or EventRules(), duration=DURATION, n_units=N_UNITS, where="FILE")


def in_words(samples):
    """What the docstrings say, sample by sample and event by event."""
    left, counts = [], dict.fromkeys(("non_finite", "negative", "late", "unsorted", "empty"), 0)
    for sample in samples:
        good = []
        for time, unit in sample:
            if not math.isfinite(time):
                counts["non_finite"] += 1
            elif time < 0:
                counts["negative"] += 1
            elif time > DURATION:
                counts["late"] += 1
            else:
                good.append((time, unit))
        in_order = sorted(good, key=lambda event: event[0])  # stable: equal times keep their order
        counts["unsorted"] += [time for time, _ in good] != [time for time, _ in in_order]
        counts["empty"] += not good
        left.append(in_order)
    return left, EventCounts(samples=len(samples), events=sum(map(len, samples)), **counts)


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([np.float16, np.float32, np.float64]), st.sampled_from([np.uint16, np.int64]))
def test_what_stays_and_what_is_counted_is_what_the_rules_say(samples, times_dtype, units_dtype):
    left, counts = in_words(samples)
    found = cleaned(samples, times_dtype=times_dtype, units_dtype=units_dtype)
    assert found.counts == counts
    assert (found.times.dtype, found.units.dtype, found.offsets.dtype) == (np.float32, np.int32, np.int64)
    assert found.offsets.tolist() == np.cumsum([0, *map(len, left)]).tolist()
    assert found.times.tolist() == [time for sample in left for time, _ in sample]
    assert found.units.tolist() == [unit for sample in left for _, unit in sample]


def test_a_sample_may_begin_earlier_than_the_one_before_ended():
    found = cleaned([[(0.5, 1)], [], [(0.25, 2)], [(0.125, 0)]])
    assert found.counts.unsorted == 0
    assert found.units.tolist() == [1, 2, 0]


def test_a_float64_time_too_large_for_float32_is_late():
    assert cleaned([[(1e300, 0)]], times_dtype=np.float64).counts.late == 1


@pytest.mark.parametrize(
    ("name", "sample", "message"),
    [
        ("non_finite", [(0.5, 1), (math.nan, 2)], r"FILE must have finite times. Got nan in sample 101."),
        ("negative", [(-0.5, 1)], r"FILE must have times >= 0 s. Got -0.5 in sample 101."),
        ("late", [(0.5, 1), (2.0, 0)], r"times of at most the duration, 1.0 s. Got 2.0 in sample 101."),
        ("unsorted", [(0.5, 1), (0.25, 0)], r"times in ascending order. Got 0.25 after 0.5 in sample 101."),
    ],
)
def test_a_fault_is_raised_where_that_is_the_rule(name, sample, message):
    samples = [[(0.75, 4)], sample, [(0.5, 1)]]
    assert cleaned(samples).counts.samples == 3
    with pytest.raises(DataError, match=message):
        cleaned(samples, EventRules(**{name: "raise"}))
    others = {other: "raise" for other in ("non_finite", "negative", "late", "unsorted") if other != name}
    assert getattr(cleaned(samples, EventRules(**others)).counts, name) == 1


@pytest.mark.parametrize(("unit", "dtype"), [(5, np.uint16), (-1, np.int64), (2**63, np.uint64)])
def test_a_channel_that_does_not_exist_is_refused(unit, dtype):
    with pytest.raises(
        DataError, match=rf"FILE must have units in 0 to 4 \(`n_units` - 1\). Got {unit} in sample 101."
    ):
        cleaned([[(0.5, 1)], [(0.5, unit)]], units_dtype=dtype)


@pytest.mark.parametrize("name", ["non_finite", "negative", "late", "unsorted"])
@pytest.mark.usefixtures("as_users_run_it")
def test_rules_are_checked(name):
    action = "sort" if name == "unsorted" else "drop"
    with pytest.raises(ValueError, match=rf"`{name}` of EventRules must be '{action}' or 'raise'. Got 'keep'."):
        EventRules(**{name: "keep"})


def test_counts_add_up_and_read_as_one_sentence():
    counts = EventCounts(2, 10, 1, 2, 3, 1, 1, 1, 0) + EventCounts(samples=1, events=5, late=2, empty=1)
    assert counts == EventCounts(3, 15, 1, 2, 5, 1, 1, 1, 1)
    assert counts.dropped == 9
    assert str(counts) == (
        "15 events in 3 samples: dropped 9 (1 not finite, 2 negative, 5 beyond the duration, 1 past the grid), "
        "1 coincident, 1 samples unsorted, 1 samples empty."
    )

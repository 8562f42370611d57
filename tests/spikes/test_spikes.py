from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from ranvier.spikes import Record, Spikes, Support, collate

SAMPLES = [([0.01, 0.03], [0, 2]), ([], []), ([0.02], [1]), ([0.0, 0.05, 0.05, 0.1], [2, 1, 0, 2])]


def made(**options):
    return Spikes.from_samples(SAMPLES, unit_shape=3, duration=0.1, **options)


def by_sample(spikes, name):
    values, offsets = getattr(spikes, name).tolist(), spikes.offsets.tolist()
    return [values[begin:end] for begin, end in pairwise(offsets)]


def surrogate_activity(*, compact):
    """Two samples of three steps of 0.1 s with a spike each; every silent cell has its own gradient leaf."""
    leaf = torch.zeros(3, 2, 2, dtype=torch.float64, requires_grad=True)
    silent = torch.ones(3, 2, 2, dtype=torch.bool)
    silent[1, 0, 0] = silent[0, 1, 1] = False
    support = Support(leaf * silent)
    if compact:
        units, steps = torch.tensor([1, 0, 0, 1]).int(), torch.tensor([0, 2, 1, 2]).int()
        sample = torch.tensor([0, 0, 1, 1])
        support = Support(leaf[steps.long(), sample, units.long()], units, steps, torch.tensor([0, 2, 4]))
    spikes = Spikes(
        units=torch.tensor([0, 1]).int(),
        times=torch.tensor([0.1, 0.0], dtype=torch.float64),
        amplitudes=torch.ones(2, dtype=torch.float64),
        offsets=torch.tensor([0, 1, 2]),
        unit_shape=(2,),
        duration=0.3,
        steps=torch.tensor([1, 0]).int(),
        dt=0.1,
        support=support,
    )
    return spikes, leaf


class TestMaking:
    def test_from_samples_concatenates(self):
        spikes = made()
        assert len(spikes) == spikes.n_samples == 4
        assert (spikes.n_units, spikes.n_events) == (3, 7)
        assert spikes.offsets.tolist() == [0, 2, 2, 3, 7]
        assert by_sample(spikes, "units") == [units for _, units in SAMPLES]
        assert by_sample(spikes, "times") == [pytest.approx(times) for times, _ in SAMPLES]
        assert spikes.amplitudes.tolist() == [1.0] * 7
        assert (spikes.units.dtype, spikes.offsets.dtype) == (torch.int32, torch.int64)
        assert spikes.record == Record("input", 0, 0)

    @pytest.mark.parametrize("convert", [list, tuple, np.array, torch.tensor], ids=lambda f: f.__name__)
    def test_from_samples_takes_lists_arrays_and_tensors(self, convert):
        pairs = [(convert(times), convert(units)) for times, units in SAMPLES]
        spikes = Spikes.from_samples(pairs, unit_shape=(3,), duration=0.1)
        assert torch.equal(spikes.times, made().times)
        assert torch.equal(spikes.units, made().units)

    def test_from_samples_takes_read_only_arrays_and_does_not_share_their_memory(self):
        times, units = np.array([0.25, 0.5], dtype=np.float32), np.array([0, 1], dtype=np.int32)
        units.flags.writeable = False
        spikes = Spikes.from_samples([(times, units)], unit_shape=2, duration=1.0)
        times[0] = 0.75
        assert spikes.times.tolist() == [0.25, 0.5]

    def test_from_samples_keeps_float64_and_the_gradient_of_the_times(self):
        assert made(dtype=torch.float64).times[0].item() == 0.01
        times = torch.tensor([0.01, 0.02], requires_grad=True)
        Spikes.from_samples([(times, [0, 1])], unit_shape=2, duration=0.1).times.sum().backward()
        assert times.grad.tolist() == [1.0, 1.0]

    def test_from_samples_on_two_devices(self):
        far = (torch.zeros(1, device="meta"), torch.zeros(1, dtype=torch.int64, device="meta"))
        message = r"^`samples` of from_samples must be on one device\. Got cpu and, in `samples\[1\]`, meta\.$"
        with pytest.raises(ValueError, match=message):
            Spikes.from_samples([([0.1], [0]), far], unit_shape=2, duration=1.0)

    def test_from_samples_of_nothing(self):
        spikes = Spikes.from_samples([], unit_shape=(2, 2), duration=1.0)
        assert (spikes.n_samples, spikes.n_events, spikes.n_units) == (0, 0, 4)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64], ids=str)
    def test_from_events_equals_from_samples(self, dtype):
        expected = made()
        spikes = Spikes.from_events(
            torch.tensor([0, 0, 2, 3, 3, 3, 3], dtype=dtype),
            expected.times,
            expected.units.to(dtype),
            n_samples=4,
            unit_shape=3,
            duration=0.1,
        )
        for name in ("units", "times", "amplitudes", "offsets"):
            assert torch.equal(getattr(spikes, name), getattr(expected, name))

    def test_from_events_keeps_amplitudes_and_trailing_empty_samples(self):
        amplitudes = torch.tensor([0.5, -2.0])
        samples, times, units = torch.tensor([1, 1]), torch.tensor([0.1, 0.2]), torch.tensor([3, 0])
        spikes = Spikes.from_events(
            samples, times, units, n_samples=4, unit_shape=(2, 2), duration=1.0, amplitudes=amplitudes
        )
        assert spikes.offsets.tolist() == [0, 0, 2, 2, 2]
        assert spikes.amplitudes.tolist() == [0.5, -2.0]

    @pytest.mark.usefixtures("as_users_run_it")
    def test_a_numpy_integer_is_a_number_of_units(self):
        assert Spikes.from_samples([], unit_shape=np.int64(5), duration=1.0).unit_shape == (5,)


BAD_EVENTS = {
    "samples-dtype": (
        TypeError,
        "`samples` of from_events must be a whole-number tensor.",
        {"samples": torch.zeros(2)},
    ),
    "samples-length": (
        ValueError,
        "`samples` of from_events must have one entry per event, (2,). Got (3,).",
        {"samples": torch.tensor([0, 0, 1])},
    ),
    "samples-fall": (
        ValueError,
        "`samples` of from_events must be ascending. Got 0 after 1 at event 1.",
        {"samples": torch.tensor([1, 0])},
    ),
    "samples-negative": (
        ValueError,
        "`samples` of from_events must be >= 0 and < `n_samples`, 2. Got -1.",
        {"samples": torch.tensor([-1, 0])},
    ),
    "samples-high": (ValueError, "< `n_samples`, 2. Got 2.", {"samples": torch.tensor([0, 2])}),
    "samples-unsigned": (
        ValueError,
        "must be ascending. Got 0 after 1 at event 1.",
        {"samples": torch.tensor([1, 0], dtype=torch.uint8)},
    ),
    "n-samples": (
        ValueError,
        "`n_samples` of from_events must be a whole number >= 0. Got -1.",
        {"n_samples": -1},
    ),
    "units-dtype": (
        TypeError,
        "`units` of Spikes must be whole numbers. Got float32.",
        {"units": torch.tensor([0.0, 1.0])},
    ),
    "units-list": (TypeError, "`units` of from_events must be a tensor. Got list.", {"units": [0, 1]}),
    "units-wrap-around": (
        ValueError,
        "`units` of Spikes must be in 0 to 2. Got 4294967296.",
        {"units": torch.tensor([0, 2**32])},
    ),
    "times-length": (
        ValueError,
        "`times` of Spikes must have one entry per unit index",
        {"times": torch.zeros(3)},
    ),
    "times-unsorted": (
        ValueError,
        "`times` of Spikes must ascend within a sample. Got 0.25 after 0.5 in sample 0.",
        {"times": torch.tensor([0.5, 0.25])},
    ),
    "unit-shape": (ValueError, "`unit_shape` of Spikes must be positive whole numbers", {"unit_shape": 0}),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("error", "message", "changes"), BAD_EVENTS.values(), ids=BAD_EVENTS)
def test_from_events_names_what_is_wrong(error, message, changes):
    values = {
        "samples": torch.tensor([0, 0]),
        "times": torch.tensor([0.25, 0.5]),
        "units": torch.tensor([0, 1]),
        "n_samples": 2,
        "unit_shape": 3,
        "duration": 1.0,
    }
    with pytest.raises(error) as caught:
        Spikes.from_events(**(values | changes))
    assert message in str(caught.value)


BAD_SAMPLES = {
    "no-pair": (TypeError, "`samples[1]` must be a (times, units) pair. Got ndarray.", np.zeros((2, 3))),
    "triple": (TypeError, "`samples[1]` must be a (times, units) pair. Got tuple.", ([0.1], [0], [1.0])),
    "lengths": (
        ValueError,
        "`samples[1]` must hold as many times as units. Got shapes (2,) and (1,).",
        ([0.1, 0.2], [0]),
    ),
    "axes": (ValueError, "Got shapes (1, 1) and (1, 1).", ([[0.1]], [[0]])),
    "unit-dtype": (TypeError, "`samples[1]` must have whole-number units. Got float32.", ([0.1], [0.0])),
    "unit-bool": (TypeError, "`samples[1]` must have whole-number units. Got bool.", ([0.1], [True])),
    "times-bool": (TypeError, "`samples[1]` must have times in seconds.", (torch.tensor([True]), [0])),
    "text": (TypeError, "`samples[1]` must hold numbers. Got str.", ("now", [0])),
    "unit-range": (ValueError, "`units` of Spikes must be in 0 to 2. Got 3.", ([0.1], [3])),
    "unit-wrap": (ValueError, "`units` of Spikes must be in 0 to 2. Got 4294967297.", ([0.1], [2**32 + 1])),
    "nan": (ValueError, "`times` of Spikes must be finite. Got nan at event 1.", ([float("nan")], [0])),
    "unsorted": (
        ValueError,
        "must ascend within a sample. Got 0.25 after 0.5 in sample 1.",
        ([0.5, 0.25], [0, 0]),
    ),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("error", "message", "sample"), BAD_SAMPLES.values(), ids=BAD_SAMPLES)
def test_from_samples_names_what_is_wrong(error, message, sample):
    with pytest.raises(error) as caught:
        Spikes.from_samples([([0.0], [0]), sample], unit_shape=3, duration=1.0)
    assert message in str(caught.value)


def test_from_samples_refuses_a_type_that_cannot_hold_times():
    with pytest.raises(TypeError, match=r"`times` of Spikes must be a floating type. Got int64."):
        made(dtype=torch.int64)


class TestTrusted:
    def test_the_values_are_not_looked_at(self, monkeypatch):
        monkeypatch.setattr("ranvier.spikes.check.spikes", lambda spikes: pytest.fail("validated"))
        spikes = Spikes.trusted(
            units=torch.tensor([9]).int(),
            times=torch.tensor([float("nan")]),
            amplitudes=torch.ones(1),
            offsets=torch.tensor([0, 1]),
            unit_shape=(2,),
            duration=0.1,
        )
        assert spikes.steps is spikes.dt is spikes.support is spikes.marks is None
        assert spikes.record == Record()
        assert set(vars(spikes)) == {field.name for field in fields(Spikes)}

    def test_a_missing_or_misspelt_field_is_named(self):
        values = {name: value for name, value in vars(made()).items() if name != "units"}
        with pytest.raises(TypeError, match=r"Got \['units'\] missing and \['unit'\] unknown."):
            Spikes.trusted(**values, unit=None)

    def test_spikes_are_frozen_and_replace_checks_again(self):
        with pytest.raises(AttributeError, match="times"):
            made().times = torch.zeros(7)
        with pytest.raises(ValueError, match=r"at most `duration`, 0.05 s"):
            replace(made(), duration=0.05)

    def test_comparing_spikes_does_not_compare_tensors(self):
        spikes = made()
        assert spikes == spikes
        assert spikes != made()


CHOICES = {
    "int": (2, [2]),
    "negative": (-1, [3]),
    "numpy": (np.int64(1), [1]),
    "slice": (slice(1, 3), [1, 2]),
    "slice-step": (slice(None, None, 2), [0, 2]),
    "slice-reversed": (slice(None, None, -1), [3, 2, 1, 0]),
    "slice-empty": (slice(3, 1), []),
    "slice-beyond": (slice(2, 99), [2, 3]),
    "list": ([3, 0, 3], [3, 0, 3]),
    "list-negative": ([-4, -1], [0, 3]),
    "list-empty": ([], []),
    "range": (range(1, 4), [1, 2, 3]),
    "array": (np.array([1, 3]), [1, 3]),
    "tensor": (torch.tensor([2, 1]), [2, 1]),
    "int32-tensor": (torch.tensor([0, 3], dtype=torch.int32), [0, 3]),
    "scalar-tensor": (torch.tensor(3), [3]),
    "mask": (torch.tensor([True, False, False, True]), [0, 3]),
    "mask-list": ([False, True, True, False], [1, 2]),
    "mask-none": (torch.zeros(4, dtype=torch.bool), []),
}

BAD_CHOICES = {
    "too-high": (IndexError, "must be >= -4 and < 4, the number of samples. Got 4.", 4),
    "too-low": (IndexError, "the number of samples. Got -5.", [0, -5]),
    "mask-length": (
        IndexError,
        "A mask of samples must have shape (4,). Got (2,).",
        torch.tensor([True, False]),
    ),
    "true": (IndexError, "A mask of samples must have shape (4,). Got ().", True),
    "float": (TypeError, "a list of them, a slice or a mask. Got [0.5].", [0.5]),
    "text": (TypeError, "a list of them, a slice or a mask. Got 'first'.", "first"),
    "axes": (TypeError, "Samples must be chosen by a whole number", [[0, 1]]),
    "empty-float": (TypeError, "Samples must be chosen by a whole number", torch.zeros(0)),
}


class TestSelection:
    @pytest.mark.parametrize(("choice", "expected"), CHOICES.values(), ids=CHOICES)
    def test_chooses_samples_in_the_given_order(self, choice, expected):
        spikes = made()
        chosen = spikes[choice]
        assert chosen.n_samples == len(expected)
        for name in ("units", "times", "amplitudes"):
            assert by_sample(chosen, name) == [by_sample(spikes, name)[b] for b in expected]
        replace(chosen)

    @pytest.mark.usefixtures("as_users_run_it")
    @pytest.mark.parametrize(("error", "message", "choice"), BAD_CHOICES.values(), ids=BAD_CHOICES)
    def test_a_wrong_choice_is_named(self, error, message, choice):
        with pytest.raises(error) as caught:
            made()[choice]
        assert message in str(caught.value)

    def test_iteration_yields_each_sample_once(self):
        assert [sample.n_events for sample in made()] == [2, 0, 1, 4]

    def test_grid_and_marks_come_along_and_counts_start_anew(self):
        spikes = replace(made().on_grid(0.01, coincident="sum"), marks=torch.arange(6.0))
        assert spikes.record.dropped == 1
        chosen = spikes[[3, 0]]
        assert by_sample(chosen, "steps") == [[0, 5, 5], [1, 3]]
        assert chosen.marks.tolist() == [3, 4, 5, 0, 1]
        assert (chosen.dt, chosen.record) == (0.01, Record("input", 0, 0))

    def test_the_gradient_reaches_the_chosen_events_as_often_as_they_were_chosen(self):
        times = torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
        spikes = Spikes.from_events(
            torch.tensor([0, 1, 2]), times, torch.zeros(3).int(), n_samples=3, unit_shape=1, duration=1.0
        )
        spikes[[1, 1, 2]].times.sum().backward()
        assert times.grad.tolist() == [0.0, 2.0, 1.0]

    @pytest.mark.parametrize("compact", [False, True], ids=["dense", "compact"])
    def test_the_support_comes_along(self, compact):
        spikes, leaf = surrogate_activity(compact=compact)
        weights = torch.arange(1.0, 13.0, dtype=torch.float64).view(3, 2, 2)
        chosen = spikes[[1, 0]]
        assert chosen.support.is_dense != compact
        (chosen.to_dense() * weights).sum().backward(retain_graph=True)
        moved = leaf.grad.clone()
        leaf.grad = None
        (spikes.to_dense() * weights.flip(1)).sum().backward()
        assert torch.equal(moved, leaf.grad)
        assert moved.count_nonzero() == (4 if compact else 10)


class TestTo:
    def test_a_dtype_converts_what_is_floating(self):
        spikes = replace(made(), marks=torch.ones(7)).to(torch.float64)
        assert {spikes.times.dtype, spikes.amplitudes.dtype, spikes.marks.dtype} == {torch.float64}
        assert (spikes.units.dtype, spikes.offsets.dtype) == (torch.int32, torch.int64)

    def test_on_a_grid_the_times_follow_from_the_steps(self):
        spikes = made().on_grid(0.01, coincident="sum").to(torch.float64)
        assert spikes.times.tolist() == [step * 0.01 for step in spikes.steps.tolist()]

    def test_the_gradient_passes(self):
        times = torch.tensor([0.1], requires_grad=True)
        one = Spikes.from_samples([(times, [0])], unit_shape=1, duration=1.0)
        one.on_grid(0.1, coincident="sum").to(torch.float64).times.sum().backward()
        assert times.grad.tolist() == [1.0]

    @pytest.mark.parametrize("compact", [False, True], ids=["dense", "compact"])
    def test_a_device_moves_every_tensor(self, compact):
        spikes, _ = surrogate_activity(compact=compact)
        moved = spikes.to("meta")
        values = [*vars(moved).values(), *vars(moved.support).values()]
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        assert len(tensors) == (9 if compact else 6)
        assert {tensor.device.type for tensor in tensors} == {"meta"}
        assert spikes.to(torch.float32).support.values.dtype == torch.float32

    def test_a_dtype_that_cannot_hold_times_is_refused(self):
        with pytest.raises(TypeError, match=r"must be a device or a floating dtype. Got torch.int64."):
            made().to(torch.int64)


MISFITS = {
    "none": ("`batch` of collate must hold at least one Spikes. Got none.", lambda s: []),
    "unit-shape": (
        "must share one `unit_shape`. Got (3,) and, at 1, (3, 1).",
        lambda s: [s, replace(s, unit_shape=(3, 1))],
    ),
    "duration": (
        "must share one `duration`. Got 0.1 and, at 1, 0.2.",
        lambda s: [s, replace(s, duration=0.2)],
    ),
    "dt": (
        "must share one `dt`. Got None and, at 1, 0.01.",
        lambda s: [s, s.on_grid(0.01, coincident="sum")],
    ),
    "dtype": (
        "must share one dtype. Got torch.float32 and, at 1, torch.float64.",
        lambda s: [s, s.to(torch.float64)],
    ),
    "device": ("must share one device. Got cpu and, at 1, meta.", lambda s: [s, s.to("meta")]),
    "marks": (
        "must have marks everywhere or nowhere. Got a mixture at 1.",
        lambda s: [s, replace(s, marks=torch.ones(7))],
    ),
    "support": (
        "must hold inputs, not a layer's activity. Got support at 0.",
        lambda s: [surrogate_activity(compact=True)[0]],
    ),
}


class TestCollate:
    def test_splitting_and_collating_is_the_identity(self):
        spikes = replace(made(), marks=torch.arange(7.0))
        again = collate([spikes[0], spikes[1:3], spikes[[]], spikes[3]])
        for name in ("units", "times", "amplitudes", "offsets", "marks"):
            assert torch.equal(getattr(again, name), getattr(spikes, name))

    def test_counts_of_the_parts_add_up(self):
        part = made().on_grid(0.01, coincident="sum")
        assert collate([part, part]).record == Record("input", 0, 2)

    def test_the_gradient_passes(self):
        times = torch.tensor([0.1], requires_grad=True)
        one = Spikes.from_samples([(times, [0])], unit_shape=1, duration=1.0)
        collate([one, one]).times.sum().backward()
        assert times.grad.tolist() == [2.0]

    @pytest.mark.parametrize(("message", "batch"), MISFITS.values(), ids=MISFITS)
    def test_parts_that_do_not_fit_are_named(self, message, batch):
        with pytest.raises(ValueError, match="`batch` of collate") as caught:
            collate(batch(made()))
        assert message in str(caught.value)


def test_a_grid_is_asked_for_by_name():
    with pytest.raises(ValueError, match=r"`n_steps` needs spikes on a time grid; call `on_grid\(dt\)` first."):
        made().n_steps  # noqa: B018

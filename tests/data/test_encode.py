import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.data import encode, linear_latency, pixel_latency


def test_values_become_times():
    values = torch.tensor([[0.5, 0.0, 1.0], [0.25, 0.25, 0.75]])
    spikes = linear_latency(values, 2e-3, 10e-3, duration=20e-3)
    assert spikes.units.tolist() == [1, 0, 2, 0, 1, 2]
    torch.testing.assert_close(spikes.times, torch.tensor([2e-3, 6e-3, 10e-3, 4e-3, 4e-3, 8e-3]), rtol=1e-7, atol=0)
    assert spikes.offsets.tolist() == [0, 3, 6]
    assert spikes.amplitudes.tolist() == [1.0] * 6
    assert (spikes.unit_shape, spikes.duration, spikes.dt) == ((3,), 20e-3, None)
    assert (spikes.units.dtype, spikes.times.dtype) == (torch.int32, torch.float32)


def test_bias_unit_comes_last_and_spikes_at_its_time():
    spikes = linear_latency(torch.tensor([[1.0, 0.0]]), 0.0, 10e-3, duration=20e-3, bias_time=5e-3)
    assert spikes.unit_shape == (3,)
    assert spikes.units.tolist() == [1, 2, 0]
    assert spikes.times.tolist() == pytest.approx([0.0, 5e-3, 10e-3])


def test_equal_times_are_in_the_order_of_units():
    spikes = linear_latency(torch.full((1, 40), 0.3), 0.0, 10e-3, duration=10e-3)
    assert spikes.units.tolist() == list(range(40))


def test_linear_times_are_differentiable_in_the_values():
    values = torch.tensor([[0.9, 0.1]], requires_grad=True)
    spikes = linear_latency(values, 1e-3, 11e-3, duration=20e-3)
    (spikes.times * torch.tensor([1.0, 2.0])).sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, torch.tensor([[2 * 10e-3, 10e-3]]))


def test_double_values_are_rounded_once():
    values = torch.rand(1, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spikes = linear_latency(values, 0.0, 30e-3, duration=60e-3)
    expected = (values[0] * 30e-3).float()
    assert torch.equal(spikes.times, expected.sort().values)


def test_no_samples_give_no_samples():
    assert len(linear_latency(torch.zeros(0, 4), 0.0, 1e-3, duration=1e-3)) == 0
    assert len(pixel_latency(torch.zeros(0, 2, 2, dtype=torch.uint8), 1e-3, duration=1e-3)) == 0


def test_pixels_by_hand():
    image = torch.tensor([[[0, 1, 2], [255, 51, 255]]], dtype=torch.uint8)
    spikes = pixel_latency(image, 20e-3, duration=40e-3)
    assert spikes.units.tolist() == [3, 5, 4, 2]
    expected = [0.0, 0.0, 0.8 * 20e-3, 253 / 255 * 20e-3]
    assert spikes.times.tolist() == pytest.approx(expected, rel=1e-6)
    assert (spikes.unit_shape, spikes.duration) == ((2, 3), 40e-3)
    assert (spikes.units.dtype, spikes.times.dtype) == (torch.int32, torch.float32)


def test_dark_images_are_samples_without_events():
    images = torch.zeros(3, 2, 2, dtype=torch.uint8)
    images[1, 0, 1] = 9
    assert pixel_latency(images, 20e-3, duration=40e-3).offsets.tolist() == [0, 0, 1, 1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**16))
def test_pixels_equal_the_sentence_of_the_paper(n_samples, n_rows, n_columns, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n_samples, n_rows, n_columns), dtype=torch.uint8, generator=generator)
    images[torch.rand(images.shape, generator=generator) < 0.4] = 1
    spikes = pixel_latency(images, 20e-3, duration=40e-3)
    for sample, image in enumerate(images):
        found = spikes[sample]
        events = sorted(((1 - p / 255) * 20e-3, n) for n, p in enumerate(image.flatten().tolist()) if p > 1)
        assert found.times.tolist() == pytest.approx([time for time, _ in events], rel=1e-6)
        assert found.units.tolist() == [unit for _, unit in events]


def test_images_are_encoded_alike_in_pieces(monkeypatch):
    images = torch.randint(0, 256, (7, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    whole = pixel_latency(images, 20e-3, duration=40e-3)
    monkeypatch.setattr(encode, "_IMAGES_AT_ONCE", 3)
    pieces = pixel_latency(images, 20e-3, duration=40e-3)
    assert torch.equal(whole.units, pieces.units)
    assert torch.equal(whole.times, pieces.times)
    assert torch.equal(whole.offsets, pieces.offsets)


ONE = torch.full((1, 1), 0.5)
DOT = torch.full((1, 1, 1), 9, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: linear_latency(ONE.long(), 0.0, 1.0, duration=1.0),
            TypeError,
            "a floating type. Got int64.",
        ),
        (
            lambda: linear_latency(ONE[0], 0.0, 1.0, duration=1.0),
            ValueError,
            r"\[batch, value\]. Got \(1,\).",
        ),
        (lambda: linear_latency(ONE + 1, 0.0, 1.0, duration=1.0), ValueError, r"in \[0, 1\]. Got 1.5."),
        (lambda: linear_latency(ONE - 1, 0.0, 1.0, duration=1.0), ValueError, r"in \[0, 1\]. Got -0.5."),
        (
            lambda: linear_latency(ONE * float("nan"), 0.0, 1.0, duration=1.0),
            ValueError,
            r"in \[0, 1\]. Got nan.",
        ),
        (lambda: linear_latency(ONE, 0.5, 0.5, duration=1.0), ValueError, "Got 0.5, 0.5 and 1.0."),
        (lambda: linear_latency(ONE, -0.1, 0.5, duration=1.0), ValueError, "Got -0.1, 0.5 and 1.0."),
        (lambda: linear_latency(ONE, 0.0, 1.1, duration=1.0), ValueError, "Got 0.0, 1.1 and 1.0."),
        (
            lambda: linear_latency(ONE, 0.0, 1.0, duration=1.0, bias_time=2.0),
            ValueError,
            "`bias_time`.* Got 2.0.",
        ),
        (lambda: pixel_latency(DOT.float(), 1.0, duration=1.0), TypeError, "uint8. Got float32."),
        (
            lambda: pixel_latency(DOT[0], 1.0, duration=1.0),
            ValueError,
            r"\[batch, row, column\]. Got \(1, 1\).",
        ),
        (lambda: pixel_latency(DOT, 0.0, duration=1.0), ValueError, "`t_max`.* Got 0.0."),
        (lambda: pixel_latency(DOT, 2.0, duration=1.0), ValueError, "`t_max`.* Got 2.0."),
        (lambda: pixel_latency(DOT, 1.0, duration=float("nan")), ValueError, "`t_max`.*nan s. Got 1.0."),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.spikes import Spikes

steady = settings(derandomize=True, database=None, deadline=None, max_examples=40)


@st.composite
def rasters(draw):
    """A float64 raster [T, B, *unit] with about half, some or none of its cells silent."""
    n_steps, n_samples = draw(st.integers(1, 6)), draw(st.integers(0, 4))
    unit_shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    density = draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))
    shape = (n_steps, n_samples, *unit_shape)
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    return values * (torch.rand(shape, generator=generator) < density)


@given(rasters(), st.sampled_from([1e-3, 0.1, 0.37]))
@steady
def test_there_and_back_is_the_identity_in_values_and_gradients(raster, dt):
    raster.requires_grad_()
    spikes = Spikes.from_dense(raster, dt=dt)
    assert spikes.n_events == int((raster != 0).sum())
    assert (spikes.n_steps, spikes.n_samples, spikes.unit_shape) == (*raster.shape[:2], raster.shape[2:])
    again = spikes.to_dense()
    assert torch.equal(again, raster)
    weights = torch.randn(raster.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (again * weights).sum().backward()
    assert torch.equal(raster.grad, weights)


def test_units_are_the_flat_c_order_index():
    raster = torch.zeros(4, 2, 2, 3)
    raster[1, 0, 1, 2] = 1.0
    raster[0, 1, 0, 1] = 0.5
    raster[3, 1, 1, 0] = -2.0
    spikes = Spikes.from_dense(raster, dt=0.25)
    assert spikes.units.tolist() == [5, 1, 3]
    assert spikes.steps.tolist() == [1, 0, 3]
    assert spikes.times.tolist() == [0.25, 0.0, 0.75]
    assert spikes.amplitudes.tolist() == [1.0, 0.5, -2.0]
    assert spikes.offsets.tolist() == [0, 1, 3]
    assert (spikes.duration, spikes.dt, spikes.n_units) == (1.0, 0.25, 6)
    assert spikes.support is None


def test_the_support_holds_no_memory_and_leaves_the_spikes_cells_alone():
    raster = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]], requires_grad=True)
    support = Spikes.from_dense(raster, dt=0.1).support
    assert support.is_dense
    assert support.values.stride() == (0, 0, 0)
    support.values.sum().backward()
    assert raster.grad.tolist() == [[[0.0, 1.0]], [[1.0, 1.0]]]


def test_coincident_events_of_one_unit_add_up():
    spikes = Spikes(
        units=torch.tensor([1, 1]).int(),
        times=torch.tensor([0.0, 0.0]),
        amplitudes=torch.tensor([1.0, 0.5]).requires_grad_(),
        offsets=torch.tensor([0, 2]),
        unit_shape=(2,),
        duration=0.1,
        steps=torch.tensor([0, 0]).int(),
        dt=0.1,
    )
    raster = spikes.to_dense()
    assert raster.tolist() == [[[0.0, 1.5]]]
    raster.sum().backward()
    assert spikes.amplitudes.grad.tolist() == [1.0, 1.0]


def test_to_dense_needs_a_grid():
    with pytest.raises(ValueError, match=r"`to_dense` needs spikes on a time grid; call `on_grid\(dt\)` first."):
        Spikes.from_samples([([0.1], [0])], unit_shape=1, duration=1.0).to_dense()


WRONG = {
    "axes": (
        ValueError,
        "[time, batch, *unit], at least one step and unit. Got (3, 2).",
        torch.zeros(3, 2),
        0.1,
    ),
    "no-steps": (ValueError, "at least one step and unit. Got (0, 2, 1).", torch.zeros(0, 2, 1), 0.1),
    "no-units": (ValueError, "at least one step and unit. Got (3, 2, 0).", torch.zeros(3, 2, 0), 0.1),
    "dtype": (
        TypeError,
        "`raster` of from_dense must be a floating tensor. Got a int64 tensor.",
        torch.zeros(3, 2, 1, dtype=torch.int64),
        0.1,
    ),
    "nan": (
        ValueError,
        "`raster` of from_dense must be finite. Got nan.",
        torch.full((1, 1, 1), torch.nan),
        0.1,
    ),
    "dt-zero": (ValueError, "`dt` of from_dense must be > 0 s. Got 0.0.", torch.zeros(3, 2, 1), 0.0),
    "dt-nan": (ValueError, "`dt` of from_dense must be > 0 s. Got nan.", torch.zeros(3, 2, 1), float("nan")),
    "dt-inf": (ValueError, "`dt` of from_dense must be > 0 s. Got inf.", torch.zeros(3, 2, 1), float("inf")),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("error", "message", "raster", "dt"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_is_named(error, message, raster, dt):
    with pytest.raises(error) as caught:
        Spikes.from_dense(raster, dt=dt)
    assert message in str(caught.value)

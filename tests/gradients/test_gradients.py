import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass
from math import inf, log, sqrt

import pytest
import torch

import ranvier as rv
from ranvier.gradients import Gradient, Shape
from tests.neurons.unchecked import unchecked

F64 = torch.float64
SHAPES = (rv.SuperSpike, rv.SigmoidDerivative, rv.Esser)
PEAK = {rv.SuperSpike: 1.0, rv.SigmoidDerivative: 0.25, rv.Esser: 1.0}


def at(shape, *x):
    return shape(torch.tensor(x, dtype=F64)).tolist()


@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_peak_does_not_grow_with_the_scale(shape, scale):
    assert at(shape(scale), 0.0) == [PEAK[shape]]
    assert max(at(shape(scale), -0.01, 0.01)) < PEAK[shape]


@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
@pytest.mark.parametrize(
    ("shape", "distance", "value"),
    [
        (rv.SuperSpike, 1.0, 1 / 4),
        (rv.SigmoidDerivative, log(3 + 2 * sqrt(2)), 1 / 8),
        (rv.Esser, 0.5, 1 / 2),
    ],
)
def test_the_width_shrinks_with_the_scale(shape, distance, value, scale):
    found = at(shape(scale), -distance / scale, distance / scale)
    assert found == pytest.approx([value, value], rel=1e-12)


# Zenke & Vogels' shapes at scale 10 and x = 0.05, 0.1, -1
VALUES = {
    rv.SuperSpike: (0.444444, 0.25, 8.2644628e-3),
    rv.SigmoidDerivative: (0.2350037, 0.1966119, 4.53958e-5),
    rv.Esser: (0.5, 0.0, 0.0),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_values_of_the_literature(shape):
    assert at(shape(), 0.05, 0.1, -1.0) == pytest.approx(VALUES[shape], rel=2e-6, abs=1e-15)


@pytest.mark.parametrize(
    ("shape", "area"), [(rv.SuperSpike, 2 / 10), (rv.SigmoidDerivative, 1 / 10), (rv.Esser, 1 / 10)]
)
def test_the_area(shape, area):
    x = torch.linspace(-12.0, 12.0, 400_001, dtype=F64).sinh()  # far, and dense around 0
    assert torch.trapezoid(shape()(x), x).item() == pytest.approx(area, rel=1e-4)


def test_the_support():
    assert rv.SuperSpike().width == rv.SigmoidDerivative().width == inf
    assert rv.Esser(4.0).width == 0.25
    inside = rv.Esser(4.0).width * (1 - 1e-9)
    assert min(at(rv.Esser(4.0), -inside, inside)) > 0
    assert at(rv.Esser(4.0), -0.25, 0.25, -3.0, 3.0) == [0.0] * 4


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_keep_type_and_leave_their_argument_alone(shape, dtype):
    x = torch.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3)
    before = x.clone()
    found = shape()(x)
    assert (found.dtype, found.shape) == (dtype, x.shape)
    assert torch.equal(x, before)


GRADIENTS = [
    rv.EventProp(),
    rv.EventProp(min_slope=0.1),
    rv.Surrogate(),
    rv.Surrogate(rv.Esser(2.0), through_reset=True, through_recurrence=False),
    rv.Surrogate(rv.SigmoidDerivative()),
]


@pytest.mark.parametrize("gradient", GRADIENTS, ids=str)
def test_gradients_are_values(gradient):
    assert isinstance(gradient, Gradient)
    for other in (pickle.loads(pickle.dumps(gradient)), copy.deepcopy(gradient)):
        assert other == gradient
        assert hash(other) == hash(gradient)
    names = {name: getattr(rv, name) for name in ("EventProp", "Surrogate", "SuperSpike", "SigmoidDerivative", "Esser")}
    assert eval(repr(gradient), names) == gradient
    with pytest.raises(FrozenInstanceError):
        setattr(gradient, next(iter(gradient.__dict__)), 1.0)


def test_the_defaults():
    assert rv.Surrogate() == rv.Surrogate(rv.SuperSpike(10.0), through_reset=False, through_recurrence=True)
    assert rv.EventProp().min_slope == 0.01
    assert rv.SuperSpike(3.0) != rv.Esser(3.0)


RULES = [
    (lambda: rv.SuperSpike(0.0), ValueError, "`scale` of SuperSpike must be > 0. Got 0.0."),
    (lambda: rv.Esser(-1.0), ValueError, "`scale` of Esser must be > 0. Got -1.0."),
    (lambda: rv.SigmoidDerivative(inf), ValueError, "`scale` of SigmoidDerivative must be finite. Got inf."),
    (lambda: rv.SuperSpike("steep"), TypeError, "`scale` of SuperSpike must be a number. Got 'steep'."),
    (lambda: rv.EventProp(-0.1), ValueError, "`min_slope` of EventProp must be >= 0. Got -0.1."),
    (lambda: rv.EventProp(float("nan")), ValueError, "`min_slope` of EventProp must be finite. Got nan."),
    (lambda: rv.EventProp(None), TypeError, "`min_slope` of EventProp must be a number. Got None."),
    (
        lambda: rv.Surrogate("superspike"),
        TypeError,
        "`shape` of Surrogate must be a surrogate shape such as SuperSpike(). Got 'superspike'.",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), RULES, ids=[rule[2][:40] for rule in RULES])
def test_a_broken_rule_is_named(make, error, message):
    with unchecked(), pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


def test_whole_numbers_are_numbers():
    with unchecked():
        assert rv.SuperSpike(10) == rv.SuperSpike(10.0)
        assert isinstance(rv.EventProp(0).min_slope, float)


@dataclass(frozen=True)
class Boxcar(Shape):
    """A shape of a user's own."""

    @property
    def width(self):
        return 1 / self.scale

    def __call__(self, x):
        return (x.abs() < self.width).to(x)


def test_a_shape_of_your_own_trains_a_layer():
    spikes = rv.Spikes.from_dense(torch.ones(10, 1, 2), dt=1e-3)
    layer = rv.Spiking(2, 3, gradient=rv.Surrogate(Boxcar(1.0)), weights=rv.init.normal(8.0, 0.1), backend="reference")
    layer(spikes).counts().sum().backward()
    assert layer.w_in.grad.abs().sum() > 0


def test_the_kernels_expression_is_the_shape() -> None:
    x = torch.linspace(-3, 3, 101, dtype=torch.float64)
    shape = rv.SuperSpike(7.0)
    assert shape.expression is not None
    found = eval(shape.expression, {"x": x, "scale": 7.0, "one": 1.0})
    torch.testing.assert_close(found, shape(x.clone()))


def test_an_overriding_subclass_does_not_inherit_the_expression() -> None:
    class Flat(rv.SuperSpike):
        def __call__(self, x):
            return torch.ones_like(x)

    class Renamed(rv.SuperSpike):
        pass

    assert Flat().expression is None
    assert Renamed().expression == rv.SuperSpike.expression

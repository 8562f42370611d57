"""Gradients kept as factors: tensors to everybody, multiplied block by block by who can."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import ranvier as rv
from ranvier.ops.product import Product, factors

LEFT, RIGHT = torch.arange(24.0).reshape(2, 3, 4), torch.linspace(-1, 1, 20).reshape(4, 5)


def test_a_product_is_its_numbers_to_every_operation() -> None:
    product, numbers = Product(LEFT, RIGHT), LEFT @ RIGHT
    assert (product.shape, product.dtype) == (numbers.shape, numbers.dtype)
    for result in (product + 0, 2 * product / 2, torch.cat([product[:1], product[1:]]), product.clone()):
        assert type(result) is Tensor
        assert torch.equal(result, numbers)
    assert torch.equal(product + product, 2 * numbers)


class _Sent(torch.autograd.Function):
    """A scalar whose gradient by `cells` is a product."""

    @staticmethod
    def forward(ctx: object, cells: Tensor) -> Tensor:
        return cells.new_zeros(())

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Product(LEFT * grad, RIGHT)


def test_autograd_adds_products_up() -> None:
    cells = torch.zeros(2, 3, 5, requires_grad=True)
    (3 * _Sent.apply(cells) + _Sent.apply(cells) + cells.sum()).backward()
    torch.testing.assert_close(cells.grad, 4 * LEFT @ RIGHT + 1)


def test_factors_are_told_only_where_they_are_the_smaller() -> None:
    assert factors(None) is None
    assert factors(LEFT) is None
    assert factors(Product(LEFT, RIGHT)) == (LEFT, RIGHT)
    assert factors(Product(LEFT, RIGHT[:, :4])) is None


def network_of(
    widths: tuple[int, ...], neuron: rv.Neuron, shape: Any, backend: Any, recurrent: bool
) -> tuple[rv.Network, rv.Spikes]:
    """Layers with a dense surrogate, a readout of five units, and their input."""
    source = torch.Generator().manual_seed(1)
    spikes = rv.Spikes.from_dense((torch.rand(50, 37, 20, generator=source) < 0.05).double(), dt=1e-3)
    layers: dict[str, torch.nn.Module] = {}
    n_in = 20
    for place, n_units in enumerate(widths):
        layers[f"hidden_{place}"] = rv.Spiking(
            n_in,
            n_units,
            neuron,
            recurrent=recurrent,
            gradient=rv.Surrogate(shape),
            generator=source,
            backend=backend,
        )
        n_in = n_units
    layers["output"] = rv.Readout(n_in, 5, rv.LI(20e-3, 5e-3), generator=source)
    return rv.Network(**layers).double(), spikes


def gradients(network: rv.Network, spikes: rv.Spikes) -> list[Tensor]:
    """Of all parameters, in a network that is alive."""
    run = network(spikes)
    assert all(layer.n_events > 20 for layer in run.activity.values() if isinstance(layer, rv.Spikes))
    rv.MaxOverTimeCrossEntropy()(run.output, torch.arange(37) % 5).backward()
    found = [parameter.grad for parameter in network.parameters()]
    assert all(grad is not None and grad.norm() > 0 for grad in found)
    return [grad for grad in found if grad is not None]


NEURONS = {
    "plain": rv.CubaLIF(20e-3, 5e-3),
    "held": rv.CubaLIF(20e-3, 5e-3, refractory=3e-3),
    "learned": rv.CubaLIF(20e-3, 5e-3, learn=("tau_mem", "tau_syn", "threshold")),
    "adaptive": rv.AdaptiveLIF(20e-3, 5e-3),
    "at once": rv.LIF(20e-3),
}


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(
    ("neuron", "shape", "widths", "products"),
    [
        *((name, rv.SuperSpike(), (37,), 0) for name in NEURONS),
        ("plain", rv.SigmoidDerivative(), (37,), 0),
        ("plain", rv.SuperSpike(), (37, 11), 0),
        ("plain", rv.SuperSpike(), (11, 37), 1),  # what is sent back comes from more units than it goes to
    ],
)
def test_a_dense_surrogate_multiplies_in_its_kernel(
    neuron: str, shape: Any, widths: tuple[int, ...], products: int, recurrent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = []
    monkeypatch.setattr(Product, "multiplied", lambda self: whole.append(self) or self.left @ self.right)
    ours = gradients(*network_of(widths, NEURONS[neuron], shape, "numba", recurrent))
    assert len(whole) == products
    truth = gradients(*network_of(widths, NEURONS[neuron], shape, "reference", recurrent))
    for our, true in zip(ours, truth, strict=True):
        torch.testing.assert_close(our, true, rtol=1e-10, atol=1e-12 * float(true.norm()))


def test_an_optimiser_may_step_during_the_backward_pass() -> None:
    network, spikes = network_of((37,), NEURONS["plain"], rv.SuperSpike(), "numba", False)
    truth = gradients(network, spikes)[0].clone()
    network.zero_grad()
    weights = network.layers["output"].w_in

    def step(_: Tensor) -> None:
        with torch.no_grad():
            weights.mul_(-3)

    weights.register_post_accumulate_grad_hook(step)
    assert torch.equal(gradients(network, spikes)[0], truth)

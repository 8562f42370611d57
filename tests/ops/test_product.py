"""Gradients kept as factors: tensors to everybody, multiplied row by row by who can."""

from __future__ import annotations

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


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("shape", [rv.SuperSpike(), rv.SigmoidDerivative()])
@pytest.mark.parametrize(("widths", "products"), [((37,), 0), ((37, 11), 0), ((11, 37), 1)])
def test_a_dense_surrogate_multiplies_row_by_row(
    recurrent: bool, shape: rv.SuperSpike, widths: tuple[int, ...], products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = []
    monkeypatch.setattr(Product, "multiplied", lambda self: whole.append(self) or self.left @ self.right)

    def gradients(backend: str) -> list[Tensor]:
        source = torch.Generator().manual_seed(1)
        spikes = rv.Spikes.from_dense((torch.rand(50, 9, 20, generator=source) < 0.05).double(), dt=1e-3)
        layers: dict[str, torch.nn.Module] = {}
        n_in = 20
        for place, n_units in enumerate(widths):
            layers[f"hidden_{place}"] = rv.Spiking(
                n_in,
                n_units,
                rv.CubaLIF(20e-3, 5e-3),
                recurrent=recurrent,
                gradient=rv.Surrogate(shape),
                generator=source,
                backend=backend,  # pyright: ignore[reportArgumentType] (one of its words)
            )
            n_in = n_units
        layers["output"] = rv.Readout(n_in, 5, rv.LI(20e-3, 5e-3), generator=source)
        network = rv.Network(**layers).double()
        run = network(spikes)
        assert all(spikes.n_events > 20 for spikes in run.activity.values() if isinstance(spikes, rv.Spikes))
        rv.MaxOverTimeCrossEntropy()(run.output, torch.arange(9) % 5).backward()
        return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]

    ours = gradients("numba")
    assert len(whole) == products  # where what is sent back comes from more units than it goes to
    truth = gradients("reference")
    assert all(grad.norm() > 0 for grad in truth)
    for our, true in zip(ours, truth, strict=True):
        torch.testing.assert_close(our, true, rtol=1e-11, atol=1e-13 * float(true.norm()))

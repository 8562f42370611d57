"""The tests run with the library's annotations checked: types, shapes, what dataclasses are made of, results."""

import jaxtyping
import pytest
import torch
from beartype.roar import BeartypeCallHintParamViolation, BeartypeCallHintReturnViolation

import ranvier as rv
from ranvier.ops.parts import total
from ranvier.spikes import ragged
from tests.annotations import checked

WRONG = {
    "a type": (lambda: total(0), BeartypeCallHintParamViolation, TypeError),
    "a shape": (lambda: rv.SuperSpike()(torch.ones(2, dtype=torch.int64)), jaxtyping.TypeCheckError, RuntimeError),
    "a field": (lambda: rv.EventProp(min_slope="steep"), BeartypeCallHintParamViolation, TypeError),
}


@pytest.mark.parametrize(("call", "error", "ours"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_where_checks_are_on(call, error, ours, monkeypatch) -> None:
    with pytest.raises(error):
        call()
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ours):
        call()


def test_a_wrong_result_is_refused() -> None:
    def half(number: int) -> int:
        return number / 2

    with pytest.raises(BeartypeCallHintReturnViolation):
        checked(half)(3)


def test_shapes_bind_to_each_other() -> None:
    def square(matrix: jaxtyping.Float[torch.Tensor, "unit unit"]) -> None: ...

    checked(square)(torch.ones(2, 2))
    with pytest.raises(jaxtyping.TypeCheckError):
        checked(square)(torch.ones(2, 3))


def test_functions_of_the_library_are_checked() -> None:
    assert all(hasattr(made, "__wrapped__") for made in (total, ragged.samples_of, rv.EventProp.__init__))

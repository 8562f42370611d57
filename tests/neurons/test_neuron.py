import pickle

import numpy as np
import pytest
import torch

import ranvier as rv
from ranvier.neurons import matrix, vector
from tests.neurons.unchecked import unchecked

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "value",
    [(5e-3, 1e-2), [5e-3, 1e-2], np.array([5e-3, 1e-2]), torch.tensor([5e-3, 1e-2], dtype=torch.float64)],
    ids=["tuple", "list", "array", "tensor"],
)
def test_one_value_per_unit_may_be_any_sequence(value):
    neuron = rv.CubaLIF(tau_mem=value)
    assert neuron.tau_mem == (5e-3, 1e-2)
    assert neuron == rv.CubaLIF(tau_mem=(5e-3, 1e-2))
    assert hash(neuron) == hash(rv.CubaLIF(tau_mem=(5e-3, 1e-2)))


@pytest.mark.parametrize(
    "value",
    [1, 1.0, np.float32(1), np.int64(1), np.array(1.0), torch.tensor(1.0), torch.tensor(1)],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}",
)
def test_one_value_for_all_may_be_any_number(value):
    with unchecked():
        threshold = rv.CubaLIF(threshold=value).threshold
    assert (threshold, type(threshold)) == (1.0, float)


def test_neurons_can_be_printed_and_pickled():
    neuron = rv.CubaLIF(bias=[0.1, 0.2], learn="bias")
    assert pickle.loads(pickle.dumps(neuron)) == neuron
    assert "bias=(0.1, 0.2)" in repr(neuron)


def test_neurons_are_frozen():
    with pytest.raises(AttributeError):
        rv.CubaLIF().tau_mem = 1.0


def test_learned_names_come_in_one_order():
    assert rv.CubaLIF(learn=["bias", "tau_mem", "bias"]).learn == ("tau_mem", "bias")
    assert rv.CubaLIF(learn="threshold").learned == ("threshold",)
    assert rv.CubaLIF().learned == ()


def test_every_parameter_has_a_rule_and_is_a_field():
    for model in (rv.CubaLIF, rv.AdaptiveLIF, rv.LIF, rv.LI):
        for name, rule in model.parameters.items():
            assert hasattr(model(), name)
            assert rule.meaning
            assert rule.positive == (name != "bias")


RULES = [
    ({"tau_mem": -0.01}, ValueError, "`tau_mem` of CubaLIF must be > 0 s. Got -0.01."),
    ({"tau_mem": 0.0}, ValueError, "`tau_mem` of CubaLIF must be > 0 s. Got 0.0."),
    ({"tau_syn": NAN}, ValueError, "`tau_syn` of CubaLIF must be finite. Got nan."),
    ({"tau_syn": INF}, ValueError, "`tau_syn` of CubaLIF must be finite. Got inf."),
    ({"threshold": 0.0}, ValueError, "`threshold` of CubaLIF must be > 0. Got 0.0."),
    ({"bias": -INF}, ValueError, "`bias` of CubaLIF must be finite. Got -inf."),
    ({"tau_mem": [0.1, -0.1]}, ValueError, "`tau_mem` of CubaLIF must be > 0 s. Got -0.1 at unit 1."),
    ({"tau_mem": []}, ValueError, "`tau_mem` of CubaLIF must be one number, or one per unit. Got none."),
    ({"tau_mem": "20"}, TypeError, "`tau_mem` of CubaLIF must be a number. Got '20'."),
    ({"tau_mem": None}, TypeError, "`tau_mem` of CubaLIF must be a number. Got None."),
    ({"tau_mem": True}, TypeError, "`tau_mem` of CubaLIF must be a number. Got True."),
    ({"tau_mem": 10**400}, TypeError, f"`tau_mem` of CubaLIF must be a number. Got {10**400}."),
    ({"tau_mem": [0.1, "x"]}, TypeError, "`tau_mem` of CubaLIF must be a number. Got 'x' at unit 1."),
    ({"bias": [[0.1, 0.2]]}, TypeError, "`bias` of CubaLIF must be a number. Got [0.1, 0.2] at unit 0."),
    ({"bias": np.zeros((2, 1))}, TypeError, "`bias` of CubaLIF must be a number. Got [0.0] at unit 0."),
    (
        {"bias": torch.zeros(2, requires_grad=True)},
        TypeError,
        "`bias` of CubaLIF must be plain numbers; name it in `learn` to train it. Got a tensor that requires gradient.",
    ),
    (
        {"tau_mem": (0.1, 0.2), "bias": (0.1, 0.2, 0.3)},
        ValueError,
        "Per-unit values of CubaLIF must be equally many. Got tau_mem 2, bias 3.",
    ),
    ({"reset": "hard"}, ValueError, "`reset` of CubaLIF must be 'zero', 'subtract' or 'none'. Got 'hard'."),
    (
        {"learn": ("tau",)},
        ValueError,
        "`learn` of CubaLIF must name parameters among tau_mem, tau_syn, threshold, bias. Got 'tau'.",
    ),
    (
        {"learn": 3},
        ValueError,
        "`learn` of CubaLIF must name parameters among tau_mem, tau_syn, threshold, bias. Got 3.",
    ),
]


@pytest.mark.parametrize(("values", "error", "message"), RULES, ids=lambda value: str(value)[:30])
def test_a_broken_rule_is_named(values, error, message):
    with unchecked(), pytest.raises(error) as caught:
        rv.CubaLIF(**values)
    assert str(caught.value) == message


def test_the_message_names_the_model():
    with pytest.raises(ValueError, match="`tau_mem` of LIF must be > 0 s"):
        rv.LIF(tau_mem=0.0)
    with pytest.raises(ValueError, match="`learn` of LI must name parameters among tau_mem, tau_syn, bias"):
        rv.LI(learn=("threshold",))


def test_a_layer_of_another_size_is_refused():
    rv.CubaLIF(tau_mem=(0.1, 0.2)).check_size(2)
    rv.CubaLIF().check_size(7)
    with pytest.raises(ValueError, match=r"^`tau_mem` of CubaLIF must be one number, or 3\. Got 2\.$"):
        rv.CubaLIF(tau_mem=(0.1, 0.2)).check_size(3)


def test_matrices_broadcast_numbers_and_units():
    units = torch.tensor([1.0, 2.0], dtype=torch.float64)
    found = matrix([[units, 3.0], [0.0, torch.tensor(4.0, dtype=torch.float64)]])
    assert found.tolist() == [[[1.0, 3.0], [0.0, 4.0]], [[2.0, 3.0], [0.0, 4.0]]]
    assert vector([1.0, units]).tolist() == [[1.0, 1.0], [1.0, 2.0]]
    assert vector([1.0, 2.0]).dtype == torch.float64


def test_matrices_lie_where_their_entries_do():
    assert matrix([[torch.zeros(2, device="meta"), 1.0]]).device.type == "meta"

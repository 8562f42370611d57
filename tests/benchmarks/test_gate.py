"""What is timed is the work that was meant."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from benchmarks.peers import ranvier_step, torch_loop
from benchmarks.run import gate
from benchmarks.works import WORKS


def told(name, density=0.03, losses=(2.0, 1.9), same_model=True):
    return SimpleNamespace(name=name, told={"density": density, "losses": list(losses), "same_model": same_model})


@pytest.mark.parametrize(
    ("peer", "complaint"),
    [
        ({"density": 0.0305}, "hidden density"),
        ({"density": 0.04, "same_model": False}, "hidden density"),
        ({"losses": (2.01, 1.9)}, "loss 2.01"),
        ({"losses": (2.0, 2.0)}, "does not learn"),
        ({"losses": (2.0, float("nan"))}, "losses"),
        ({"losses": (2.0, 1.95)}, "descent"),
    ],
)
def test_other_work_is_not_timed(peer, complaint):
    ours = told("Ranvier, SuperSpike")
    gate([ours, told("PyTorch loop"), told("Spyx", 0.032, (3.0, 2.9), same_model=False)], WORKS["W1"])
    with pytest.raises(AssertionError, match=complaint):
        gate([ours, told("PyTorch loop", **peer)], WORKS["W1"])


def test_another_gradient_may_descend_otherwise():
    gate([told("Ranvier, SuperSpike"), told("Ranvier, EventProp", losses=(2.0, 1.95))], WORKS["W1"])


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_several_layers_are_the_same_network():
    work = replace(WORKS["W1"], batch=4, steps=30, n_hidden=32, gains=(15.0, 12.0))
    built = [
        torch_loop.build(work.problem(), "dense"),
        torch_loop.build(work.problem(), "sparse"),
        ranvier_step.build(work.problem(), "superspike"),
    ]
    densities, losses = [each[1]() for each in built], [each[0]() for each in built]
    assert densities[0] > 0.01
    assert densities == pytest.approx([densities[0]] * 3)
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    assert [each[0]() for each in built] == pytest.approx([built[0][0]()] * 3, rel=1e-3)

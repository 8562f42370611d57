from dataclasses import replace
from typing import Any

import pytest
import torch

from ranvier.data import DropEvents
from ranvier.gradients import Esser, EventProp, SigmoidDerivative, SuperSpike, Surrogate
from ranvier.layers import Readout, Spiking
from ranvier.losses import FirstSpikeCrossEntropy, MaxOverTimeCrossEntropy
from ranvier.studies import documented, study
from ranvier.training import evaluate, fit

SMALL: dict[str, Any] = {"n_train": 60, "epochs": 1, "threads": 1}


@pytest.mark.parametrize(("engine", "dt"), [("exact", None), ("grid", 1e-4)])
def test_yinyang_with_eventprop_is_the_published_network(engine: str, dt: float | None) -> None:
    parts = study(documented("yinyang", engine=engine, n_train=32))
    hidden, output = parts.network.layers["hidden"], parts.network.layers["output"]
    assert isinstance(hidden, Spiking)
    assert isinstance(output, Spiking)
    bounded = EventProp(min_slope=0.0) if engine == "exact" else EventProp()  # the literature's has no bound
    assert hidden.gradient == output.gradient == bounded
    assert hidden.w_in.shape == (5, 200)
    assert output.w_in.shape == (200, 3)
    assert hidden.w_in.mean().item() == pytest.approx(1.5, abs=0.1)
    assert output.w_in.std().item() == pytest.approx(0.1, abs=0.02)
    assert parts.loss == FirstSpikeCrossEntropy(0.5e-3, 6.4e-3, 3e-3)
    assert (len(parts.splits.train), len(parts.splits.validation), len(parts.splits.test)) == (32, 1000, 1000)
    assert parts.splits.train.inputs.dt == parts.splits.test.inputs.dt == dt
    assert parts.augment is None


@pytest.mark.parametrize(
    ("name", "shape"),
    [("superspike", SuperSpike), ("sigmoid", SigmoidDerivative), ("esser", Esser)],
)
def test_yinyang_with_a_surrogate_has_a_readout(name: str, shape: Any) -> None:
    parts = study(documented("yinyang", "surrogate", surrogate=name, surrogate_scale=7.0, n_train=8))
    hidden = parts.network.layers["hidden"]
    assert isinstance(hidden, Spiking)
    assert hidden.gradient == Surrogate(shape(scale=7.0))
    assert isinstance(parts.network.layers["output"], Readout)
    assert parts.loss == MaxOverTimeCrossEntropy()


def test_the_seed_draws_the_weights() -> None:
    first, again, other = (
        study(documented("yinyang", seed=seed, **SMALL)).network.state_dict()["layers.hidden.w_in"]
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_a_configuration_asks_for_is_built() -> None:
    config = documented("yinyang", drop=0.3, lower_activity=(0.1, 1.0), upper_activity=(0.2, 9.0), **SMALL)
    parts = study(config)
    assert parts.augment == DropEvents(0.3)
    assert [rule.strength for rule in parts.regularisers["hidden"]] == [0.1, 0.2]
    assert (parts.fit.epochs, parts.fit.threads, parts.fit.batch_size) == (1, 1, 32)
    assert study(replace(config, drop=0.0)).augment is None


@pytest.mark.parametrize(
    ("gradient", "engine", "dt"),
    [("eventprop", "exact", None), ("eventprop", "grid", 1e-3), ("surrogate", "grid", 1e-3)],
)
def test_a_study_trains(gradient: str, engine: str, dt: float | None) -> None:
    config = documented("yinyang", gradient, engine, dt=dt, hidden=30, lower_activity=(1e-3, 1.0), **SMALL)
    parts = study(config)
    result = fit(
        parts.network,
        parts.loss,
        parts.splits.train,
        parts.splits.validation,
        parts.fit,
        regularisers=parts.regularisers,
        augment=parts.augment,
        progress=False,
    )
    assert result.epoch == 1
    assert evaluate(parts.network, parts.loss, parts.splits.test).spikes_per_sample["hidden"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("gradient", "least"), [("eventprop", 0.96), ("surrogate", 0.95)])
def test_yinyang_reaches_what_it_should(gradient: str, least: float) -> None:
    parts = study(documented("yinyang", gradient))
    fit(parts.network, parts.loss, parts.splits.train, parts.splits.validation, parts.fit, progress=False)
    assert evaluate(parts.network, parts.loss, parts.splits.test).accuracy >= least

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from ranvier.studies import DATASETS, RunConfig, documented
from ranvier.studies.config import ENGINES, GRADIENTS
from ranvier.studies.table import TABLE


def test_the_table_is_complete_and_consistent() -> None:
    trained = {("eventprop", "grid"), ("eventprop", "exact"), ("surrogate", "grid")}
    assert trained == {(gradient, engine) for gradient in GRADIENTS for engine in ENGINES} - {("surrogate", "exact")}
    delays = ("yinyang-delays", "eventprop", "exact")
    assert set(TABLE) == {delays} | {(name, *kind) for name in DATASETS if name != delays[0] for kind in trained}
    for key, config in TABLE.items():
        assert (config.dataset, config.gradient, config.engine) == key
        assert (config.dt is None) == (config.engine == "exact")
        assert config.n_train is None
        assert config.threads is None


def test_yinyang_has_the_published_settings() -> None:
    config = documented("yinyang")
    assert (config.hidden, config.batch_size, config.learning_rate, config.decay) == (200, 32, 5e-3, 0.95)
    assert (config.hidden_weights, config.output_weights) == ((1.5, 0.78), (0.93, 0.1))
    assert (config.tau_mem, config.tau_syn, config.dt) == (20e-3, 5e-3, None)
    assert documented("yinyang", engine="grid") == replace(config, engine="grid", dt=1e-4)


def test_the_engine_is_exact_where_it_is_documented_so() -> None:
    assert documented("yinyang").engine == documented("yinyang-delays").engine == "exact"
    assert documented("yinyang", "surrogate").engine == documented("mnist").engine == "grid"
    exact = documented("mnist", engine="exact")
    assert (exact.epochs, exact.decay, exact.dt) == (100, 0.95, None)


@pytest.mark.parametrize("key", TABLE, ids="-".join)
def test_json_keeps_everything(key: tuple[str, str, str]) -> None:
    config = replace(TABLE[key], upper_activity=(1.0, 2.0), decay_every=3)
    assert RunConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config


def test_a_run_older_than_a_setting_has_its_default() -> None:
    values = json.loads(json.dumps(asdict(documented("yinyang", decay_every=3))))
    del values["decay_every"], values["bias_spike"]
    assert RunConfig.from_dict(values) == documented("yinyang")
    del values["decay"]
    with pytest.raises(ValueError, match="must hold exactly"):
        RunConfig.from_dict(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"dataset": "cifar"},
            "`dataset` must be one of yinyang, yinyang-delays, mnist, fashion-mnist. Got 'cifar'.",
        ),
        ({"gradient": "none"}, "`gradient` must be one of eventprop, surrogate. Got 'none'."),
        ({"surrogate": "esser"}, "`surrogate` needs `gradient` surrogate. Got gradient eventprop."),
        ({"gradient": "surrogate"}, "`surrogate` must be one of superspike, sigmoid, esser. Got None."),
        ({"epochs": True}, "`epochs` must be a whole number from 1 to 1000000000. Got True."),
        ({"hidden": 0}, "`hidden` must be a whole number from 1 to 100000. Got 0."),
        ({"seed": -1}, f"`seed` must be a whole number from 0 to {2**63 - 1}. Got -1."),
        ({"dt": 0.061}, "`dt` must divide a sample of 0.06 s into 1 to 1,000,000 steps. Got 0.061."),
        ({"engine": "exact"}, "`dt` must not be given with `engine` exact, which has no grid. Got 0.0001."),
        ({"dt": None}, "`dt` must be a finite number > 0. Got None."),
        ({"decay_every": 0}, "`decay_every` must be a whole number from 1 to 1000000000. Got 0."),
        ({"delays": "dendritic"}, "`delays` must be one of none, axonal, synaptic. Got 'dendritic'."),
        ({"delays": "axonal"}, "`delays` needs the data set yinyang-delays. Got yinyang."),
        ({"bias_spike": True}, "`bias_spike` needs the data set yinyang-delays. Got yinyang."),
        ({"delay_rate": 1.0}, "`delay_rate` needs `delays` axonal or synaptic. Got 1.0."),
        ({"decay": float("nan")}, "`decay` must be a finite number > 0. Got nan."),
        ({"drop": 1.0}, "`drop` must be a probability below 1. Got 1.0."),
        (
            {"hidden_weights": (1.0, -1.0)},
            "`hidden_weights` must be two finite numbers, the second >= 0. Got (1.0, -1.0).",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_impossible_settings_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared whole)
        replace(documented("yinyang", engine="grid"), **change)
    assert str(raised.value) == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"engine": "grid"}, "`engine` of yinyang-delays must be exact. Got grid."),
        ({"gradient": "surrogate"}, "`gradient` of yinyang-delays must be eventprop. Got surrogate."),
        ({"delays": "dendritic"}, "`delays` must be one of none, axonal, synaptic. Got 'dendritic'."),
        ({"delay_rate": None}, "`delay_rate` must be a finite number > 0. Got None."),
        ({"delay_rate": 0.0}, "`delay_rate` must be a finite number > 0. Got 0.0."),
        ({"delays": "none", "delay_rate": 1e-3}, "`delay_rate` needs `delays` axonal or synaptic. Got 0.001."),
    ],
    ids=["engine", "gradient", "delays", "no rate", "zero rate", "rate of nothing"],
)
def test_impossible_delays_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared whole)
        documented("yinyang-delays", **changes)
    assert str(raised.value) == words


def test_an_unknown_study_is_refused() -> None:
    with pytest.raises(ValueError, match="Got 'cifar', 'eventprop' and 'grid'"):
        documented("cifar")
    with pytest.raises(ValueError, match="Got 'yinyang-delays', 'stdp' and 'grid'"):
        documented("yinyang-delays", "stdp")

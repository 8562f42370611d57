import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from ranvier.studies import DATASETS, SPEECH, RunConfig, documented, takes_folder
from ranvier.studies.config import ENGINES, GRADIENTS
from ranvier.studies.table import TABLE


def test_the_table_is_complete_and_consistent() -> None:
    trained = {("eventprop", "grid"), ("eventprop", "exact"), ("surrogate", "grid")}
    assert trained == {(gradient, engine) for gradient in GRADIENTS for engine in ENGINES} - {("surrogate", "exact")}
    delays = ("yinyang-delays", "eventprop", "exact")
    others = [name for name in DATASETS if name != delays[0] and name not in SPEECH]
    on_grid = {(name, gradient, "grid") for name in SPEECH for gradient in GRADIENTS}
    assert set(TABLE) == {delays} | {(name, *kind) for name in others for kind in trained} | on_grid
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
            "`dataset` must be one of yinyang, yinyang-delays, mnist, fashion-mnist, fsdd, shd, ssc, spikes:FILE.h5, "
            "audio:FOLDER. Got 'cifar'.",
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


def test_a_path_is_part_of_the_name() -> None:
    config = documented("spikes:/data/a:b.h5")
    assert (config.form, config.path, config.hidden) == ("spikes:FILE.h5", "/data/a:b.h5", 256)
    assert documented("fsdd").path is None
    assert [name for name in DATASETS if takes_folder(name)] == ["mnist", "fashion-mnist", "fsdd", "shd", "ssc"]
    assert not takes_folder("audio:there")
    for name in ("spikes", "spikes:", "mnist:x", "wav:x"):
        with pytest.raises(ValueError, match="`dataset` must be one of"):
            documented(name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "hinge"}, "`loss` must be one of constant, linear, exponential, sigmoid, maximum. Got 'hinge'."),
        ({"loss": None}, "`loss` must be one of constant, linear, exponential, sigmoid, maximum. Got None."),
        (
            {"xi": 1.0},
            "`xi` draws the weights in place of `hidden_weights` and the recurrent ones. "
            "Got ((0.03, 0.01), (0.0, 0.02)).",
        ),
        (
            {"recurrent_weights": None},
            "`xi` must be given, or `hidden_weights` and `recurrent_weights`. Got ((0.03, 0.01), None).",
        ),
        ({"xi": 0.0, "hidden_weights": None, "recurrent_weights": None}, "`xi` must be a finite number > 0. Got 0.0."),
        ({"wake_after": -1.0}, "`wake_after` must be a finite number > 0. Got -1.0."),
        ({"ease_in": (0.0, 1.05)}, "`ease_in` must be a share > 0 and <= 1, and a factor > 1. Got (0.0, 1.05)."),
        ({"plateau": 0}, "`plateau` must be a whole number from 1 to 1000000000. Got 0."),
        ({"delay_line": 0}, "`delay_line` must be a whole number from 1 to 1000. Got 0."),
        ({"shift": -1}, "`shift` must be a whole number from 0 to 65536. Got -1."),
        ({"engine": "exact", "dt": None}, "`engine` of shd must be grid. Got exact."),
        ({"leave_out": "1"}, "`leave_out` needs the data set fsdd or spikes:FILE.h5 or audio:FOLDER. Got shd."),
        ({"split_seed": 1}, "`split_seed` needs the data set spikes:FILE.h5 or audio:FOLDER. Got shd."),
        ({"label_from": "folder"}, "`label_from` needs the data set audio:FOLDER. Got shd."),
        ({"channels": 70}, "`channels` needs the data set fsdd or spikes:FILE.h5 or audio:FOLDER. Got shd."),
        (
            {"dataset": "spikes:a.h5", "leave_out": "ann", "split_seed": 1},
            "`split_seed` must be 0 with `leave_out`, which is no draw. Got 1.",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_impossible_settings_of_speech_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared whole)
        replace(documented("shd"), **change)
    assert str(raised.value) == words


def test_settings_of_speech_are_refused_elsewhere() -> None:
    with pytest.raises(ValueError, match=r"`shift` needs a data set of speech \(fsdd, .*\)\. Got yinyang\."):
        documented("yinyang", shift=1)
    with pytest.raises(ValueError, match="`hidden_weights` of mnist must be two numbers"):
        documented("mnist", hidden_weights=None)


def test_an_unknown_study_is_refused() -> None:
    with pytest.raises(ValueError, match="Got 'cifar', 'eventprop' and 'grid'"):
        documented("cifar")
    with pytest.raises(ValueError, match="Got 'yinyang-delays', 'stdp' and 'grid'"):
        documented("yinyang-delays", "stdp")

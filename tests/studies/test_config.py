import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from ranvier.studies import DATASETS, GRADIENTS, RunConfig, documented
from ranvier.studies.table import TABLE


def test_the_table_is_complete_and_consistent() -> None:
    assert set(TABLE) == {(dataset, gradient) for dataset in DATASETS for gradient in GRADIENTS}
    for (dataset, gradient), config in TABLE.items():
        assert (config.dataset, config.gradient) == (dataset, gradient)
        assert config.n_train is None
        assert config.threads is None


def test_yinyang_has_the_published_settings() -> None:
    config = documented("yinyang")
    assert (config.hidden, config.batch_size, config.learning_rate, config.decay) == (200, 32, 5e-3, 0.95)
    assert (config.hidden_weights, config.output_weights) == ((1.5, 0.78), (0.93, 0.1))
    assert (config.tau_mem, config.tau_syn, config.dt) == (20e-3, 5e-3, 1e-4)


@pytest.mark.parametrize("key", TABLE, ids="-".join)
def test_json_keeps_everything(key: tuple[str, str]) -> None:
    config = replace(TABLE[key], upper_activity=(1.0, 2.0))
    assert RunConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "cifar"}, "`dataset` must be one of yinyang, mnist, fashion-mnist. Got 'cifar'."),
        ({"gradient": "none"}, "`gradient` must be one of eventprop, surrogate. Got 'none'."),
        ({"surrogate": "esser"}, "`surrogate` needs `gradient` surrogate. Got gradient eventprop."),
        ({"gradient": "surrogate"}, "`surrogate` must be one of superspike, sigmoid, esser. Got None."),
        ({"epochs": True}, "`epochs` must be a whole number from 1 to 1000000000. Got True."),
        ({"hidden": 0}, "`hidden` must be a whole number from 1 to 100000. Got 0."),
        ({"seed": -1}, f"`seed` must be a whole number from 0 to {2**63 - 1}. Got -1."),
        ({"dt": 0.061}, "`dt` must divide a sample of 0.06 s into 1 to 1,000,000 steps. Got 0.061."),
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
        replace(documented("yinyang"), **change)
    assert str(raised.value) == words


def test_an_unknown_study_is_refused() -> None:
    with pytest.raises(ValueError, match="Got 'cifar' and 'eventprop'"):
        documented("cifar")

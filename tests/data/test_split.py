from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from ranvier.data import ByColumn, ByRatio, leave_one_out
from ranvier.data.split import Divisible, SplitRule, distinct
from ranvier.errors import DataError


@dataclass
class Table:
    labels: torch.Tensor
    columns: dict = field(default_factory=dict)

    def column(self, name):
        if name not in self.columns:
            raise DataError(f"no {name}")
        return np.array(self.columns[name])

    def __str__(self):
        return "TABLE"


SPEAKERS = ["ann", "ben", "cy", "ann", "ben", "cy", "dee", "ann"]
TABLE = Table(torch.tensor([0, 1, 0, 1, 0, 1, 0, 1]), {"speaker": SPEAKERS, "number": [10, 9, 2, 10, 9, 2, 3, 10]})


def lists(parts):
    return [part.tolist() for part in parts]


def test_the_named_values_are_left_out_of_training():
    assert isinstance(TABLE, Divisible)
    rule = ByColumn("speaker", validation=["ben"], test=["dee", "cy"])
    assert isinstance(rule, SplitRule)
    assert lists(rule(TABLE)) == [[0, 3, 7], [1, 4], [2, 5, 6]]
    assert all(part.dtype == torch.int64 for part in rule(TABLE))
    assert lists(ByColumn("speaker")(TABLE)) == [list(range(8)), [], []]


def test_numbers_and_their_spelling_are_the_same_value():
    for two in (2, "2", np.int64(2)):
        assert lists(ByColumn("number", test=[two])(TABLE))[2] == [2, 5]
    assert lists(ByColumn("number", validation=range(2, 4), test=("10",))(TABLE)) == [[1, 4], [2, 5, 6], [0, 3, 7]]


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (
            ByColumn("speaker", test=["eve"]),
            DataError,
            r"TABLE must have samples whose speaker is eve. Got only ann, b",
        ),
        (ByColumn("age"), DataError, "no age"),
        (
            ByColumn("speaker", validation=["ann"], test=["ben", "cy", "dee"]),
            ValueError,
            r"ByColumn\(column='speaker', .* must leave samples for training. Got none of 8.",
        ),
        (
            ByRatio(validation=0.2, test=0.01),
            ValueError,
            r"`test` of ByRatio must give at least one .* of 8. Got 0.01.",
        ),
    ],
)
def test_a_rule_that_does_not_fit_is_one_sentence(rule, error, message):
    with pytest.raises(error, match=message):
        rule(TABLE)


def test_a_value_can_be_a_part_of_a_text():
    table = Table(TABLE.labels, {"files": [f"in/7_ann_{number}.wav" for number in range(8)]})
    rule = ByColumn("files", pattern=r"_(\d+)\.wav$", validation=[2, 3], test=range(2))
    assert lists(rule(table)) == [[4, 5, 6, 7], [2, 3], [0, 1]]
    with pytest.raises(DataError, match=r"TABLE must have '_\(x\)' in each of its files. Got in/7_ann_0.wav."):
        ByColumn("files", pattern="_(x)")(table)
    with pytest.raises(ValueError, match=r"`pattern` of ByColumn must have a group, the value. Got 'x'."):
        ByColumn("files", pattern="x")


def test_a_value_is_never_for_both():
    with pytest.raises(ValueError, match=r"`validation` of ByColumn must share no value with `test`. Got 3 in both."):
        ByColumn("number", validation=[1, "3"], test=[3])
    with pytest.raises(ValueError, match=r"`test` of ByColumn must be a list of values. Got 'ann'."):
        ByColumn("speaker", test="ann")


@pytest.mark.parametrize(
    "arguments", [{"validation": 1.0}, {"test": -0.1}, {"validation": 0.5, "test": 0.5}, {"seed": -1}, {"seed": 1.5}]
)
@pytest.mark.usefixtures("as_users_run_it")
def test_shares_and_seed_are_checked(arguments):
    with pytest.raises(ValueError, match=r"of ByRatio must be .* Got"):
        ByRatio(**arguments)


def test_each_class_gives_its_share_and_each_sample_is_in_one_part():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 21)[torch.randperm(101)]
    table = Table(labels)
    train, validation, test = ByRatio(0.2, 0.1, seed=3)(table)
    assert sorted(torch.cat([train, validation, test]).tolist()) == list(range(101))
    assert labels[test].bincount().tolist() == [5, 3, 2]
    assert labels[validation].bincount().tolist() == [10, 6, 4]
    assert all((part.diff() > 0).all() for part in (train, validation, test))
    assert lists(ByRatio(0.2, 0.1, seed=3)(table)) == lists((train, validation, test))
    others = ByRatio(0.2, 0.1, seed=4)(table)
    assert others.test.tolist() != test.tolist()
    assert lists(ByRatio(0.0, 0.0)(table))[1:] == [[], []]


def test_the_choice_of_a_seed_never_changes():
    parts = ByRatio(0.25, 0.25)(Table(torch.tensor([0, 1] * 6)))
    assert lists(parts) == [[0, 5, 8, 11], [1, 2, 6, 9], [3, 4, 7, 10]]


def test_each_speaker_is_left_out_once_and_another_validates():
    rules = leave_one_out(TABLE)
    assert list(rules) == ["ann", "ben", "cy", "dee"]
    assert [rule.validation for rule in rules.values()] == [("ben",), ("cy",), ("dee",), ("ann",)]
    tested = []
    for speaker, rule in rules.items():
        train, validation, test = (np.array(SPEAKERS)[part.numpy()].tolist() for part in rule(TABLE))
        assert set(test) == {speaker}
        assert not set(train) & set(validation)
        assert not (set(train) | set(validation)) & set(test)
        tested += test
    assert sorted(tested) == sorted(SPEAKERS)
    assert list(leave_one_out(TABLE, "number")) == ["2", "3", "9", "10"]
    with pytest.raises(DataError, match=r"TABLE must have at least three values of speaker. Got ann, ben."):
        leave_one_out(Table(TABLE.labels, {"speaker": ["ann", "ben"]}))


def test_values_are_in_the_order_people_expect():
    assert distinct(np.array(["b", "10", "a", "9", "-1", "b"])) == ["-1", "9", "10", "a", "b"]

"""Rules that divide one set of samples into training, validation and test: by a column, by a ratio, by leaving one out.

A rule is a function of the set alone, so the same rule gives the same parts again. Every sample is in exactly one part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ranvier.errors import DataError


@runtime_checkable
class Divisible(Protocol):
    """What a rule looks at: `SpikeFile`, `Recordings`. `str` of it names it in messages."""

    @property
    def labels(self) -> Int64[Tensor, " sample"]:
        """The class of each sample."""
        ...

    def column(self, name: str) -> np.ndarray:
        """One value per sample; DataError if there is no such column."""
        ...


class Parts(NamedTuple):
    """Sample numbers, int64 and ascending, of the three parts."""

    train: Tensor
    validation: Tensor
    test: Tensor


@runtime_checkable
class SplitRule(Protocol):
    """What divides a set: `ByColumn`, `ByRatio`, or a function of your own."""

    def __call__(self, source: Divisible) -> Parts:
        """The three parts."""
        ...


@dataclass(frozen=True)
class ByColumn:
    r"""Samples with the named values of a column are for validation and test, all others for training.

    `ByColumn("speaker", validation=["theo"], test=["george"])` leaves two speakers out of training. Numbers match text
    that spells them: "3" and 3 are the same value.

    Attributes:
        column: name of the column: what `extra/` of a spike file holds, or "speaker", "index", "files" of recordings.
        validation: values for validation.
        test: values for test.
        pattern: regular expression whose first group, where it is found in the column's text, is the value: of
            "files", r"_(\d+)\.wav" is the number of a recording. None takes the whole text.

    Raises:
        ValueError: at construction, if a value is for both; on use, if there is no training sample left.
        DataError: on use, if there is no such column, no sample with one of the values, or a text without `pattern`.
    """

    column: str
    validation: tuple[Any, ...] = ()
    test: tuple[Any, ...] = ()
    pattern: str | None = None

    def __init__(
        self, column: str, *, validation: Iterable[Any] = (), test: Iterable[Any] = (), pattern: str | None = None
    ) -> None:
        for name, values in (("validation", validation), ("test", test)):
            if isinstance(values, str):
                raise ValueError(f"`{name}` of ByColumn must be a list of values. Got {values!r}.")
        object.__setattr__(self, "column", column)
        object.__setattr__(self, "validation", tuple(validation))
        object.__setattr__(self, "test", tuple(test))
        if pattern is not None and re.compile(pattern).groups < 1:
            raise ValueError(f"`pattern` of ByColumn must have a group, the value. Got {pattern!r}.")
        object.__setattr__(self, "pattern", pattern)
        both = {str(value) for value in self.validation} & {str(value) for value in self.test}
        if both:
            raise ValueError(
                f"`validation` of ByColumn must share no value with `test`. Got {', '.join(sorted(both))} in both."
            )

    def __call__(self, source: Divisible) -> Parts:
        """See `SplitRule`."""
        column = source.column(self.column).astype(str)
        if self.pattern is not None:
            found = [re.search(self.pattern, text) for text in column.tolist()]
            if None in found:
                text = column[found.index(None)]
                raise DataError(f"{source} must have {self.pattern!r} in each of its {self.column}. Got {text}.")
            column = np.array([match[1] for match in found if match])
        for value in (*self.validation, *self.test):
            if not (column == str(value)).any():
                known = distinct(column)
                listed = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
                raise DataError(f"{source} must have samples whose {self.column} is {value}. Got only {listed}.")
        part = np.zeros(len(column), dtype=np.int64)
        part[np.isin(column, [str(value) for value in self.validation])] = 1
        part[np.isin(column, [str(value) for value in self.test])] = 2
        return _parts(part, self)


@dataclass(frozen=True)
class ByRatio:
    """A random share of each class is for validation, another for test, the rest for training.

    Of each class, test gets its share first, then validation, each rounded to the nearest whole number of samples.

    Attributes:
        validation: share of each class, 0 to 1.
        test: share of each class, 0 to 1.
        seed: of the choice.

    Raises:
        ValueError: at construction, if the shares leave nothing for training; on use, if a part that should hold
            samples gets none.
    """

    validation: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            share = getattr(self, name)
            if not (isfinite(share) and 0 <= share < 1):
                raise ValueError(f"`{name}` of ByRatio must be >= 0 and < 1. Got {share}.")
        if self.validation + self.test >= 1:
            raise ValueError(f"`validation` + `test` of ByRatio must be < 1. Got {self.validation} and {self.test}.")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` of ByRatio must be a whole number in 0 to 2**32 - 1. Got {self.seed!r}.")

    def __call__(self, source: Divisible) -> Parts:
        """See `SplitRule`."""
        labels = source.labels.numpy()
        random = np.random.RandomState(self.seed)  # whose stream is the same in every version of numpy
        part = np.zeros(len(labels), dtype=np.int64)
        for label in np.unique(labels):
            members = random.permutation(np.flatnonzero(labels == label))
            n_test, n_validation = round(self.test * len(members)), round(self.validation * len(members))
            part[members[:n_test]] = 2
            part[members[n_test : n_test + n_validation]] = 1
        for number, name in ((1, "validation"), (2, "test")):
            if getattr(self, name) > 0 and not (part == number).any():
                raise ValueError(
                    f"`{name}` of ByRatio must give at least one sample of {len(labels)}. Got {getattr(self, name)}."
                )
        return _parts(part, self)


def leave_one_out(source: Divisible, column: str = "speaker") -> dict[str, ByColumn]:
    """One rule for each value of a column, such as each speaker: that value is the test set, the next one validates.

    Choices for a fold are then made on a speaker who is neither trained on nor tested.

    Args:
        source: a `SpikeFile` or `Recordings`.
        column: whose values are left out in turn.

    Returns:
        The rules by the value that is tested, in natural order.

    Raises:
        DataError: there is no such column, or it has fewer than three values.
    """
    values = distinct(source.column(column))
    if len(values) < 3:
        raise DataError(f"{source} must have at least three values of {column}. Got {', '.join(values)}.")
    following = values[1:] + values[:1]
    return {
        value: ByColumn(column, validation=[other], test=[value])
        for value, other in zip(values, following, strict=True)
    }


def distinct(column: np.ndarray) -> list[str]:
    """The values of a column as text, each once, numbers by size before words by letter."""
    return sorted(set(column.astype(str).tolist()), key=_natural)


def _parts(part: np.ndarray, rule: object) -> Parts:
    if not (part == 0).any():
        raise ValueError(f"{rule} must leave samples for training. Got none of {len(part)}.")
    return Parts(*(torch.from_numpy(np.flatnonzero(part == number)) for number in range(3)))


def _natural(value: str) -> tuple[bool, float, str]:
    is_number = value.removeprefix("-").isdecimal()
    return (not is_number, float(value) if is_number else 0.0, value)

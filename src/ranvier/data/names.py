"""From what a user calls a data set to what loads it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ranvier.data.heidelberg import load_shd, load_ssc
from ranvier.data.labelled import Splits
from ranvier.data.load import load_spikes
from ranvier.data.mnist import load_fashion_mnist, load_mnist
from ranvier.data.yinyang import load_yinyang

Loader = Callable[..., Splits[Any]]

_LOADERS: dict[str, Loader] = {
    "yinyang": load_yinyang,
    "mnist": load_mnist,
    "fashion-mnist": load_fashion_mnist,
    "shd": load_shd,
    "ssc": load_ssc,
}
_SPIKES = "spikes"


def loader_of(dataset: str) -> Loader:
    """What loads a data set of spikes, by name.

    Args:
        dataset: "yinyang", "mnist", "fashion-mnist", "shd", "ssc", or "spikes:FILE.h5" for a file in the layout of the
            Heidelberg data sets. The file is not looked at yet.

    Returns:
        A function that takes the loader's keyword arguments, for "spikes:FILE.h5" those of `load_spikes`.

    Raises:
        ValueError: there is no such data set, or no file is named.
    """
    kind, colon, path = dataset.partition(":")
    if kind == _SPIKES and path:
        return partial(load_spikes, path)
    if colon or kind not in _LOADERS:
        raise ValueError(f"`dataset` must be one of {', '.join(_LOADERS)} or spikes:FILE.h5. Got {dataset!r}.")
    return _LOADERS[kind]

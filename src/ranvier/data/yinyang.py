"""The Yin-Yang set: points of a disc in three classes (yin, yang, two dots) that no linear readout separates.

Each point (x, y) of the disc of radius 0.5 around (0.5, 0.5) is given as [x, y, 1 - x, 1 - y]. The generator
draws from the same random stream as the authors', so the splits are the published sets, number for number.

Kriener, Göltz & Petrovici, The Yin-Yang dataset, NICE 2022, arXiv 2102.08211.
"""

from __future__ import annotations

from math import hypot

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ranvier.data.encode import linear_latency
from ranvier.data.labelled import LabelledSpikes, Splits

_N_CLASSES = 3
_BIG_RADIUS = 0.5
_DOT_RADIUS = 0.1
_TRAIN, _VALIDATION, _TEST = (5000, 42), (1000, 41), (1000, 40)


def load_yinyang(
    *,
    t_min: float = 0.0,
    t_max: float = 30e-3,
    bias_time: float | None = 0.0,
    duration: float = 60e-3,
) -> Splits:
    """The published Yin-Yang splits, 5000 / 1000 / 1000 points, as one early or late spike per coordinate.

    The defaults are the times of Wunderlich & Pehle, Sci. Rep. 11:12829 (2021).

    Args:
        t_min: seconds, spike time of coordinate 0.
        t_max: seconds, spike time of coordinate 1.
        bias_time: seconds, when a fifth input unit spikes in every sample; None leaves that unit out.
        duration: seconds, of each sample.

    Returns:
        Splits of 3 classes; inputs have 5 units, 4 without bias.

    Raises:
        ValueError: the times are out of order or beyond the duration.
    """

    def split(n_points: int, seed: int) -> LabelledSpikes:
        values, labels = yinyang_points(n_points, seed)
        inputs = linear_latency(values, t_min, t_max, duration=duration, bias_time=bias_time)
        return LabelledSpikes(inputs, labels, _N_CLASSES)

    return Splits(split(*_TRAIN), split(*_VALIDATION), split(*_TEST))


def yinyang_points(n_points: int, seed: int) -> tuple[Float64[Tensor, "point 4"], Int64[Tensor, " point"]]:
    """Points and classes of the Yin-Yang set, before any encoding.

    Each point first draws its class, then positions until one falls into it: the classes are balanced in
    expectation.

    Args:
        n_points: how many, >= 1.
        seed: of numpy's RandomState; the published sets have 42 (training), 41 (validation), 40 (test).

    Returns:
        Values [n_points, 4], each row [x, y, 1 - x, 1 - y], and classes [n_points] in 0 to 2.

    Raises:
        ValueError: `n_points` is below 1.
    """
    if n_points < 1:
        raise ValueError(f"`n_points` of yinyang_points must be >= 1. Got {n_points}.")
    random = np.random.RandomState(seed)
    draw = random.random_sample
    points = np.empty((n_points, 2))
    labels = np.empty(n_points, dtype=np.int64)
    for index in range(n_points):
        goal = int(random.randint(_N_CLASSES))
        while True:
            x, y = draw(), draw()
            if hypot(x - _BIG_RADIUS, y - _BIG_RADIUS) <= _BIG_RADIUS and yinyang_class(x, y) == goal:
                break
        points[index] = x, y
        labels[index] = goal
    return torch.as_tensor(np.concatenate([points, 1 - points], axis=1)), torch.as_tensor(labels)


def yinyang_class(x: float, y: float) -> int:
    """The class at (x, y) of the disc: 2 in a dot, else 1 or 0 on either side of the curved border.

    The authors' list of names calls class 0 yin and class 1 yang, their predicate the other way round; the
    numbers are the same.
    """
    to_right = hypot(x - 1.5 * _BIG_RADIUS, y - _BIG_RADIUS)
    to_left = hypot(x - 0.5 * _BIG_RADIUS, y - _BIG_RADIUS)
    if to_right < _DOT_RADIUS or to_left < _DOT_RADIUS:
        return 2
    in_left_lobe = _DOT_RADIUS < to_left <= 0.5 * _BIG_RADIUS
    above_right_lobe = y > _BIG_RADIUS and to_right > 0.5 * _BIG_RADIUS
    return int(to_right <= _DOT_RADIUS or in_left_lobe or above_right_lobe)

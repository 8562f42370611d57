"""A pattern changes with every count, and with every spike that changes places with an arrival."""

import pytest
import torch

import ranvier as rv
from ranvier.audit.activity import Call, counts, pattern, same, watched
from tests.audit.nets import NEURON, batch, network


def spikes(*samples, n_units=3):
    return rv.Spikes.from_samples(samples, unit_shape=n_units, duration=1.0, dtype=torch.float64)


def call(received, emitted, *, recurrent=False):
    return [Call("layer", rv.Spiking(2, 3, NEURON, recurrent=recurrent), received, emitted)]


ARRIVALS = spikes(([0.1, 0.5], [0, 1]), ([0.3], [0]), n_units=2)
BASE = spikes(([0.2, 0.4, 0.6], [0, 1, 0]), ([0.7], [2]))


@pytest.mark.parametrize(
    ("other", "recurrent", "expected"),
    [
        (BASE, False, True),
        (spikes(([0.21, 0.49, 0.9], [0, 1, 0]), ([0.31], [2])), False, True),
        (spikes(([0.2, 0.4, 0.6], [1, 0, 0]), ([0.7], [2])), False, True),  # two units changed places
        (spikes(([0.2, 0.4, 0.6], [1, 0, 0]), ([0.7], [2])), True, False),
        (spikes(([0.2, 0.4], [0, 1]), ([0.7], [2])), False, False),
        (spikes(([0.2, 0.4, 0.6], [0, 1, 1]), ([0.7], [2])), False, False),
        (spikes(([0.2, 0.4, 0.6], [0, 1, 0]), ([0.29], [2])), False, False),
        (spikes(([0.2, 0.51, 0.6], [0, 1, 0]), ([0.7], [2])), False, False),
        (spikes(([0.2, 0.4, 0.6, 0.7], [0, 1, 0, 2]), ([], [])), False, False),
    ],
    ids=["same", "moved", "swapped", "swapped, recurrent", "gone", "other unit", "arrival", "arrival 2", "sample"],
)
def test_pattern(other, recurrent, expected):
    one, two = (pattern(call(ARRIVALS, each, recurrent=recurrent)) for each in (BASE, other))
    assert same(one, two) == expected


def test_counts():
    assert counts(BASE).tolist() == [[2, 1, 0], [0, 0, 1]]


def test_nested_layers_and_second_calls_are_watched():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = rv.Spiking(5, 5, NEURON, weights=rv.init.normal(3.0, 0.1))

        def forward(self, events):
            return self.inner(self.inner(events))

    net = rv.Network(twice=Twice(), **network().layers)
    with watched(net) as calls:
        net(batch())
    assert [each.name for each in calls] == ["twice.inner", "twice.inner#2", "twice", "hidden", "output"]
    assert calls[1].received is calls[0].emitted
    assert calls[1].emitted.n_events > 0
    net(batch())
    assert len(calls) == 5

"""Small networks that live, in continuous time and on grids, and the losses they are checked with."""

import torch

import ranvier as rv
from ranvier.losses import IntegralCrossEntropy

DURATION = 40e-3
LABELS = torch.tensor([0, 1, 2, 1])
NEURON = rv.CubaLIF(tau_mem=20e-3, tau_syn=5e-3)


def batch(n_in=5, n_events=6, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for _ in LABELS:
        times = torch.rand(n_events, generator=generator).sort().values * DURATION * 0.5
        pairs.append((times, torch.randint(0, n_in, (n_events,), generator=generator)))
    return rv.Spikes.from_samples(pairs, unit_shape=n_in, duration=DURATION, dtype=dtype)


def network(*, spiking_output=True, gradient=None, neuron=NEURON, hidden=12, mean=1.6, output_mean=0.8, **options):
    generator = torch.Generator().manual_seed(1)
    first = rv.Spiking(
        5, hidden, neuron, gradient=gradient, weights=rv.init.normal(mean, 0.8), generator=generator, **options
    )
    weights = rv.init.normal(output_mean, 0.4)
    if spiking_output:
        last = rv.Spiking(hidden, 3, NEURON, gradient=gradient, weights=weights, generator=generator)
    else:
        last = rv.Readout(hidden, 3, rv.LI(tau_mem=20e-3, tau_syn=5e-3), weights=weights, generator=generator)
    return rv.Network(hidden=first, output=last)


FIRST, MAXIMUM, INTEGRAL = rv.FirstSpikeCrossEntropy(), rv.MaxOverTimeCrossEntropy(), IntegralCrossEntropy("linear")


class Distorted(torch.nn.Module):
    """A layer one of whose parameters gets another gradient than its own."""

    def __init__(self, layer, name, factor):
        super().__init__()
        self.layer, self.name, self.factor = layer, name, factor
        self.n_in, self.n_out = layer.n_in, layer.n_out

    def forward(self, spikes):
        values = dict(self.layer.named_parameters())
        mine = values[self.name]
        values[self.name] = mine.detach() + self.factor * (mine - mine.detach())
        return torch.func.functional_call(self.layer, values, (spikes,))

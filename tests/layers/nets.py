"""Small networks that live: inputs, layers and gradients for the tests of this room."""

import torch

import ranvier as rv

DT = 1e-3
EXACT = rv.EventProp()
SMOOTH = rv.Surrogate(rv.SuperSpike())
COMPACT = rv.Surrogate(rv.Esser(1.0))
GRADIENTS = {"eventprop": EXACT, "superspike": SMOOTH, "esser": COMPACT}
BACKENDS = ("reference", "numba")


def raster(n_steps=30, n_samples=3, n_in=5, density=0.3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(n_steps, n_samples, n_in, generator=generator) < density).to(dtype)


def inputs(**changes):
    return rv.Spikes.from_dense(raster(**changes), dt=DT)


def spiking(n_in=5, n_out=4, gradient=EXACT, *, seed=0, recurrent=True, neuron=None, backend="auto"):
    generator = torch.Generator().manual_seed(seed)
    return rv.Spiking(
        n_in,
        n_out,
        neuron or rv.CubaLIF(tau_mem=10e-3, tau_syn=5e-3),
        recurrent=recurrent,
        gradient=gradient,
        weights=rv.init.fan_in(8.0, 4.0),
        generator=generator,
        backend=backend,
    ).double()


def network(first=EXACT, second=EXACT, *, backend="auto", **changes):
    return rv.Network(
        hidden=spiking(5, 4, first, seed=1, backend=backend, **changes),
        output=spiking(4, 3, second, seed=2, backend=backend, **changes),
    )


def gradients(module):
    return {name: value.grad for name, value in module.named_parameters()}


def loss_of(spikes):
    """A loss that any layer can learn from: on times and on amplitudes, silent cells included."""
    weights = torch.linspace(0.5, 2.0, spikes.n_events, dtype=spikes.times.dtype)
    late = (weights * spikes.times).sum() * 1e3
    return late + spikes.to_dense().square().sum() + spikes.counts()[:, 0].sum()

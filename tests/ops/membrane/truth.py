"""The integrator in mpmath, 40 digits: nothing here comes from the library."""

from __future__ import annotations

from itertools import pairwise

from mpmath import exp, mp, mpf, quad

mp.dps = 40
WEIGHTS = {
    "constant": lambda x: mpf(1),
    "linear": lambda x: 1 - x,
    "exponential": lambda x: exp(-x),
    "sigmoid": lambda x: 1 / (1 + exp((x - mpf("0.5")) / mpf("0.2"))),
}


def response(d, tau_mem, tau_syn):
    """The membrane at d after the current jumped by one."""
    d, tau_mem, tau_syn = mpf(d), mpf(tau_mem), mpf(tau_syn)
    if tau_mem == tau_syn:
        return d / tau_mem * exp(-d / tau_mem)
    return tau_syn / (tau_mem - tau_syn) * (exp(-d / tau_mem) - exp(-d / tau_syn))


def membrane(t, events, tau_mem, tau_syn, bias=0.0):
    """V(t) of one integrator under (time, amplitude times weight) events."""
    t = mpf(t)
    driven = sum(mpf(a) * response(t - mpf(te), tau_mem, tau_syn) for te, a in events if mpf(te) < t)
    return driven + mpf(bias) * (1 - exp(-t / mpf(tau_mem)))


def integral(weight, events, tau_mem, tau_syn, bias, duration):
    """(1/T) integral of V(t) w(t/T), piecewise between events."""
    length = mpf(duration)
    corners = sorted({mpf(0), length, *(mpf(te) for te, _ in events)})
    points = []
    for a, b in pairwise(corners):
        points += [a + (b - a) * mpf(part) / 16 for part in (0, 1, 2, 4, 8)]
    points.append(length)
    return quad(lambda t: WEIGHTS[weight](t / length) * membrane(t, events, tau_mem, tau_syn, bias), points) / length

"""The basilar membrane: a transmission line that sorts sound by frequency, solved in the frequency domain.

Places x run from the base (0, high tones) to the apex (`length`, low tones). With stiffness S(x) = C0 e^(-a x) - b,
damping R(x) = d sqrt(C0 m) e^(-a x/2) and xi = S - m w² - i w R, the wave number is g(w, x) = w sqrt(rho / (h xi)),
its phase integral

    G(w, x) = 2 g(w, 0) / a  +  integral of g(w, .) from 0 to x        (closed form below)

and pressure and velocity are

    p(w, x) = sqrt(G / g) H0(G),        v(w, x) = 2 w / xi(w, x) · p(w, x) / p(w, 0) · Z(w)

with the Hankel function H0 of the first kind and the input impedance Z. Sieroka, Dosch & Rupp, J. Acoust. Soc. Am.
120:297 (2006), as used for the Heidelberg data sets: Cramer et al., IEEE TNNLS 33:2744 (2022). cgs units.

The damping's sign, -i w R, and H0 of the first kind are those of waves e^(-iwt), but the data sets' conversion applies
v(w, x) to a discrete Fourier transform, whose waves are e^(+iwt). Its membrane therefore answers backwards in time: low
channels move *before* a click, by up to 20 ms. `causal=True` takes the conjugate of v and lets the wave travel forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.data.audio import checks
from ranvier.data.audio.extra import need

Array = NDArray[Any]
_BASE = np.zeros(1)


@dataclass(frozen=True)
class BasilarMembrane:
    """Constants of the membrane. The defaults are those of the Heidelberg data sets.

    Attributes:
        length: from base to apex, cm.
        stiffness: C0, of the base, g / (cm² s²).
        stiffness_decay: a, 1 / cm.
        stiffness_offset: b, subtracted everywhere, g / (cm² s²), small enough that stiffness stays > 0.
        mass: m, per area, g / cm².
        height: h, of the cochlear duct, cm.
        density: rho, of its fluid, g / cm³.
        damping: d, no unit.
        causal: whether waves travel from base to apex forward in time. False is the published conversion, which
            has them run backwards (see the module's docstring); True is physics.

    Raises:
        TypeError, ValueError: at construction, naming attribute, rule and value.
    """

    length: float = 3.5
    stiffness: float = 1e9
    stiffness_decay: float = 3.0
    stiffness_offset: float = 3500.0
    mass: float = 0.05
    height: float = 0.1
    density: float = 1.0
    damping: float = 0.15
    causal: bool = False

    def __post_init__(self) -> None:
        checks.positive(self, but=("causal",))
        if not isinstance(self.causal, bool):
            raise TypeError(f"`causal` of BasilarMembrane must be True or False. Got {self.causal!r}.")
        least = self.stiffness * math.exp(-self.stiffness_decay * self.length)
        if self.stiffness_offset >= least:
            raise ValueError(
                f"`stiffness_offset` of BasilarMembrane must be below the apex's stiffness, {least:.6g}. "
                f"Got {self.stiffness_offset}."
            )

    def places(self, channels: int) -> Array:
        """Equidistant places x, cm, [channels]; channel 0 is the base, the highest frequency."""
        return np.linspace(0.0, self.length, channels)

    def resonances(self, places: Array) -> Array:
        """Frequency sqrt(S / m) / 2π that each place answers to, Hz."""
        return np.sqrt(self._stiffness(places) / self.mass) / (2 * np.pi)

    def transfer(self, omega: Array, places: Array) -> Array:
        """Velocity per unit of sound, complex, with the axes of `omega` and `places` broadcast.

        Args:
            omega: angular frequencies > 0, 1 / s.
            places: x, cm.
        """
        special = need("scipy.special")
        here, base = self._phase(omega, places), self._phase(omega, _BASE)
        # hankel1e(0, z) = H0(z) e^(-iz) neither over- nor underflows
        pressure = np.sqrt(here / self._wave_number(omega, places)) * special.hankel1e(0, here)
        pressure_at_base = np.sqrt(base / self._wave_number(omega, _BASE)) * special.hankel1e(0, base)
        ratio = pressure / pressure_at_base * np.exp(1j * (here - base))
        velocity = 2 * omega / self._xi(omega, places) * ratio * self._impedance(omega)
        return np.conj(velocity) if self.causal else velocity

    def _stiffness(self, places: Array) -> Array:
        return self.stiffness * np.exp(-self.stiffness_decay * places) - self.stiffness_offset

    def _resistance(self, places: Array) -> Array:
        return self.damping * math.sqrt(self.stiffness * self.mass) * np.exp(-self.stiffness_decay * places / 2)

    def _xi(self, omega: Array, places: Array) -> Array:
        return self._stiffness(places) - self.mass * omega**2 - 1j * omega * self._resistance(places)

    def _wave_number(self, omega: Array, places: Array) -> Array:
        return omega * np.sqrt(self.density / (self.height * self._xi(omega, places)))

    def _phase(self, omega: Array, places: Array) -> Array:
        """G. The substitution u = e^(-a x/2) makes xi a quadratic in u, whose square root integrates to a logarithm."""
        inertia = np.sqrt(self.stiffness_offset + self.mass * omega**2)
        start = 2 * self._wave_number(omega, _BASE) / self.stiffness_decay
        logarithm = np.log(self._argument(omega, _BASE) / self._argument(omega, places))
        scale = 2j * omega * np.sqrt(self.density / self.height) / (self.stiffness_decay * inertia)
        return start - scale * logarithm

    def _argument(self, omega: Array, places: Array) -> Array:
        inertia = np.sqrt(self.stiffness_offset + self.mass * omega**2)
        growth = np.exp(self.stiffness_decay * places / 2)
        loss = 2 * inertia**2 + 1j * omega * self._resistance(places)
        return growth * (1j * loss / inertia - 2 * np.sqrt(self._xi(omega, places)))

    def _impedance(self, omega: Array) -> Array:
        special = need("scipy.special")
        k = 2 * omega / self.stiffness_decay * math.sqrt(2 / (self.height * self.stiffness))
        bessel = (1j * special.j0(k) + special.y0(k)) / (special.j1(k) - 1j * special.y1(k))
        return math.sqrt(2 * self.stiffness / self.height) * bessel

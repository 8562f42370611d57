"""`Cochlea`: from a waveform to the spikes of bushy cells, one per channel.

Resampling, loudness and fading (`sound`), then block by block of channels: basilar membrane, hair cells, bushy
cells. A block's velocities, probabilities and spikes stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.data.audio import checks, reference, transfer
from ranvier.data.audio.basilar import BasilarMembrane
from ranvier.data.audio.bushy_cell import BushyCell, steps_of
from ranvier.data.audio.extra import need
from ranvier.data.audio.hair_cell import HairCell
from ranvier.data.audio.sound import fingerprint, prepare

if TYPE_CHECKING:
    from ranvier.spikes import Spikes

Array = NDArray[Any]
_PACKAGE = "ranvier.data.audio"
_SERIES = (("terms", 12), ("largest", 0.5))  # -log(1 - p) to 1e-13 up to p = 0.5, by log1p beyond


class Heard(NamedTuple):
    """Spikes of one recording by time, then channel: steps and channels, int32 [E]; and the number of steps."""

    steps: Array
    channels: Array
    n_steps: int


@dataclass(frozen=True)
class Cochlea:
    """A model of the inner ear: the audio-to-spike conversion of the Heidelberg data sets, from its equations.

    Basilar membrane (`BasilarMembrane`), inner hair cells (`HairCell`) and bushy cells with random fibres (`BushyCell`)
    follow Cramer et al., IEEE TNNLS 33:2744 (2022). `cochlea(waveform, sample_rate)` converts one recording.

    The fibres' random numbers are a function of (seed, waveform, sample rate): the same recording gives the same spikes
    in any order, on any number of threads.

    Attributes:
        channels: places along the membrane, one bushy cell each; channel 0 answers to the highest frequency.
        sample_rate: Hz, even, to which every recording is resampled; steps are two of its samples long. Low rates are
            refused, because the explicit step of the hair cell is unstable there (8 kHz is far too low).
        rms: root mean square of every recording before fading.
        fade_in: s, half a Hann window; None for the first half of the recording, as in the data sets.
        fade_out: s, likewise at the end.
        high_pass: Hz, below half of `sample_rate`: corner of a first-order high-pass filter before all that, the
            pre-emphasis of speech, as a middle ear has it too; None for none, as in the data sets.
        membrane: constants of the basilar membrane.
        hair_cell: constants of the hair cell.
        bushy_cell: constants of the bushy cell.

    Raises:
        TypeError, ValueError: at construction, naming attribute, rule and value.
    """

    channels: int = 700
    sample_rate: int = 48_000
    rms: float = 0.3
    fade_in: float | None = None
    fade_out: float | None = None
    high_pass: float | None = None
    membrane: BasilarMembrane = field(default_factory=BasilarMembrane)
    hair_cell: HairCell = field(default_factory=HairCell)
    bushy_cell: BushyCell = field(default_factory=BushyCell)

    def __post_init__(self) -> None:
        checks.whole("`channels` of Cochlea", self.channels, 1)
        checks.whole("`sample_rate` of Cochlea", self.sample_rate, 2)
        others = ("channels", "sample_rate", "membrane", "hair_cell", "bushy_cell")
        unset = tuple(name for name in ("fade_in", "fade_out", "high_pass") if getattr(self, name) is None)
        checks.positive(self, but=(*others, *unset))
        if self.sample_rate % 2:
            raise ValueError(f"`sample_rate` of Cochlea must be even. Got {self.sample_rate}.")
        if self.high_pass is not None and self.high_pass >= self.sample_rate / 2:
            raise ValueError(
                f"`high_pass` of Cochlea must be below half of `sample_rate`, {self.sample_rate}. Got {self.high_pass}."
            )
        growth = self.hair_cell.growth(self.dt)
        if growth > 1:
            raise ValueError(
                f"`sample_rate` of Cochlea must be high enough for the explicit step of its hair cell to be stable. "
                f"Got {self.sample_rate} Hz, where a step multiplies deviations by {growth:.2f}."
            )

    @property
    def dt(self) -> float:
        """Step of hair cells and bushy cells, s: two samples."""
        return 1.0 / (self.sample_rate // 2)

    def resonances(self) -> Array:
        """Frequency that each channel answers to, Hz [channels], falling."""
        return self.membrane.resonances(self.membrane.places(self.channels))

    def covered_channels(self, sample_rate: float | int) -> Array:
        """Which channels a recording can reach: bool [channels], false where half its sampling rate is below resonance.

        The others answer only weakly to lower tones, and spike mostly by chance: at 8 kHz, a third of 700.

        Args:
            sample_rate: of the recording, Hz, > 0.
        """
        _check_rate(sample_rate)
        return self.resonances() <= min(sample_rate, self.sample_rate) / 2

    def __call__(
        self,
        waveform: Array,
        sample_rate: float | int,
        *,
        seed: int = 0,
        threads: int = 1,
        backend: Literal["auto", "numba", "reference"] = "auto",
    ) -> Spikes:
        """Spikes of the bushy cells.

        Args:
            waveform: one channel of sound, [n] with n >= 1, finite, any scale; whole numbers are as good.
            sample_rate: of the waveform, Hz, > 0.
            seed: of the random fibres, >= 0.
            threads: that share the channels, >= 1; the spikes do not depend on it.
            backend: "numba" (also "auto") or "reference", plain numpy in float64, for tests: some 100 times slower.

        Returns:
            One sample of `channels` units in continuous time, as long as the recording (and a step more).

        Raises:
            TypeError, ValueError: naming argument, rule and value.
            DataError: the extra `audio` is not installed.
        """
        import torch

        from ranvier.spikes import Spikes

        heard = self.hear(waveform, sample_rate, seed=seed, threads=threads, backend=backend)
        times = torch.from_numpy(heard.steps * self.dt).to(torch.get_default_dtype())
        return Spikes.from_events(
            torch.zeros(len(times), dtype=torch.int64),
            times,
            torch.from_numpy(heard.channels),
            n_samples=1,
            unit_shape=self.channels,
            duration=heard.n_steps * self.dt,
        )

    def hear(
        self,
        waveform: Array,
        sample_rate: float | int,
        *,
        seed: int = 0,
        threads: int = 1,
        backend: Literal["auto", "numba", "reference"] = "auto",
    ) -> Heard:
        """The same as plain arrays: steps of `dt` seconds and channels. Arguments and errors as of a call."""
        sound = _checked(waveform)
        _check_rate(sample_rate)
        checks.whole("`seed`", seed, 0)
        checks.whole("`threads`", threads, 1)
        if backend not in ("auto", "numba", "reference"):
            raise ValueError(f"`backend` must be auto, numba or reference. Got {backend!r}.")
        ready = self.prepare(sound, sample_rate)
        n_steps = len(ready) // 2 + 1
        key = fingerprint(sound, sample_rate, seed)
        walk = self._reference_blocks if backend == "reference" else self._blocks
        pairs = list(walk(ready, n_steps, key, threads))
        steps, channels = (np.concatenate(parts).astype(np.int32) for parts in zip(*pairs, strict=True))
        order = np.lexsort((channels, steps))
        return Heard(steps[order], channels[order], n_steps)

    def prepare(self, waveform: Array, sample_rate: float | int) -> Array:
        """The sound that the membrane gets: resampled, filtered, scaled, faded. Float64."""
        fades = (self.fade_in, self.fade_out)
        return prepare(waveform, sample_rate, self.sample_rate, self.rms, *fades, self.high_pass)

    def velocity(self, spectrum: Array, block: int, n_steps: int) -> Array:
        """Velocities of a block's places, float32 [channels of the block, n_steps].

        Re ifft(Z) of m bins is the real inverse transform of (Z[j] + conj Z[m - j]) / 2: half the work.

        Args:
            spectrum: complex64 [m], of the padded sound.
            block: index into `transfer.blocks`.
            n_steps: <= m.
        """
        bins = len(spectrum)
        response = transfer.response(transfer.Key(self.membrane, self.sample_rate, self.channels, block, bins))
        end, half = response.shape[1], bins // 2
        product = spectrum[:end] * response
        folded = np.zeros((len(response), half + 1), dtype=np.complex64)
        direct = min(end, half + 1)
        folded[:, :direct] = product[:, :direct]
        mirrored = bins - np.arange(half, end) if end > half else np.empty(0, dtype=np.int64)
        folded[:, mirrored] += np.conj(product[:, half:end])
        folded[:, 0] += np.conj(product[:, 0])
        return need("scipy.fft").irfft(folded * np.float32(0.5), n=bins, workers=1)[:, :n_steps]

    def spectrum(self, ready: Array) -> Array:
        """Positive half of the padded sound's spectrum, complex64 [m]."""
        bins = transfer.padded(len(ready) // 2 + 1)
        return need("scipy.fft").rfft(ready, n=2 * (bins - 1)).astype(np.complex64)

    def release(self, velocity: Array) -> Array:
        """Probability per step that a fibre spikes, float64 with the shape of `velocity`, [channels, steps]."""
        from ranvier.ops.compile import kernel

        cell, rest = self.hair_cell, self.hair_cell.rest()
        probability = np.empty(velocity.shape)
        kernel(_PACKAGE, "hair_cell.py.jinja", ())(
            velocity,
            probability,
            np.empty((2, velocity.shape[1])),
            self.dt,
            *(cell.replenish, cell.permeability, cell.loss, cell.reuptake, cell.reprocess),
            *(cell.opening, cell.saturation, cell.firing, cell.capacity),
            *(rest.q, rest.c, rest.w),
        )
        return probability

    def bushy(self, probability: Array, random: np.random.Generator) -> tuple[Array, Array]:
        """Steps and channels of the spikes that release probabilities [channels, steps] lead to, channel by channel."""
        from ranvier.ops.compile import kernel

        cell, dt = self.bushy_cell, self.dt
        n_channels, n_steps = probability.shape
        rest = steps_of(cell.refractory, dt)
        room = n_channels * (n_steps // (rest + 1) + 1)
        steps, channels = np.empty(room, np.int32), np.empty(room, np.int32)
        n_spikes = kernel(_PACKAGE, "bushy_cell.py.jinja", _SERIES)(
            probability,
            random,
            cell.fibres,
            steps_of(cell.fibre_refractory, dt),
            math.exp(-dt / cell.tau_mem),
            math.exp(-dt / cell.tau_syn),
            cell.weight / cell.fibres * dt,
            cell.threshold,
            rest,
            np.empty(n_steps),
            np.empty(n_steps, np.int64),
            steps,
            channels,
        )
        return steps[:n_spikes], channels[:n_spikes]

    def _blocks(self, ready: Array, n_steps: int, key: Array, threads: int) -> Iterator[tuple[Array, Array]]:
        spectrum, blocks = self.spectrum(ready), transfer.blocks(self.channels)

        def block(index: int) -> tuple[Array, Array]:
            probability = self.release(self.velocity(spectrum, index, n_steps))
            steps, channels = self.bushy(probability, stream(key, index))
            return steps, channels + blocks[index].start

        if threads == 1:
            return map(block, range(len(blocks)))
        with ThreadPoolExecutor(threads) as pool:
            return iter(list(pool.map(block, range(len(blocks)))))

    def _reference_blocks(self, ready: Array, n_steps: int, key: Array, _: int) -> Iterator[tuple[Array, Array]]:
        padding = 2 * (transfer.padded(n_steps) - 1) - len(ready)
        sound, places = np.pad(ready, (0, padding)), self.membrane.places(self.channels)
        for index, block in enumerate(transfer.blocks(self.channels)):
            velocity = reference.velocity(sound, self.sample_rate, self.membrane, places[block])[:, :n_steps]
            probability = reference.release(velocity, self.dt, self.hair_cell)
            kept = reference.fibres(probability, self.dt, self.bushy_cell, stream(key, index))
            steps, channels = reference.bushy(kept, self.dt, self.bushy_cell)
            yield steps, channels + block.start


def stream(key: Array, block: int) -> np.random.Generator:
    """The random numbers of one block of channels: a counter-based generator, 2^192 numbers from the next block's."""
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, block]))


def _checked(sound: Array) -> Array:
    given = np.asarray(sound)
    if given.ndim != 1 or given.dtype.kind not in "fiu":
        kind = f"{given.dtype} {list(given.shape)}"
        raise ValueError(f"`waveform` must be real numbers with one axis (mix stereo down first). Got {kind}.")
    if not len(given):
        raise ValueError("`waveform` must hold at least one sample. Got none.")
    ready = given.astype(np.float64)
    if not np.isfinite(ready).all():
        raise ValueError(f"`waveform` must be finite. Got {int((~np.isfinite(ready)).sum())} samples that are not.")
    return ready


def _check_rate(sample_rate: float | int) -> None:
    if not (isinstance(sample_rate, Real) and math.isfinite(sample_rate) and sample_rate > 0):
        raise ValueError(f"`sample_rate` must be a finite number of Hz > 0. Got {sample_rate!r}.")

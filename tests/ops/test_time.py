"""Time cut into chunks, samples spread over threads and processes: nothing may change."""

import os
import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ranvier.gradients import Esser, EventProp, Gradient, SuperSpike, Surrogate
from ranvier.neurons import LI, LIF, CubaLIF, Neuron, dynamics
from ranvier.ops import threads
from ranvier.ops.clocked import clocked
from ranvier.ops.readout import readout
from ranvier.spikes import Spikes
from tests.twins import by_backend

DT = 1e-3
CUBA, DELTA = CubaLIF(20e-3, 5e-3), LIF(20e-3)
HELD = CubaLIF(20e-3, 5e-3, reset="subtract", refractory=3e-3)
WAYS: list[tuple[Neuron, Gradient]] = [
    (CUBA, EventProp()),
    (CUBA, Surrogate(SuperSpike())),
    (CUBA, Surrogate(Esser(2.0))),
    (DELTA, Surrogate(SuperSpike())),
    (HELD, EventProp()),
    (HELD, Surrogate(SuperSpike())),
    (HELD, Surrogate(Esser(2.0))),
    (LIF(20e-3, refractory=3e-3), Surrogate(SuperSpike())),
]
IDS = [
    "eventprop",
    "superspike",
    "esser",
    "lif",
    *(f"refractory-{way}" for way in ("eventprop", "dense", "esser", "lif")),
]
ALWAYS = ("eventprop", "superspike", "esser", "lif", "refractory-eventprop", "refractory-esser")


def layer(neuron: Neuron, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A raster [30, 6, 9] that keeps 20 recurrent units busy, and weights."""
    g = torch.Generator().manual_seed(seed)
    raster = (torch.rand(30, 6, 9, generator=g) < 0.2).double()
    gain = 0.5 if isinstance(neuron, LIF) else 3.0
    return (
        raster,
        gain * torch.rand(9, 20, generator=g).double(),
        0.3 * torch.randn(20, 20, generator=g).double(),
    )


def value_of(spikes: Spikes, weights: Tensor, gradient: Gradient, start: int) -> Tensor:
    """A loss that is a sum over cells, so that it may be cut."""
    if isinstance(gradient, EventProp):
        samples = torch.repeat_interleave(torch.arange(len(spikes)), spikes.offsets.diff())
        return (spikes.times * weights[spikes.steps.long() + start, samples, spikes.units.long()]).sum() * 1e3
    return (spikes.to_dense() * weights[start : start + spikes.n_steps]).sum()


@pytest.mark.parametrize(("neuron", "gradient", "backend"), by_backend(dict(zip(IDS, WAYS, strict=True)), ALWAYS))
@pytest.mark.parametrize("cut", [1, 13, 29])
def test_chunked_equals_whole(neuron: Neuron, gradient: Gradient, cut: int, backend: str) -> None:
    raster, w_in, w_rec = layer(neuron)
    numbers = dynamics(neuron, DT, None, torch.float64)
    weights = torch.randn(30, 6, 20, generator=torch.Generator().manual_seed(1)).double()
    found = []
    for bounds in ([0, 30], [0, cut, 30]):
        leaves = [w_in.clone().requires_grad_(), w_rec.clone().requires_grad_()]
        state, total, rasters = None, torch.zeros((), dtype=torch.float64), []
        for start, stop in pairwise(bounds):
            given = Spikes.from_dense(raster[start:stop], dt=DT)
            out, state = clocked(given, *leaves, numbers, gradient, state=state, backend=backend)
            total = total + value_of(out, weights, gradient, start)
            if isinstance(gradient, EventProp):  # the chunk's clock starts anew: only the time's derivative is compared
                out = out._with(amplitudes=out.amplitudes.detach())
            rasters.append(out.to_dense().detach())
        total = total + sum(final.square().sum() for final in state.values())
        found.append((torch.cat(rasters), *torch.autograd.grad(total, leaves), *state.values()))
    assert found[0][0].sum() > 50
    assert found[0][1].norm() > 0
    for whole, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_chunked_readout_equals_whole(backend: str) -> None:
    raster, w_in, _ = layer(CUBA)
    numbers = dynamics(LI(20e-3, 5e-3), DT, None, torch.float64)
    found = []
    for bounds in ([0, 30], [0, 11, 30]):
        w, state, traces = w_in.clone().requires_grad_(), None, []
        for start, stop in pairwise(bounds):
            trace, state = readout(
                Spikes.from_dense(raster[start:stop], dt=DT), w, numbers, state=state, backend=backend
            )
            traces.append(trace)
        trace = torch.cat(traces)
        found.append((trace.detach(), *torch.autograd.grad(trace.amax(0).square().sum(), w)))
    assert found[0][1].norm() > 0
    for whole, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-11, atol=1e-11)


def gradient_of(seed: int = 0) -> tuple[Tensor, Tensor]:
    """One float32 training step's gradients."""
    raster, w_in, w_rec = (value.float() for value in layer(CUBA, seed))
    w_in, w_rec = w_in.requires_grad_(), w_rec.requires_grad_()
    out, _ = clocked(
        Spikes.from_dense(raster, dt=DT), w_in, w_rec, dynamics(CUBA, DT, None, torch.float32), EventProp()
    )
    assert out.n_events > 50
    return torch.autograd.grad((out.times**2).sum(), (w_in, w_rec))


@pytest.fixture
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads")
def test_same_thread_count_gives_the_same_bits() -> None:
    first = gradient_of()
    for _ in range(5):
        assert all(torch.equal(a, b) for a, b in zip(first, gradient_of(), strict=True))


@pytest.mark.usefixtures("_two_threads")
def test_thread_counts_agree_to_rounding() -> None:
    two = gradient_of()
    torch.set_num_threads(1)
    for a, b in zip(two, gradient_of(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize(
    ("gradient", "by_events"), [(EventProp(), True), (Surrogate(Esser(2.0)), True), (Surrogate(SuperSpike()), False)]
)
def test_ragged_samples_are_what_they_are_alone(
    gradient: Gradient, by_events: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From silence to one cell in two: shared by two threads, by events if only these cost something, or all in one."""
    _, w_in, w_rec = layer(CUBA)
    density = torch.linspace(0, 0.5, 12)[:, None]
    raster = (torch.rand(30, 12, 9, generator=torch.Generator().manual_seed(1)) < density).double()
    given = Spikes.from_dense(raster, dt=DT)
    cuts, spread = set(), threads.spread
    monkeypatch.setattr(threads, "spread", lambda run, ranges, *rest: cuts.add(ranges) or spread(run, ranges, *rest))
    found = []
    for n in (1, 2):
        torch.set_num_threads(n)
        leaves = [w_in.clone().requires_grad_(), w_rec.clone().requires_grad_()]
        out, state = clocked(given, *leaves, dynamics(CUBA, DT, None, torch.float64), gradient)
        loss = (out.times**2).sum() if isinstance(gradient, EventProp) else out.to_dense().square().sum()
        found.append((out, state, torch.autograd.grad(loss, leaves)))
    ((_, end), (_, last)) = next(ranges for ranges in cuts if len(ranges) == 2)
    assert len(cuts) == 2  # forwards as backwards
    assert (end > 6) == by_events
    assert last == 12
    (one, state, gradients), (two, same_state, same_gradients) = found
    assert one.n_events > 100
    assert torch.equal(one.units, two.units)
    assert torch.equal(one.offsets, two.offsets)
    assert all(torch.equal(state[name], same_state[name]) for name in state)
    for value, same in zip(gradients, same_gradients, strict=True):
        assert value.norm() > 0
        torch.testing.assert_close(same, value, rtol=1e-11, atol=1e-11)


@pytest.mark.usefixtures("_two_threads")
def test_two_training_threads_do_not_disturb_each_other() -> None:
    truth = [gradient_of(seed) for seed in range(2)]
    wrong: list[int] = []

    def train(seed: int) -> None:
        found = [gradient_of(seed) for _ in range(20)]
        wrong.extend(seed for step in found if not all(map(torch.equal, truth[seed], step)))

    workers = [threading.Thread(target=train, args=(seed,)) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert not any(worker.is_alive() for worker in workers)
    assert not wrong


class Forward(torch.utils.data.Dataset):
    """A data set whose samples are computed by a kernel, in whichever process asks."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[int, list[str], Tensor]:
        torch.set_num_threads(2)
        gradient = gradient_of(index)[0]
        return os.getpid(), [thread.name for thread in threading.enumerate()], gradient


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning")  # on one core
def test_forked_loader_workers_survive_and_agree() -> None:
    truth = [gradient_of(index)[0] for index in range(6)]  # the parent's pool is running when it forks
    loader = DataLoader(Forward(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60)
    for index, (process, names, found) in enumerate(loader):
        assert process != os.getpid()
        assert not [name for name in names if name.startswith("ranvier")]
        assert torch.equal(found, truth[index])


@pytest.mark.parametrize("way", ["team", "pool"])
def test_both_ways_run_every_task_once_and_raise(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "pool":
        monkeypatch.setattr(threads, "_team", lambda: None)
    elif threads._team() is None:
        pytest.skip("torch's OpenMP library is not GNU's")
    done: list[int] = []
    threads.run(done.append, 7)
    assert sorted(done) == list(range(7))

    def task(index: int) -> None:
        if index == 1:
            raise RuntimeError("chunk 1")

    with pytest.raises(RuntimeError, match="chunk 1"):
        threads.run(task, 2)


def test_chunks_cover_every_sample_once() -> None:
    for n_samples in (0, 1, 2, 7, 32):
        ranges = threads.chunks(n_samples)
        covered = [sample for first, last in ranges for sample in range(first, last)]
        assert covered == list(range(n_samples))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 5])
@pytest.mark.parametrize("n_samples", [0, 1, 2, 7, 32])
def test_balanced_ranges_cover_every_sample_once(
    n_threads: int, n_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is empty, wherever the events are."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    ragged = np.random.default_rng(n_samples).integers(0, 1000, n_samples)
    last, first = 1000 * (np.arange(n_samples) == n_samples - 1), 1000 * (np.arange(n_samples) == 0)
    for counts in (ragged, np.sort(ragged), 0 * ragged, last, first):
        ranges = threads.balanced(np.cumsum([0, *counts]), 0.1)
        assert len(ranges) == len(threads.chunks(n_samples))
        assert [sample for begin, end in ranges for sample in range(begin, end)] == list(range(n_samples))
        assert n_samples == 0 or all(begin < end for begin, end in ranges)


def test_balanced_ranges_have_like_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a part of all and half of the largest sample's at either end; events count as much as they cost."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    offsets = np.cumsum([0, *range(64)])  # as equal numbers, 7/16 of the events would be in the last range
    work = [offsets[end] - offsets[begin] for begin, end in threads.balanced(offsets, 1e-9)]
    assert max(work) <= offsets[-1] / 4 + 63
    assert threads.balanced(offsets, 1e9) == threads.chunks(64)
    assert threads.balanced(np.cumsum([0, 1000, 1, 1, 1, 1]), 1.0) == ((0, 1), (1, 2), (2, 3), (3, 5))

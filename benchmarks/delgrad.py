"""DelGrad's published recipe in closed form and float64, apart from the library: the oracle of its study.

python -m benchmarks.delgrad replay FOLDER            # experiment_pretrained/yin_yang_H30_W, _WA or _WS of the
                                                      # authors' repository, JulianGoeltz/fastAndDeep
python -m benchmarks.delgrad train axonal SEED ...    # from seeds of its own
python -m benchmarks.delgrad train axonal SEED ... --slope 0.0167    # with slopes bounded, as the library has it

Göltz et al., DelGrad, Nat. Commun. 16:8245 (2025). Time in tau_syn; tau_mem = 2, threshold 1, leak g = 1/2. With a_n
the sum of w exp(t / n) over arrivals t before it, a neuron spikes at T = 2 ln(2 a_1 / (a_2 + sqrt(a_2^2 - 4 a_1 g))).

A replay takes the authors' initial parameters and the order of samples that their seed gives, and prints each epoch's
mean loss beside theirs. The two agree until rounding, which training magnifies, has grown to the size of the result.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch.utils.data import DataLoader, TensorDataset

from ranvier.data.yinyang import yinyang_points
from ranvier.studies import documented

Array = NDArray[np.float64]

_LEAK, _DELTA, _FIRST, _LAST = 0.5, 0.2, 0.15, 2.0
_TINY = 1e-6  # the authors add it to a_1 and a_2
_LARGEST_SHARE = 0.2  # of a weight's gradient, above which the authors leave a sample out of a neuron's weights
_TOLERATED, _BUMP = (0.3, 0.0), 5e-4
_BATCH, _TORCH_SEED = 150, 2000
_CASES = {"W": "none", "WA": "axonal", "WS": "synaptic"}


class Rule(NamedTuple):
    """How grazing crossings are tamed: shares left out above `share`, slopes bounded below by `slope`."""

    share: float = _LARGEST_SHARE
    slope: float = 0.0


@njit(cache=True)
def _spike(arrivals: Array, weights: Array, slope: float, by_weight: Array, by_time: Array) -> float:
    """When a neuron spikes, infinite if it does not, and the derivatives by weights and arrivals [n_in]."""
    by_weight[:] = 0.0
    by_time[:] = 0.0
    order = np.argsort(arrivals)
    first = second = _TINY
    for place in range(len(order)):
        last = arrivals[order[place]]
        if np.isinf(last):
            break
        first += weights[order[place]] * np.exp(last)
        second += weights[order[place]] * np.exp(last / 2)
        square = second * second - 4 * first * _LEAK
        if square < 0:
            continue
        root = np.sqrt(square)
        ratio = 2 * first / (second + root)
        if not ratio > 0:
            continue
        time = 2 * np.log(ratio)
        if time < last or (place + 1 < len(order) and time > arrivals[order[place + 1]]):
            continue
        rise = first * np.exp(-time) - _LEAK  # of the membrane
        factor = rise / slope if rise < slope else 1.0
        for unit in order[: place + 1]:
            late = (1 + _LEAK / root * np.exp(time / 2)) * np.exp(arrivals[unit]) / first
            early = np.exp(arrivals[unit] / 2) / root
            by_weight[unit] = factor * 2 * (late - early)
            by_time[unit] = factor * weights[unit] * (2 * late - early)
        return time
    return np.inf


@njit(cache=True)
def _batch(
    inputs: Array, labels: Any, weights: Any, delays: Any, share: float, slope: float, by_weights: Any, by_delays: Any
) -> Any:
    """Loss, right answers, missing spikes of both layers and acts of the rule; adds to the gradients."""
    n_samples, n_in = inputs.shape
    n_hidden, n_out = weights[1].shape
    missing = np.zeros((n_samples, n_hidden), np.bool_), np.zeros((n_samples, n_out), np.bool_)
    hidden, output, errors = np.empty(n_hidden), np.empty(n_out), np.empty(n_hidden)
    slopes = np.empty((2, n_hidden, n_in)), np.empty((2, n_out, n_hidden))
    loss, right, acts = 0.0, 0, 0
    for sample in range(n_samples):
        label = labels[sample]
        for unit in range(n_hidden):
            arrivals = inputs[sample] + delays[0][:, unit]
            hidden[unit] = _spike(arrivals, weights[0][:, unit], slope, slopes[0][0, unit], slopes[0][1, unit])
        for unit in range(n_out):
            arrivals = hidden + delays[1][:, unit]
            output[unit] = _spike(arrivals, weights[1][:, unit], slope, slopes[1][0, unit], slopes[1][1, unit])
        missing[0][sample] = np.isinf(hidden)
        missing[1][sample] = np.isinf(output)
        right += int(np.isfinite(output.min()) and output.argmin() == label)
        if missing[1][sample].any():
            continue
        gaps = output - output[label] - _DELTA
        gaps[label] = 0.0
        loss += (gaps * gaps).sum() / (2 * n_samples)
        gaps[label] = -gaps.sum()
        errors[:] = 0.0
        for unit in range(n_out):
            errors += gaps[unit] / n_samples * slopes[1][1, unit]
        for layer in range(2):
            back = errors if layer == 0 else gaps / n_samples
            for unit in range(len(back)):
                shares = back[unit] * slopes[layer][0, unit]
                by_delays[layer][:, unit] += back[unit] * slopes[layer][1, unit]
                if np.abs(shares).max() > share:
                    acts += 1
                else:
                    by_weights[layer][:, unit] += shares
    return loss, right, missing, acts


def _points(n_points: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    values, labels = yinyang_points(n_points, seed)
    return np.ascontiguousarray(_FIRST + values.numpy() * (_LAST - _FIRST)), labels.numpy()


class Net:
    """Weights [n_in, n_out] of two layers and, with delays, their free parameters, as torch parameters."""

    def __init__(self, delays: str, weights: list[Array], free: list[Array]) -> None:
        self.weights = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in weights]
        self.free = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in free]
        config = documented("yinyang-delays", delays=delays)
        groups: list[dict[str, Any]] = [{"params": self.weights, "lr": config.learning_rate}]
        if self.free:
            groups.append({"params": self.free, "lr": config.delay_rate})
        self.epochs = config.epochs
        self.optimiser = torch.optim.Adam(groups)
        self.decay = torch.optim.lr_scheduler.StepLR(self.optimiser, config.decay_every, config.decay)
        self.last, self.bump, self.bumps = -1, _BUMP, 0

    @classmethod
    def drawn(cls, delays: str, seed: int) -> Net:
        """From the recipe's distributions."""
        random, config = np.random.default_rng(seed), documented("yinyang-delays", delays=delays)
        shapes = ((4, config.hidden), (config.hidden, 3))
        weights = [random.normal(*config.hidden_weights, shape) for shape in shapes]
        wide = {"none": None, "axonal": 1, "synaptic": 0}[delays]
        free = [] if wide is None else [random.normal(0, 0.25, (n_in, wide or n_out)) for n_in, n_out in shapes]
        return cls(delays, weights, free)

    def run(self, inputs: Array, labels: NDArray[np.int64], rule: Rule) -> tuple[Any, list[torch.Tensor]]:
        """What `_batch` returns, and the gradients of weights and free parameters."""
        weights = [value.detach().numpy() for value in self.weights]
        shapes = [value.shape for value in weights]
        seconds = [value.detach().sigmoid() for value in self.free] or [torch.zeros(()).double()] * 2
        spread = [value.broadcast_to(shape).contiguous().numpy() for value, shape in zip(seconds, shapes, strict=True)]
        gradients = [tuple(np.zeros(shape) for shape in shapes) for _ in range(2)]
        told = _batch(inputs, labels, tuple(weights), tuple(spread), *rule, *gradients)
        found = [torch.from_numpy(value) for value in gradients[0]]
        for value, by_delay, free in zip(seconds, gradients[1], self.free, strict=False):
            found.append(torch.from_numpy(by_delay).sum_to_size(free.shape) * value * (1 - value))
        return told, found

    def step(self, inputs: Array, labels: NDArray[np.int64], rule: Rule) -> tuple[float | None, int]:
        """Learn from a batch: its loss, None if silent neurons were woken instead, and the acts of the rule."""
        (loss, _, missing, acts), gradients = self.run(inputs, labels, rule)
        for layer, tolerated in enumerate(_TOLERATED):
            if missing[layer].mean() > tolerated:
                self.bump = 2 * self.bump if self.last == layer else _BUMP
                self.last, self.bumps = layer, self.bumps + 1
                with torch.no_grad():
                    self.weights[layer] += self.bump * torch.from_numpy(missing[layer].any(0))
                return None, 0
        self.last = -1
        for parameter, gradient in zip([*self.weights, *self.free], gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        return loss, acts

    def accuracy(self, inputs: Array, labels: NDArray[np.int64]) -> float:
        """The fraction of right answers."""
        return self.run(inputs, labels, Rule())[0][1] / len(labels)


def _train(net: Net, orders: Iterator[list[NDArray[np.int64]]], rule: Rule) -> Iterator[tuple[float, int]]:
    inputs, labels = _points(5000, 42)
    for _ in range(net.epochs):
        steps = [net.step(inputs[chosen], labels[chosen], rule) for chosen in next(orders)]
        net.decay.step()
        yield float(np.mean([loss for loss, _ in steps if loss is not None])), sum(acts for _, acts in steps)


def _orders_of(seed: int) -> Iterator[list[NDArray[np.int64]]]:
    random = np.random.default_rng([seed, 1])
    while True:
        order = random.permutation(5000)
        yield [order[start : start + _BATCH] for start in range(0, 5000, _BATCH)]


def _orders_of_the_authors(drawn: list[tuple[int, ...]]) -> Iterator[list[NDArray[np.int64]]]:
    """Torch's CPU source as their script uses it: initial delays, then one validation before each pass."""
    torch.manual_seed(_TORCH_SEED)
    for shape in drawn:
        torch.normal(0.0, 0.25, shape, dtype=torch.float64)
    train = DataLoader(TensorDataset(torch.arange(5000)), batch_size=_BATCH, shuffle=True)
    validation = DataLoader(TensorDataset(torch.arange(1000)), batch_size=200)
    while True:
        list(validation)
        yield [chosen.numpy() for (chosen,) in train]


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] != "numpy" and (module, name) != ("_codecs", "encode"):
            raise pickle.UnpicklingError(f"The file must hold numpy arrays. Got {module}.{name}.")
        return super().find_class(module, name)


def _initial(folder: Path) -> tuple[list[Array], list[Array]]:
    """The authors' first weights and free delay parameters."""
    with (folder / "epoch_300" / "yin_yang_parameters_training.npy").open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        layers = _ArraysOnly(file).load().item().values()
    weights = [np.asarray(layer["params"][0]) for layer in layers if layer["name"] == "NeuronLayer"]
    delays = [np.asarray(layer["params"][0]) for layer in layers if layer["name"] != "NeuronLayer"]
    return weights, [np.log(value / (1 - value)) for value in delays]


def main() -> None:
    """Replay or train; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delgrad")
    commands = parser.add_subparsers(dest="command", required=True)
    replay = commands.add_parser("replay")
    replay.add_argument("folder", type=Path)
    train = commands.add_parser("train")
    train.add_argument("delays", choices=_CASES.values())
    train.add_argument("seeds", type=int, nargs="+")
    train.add_argument("--slope", type=float)
    given = parser.parse_args()
    if given.command == "replay":
        weights, free = _initial(given.folder)
        net = Net(_CASES[given.folder.name.rsplit("_", 1)[1]], weights, free)
        published = np.load(given.folder / "epoch_300" / "yin_yang_train_losses.npy")
        orders = _orders_of_the_authors([value.shape for value in free])
        for epoch, (loss, acts) in enumerate(_train(net, orders, Rule()), 1):
            print(f"epoch {epoch}: loss {loss:.15f}, published {published[epoch - 1]:.15f}, {acts} left out")
        print(f"test accuracy {net.accuracy(*_points(1000, 40)):.1%}")
        return
    rule = Rule() if given.slope is None else Rule(np.inf, given.slope)
    for seed in given.seeds:
        net = Net.drawn(given.delays, seed)
        epochs = list(_train(net, _orders_of(seed), rule))
        accuracies = ", ".join(f"{net.accuracy(*_points(1000, split)):.1%}" for split in (41, 40))
        print(f"seed {seed}: validation, test {accuracies}, loss {epochs[-1][0]:.5f}", flush=True)


if __name__ == "__main__":
    main()

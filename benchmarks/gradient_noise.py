"""How large and how much alike gradients of single batches are: spoken digits under each gradient and its constant.

    python -m benchmarks.gradient_noise --data-dir D [--run RUN] [--batches 24] [--threads N]

The network of `ranvier train fsdd`, fresh or with the weights of the run in RUN; batches of 32 training words. Norms
are of the recurrent weights' gradient, the cosine is the mean over pairs of batches, of all hidden weights' gradient.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ranvier.cli import folder as folders
from ranvier.gradients import Esser, EventProp, SuperSpike, Surrogate
from ranvier.studies import documented, study

BATCH = 32
GRADIENTS = {
    **{f"EventProp, slopes bounded at {slope}": EventProp(slope) for slope in (0.01, 0.1, 0.5, 2.0)},
    **{f"Esser, zero at 1/{scale} of a threshold": Surrogate(Esser(scale)) for scale in (3, 5, 10)},
    "SuperSpike of steepness 10": Surrogate(SuperSpike(10.0)),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--batches", type=int, default=24)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    torch.set_num_threads(given.threads or torch.get_num_threads())
    if given.run is None:
        parts = study(documented("fsdd", data_dir=given.data_dir))
    else:
        config, content = folders.trained(given.run, given.data_dir)
        parts = study(config)
        folders.fill(parts.network, content, given.run)
    order = torch.randperm(len(parts.splits.train), generator=torch.Generator().manual_seed(0))
    batches = [parts.splits.train[chosen] for chosen in order[: BATCH * given.batches].split(BATCH)]
    print("| gradient | smallest norm | median | largest | mean cosine |\n|---|--:|--:|--:|--:|")
    for name, gradient in GRADIENTS.items():
        network = parts.network.with_gradient(gradient)
        norms, directions = [], []
        for batch in batches:
            network.zero_grad()
            parts.loss(network(batch.inputs).output, batch.labels).backward()
            hidden = {key: value.grad for key, value in network.layers["hidden"].named_parameters()}
            norms.append(hidden["w_rec"].norm())
            directions.append(torch.nn.functional.normalize(torch.cat([g.flatten() for g in hidden.values()]), dim=0))
        size, alike = torch.stack(norms), torch.stack(directions)
        cosine = ((alike @ alike.T).sum() - len(alike)) / (len(alike) * (len(alike) - 1))
        each = " | ".join(f"{value:.2g}" for value in (size.min(), size.median(), size.max()))
        print(f"| {name} | {each} | {cosine:.2f} |", flush=True)


if __name__ == "__main__":
    main()

"""`python -m benchmarks run [--peers] [--work W1,...] [--only WAY,...] [--rounds N] [--json FILE]`: see `run.py`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import run
from benchmarks.works import WORKS


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=run.__doc__)
    commands = parser.add_subparsers(required=True, metavar="run")
    steps = commands.add_parser("run", help="one training step of each workload, ours and the peers' in turn")
    steps.add_argument("--peers", action="store_true", help="with the libraries that must be installed first")
    steps.add_argument("--work", default=",".join(WORKS), help="of %(default)s")
    steps.add_argument("--only", help="ways whose names contain one of these, separated by commas")
    steps.add_argument("--rounds", type=int, default=8)
    steps.add_argument("--json", type=Path)
    given = parser.parse_args()
    works = given.work.split(",")
    for name in works:
        if name not in WORKS:
            parser.error(f"--work must be of {', '.join(WORKS)}. Got {name}.")
    only = given.only.split(",") if given.only else None
    run.run(works, peers=given.peers, only=only, rounds=given.rounds, json_file=given.json)


if __name__ == "__main__":
    main()

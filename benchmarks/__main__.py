"""`python -m benchmarks run`, `sweep`, `floor` or `page`: see the files of these names."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import floor, page, run, sweep
from benchmarks.competitors import OURS, WAYS
from benchmarks.works import WORKS


def main(arguments: list[str] | None = None) -> None:
    """Read the arguments and do it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    commands = parser.add_subparsers(required=True, dest="command", metavar="run, sweep, floor or page")
    steps = commands.add_parser("run", help="one training step of each workload, ours and the peers' in turn")
    steps.add_argument("--peers", action="store_true", help="with the libraries that must be installed first")
    steps.add_argument("--work", default=",".join(WORKS), help="of %(default)s")
    steps.add_argument("--only", help="ways whose names contain one of these, separated by commas; ours among them")
    sizes = commands.add_parser("sweep", help="one training step of W1 with one number varied, beside plain loops")
    sizes.add_argument("--over", required=True, choices=list(sweep.AXES))
    for command in (steps, sizes):
        command.add_argument("--rounds", type=int, default=8, help="turns of each way; %(default)s where not given")
    floors = commands.add_parser("floor", help="where our step of W1 to W3 goes, beside what its work must cost")
    for command in (steps, sizes, floors):
        command.add_argument("--json", type=Path, metavar="FILE", help="where what was found is written")
    pages = commands.add_parser("page", help="tables and figures of docs/benchmarks.md from docs/benchmarks/*.json")
    pages.add_argument("--check", action="store_true", help="change nothing; fail where the page is not up to date")
    given = parser.parse_args(arguments)
    if given.command == "page":
        page.page(check=given.check)
        return
    if given.json is not None and not given.json.parent.is_dir():
        parser.error(f"--json must lie in a folder that exists. Got {given.json}.")
    if given.command == "floor":
        floor.run(json_file=given.json)
        return
    if given.rounds < 1:
        parser.error(f"--rounds must be >= 1. Got {given.rounds}.")
    if given.command == "sweep":
        sweep.sweep(given.over, rounds=given.rounds, json_file=given.json)
        return
    works = given.work.split(",")
    for name in works:
        if name not in WORKS:
            parser.error(f"--work must be of {', '.join(WORKS)}. Got {name}.")
    only = given.only.split(",") if given.only else None
    for name in works:
        ways = run.ways_of(WORKS[name], peers=given.peers, only=only)
        if not any(way.startswith(OURS) for way in ways):
            parser.error(f"--only must leave one of our ways in {name}, of {', '.join(WAYS)}. Got {given.only}.")
    run.run(works, peers=given.peers, only=only, rounds=given.rounds, json_file=given.json)


if __name__ == "__main__":
    main()

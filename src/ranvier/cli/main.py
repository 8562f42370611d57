"""`main`: the one place where results meet standard output and errors become exit codes.

0: success. 1: found out later (missing run, bad data, unwritable folder, a training that diverged). 2: wrong
whatever the disk holds. 130: interrupted. Errors are one sentence on standard error; standard output then
stays empty.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ranvier.cli import check, options
from ranvier.errors import RanvierError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, `sys.argv`'s by default, and return the exit code."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _one_line
            command = options.parse(sys.argv[1:] if arguments is None else arguments)
            result = _call(command)
        _print(result, as_json=command.json)
    except SystemExit as leaving:  # help
        return int(leaving.code or 0)
    except options.UsageError as error:
        return _fail(f"ranvier: {error}", 2)
    except RanvierError as error:
        return _fail(f"ranvier: {error}", 1)
    except KeyboardInterrupt as interrupt:
        folder = interrupt.args[0] if interrupt.args else None
        advice = f" Continue with: ranvier train --resume {folder}" if folder else ""
        return _fail(f"ranvier: Interrupted.{advice}", 130)
    return 0


def _call(command: options.Command) -> dict[str, Any]:
    if isinstance(command, options.Train):
        config = check.settings(command)
        from ranvier.cli import train

        return train.run(command, config)
    if isinstance(command, options.Evaluate):
        if command.run is None:
            raise options.UsageError("The folder of a run must be named. Got none.")
        from ranvier.cli import evaluate

        return evaluate.run(command)
    from ranvier.cli import info

    return info.run()


def _print(result: Mapping[str, Any], *, as_json: bool) -> None:
    text = json.dumps(result) if as_json else "\n".join(_rows(result))
    try:
        print(text, flush=True)  # noqa: T201
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 (or the interpreter fails again when it flushes)
        raise RanvierError(f"Standard output must be writable. Got: {error.strerror or error}.") from error


def _rows(result: Mapping[str, Any]) -> list[str]:
    width = max(len(name) for name in result)
    return [
        f"{name.replace('_', ' '):<{width}}  {_readable(name, value)}"
        for name, value in result.items()
        if value is not None
    ]


def _readable(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_readable(name, number)}" for key, number in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        share = name.endswith("accuracy") or name == "best_validation"
        return f"{value:.2%}" if share else f"{value:,.1f}" if value >= 10 else f"{value:.4g}"
    return str(value)


def _one_line(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"ranvier: {message}", file=sys.stderr)  # noqa: T201


def _fail(sentence: str, code: int) -> int:
    print(" ".join(sentence.split()), file=sys.stderr, flush=True)  # noqa: T201
    return code

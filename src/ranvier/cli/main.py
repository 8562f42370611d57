"""`main`: the one place where results meet standard output and errors become exit codes.

0: success. 1: found out later (missing run, bad data, unwritable folder, a training that diverged), gradients that do
not pass, or recordings left out. 2: wrong whatever the disk holds. 130: interrupted. Errors are one sentence on
standard error; standard output then stays empty. Of several processes under torchrun the first tells what it finds.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ranvier.cli import check, launch, options
from ranvier.errors import RanvierError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, `sys.argv`'s by default, and return the exit code."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _one_line
            launch.hush()
            command = options.parse(sys.argv[1:] if arguments is None else arguments)
            answer = _call(command)
        if launch.is_first():
            _print(answer, as_json=command.json)
    except SystemExit as leaving:  # help
        return int(leaving.code or 0)
    except options.UsageError as error:
        return _fail(f"ranvier: {error}", 2) if launch.is_first() else 2  # all find the same
    except RanvierError as error:
        return _fail(f"ranvier: {error}", 1)
    except KeyboardInterrupt as interrupt:
        if not (interrupt.args or launch.is_first()):  # before there was a run
            return 130
        advice = f" Continue with: {interrupt.args[0]}" if interrupt.args else ""
        return _fail(f"ranvier: Interrupted.{advice}", 130)
    return answer.code


class _Answer(NamedTuple):
    """What a command found: for JSON, as text where it is no plain list, and its exit code."""

    result: dict[str, Any]
    text: str | None = None
    code: int = 0


def _call(command: options.Command) -> _Answer:
    if isinstance(command, options.Train):
        config = check.settings(command)
        from ranvier.cli import train

        return _Answer(train.run(command, config))
    if isinstance(command, options.Evaluate):
        if command.run is None:
            raise options.UsageError("The folder of a run must be named. Got none.")
        from ranvier.cli import evaluate

        return _Answer(evaluate.run(command))
    if isinstance(command, options.Check):
        from ranvier.cli import audit

        report, about = audit.run(command, audit.settings(command))
        code = 0 if report.status in ("passed", "biased") else 1
        return _Answer(about | report.as_dict(), f"{_told(about)}\n{report}", code)
    if isinstance(command, options.Encode):
        check.encoding(command)
        from ranvier.cli import encode

        result = encode.run(command)
        return _Answer(result, code=1 if result["skipped"] else 0)
    if isinstance(command, options.Warmup):
        from ranvier.cli import warmup

        return _Answer(warmup.run())
    from ranvier.cli import info

    return _Answer(info.run())


def _told(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)


def _print(answer: _Answer, *, as_json: bool) -> None:
    text = json.dumps(answer.result) if as_json else answer.text or "\n".join(_rows(answer.result))
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

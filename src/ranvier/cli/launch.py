"""`ranvier train` under torchrun: joins the processes that were started with this one, and lets one of them speak.

Under any launcher that sets torch's four variables, on one machine or several. Free of torch until there is somebody to
join.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from ranvier.errors import LostProcessError, RanvierError, RunError

WAIT = timedelta(days=1)  # for the first process, which may have a day of recordings to turn into spikes
_MEETING = timedelta(minutes=5)  # for all to be there
_GRACE = 1.0  # seconds in which a process with an error of its own speaks before those that only lost it
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def is_first() -> bool:
    """Whether this process is alone, or the first of those that were started together."""
    return _count() == 1 or os.environ["RANK"] == "0"


def hush() -> None:
    """Before torch is loaded: leave warnings to the first process, and what happens to processes to us."""
    if not is_first():
        warnings.simplefilter("ignore")
    if _count() > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch has pages to say of a lost process


@contextmanager
def joined() -> Iterator[None]:
    """Inside, the processes that were started together are torch's default group; of an error, one of them tells.

    Raises:
        RunError: they do not find each other.
        SystemExit: in place of an error of which another process tells.
    """
    if _count() == 1:
        yield
        return
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    try:
        store, index, count = next(rendezvous("env://", timeout=_MEETING))
        dist.init_process_group("gloo", store=store, rank=index, world_size=count, timeout=WAIT)
    except (RuntimeError, ValueError) as error:
        told = ", ".join(f"{name}={os.environ[name]}" for name in _VARIABLES)
        raise RunError(
            f"RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT must be as torchrun sets them. Got {told}."
        ) from error
    signal.signal(signal.SIGTERM, _told_to_end)
    try:
        yield
    except (RanvierError, KeyboardInterrupt) as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it comes when another process has ended, as this one does
        if not _tells(store, error):
            raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 1) from error
        raise
    finally:
        dist.destroy_process_group()


def again(folder: Path) -> str:
    """The command that continues a run."""
    here = _count_here()
    start = "ranvier" if _count() == 1 else f"torchrun --nproc-per-node {here} -m ranvier"
    return f"{start} train --resume {folder}"


def threads() -> int:
    """Threads for a process: torch's choice, or an equal part of this machine's processors for each process on it."""
    import torch

    if _count() == 1:
        return torch.get_num_threads()
    return max(1, _processors() // _count_here())


def say_if_crowded(threads_each: int) -> None:
    """Tell on standard error if this machine has fewer processors than its processes have threads."""
    wanted = threads_each * _count_here()
    if _count() > 1 and wanted > _processors():
        told = f"{_processors()} for {wanted}, {threads_each} in each of {_count_here()} processes"
        print(f"ranvier: This machine has fewer processors than threads: {told}.", file=sys.stderr, flush=True)  # noqa: T201


def _count() -> int:
    return int(os.environ["WORLD_SIZE"]) if all(os.environ.get(name) for name in _VARIABLES) else 1


def _count_here() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", _count()))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _told_to_end(*_: Any) -> None:
    raise LostProcessError("Training stopped because another of its processes ended, or all were told to end.")


def _tells(store: Any, error: BaseException) -> bool:
    """Whether this process is the one to tell: the first with an error of its own, else the first that lost another."""
    if isinstance(error, LostProcessError):
        time.sleep(_GRACE)
    try:
        return store.add("ranvier/told", 1) == 1
    except RuntimeError:  # what kept the store is gone: better twice than not at all
        return True

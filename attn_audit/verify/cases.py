"""All case folders of a batch, one after the other or in several processes: no case needs another."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread

from attn_audit.evidence import bundle
from attn_audit.evidence.trust import TrustedKey
from attn_audit.verify.asked import Asked
from attn_audit.verify.case import verify_case
from attn_audit.verify.report import Report

_AT_ONCE = 4  # cases that a process takes: few, so that an interruption need not wait for many
_WORTH, _WORTH_WITH_PDF = 200, 4  # cases for which a process is started: it takes a second to begin


def _unwatched(_done: int, _total: int) -> None:
    """Nobody looks on."""


@dataclass(frozen=True)
class Work:
    """In how many processes cases are checked at most, and who is told how many of them are done. More than one are
    started anew (``spawn``): only by a program whose main module does nothing when it is imported."""

    processes: int = 1
    progress: Callable[[int, int], None] = _unwatched


def verify_cases(
    report: Report, names: Sequence[str], trusted: tuple[TrustedKey, ...], asked: Asked, work: Work
) -> None:
    """Every check on each of the cases of these names, listed in their order."""
    check = partial(_found, report.home, trusted, replace(asked, cases=None))  # which no case is compared with alone
    processes = min(work.processes, len(names) // _worth(report.home, names, asked))
    found = map(check, names) if processes < 2 else _in_processes(check, names, processes)
    for done, part in enumerate(found, start=1):
        report.take(part)
        work.progress(done, len(names))


def _worth(home: Path, names: Sequence[str], asked: Asked) -> int:
    """For how many cases a process is worth starting, by what the first of them holds."""
    drawn = asked.views and any(os.path.lexists(home / name / bundle.view_name("pdf")) for name in names[:1])
    return _WORTH_WITH_PDF if drawn else _WORTH


def _found(home: Path, trusted: tuple[TrustedKey, ...], asked: Asked, name: str) -> Report:
    report = Report(home)
    verify_case(report, home / name, trusted, asked)
    return report


def _in_processes(check: Callable[[str], Report], names: Sequence[str], processes: int) -> Iterator[Report]:
    """The same in the same order. Where the system ends one of the processes, the rest is done in this one."""
    done = 0
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _begin)
    try:
        for part in pool.map(check, names, chunksize=_AT_ONCE):
            done += 1
            yield part
    except BrokenProcessPool:
        yield from map(check, names[done:])
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """A process ends at once when the user interrupts, and with the one that it works for, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)

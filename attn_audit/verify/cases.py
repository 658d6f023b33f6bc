"""All case folders of a batch, one after the other or in several processes: no case needs another."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import IO, cast

from attn_audit.evidence import bundle
from attn_audit.evidence.trust import TrustedKey
from attn_audit.verify.asked import Asked
from attn_audit.verify.case import verify_case
from attn_audit.verify.report import Report

_WORTH, _WORTH_WITH_PDF = 200, 4  # cases for which a process is started: it takes a second to begin
# Nothing is imported before the path is this program's own: the folder that it runs in may be anybody's.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from attn_audit.verify.cases import work_for; work_for()"


def _unwatched(_done: int, _total: int) -> None:
    """Nobody looks on."""


@dataclass(frozen=True)
class Work:
    """In how many processes cases are checked at most, and who is told how many of them are done."""

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


def _in_processes(check: partial[Report], names: Sequence[str], processes: int) -> Iterator[Report]:
    """The same in the same order, by turns. What a process cannot do, because the system ended it, is done here."""
    with ExitStack() as stack:
        workers = [stack.enter_context(_started()) for _ in range(processes)]
        for at, worker in enumerate(workers):
            with suppress(OSError):
                worker.tell((check, names[at::processes]))
        for at, name in enumerate(names):
            try:
                part = workers[at % processes].next()
            except (EOFError, OSError, pickle.UnpicklingError):
                part = check(name)
            yield part


@dataclass(frozen=True)
class _Worker:
    """A process that was started for a share of the cases."""

    told: IO[bytes]
    says: IO[bytes]

    def tell(self, share: tuple[partial[Report], Sequence[str]]) -> None:
        """What it has to do."""
        pickle.dump(share, self.told)
        self.told.flush()

    def next(self) -> Report:
        """What it found next. Raises EOFError where it is no more."""
        found: Report = pickle.load(self.says)  # noqa: S301  (by a process of ours)
        return found


@contextmanager
def _started() -> Iterator[_Worker]:
    """A process that waits for its work, and does not outlive its use."""
    program = _PROGRAM.format(path=[str(Path(one).absolute()) for one in sys.path])
    worker = subprocess.Popen(  # noqa: S603  (this program itself)
        (sys.executable, "-c", program),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what goes wrong there goes wrong here once more
        start_new_session=True,  # an interruption is for this process, which ends that one
    )
    try:
        yield _Worker(cast("IO[bytes]", worker.stdin), cast("IO[bytes]", worker.stdout))
    finally:
        worker.kill()
        with suppress(OSError):  # what it was not told any more
            worker.communicate()


def work_for() -> None:
    """What such a process does: the cases that it is told on stdin, their results to stdout. Ends with the process
    that started it, however that ends."""
    results, sys.stdout = sys.stdout.buffer, sys.stderr
    check, names = pickle.load(sys.stdin.buffer)  # noqa: S301  (by the process that started this one)
    Thread(target=_end_with_starter, daemon=True).start()
    for name in names:
        pickle.dump(check(name), results)
        results.flush()


def _end_with_starter() -> None:
    sys.stdin.buffer.read()
    os._exit(1)

"""A batch while it runs: drawn on a terminal, a line a case elsewhere, and stopped by SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from attn_audit.batch import Watch
from attn_audit.cli.console import data, stderr
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import parse_canonical
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Case, ViewFormat
from attn_audit.evidence.statements import SealedCase
from attn_audit.evidence.store import Measured
from attn_audit.judge.relevance import ranking
from attn_audit.measure.model import LocatedModel
from attn_audit.reports.jsonlines import case_line
from attn_audit.reports.text import visible

_MOST_BARS = 8  # of the cases at work; a cluster may measure more than fit a terminal
_WEEK = 7 * 24 * 3600.0  # seconds over which the speed is taken; a case may take many minutes


class Stop:
    """Set by SIGTERM. Only a flag: what is being written is written to its end."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, *_: Any) -> None:
        self.requested = True


@contextmanager
def stopping_on_sigterm() -> Iterator[Stop]:
    stop = Stop()
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


class Lines:
    """``--jsonl``: a line on stdout for each case as it ends, read from the folder where it was written."""

    def __init__(self, view: ViewFormat) -> None:
        self._view = view
        self.out = Path()

    def print(self, ended: SealedCase) -> None:
        if ended.status != "ok":
            data(case_line(ended, None, None))
            return
        folder = self.out / bundle.CASES / ended.id
        evidence = parse_canonical(bundle.read_file(folder / bundle.EVIDENCE), Evidence, bundle.EVIDENCE)
        data(case_line(ended, evidence, str(folder / bundle.view_name(self._view))))


class Quiet(Watch):
    """Draws nothing; ``lines`` on stdout where they are asked for."""

    def __init__(self, stop: Stop, lines: Lines | None) -> None:
        self._stop = stop
        self._lines = lines

    def stop_requested(self) -> bool:
        return self._stop.requested

    def planned(self, out: Path, plan: str) -> None:
        if self._lines is not None:
            self._lines.out = out

    def kept(self, ended: SealedCase) -> None:
        if self._lines is not None:
            self._lines.print(ended)

    def case_ends(self, case: Case, ended: SealedCase, measured: Measured | None) -> None:
        if self._lines is not None:
            self._lines.print(ended)


class Drawing(Quiet):
    """A bar for all cases with the time that is left, one for each case at work, and a line for each that has ended."""

    def __init__(self, stop: Stop, lines: Lines | None, console: Console, progress: Progress) -> None:
        super().__init__(stop, lines)
        self._console, self._progress = console, progress
        self._batch = progress.add_task("all cases", total=None)
        self._cases: dict[str, TaskID] = {}

    def loading(self, model: LocatedModel) -> None:
        self._console.print(f"loading and probing {visible(model.name)} (offline) ...", markup=False)

    def started(self, workers: int) -> None:
        if workers > 1:
            self._console.print(f"{workers} workers have started", markup=False)

    def planned(self, out: Path, plan: str) -> None:
        super().planned(out, plan)
        self._console.print(f"plan {plan} in {visible(str(out))}", markup=False, soft_wrap=True)

    def kept(self, ended: SealedCase) -> None:
        super().kept(ended)
        self._console.print(f"{visible(ended.id)}: finished before, checked and kept", markup=False)
        self._progress.advance(self._batch)

    def case_begins(self, case: Case, number: int, total: int) -> None:
        self._progress.update(self._batch, total=total)
        shown = len(self._cases) < _MOST_BARS
        self._cases[case.id] = self._progress.add_task(f"case {visible(case.id)}", total=None, visible=shown)

    def units(self, case: Case, done: int, total: int) -> None:
        self._progress.update(self._cases[case.id], completed=done, total=total)

    def case_ends(self, case: Case, ended: SealedCase, measured: Measured | None) -> None:
        super().case_ends(case, ended, measured)
        self._console.print(_line(ended, measured if self._console.is_terminal else None), soft_wrap=True)
        self.forecast(case)

    def forecast(self, case: Case) -> None:
        if case.id in self._cases:  # one that a stop has kept from beginning is not
            self._progress.remove_task(self._cases.pop(case.id))
        for waiting in list(self._cases.values())[:_MOST_BARS]:
            self._progress.update(waiting, visible=True)
        self._progress.advance(self._batch)


@contextmanager
def drawing(stop: Stop, quiet: bool, lines: Lines | None = None) -> Iterator[Watch]:
    """A watch that draws the batch on a terminal, writes a line a case elsewhere, or nothing when quiet."""
    if quiet:
        yield Quiet(stop, lines)
        return
    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, speed_estimate_period=_WEEK, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        yield Drawing(stop, lines, console, progress)


def _line(ended: SealedCase, measured: Measured | None) -> Text:
    """What became of a case. Its text is quoted on a terminal only: the logs of a CI job are no place for it."""
    if measured is None:
        reason = f": {visible(ended.reason)}" if ended.reason else ""
        return Text.assemble((ended.id, "bold"), f": {ended.status}{reason}")
    content, evidence = measured
    best = ranking(evidence.relevance)[0]
    spans = evidence.units[best].spans
    piece = " … ".join(content.case.messages[span.message].content[span.start : span.end] for span in spans)
    return Text.assemble(
        (f"{ended.id}: ", "bold"),
        f"{_short(content.answer.text)}",
        (f"   driven most by {_short(piece)} ({evidence.relevance[best]:+.2f} nats)", "dim"),
    )


def _short(text: str) -> str:
    shown = visible(" ".join(text.split()))
    return f"“{shown if len(shown) <= 60 else shown[:59] + '…'}”"

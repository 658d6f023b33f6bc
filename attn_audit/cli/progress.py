"""A batch while it runs: drawn on a terminal, a line a case elsewhere, and stopped by SIGTERM."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from attn_audit.cli.console import stderr
from attn_audit.judge.relevance import ranking
from attn_audit.reports.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attn_audit.batch import Watch
    from attn_audit.evidence.measured import Evidence
    from attn_audit.evidence.records import Case, Content
    from attn_audit.evidence.statements import SealedCase


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


@contextmanager
def drawing(stop: Stop, quiet: bool) -> Iterator[Watch]:
    """A watch that draws the batch on a terminal, writes a line a case elsewhere, or nothing when quiet."""
    from attn_audit.batch import Watch  # noqa: PLC0415

    class Stoppable(Watch):
        def stop_requested(self) -> bool:
            return stop.requested

    if quiet:
        yield Stoppable()
        return
    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, speed_estimate_period=_WEEK, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        batch = progress.add_task("all cases", total=None)
        task = progress.add_task("starting", total=None)

        class Drawing(Stoppable):
            def loading(self, model: Any) -> None:
                console.print(f"loading and probing {visible(model.name)} (offline) ...", markup=False)

            def planned(self, out: Path, plan: str) -> None:
                console.print(f"plan {plan} in {visible(str(out))}", markup=False, soft_wrap=True)

            def kept(self, case_id: str) -> None:
                console.print(f"{visible(case_id)}: finished before, checked and kept", markup=False)
                progress.advance(batch)

            def case_begins(self, case: Case, number: int, total: int) -> None:
                progress.update(batch, total=total)
                progress.reset(task, description=f"case {visible(case.id)}", total=None)

            def units(self, done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            def case_ends(self, case: Case, ended: SealedCase, measured: tuple[Content, Evidence] | None) -> None:
                console.print(_line(ended, measured if console.is_terminal else None), soft_wrap=True)
                progress.advance(batch)

        yield Drawing()


def _line(ended: SealedCase, measured: tuple[Content, Evidence] | None) -> Text:
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

"""``attn-audit run``: a case file, or one question, to an audit folder."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from attn_audit.cases import CaseFile, not_evaluated, read_cases, single_case
from attn_audit.cli.console import advise, stderr, stdout
from attn_audit.cli.forecast import print_forecast
from attn_audit.cli.host import this_host
from attn_audit.cli.signing import signers_beside, signing_key
from attn_audit.evidence.bundle import CASES
from attn_audit.evidence.errors import Incomplete, UsageError
from attn_audit.evidence.measured import Setting
from attn_audit.evidence.settings import ENVIRONMENT_PREFIX, Origin, Settings, resolve
from attn_audit.judge.relevance import ranking
from attn_audit.reports import pdf
from attn_audit.reports.text import visible

_STDIN_LIMIT = 8 << 20  # bytes; the longest prompt that is accepted is shorter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attn_audit.batch import Finished, Watch
    from attn_audit.evidence.measured import Evidence
    from attn_audit.evidence.records import Case, Content
    from attn_audit.evidence.statements import Seal, SealedCase


def run(
    cases: Annotated[
        str | None, typer.Argument(help="A case file (.yaml, .jsonl), or - for one question on stdin.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="One question instead of a case file.")] = None,
    model: Annotated[str | None, typer.Option(help="A model folder, a .gguf file, or smollm2.")] = None,
    key: Annotated[
        Path | None, typer.Option(help="Private key to sign with; without it the audit is unsigned.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; it must not exist.")] = None,
    units: Annotated[str | None, typer.Option(help="Pieces: token, word (default), sentence, paragraph, auto.")] = None,
    operator: Annotated[str | None, typer.Option(help="How: knockout (default), soft, shifted.")] = None,
    factor: Annotated[str | None, typer.Option(help="Of soft and shifted: 1 changes nothing, near 0 the most.")] = None,
    effect: Annotated[str | None, typer.Option(help="On all later positions: total (default), direct, both.")] = None,
    layers: Annotated[str | None, typer.Option(help="Only in these layers, A:B, from A up to before B.")] = None,
    effort: Annotated[str | None, typer.Option(help="Measure every piece: full (default); or the screened.")] = None,
    checks: Annotated[
        str | None, typer.Option(help="Of the map against the model: none, basic (default), full.")
    ] = None,
    max_seconds: Annotated[str | None, typer.Option(help="For each case; what does not fit is not measured.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="GB for weights and one pass; default 8.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 (default), bfloat16, float16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto (default: a GPU where there is one), cpu, cuda:N.")] = None,
    threads: Annotated[str | None, typer.Option(help="Processor threads; default: all.")] = None,
    seed: Annotated[str | None, typer.Option(help="Of the probe's random tokens; default 0.")] = None,
    format: Annotated[str | None, typer.Option(help="Reports: html,pdf (default), html or pdf.")] = None,  # noqa: A002
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what it would take, and compute no answer.")
    ] = False,
    passphrase_fd: Annotated[int | None, typer.Option(help="Read the key's passphrase from this descriptor.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors and the folder.")] = False,
) -> None:
    """Let a local model answer each case, measure which pieces of the input drove the answer, and write the audit."""
    from attn_audit import batch  # noqa: PLC0415  (torch is needed only here)
    from attn_audit.measure.model import locate, set_threads  # noqa: PLC0415

    case_file = _cases(cases, prompt)
    flags = {
        "units": units,
        "operator": operator,
        "factor": factor,
        "effect": effect,
        "layers": layers,
        "effort": effort,
        "checks": checks,
        "max_seconds": max_seconds,
        "max_memory": max_memory,
        "dtype": dtype,
        "device": device,
        "threads": threads,
        "seed": seed,
        "format": format,
    }
    settings, recorded = resolve(flags, os.environ, case_file.settings)
    settings, recorded = _printable(settings, recorded)
    name, origin = _model_name(model, case_file)
    signer = None if key is None else signing_key(key, passphrase_fd, os.environ)
    located = locate(name)
    if out is not None and os.path.lexists(out):
        raise UsageError(f"output folder {out} exists already; name another with --out")
    host = this_host(settings.threads, settings.views)
    set_threads(host.threads)
    recorded = (Setting(name="model", value=located.name, origin=origin), *recorded)
    order = batch.Order(case_file, located, settings, recorded, signer, out)
    _say_not_evaluated(case_file)
    if dry_run:
        with _drawing(_Stop(), quiet) as watch:
            print_forecast(tuple(batch.forecast(order, host, watch)))
        return
    with _stopping_on_sigterm() as stop, _drawing(stop, quiet) as watch:
        finished = batch.run(order, host, watch)
    if not quiet:
        _conclude(finished, settings.views[0], key)
    stdout().print(str(finished.out), markup=False, soft_wrap=True)
    _require_whole(finished.seal, located.root)


def _cases(cases: str | None, prompt: str | None) -> CaseFile:
    if (cases is None) == (prompt is None):
        raise UsageError("give a case file, - for a question on stdin, or --prompt TEXT; exactly one of them")
    if prompt is not None:
        return single_case(prompt)
    if cases == "-":
        try:
            return single_case(sys.stdin.buffer.read(_STDIN_LIMIT).decode("utf-8").removesuffix("\n"))
        except UnicodeDecodeError:
            raise UsageError("the question on stdin is not valid UTF-8") from None
    return read_cases(Path(cases or ""))


def _model_name(flag: str | None, case_file: CaseFile) -> tuple[str, Origin]:
    sources: tuple[tuple[str | None, Origin], ...] = (
        (flag, "flag"),
        (os.environ.get(ENVIRONMENT_PREFIX + "MODEL"), "environment"),
        (case_file.model, "case file"),
    )
    for name, origin in sources:
        if name:
            return name, origin
    raise UsageError("no model: give --model PATH (a folder, a .gguf file, or smollm2), or 'model' in the case file")


def _printable(settings: Settings, recorded: tuple[Setting, ...]) -> tuple[Settings, tuple[Setting, ...]]:
    """HTML only where the PDF libraries are missing and nobody asked for a PDF; else refused. Raises UsageError."""
    missing = pdf.missing_libraries() if "pdf" in settings.views else None
    if missing is None:
        return settings, recorded
    if any(one.name == "format" and one.origin != "default" for one in recorded):
        raise UsageError(missing)
    advise(f"{missing} Only HTML is written.")
    reduced = settings.model_copy(update={"format": "html"})
    forced = {"value": "html", "origin": "host"}
    return reduced, tuple(one.model_copy(update=forced) if one.name == "format" else one for one in recorded)


def _say_not_evaluated(case_file: CaseFile) -> None:
    asked = {name for case in case_file.cases for name in not_evaluated(case)}
    for name in sorted(asked):
        advise(f"NOT EVALUATED by this version: {name}")


class _Stop:
    """Set by SIGTERM. Only a flag: what is being written is written to its end."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, *_: Any) -> None:
        self.requested = True


@contextmanager
def _stopping_on_sigterm() -> Iterator[_Stop]:
    stop = _Stop()
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _drawing(stop: _Stop, quiet: bool) -> Iterator[Watch]:
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
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        class Drawing(Stoppable):
            def loading(self, model: Any) -> None:
                console.print(f"loading and probing {visible(model.name)} (offline) ...", markup=False)

            def case_begins(self, case: Case, number: int, total: int) -> None:
                progress.reset(task, description=f"case {number} of {total}: {visible(case.id)}", total=None)

            def units(self, done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            def case_ends(self, case: Case, ended: SealedCase, measured: tuple[Content, Evidence] | None) -> None:
                console.print(_line(ended, measured if console.is_terminal else None), soft_wrap=True)

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


def _conclude(finished: Finished, view: str, key: Path | None) -> None:
    """How each case ended, and what to type next."""
    table = Table("case", "status", "report", box=None, pad_edge=False)
    for case in finished.seal.cases:
        where = str(finished.out / CASES / case.id / f"report.{view}") if case.status == "ok" else "-"
        table.add_row(case.id, case.status, Text(where, overflow="fold"))
    stderr().print(table)
    if key is None:
        advise("this audit is UNSIGNED: nobody vouches for it; give --key FILE to sign (attn-audit keygen makes one)")
    else:
        advise(f"next: attn-audit verify {finished.out} --trust {signers_beside(key)}")


def _require_whole(seal: Seal, model_root: str) -> None:
    """Raises Incomplete where the batch is not what was asked for."""
    if seal.model_root_after != model_root:
        raise Incomplete("the model's files changed during the batch; the audit is worthless and will not verify")
    if seal.ok != len(seal.cases):
        raise Incomplete(
            f"{seal.failed} of {len(seal.cases)} cases failed, {seal.skipped} were skipped; the rest is done and sealed"
        )

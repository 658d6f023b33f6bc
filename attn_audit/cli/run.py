"""``attn-audit run``: a case file, or one question, to an audit folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from attn_audit.cases import CaseFile, read_cases, single_case
from attn_audit.cli.console import advise, stderr, stdout
from attn_audit.cli.forecast import print_forecast
from attn_audit.cli.host import this_host
from attn_audit.cli.progress import Stop, drawing, stopping_on_sigterm
from attn_audit.cli.signing import given_key, model_key, signers_beside
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import sha256
from attn_audit.evidence.envelope import decode, payload_of
from attn_audit.evidence.errors import EvidenceError, Incomplete, UsageError
from attn_audit.evidence.measured import Setting
from attn_audit.evidence.settings import ENVIRONMENT_PREFIX, Origin, Settings, resolve
from attn_audit.evidence.statements import Seal
from attn_audit.reports import pdf

_STDIN_LIMIT = 8 << 20  # bytes; the longest prompt that is accepted is shorter

if TYPE_CHECKING:
    from attn_audit.batch import Finished


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
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="Sign the plan and stop: lodge its digest with somebody before the run.")
    ] = False,
    plan: Annotated[Path | None, typer.Option(help="Run what this plan, in its folder, says.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the folder of --out where a run was interrupted.")
    ] = False,
    previous_seal: Annotated[
        Path | None, typer.Option(help="The seal of the audit before, to be named in this.")
    ] = None,
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
    modes = {"--dry-run": dry_run, "--plan-only": plan_only, "--plan": plan is not None, "--resume": resume}
    _require_one_of(modes)
    out = _folder(out, plan, resume=resume)
    previous = None if previous_seal is None else _seal_digest(previous_seal)
    signer = given_key(key, passphrase_fd)
    located = locate(name, model_key())
    host = this_host(settings.threads, settings.views)
    set_threads(host.threads)
    recorded = (Setting(name="model", value=located.name, origin=origin), *recorded)
    order = batch.Order(case_file, located, settings, recorded, signer, out, previous)
    if dry_run:
        with drawing(Stop(), quiet) as watch:
            print_forecast(tuple(batch.forecast(order, host, watch)))
        return
    if plan_only:
        with drawing(Stop(), quiet) as watch:
            planned = batch.plan(order, host, watch)
        stdout().print(f"{planned.digest}  {planned.out / order.name(bundle.PLAN)}", markup=False, soft_wrap=True)
        return
    with stopping_on_sigterm() as stop, drawing(stop, quiet) as watch:
        go = batch.run if plan is None and not resume else batch.resume
        finished = go(order, host, watch)
    if not quiet:
        _conclude(finished, settings.views[0], order.signed, key)
    stdout().print(str(finished.out), markup=False, soft_wrap=True)
    _require_whole(finished, located.root)


def _require_one_of(modes: dict[str, bool]) -> None:
    if len(asked := [name for name, wanted in modes.items() if wanted]) > 1:
        raise UsageError(f"{' and '.join(asked)} cannot be given together")


def _folder(out: Path | None, plan: Path | None, *, resume: bool) -> Path | None:
    """Where the audit goes: a new folder, or the one that has the plan. Raises UsageError."""
    if plan is not None:
        names = {bundle.statement_name(bundle.PLAN, signed=signed) for signed in (True, False)}
        if plan.name not in names or not os.path.lexists(plan):
            raise UsageError(
                f"{str(plan)[:200]} is no plan; give {' or '.join(sorted(names))} in the folder of --plan-only"
            )
        if out is not None and out.resolve() != plan.parent.resolve():
            raise UsageError(f"a plan is run in its own folder, {plan.parent}; leave out --out")
        return plan.parent
    if resume and out is None:
        raise UsageError("--resume needs the folder of the interrupted run: give it with --out")
    if not resume and out is not None and os.path.lexists(out):
        raise UsageError(f"output folder {out} exists already; name another, or go on with it by --resume")
    return out


def _seal_digest(path: Path) -> str:
    """The digest of a seal's file. Raises UsageError where it is none."""
    try:
        data = bundle.read_file(path)
        decode(payload_of(data, path.name) if path.name.endswith(bundle.SIGNED) else data, Seal, path.name)
    except EvidenceError as error:
        raise UsageError(f"the previous seal is refused: {error}") from None
    return sha256(data)


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


def _conclude(finished: Finished, view: str, signed: bool, key: Path | None) -> None:
    """How each case ended, and what to type next."""
    table = Table("case", "status", "report", box=None, pad_edge=False)
    for case in finished.seal.cases:
        where = str(finished.out / bundle.CASES / case.id / f"report.{view}") if case.status == "ok" else "-"
        table.add_row(case.id, case.status, Text(where, overflow="fold"))
    stderr().print(table)
    if not signed:
        advise("this audit is UNSIGNED: nobody vouches for it; give --key FILE to sign (attn-audit keygen makes one)")
    else:
        signers = "YOUR_ALLOWED_SIGNERS" if key is None else signers_beside(key)
        advise(f"next: attn-audit verify {finished.out} --trust {signers}")


def _require_whole(finished: Finished, model_root: str) -> None:
    """Raises Incomplete where the batch is not what was asked for."""
    seal = finished.seal
    if seal.model_root_after != model_root:
        raise Incomplete("the model's files changed during the batch; the audit is worthless and will not verify")
    if seal.ok != len(seal.cases):
        raise Incomplete(
            f"{seal.failed} of {len(seal.cases)} cases failed, {seal.skipped} were skipped; the rest is done and sealed"
            + (f"; the same command with --out {finished.out} --resume does the skipped ones" if seal.skipped else "")
        )

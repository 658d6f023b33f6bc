"""``attn-audit run``: a case file, or one question, to an audit folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from attn_audit.cases import CaseFile
from attn_audit.cli.console import data
from attn_audit.cli.ending import conclude, require
from attn_audit.cli.forecast import print_forecast
from attn_audit.cli.order import advise_misspelt, asked_cases, folder, model_name, printable, seal_digest, source
from attn_audit.cli.outputs import NOTHING, conditions_met, unwritten, wanted
from attn_audit.cli.signing import given_key, model_key
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import Setting
from attn_audit.evidence.settings import resolve
from attn_audit.evidence.statements import ExportName
from attn_audit.host import this_host
from attn_audit.judge.conditions import Condition
from attn_audit.reports.jsonlines import end_line


def run(
    cases: Annotated[
        str | None, typer.Argument(help="A case file (.yaml, .yml, .jsonl), or - for one question on stdin.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="One question instead of a case file.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="A model folder, a .gguf file, or smollm2; may stand in the case file instead."
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Private key to sign with; FILE.allowed_signers beside it says as whom. Without it, and without a key "
            "in the environment, the audit is unsigned and says so.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The folder to write, which must not exist; default: audit-TIME-DIGEST, with the time in UTC and 8 "
            "characters of the plan's digest.",
        ),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Cut what the case does not name into pieces: token, word (default), sentence or paragraph; auto "
            "takes the finest that fit --max-seconds.",
        ),
    ] = None,
    operator: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="How attention is suppressed: knockout (default), soft or shifted."),
    ] = None,
    factor: Annotated[
        str | None,
        typer.Option(
            metavar="F", help="How strongly soft and shifted do it: 1 changes nothing, near 0 the most; no default."
        ),
    ] = None,
    effect: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="On all later positions, total (default); on the answer's only, direct; or both, side by side.",
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(metavar="A:B", help="Only in layers A up to before B, counted from 0; default: all."),
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Measure every piece, full (default), or only the promising ones after a cheap look, screened.",
        ),
    ] = None,
    checks: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the map is held against: none, basic (default: deleting its highest pieces, beside random "
            "ones), or full (also keeping only those, the reliance on the input, pieces together, other ways of "
            "hiding, other kinds of maps).",
        ),
    ] = None,
    max_seconds: Annotated[
        str | None,
        typer.Option(
            metavar="S",
            help="For one case; pieces are screened where measuring all would take longer, and what was not measured "
            "is said; default: no limit.",
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="GB", help="For the weights and one pass; decides how many pieces share a pass; default: 8."
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Number format of weights and sums: float32 (default), bfloat16 or float16; with the short ones small "
            "values drown in rounding.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto (default: a GPU where torch finds one, all of them for weights that need it), cpu, cuda or "
            "cuda:N.",
        ),
    ] = None,
    threads: Annotated[str | None, typer.Option(metavar="N", help="Processor threads; default: all.")] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="N", help="Of the random tokens of the probe; default: 0.")
    ] = None,
    format: Annotated[  # noqa: A002
        str | None, typer.Option(metavar="LIST", help="Reports to write: html,pdf (default), html or pdf.")
    ] = None,
    paper: Annotated[
        str | None, typer.Option(metavar="SIZE", help="What the PDF is made for: a4 (default) or letter.")
    ] = None,
    junit: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also write the results as JUnit XML, for CI systems. This and the next three stand in the audit "
            "folder, too, where verify compares them.",
        ),
    ] = None,
    sarif: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Also as SARIF 2.1.0, for code scanning; findings point at the line of the case."
        ),
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also as CSV, a row for each piece; beside it FILE.batch.csv with the figures over all cases.",
        ),
    ] = None,
    summary: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Also as Markdown; auto appends it to the summary of a GitHub Actions job."),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="End with 10 when something of the list is found: policy, unsupported (a faithfulness verdict other "
            "than supported), incomplete, warning:CODE; separated by commas.",
        ),
    ] = None,
    jsonl: Annotated[
        bool,
        typer.Option(
            "--jsonl",
            help="Print a line of JSON for each case as it ends, and one for the batch, instead of the folder; no text "
            "of a case.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print what each case will take (passes, tokens, seconds, memory) and write nothing."
        ),
    ] = False,
    plan_only: Annotated[
        bool,
        typer.Option(
            "--plan-only",
            help="Sign the plan, print its digest and stop: lodge the digest with somebody before the run.",
        ),
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Run what that plan, the one that --plan-only wrote, says, in its folder; anything that was planned "
            "otherwise is refused.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the folder of --out where a run was interrupted: finished cases are checked and kept.",
        ),
    ] = False,
    previous_seal: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The seal of the audit before this one, whose digest this seal names."),
    ] = None,
    passphrase_fd: Annotated[
        int | None, typer.Option(metavar="N", help="Read the key's passphrase from this file descriptor.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors and the folder.")] = False,
) -> None:
    """Let a local model answer each case, measure which pieces of the input drove the answer, and write the audit."""
    from attn_audit import batch  # noqa: PLC0415  (torch is needed only here)
    from attn_audit.cli.progress import Lines, Stop, drawing, stopping_on_sigterm  # noqa: PLC0415
    from attn_audit.measure.model import locate, set_threads  # noqa: PLC0415

    case_file = asked_cases(cases, prompt)
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
        "paper": paper,
    }
    advise_misspelt(os.environ)
    settings, recorded = resolve(flags, os.environ, case_file.settings)
    settings, recorded = printable(settings, recorded)
    name, origin = model_name(model, case_file)
    modes = {"--dry-run": dry_run, "--plan-only": plan_only, "--plan": plan is not None, "--resume": resume}
    _require_one_of(modes)
    out = folder(out, plan, resume=resume)
    exports: dict[ExportName, str | None] = {"junit": junit, "sarif": sarif, "csv": csv, "summary": summary}
    inputs = [Path(path) for path in (cases, key, previous_seal, name) if path not in {None, "-"}]
    outputs = wanted(exports, fail_on, inputs, os.environ)
    _require_judgeable(outputs.conditions, case_file)
    if (dry_run or plan_only) and (outputs != NOTHING or jsonl):
        raise UsageError("--dry-run and --plan-only have no results to write or to judge; leave out what asks for them")
    previous = None if previous_seal is None else seal_digest(previous_seal)
    signer = given_key(key, passphrase_fd)
    located = locate(name, model_key())
    host = this_host(settings.threads, settings.views)
    set_threads(host.threads)
    recorded = (Setting(name="model", value=located.name, origin=origin), *recorded)
    order = batch.Order(case_file, located, settings, recorded, signer, out, previous, source(cases), outputs.exports)
    if dry_run:
        with drawing(Stop(), quiet) as watch:
            print_forecast(tuple(batch.forecast(order, host, watch)))
        return
    if plan_only:
        with drawing(Stop(), quiet) as watch:
            planned = batch.plan(order, host, watch)
        data(f"{planned.digest}  {planned.out / order.name(bundle.PLAN)}")
        return
    lines = Lines(settings.views[0]) if jsonl else None
    with stopping_on_sigterm() as stop, drawing(stop, quiet, lines) as watch:
        go = batch.run if plan is None and not resume else batch.resume
        finished = go(order, host, watch)
    if not quiet:
        conclude(finished, order.signed, key)
    found = conditions_met(outputs, finished)
    data(end_line(str(finished.out), finished.seal, found) if jsonl else str(finished.out))
    require(finished, located.root, found, tuple(unwritten(outputs, finished.out)))


def _require_judgeable(wanted: tuple[Condition, ...], case_file: CaseFile) -> None:
    """A condition that can never be met would let everything pass. Raises UsageError."""
    if Condition("policy") in wanted and not any(case.policies for case in case_file.cases):
        raise UsageError("--fail-on policy: no case has a policy, so it could never be met; state one, or leave it out")


def _require_one_of(modes: dict[str, bool]) -> None:
    if len(asked := [name for name, wanted in modes.items() if wanted]) > 1:
        raise UsageError(f"{' and '.join(asked)} cannot be given together")

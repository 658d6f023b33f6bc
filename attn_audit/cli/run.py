"""``attn-audit run``: a case file, or one question, to an audit folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from attn_audit.cases import CaseFile
from attn_audit.cli.console import data
from attn_audit.cli.ending import conclude, require
from attn_audit.cli.executor import chosen, split_tokens
from attn_audit.cli.forecast import print_forecast
from attn_audit.cli.order import asked_cases, folder, model_name, printable, seal_digest, source
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
    paper: Annotated[str | None, typer.Option(help="The PDF is made for a4 (default) or letter.")] = None,
    junit: Annotated[str | None, typer.Option(help="JUnit XML for CI, here as well as in the audit folder.")] = None,
    sarif: Annotated[str | None, typer.Option(help="SARIF for code scanning, likewise.")] = None,
    csv: Annotated[str | None, typer.Option(help="A row for each piece, likewise; FILE.batch.csv: all cases.")] = None,
    summary: Annotated[str | None, typer.Option(help="Markdown, likewise; auto: for a job of GitHub Actions.")] = None,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit code 10 for any of policy,unsupported,incomplete,warning:CODE.")
    ] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print a line of JSON for each case as it ends.")] = False,
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
    executor: Annotated[str | None, typer.Option(help="Where cases are measured: local (default), ray.")] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster; default: the one that runs here, or a new one.")
    ] = None,
    passphrase_fd: Annotated[int | None, typer.Option(help="Read the key's passphrase from this descriptor.")] = None,
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
    workplace = chosen(executor, ray_address, os.environ)
    previous = None if previous_seal is None else seal_digest(previous_seal)
    signer = given_key(key, passphrase_fd)
    located = locate(name, model_key())
    host = this_host(settings.threads, settings.views)
    set_threads(host.threads)
    recorded = (Setting(name="model", value=located.name, origin=origin), *recorded)
    order = batch.Order(
        case_file,
        located,
        settings,
        recorded,
        signer,
        out,
        previous,
        source(cases),
        outputs.exports,
        workplace,
        split_tokens(os.environ),
    )
    if dry_run:
        with drawing(Stop(), quiet) as watch:
            print_forecast(batch.forecast(order, host, watch))
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

"""``attn-audit run``: a case file, or one question, to an audit folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attn_audit.cases import CaseFile
from attn_audit.cli import run_options as options
from attn_audit.cli.console import data
from attn_audit.cli.ending import conclude, require
from attn_audit.cli.executor import chosen, split_tokens
from attn_audit.cli.forecast import print_forecast
from attn_audit.cli.order import advise_misspelt, asked_cases, folder, model_name, printable, seal_digest, source
from attn_audit.cli.outputs import NOTHING, Outputs, conditions_met, unwritten, wanted
from attn_audit.cli.signing import given_key, model_key
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import Setting
from attn_audit.evidence.settings import resolve
from attn_audit.evidence.statements import ExportName
from attn_audit.host import this_host
from attn_audit.judge.conditions import Condition
from attn_audit.reports.jsonlines import end_line

if TYPE_CHECKING:
    from attn_audit.batch import Order
    from attn_audit.evidence.host import Host


def run(
    cases: options.Cases = None,
    prompt: options.Prompt = None,
    model: options.Model = None,
    key: options.Key = None,
    out: options.Out = None,
    units: options.Units = None,
    operator: options.Operator = None,
    factor: options.Factor = None,
    effect: options.Effect = None,
    layers: options.Layers = None,
    effort: options.Effort = None,
    checks: options.Checks = None,
    max_seconds: options.MaxSeconds = None,
    max_memory: options.MaxMemory = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    threads: options.Threads = None,
    seed: options.Seed = None,
    format: options.Format = None,  # noqa: A002
    paper: options.Paper = None,
    junit: options.Junit = None,
    sarif: options.Sarif = None,
    csv: options.Csv = None,
    summary: options.Summary = None,
    fail_on: options.FailOn = None,
    jsonl: options.Jsonl = False,
    dry_run: options.DryRun = False,
    plan_only: options.PlanOnly = False,
    plan: options.Plan = None,
    resume: options.Resume = False,
    previous_seal: options.PreviousSeal = None,
    executor: options.Executor = None,
    ray_address: options.RayAddress = None,
    passphrase_fd: options.PassphraseFd = None,
    quiet: options.Quiet = False,
) -> None:
    """Let a local model answer each case, measure which pieces of the input drove the answer, and write the audit."""
    from attn_audit import batch  # noqa: PLC0415  (torch is needed only here)
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
        _forecast(order, host, quiet)
    elif plan_only:
        _plan(order, host, quiet)
    else:
        _audit(order, host, outputs, _Manner(plan is not None or resume, jsonl, quiet, key))


@dataclass(frozen=True)
class _Manner:
    """How it is run: from a plan that stands already, or not; and what is printed."""

    planned: bool
    jsonl: bool
    quiet: bool
    key: Path | None


def _forecast(order: Order, host: Host, quiet: bool) -> None:
    from attn_audit import batch  # noqa: PLC0415  (torch is needed only here)
    from attn_audit.cli.progress import Stop, drawing  # noqa: PLC0415

    with drawing(Stop(), quiet) as watch:
        found = batch.forecast(order, host, watch)
    print_forecast(found)


def _plan(order: Order, host: Host, quiet: bool) -> None:
    from attn_audit import batch  # noqa: PLC0415
    from attn_audit.cli.progress import Stop, drawing  # noqa: PLC0415

    with drawing(Stop(), quiet) as watch:
        planned = batch.plan(order, host, watch)
    data(f"{planned.digest}  {planned.out / order.name(bundle.PLAN)}")


def _audit(order: Order, host: Host, outputs: Outputs, manner: _Manner) -> None:
    from attn_audit import batch  # noqa: PLC0415
    from attn_audit.cli.progress import Lines, drawing, stopping_on_sigterm  # noqa: PLC0415

    lines = Lines(order.settings.views[0]) if manner.jsonl else None
    with stopping_on_sigterm() as stop, drawing(stop, manner.quiet, lines) as watch:
        finished = (batch.resume if manner.planned else batch.run)(order, host, watch)
    if not manner.quiet:
        conclude(finished, order.signed, manner.key)
    found = conditions_met(outputs, finished)
    data(end_line(str(finished.out), finished.seal, found) if manner.jsonl else str(finished.out))
    require(finished, order.model.root, found, tuple(unwritten(outputs, finished.out)))


def _require_judgeable(wanted: tuple[Condition, ...], case_file: CaseFile) -> None:
    """A condition that can never be met would let everything pass. Raises UsageError."""
    if Condition("policy") in wanted and not any(case.policies for case in case_file.cases):
        raise UsageError("--fail-on policy: no case has a policy, so it could never be met; state one, or leave it out")


def _require_one_of(modes: dict[str, bool]) -> None:
    if len(asked := [name for name, wanted in modes.items() if wanted]) > 1:
        raise UsageError(f"{' and '.join(asked)} cannot be given together")

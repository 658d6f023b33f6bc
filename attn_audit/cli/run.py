"""``attn-audit run``: a case file, or one question, to an audit folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from attn_audit.cases import CaseFile
from attn_audit.cli.console import data
from attn_audit.cli.ending import conclude, require
from attn_audit.cli.executor import chosen, split_tokens
from attn_audit.cli.forecast import print_forecast
from attn_audit.cli.options import command
from attn_audit.cli.order import advise_misspelt, asked_cases, folder, model_name, printable, seal_digest, source
from attn_audit.cli.outputs import NOTHING, Outputs, conditions_met, unwritten, wanted
from attn_audit.cli.run_options import Options
from attn_audit.cli.signing import given_key, model_key
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import Setting
from attn_audit.evidence.settings import resolve
from attn_audit.host import this_host
from attn_audit.judge.conditions import Condition
from attn_audit.reports.jsonlines import end_line

if TYPE_CHECKING:
    from attn_audit.batch import Order
    from attn_audit.evidence.host import Host


@command(Options)
def run(given: Options) -> None:
    """Let a local model answer each case, measure which pieces of the input drove the answer, and write the audit."""
    from attn_audit import batch  # noqa: PLC0415  (torch is needed only here)
    from attn_audit.measure.model import locate, set_threads  # noqa: PLC0415

    case_file = asked_cases(given.cases, given.prompt)
    advise_misspelt(os.environ)
    settings, recorded = printable(*resolve(given.settings, os.environ, case_file.settings))
    name, origin = model_name(given.model, case_file)
    _require_one_mode(given)
    out = folder(given.out, given.plan, resume=given.resume)
    outputs = _outputs(given, name, case_file)
    workplace = chosen(given.executor, given.ray_address, os.environ)
    previous = None if given.previous_seal is None else seal_digest(given.previous_seal)
    signer = given_key(given.key, given.passphrase_fd)
    located = locate(name, model_key())
    host = this_host(settings.threads, settings.views)
    set_threads(host.threads)
    order = batch.Order(
        case_file,
        located,
        settings,
        (Setting(name="model", value=located.name, origin=origin), *recorded),
        signer,
        out,
        previous,
        source(given.cases),
        outputs.exports,
        workplace,
        split_tokens(os.environ),
    )
    if given.dry_run:
        _forecast(order, host, given)
    elif given.plan_only:
        _plan(order, host, given)
    else:
        _audit(order, host, given, outputs)


def _require_one_mode(given: Options) -> None:
    modes = {
        "--dry-run": given.dry_run,
        "--plan-only": given.plan_only,
        "--plan": given.plan is not None,
        "--resume": given.resume,
    }
    if len(asked := [name for name, wanted in modes.items() if wanted]) > 1:
        raise UsageError(f"{' and '.join(asked)} cannot be given together")


def _outputs(given: Options, model: str, case_file: CaseFile) -> Outputs:
    """What is to be written and judged afterwards. Raises UsageError where it cannot be."""
    inputs = (given.cases, given.key, given.previous_seal, model)
    outputs = wanted(
        given.exports, given.fail_on, [Path(path) for path in inputs if path not in {None, "-"}], os.environ
    )
    # A condition that can never be met would let everything pass.
    if Condition("policy") in outputs.conditions and not any(case.policies for case in case_file.cases):
        raise UsageError("--fail-on policy: no case has a policy, so it could never be met; state one, or leave it out")
    if (given.dry_run or given.plan_only) and (outputs != NOTHING or given.jsonl):
        raise UsageError("--dry-run and --plan-only have no results to write or to judge; leave out what asks for them")
    return outputs


def _forecast(order: Order, host: Host, given: Options) -> None:
    from attn_audit import batch  # noqa: PLC0415  (torch is needed only here)
    from attn_audit.cli.progress import Stop, drawing  # noqa: PLC0415

    with drawing(Stop(), given.quiet) as watch:
        found = batch.forecast(order, host, watch)
    print_forecast(found)


def _plan(order: Order, host: Host, given: Options) -> None:
    from attn_audit import batch  # noqa: PLC0415
    from attn_audit.cli.progress import Stop, drawing  # noqa: PLC0415

    with drawing(Stop(), given.quiet) as watch:
        planned = batch.plan(order, host, watch)
    data(f"{planned.digest}  {planned.out / order.name(bundle.PLAN)}")


def _audit(order: Order, host: Host, given: Options, outputs: Outputs) -> None:
    from attn_audit import batch  # noqa: PLC0415
    from attn_audit.cli.progress import Lines, drawing, stopping_on_sigterm  # noqa: PLC0415

    lines = Lines(order.settings.views[0]) if given.jsonl else None
    go = batch.run if given.plan is None and not given.resume else batch.resume
    with stopping_on_sigterm() as stop, drawing(stop, given.quiet, lines) as watch:
        finished = go(order, host, watch)
    if not given.quiet:
        conclude(finished, order.signed, given.key)
    found = conditions_met(outputs, finished)
    data(end_line(str(finished.out), finished.seal, found) if given.jsonl else str(finished.out))
    require(finished, order.model.root, found, tuple(unwritten(outputs, finished.out)))

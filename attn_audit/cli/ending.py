"""How a batch ended: a table for the terminal, and the one sentence where it is not what was asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from attn_audit.cli.console import advise, complain, stderr
from attn_audit.cli.signing import signers_beside
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import ConditionMet, Incomplete
from attn_audit.evidence.store import stored_evidence

_SAID = 20  # of the places where a condition is met

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attn_audit.batch import Finished
    from attn_audit.evidence.findings import Finding
    from attn_audit.judge.conditions import Met


def conclude(finished: Finished, view: str, signed: bool, key: Path | None) -> None:
    """How each case ended, and what to type next."""
    table = Table("case", "status", "policies", "report", box=None, pad_edge=False)
    evidence = stored_evidence(finished.out, finished.seal)
    paired: dict[str, list[Finding]] = defaultdict(list)
    for pair in finished.seal.pairs:
        paired[pair.case_id].append(pair)
    for case in finished.seal.cases:
        where = str(finished.out / bundle.CASES / case.id / f"report.{view}") if case.status == "ok" else "-"
        own = evidence[case.id].findings if case.status == "ok" else ()
        table.add_row(case.id, case.status, _counted((*own, *paired[case.id])), Text(where, overflow="fold"))
    stderr().print(table)
    if not signed:
        advise("this audit is UNSIGNED: nobody vouches for it; give --key FILE to sign (attn-audit keygen makes one)")
    else:
        signers = "YOUR_ALLOWED_SIGNERS" if key is None else signers_beside(key)
        advise(f"next: attn-audit verify {finished.out} --trust {signers}")


def require(finished: Finished, model_root: str, found: Sequence[Met], unwritten: Sequence[str]) -> None:
    """Raises ConditionMet, having said where, when a condition of ``--fail-on`` was met; else Incomplete where the
    batch is not what was asked for, or a copy could not be written (``unwritten``: why)."""
    incomplete = [one for one in (_not_whole(finished, model_root), *unwritten) if one is not None]
    for one in found[:_SAID]:
        advise(f"{one.case_id}: {one.reason}")
    if found:
        for sentence in incomplete:
            complain(sentence)
        places = "one place" if len(found) == 1 else f"{len(found)} places"
        more = f", of which {_SAID} are named" if len(found) > _SAID else ""
        raise ConditionMet(f"what --fail-on names was found in {places}{more}; the audit is whole and kept")
    if incomplete:
        raise Incomplete("; ".join(incomplete))


def _counted(findings: Sequence[Finding]) -> str:
    """``3 hold``, or ``of 3: 1 broken`` and what else became of the policies of a case."""
    if not findings:
        return "-"
    outcomes = Counter(finding.outcome for finding in findings)
    others = [f"{count} {outcome}" for outcome, count in sorted(outcomes.items()) if outcome != "held"]
    return f"{len(findings)} hold" if not others else f"of {len(findings)}: {', '.join(others)}"


def _not_whole(finished: Finished, model_root: str) -> str | None:
    """Why the batch is not what was asked for; None where it is."""
    seal = finished.seal
    if seal.model_root_after != model_root:
        return "the model's files changed during the batch; the audit is worthless and will not verify"
    if seal.ok == len(seal.cases):
        return None
    again = f"; the same command with --out {finished.out} --resume does the skipped ones" if seal.skipped else ""
    counts = f"{seal.failed} of {len(seal.cases)} cases failed, {seal.skipped} were skipped"
    return f"{counts}; the rest is done and sealed{again}"

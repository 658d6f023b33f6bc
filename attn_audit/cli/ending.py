"""How a batch ended: a table for the terminal, and the one sentence where it is not what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from attn_audit.cli.console import advise, stderr
from attn_audit.cli.signing import signers_beside
from attn_audit.evidence import bundle

if TYPE_CHECKING:
    from attn_audit.batch import Finished


def conclude(finished: Finished, view: str, signed: bool, key: Path | None) -> None:
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


def not_whole(finished: Finished, model_root: str) -> str | None:
    """Why the batch is not what was asked for; None where it is."""
    seal = finished.seal
    if seal.model_root_after != model_root:
        return "the model's files changed during the batch; the audit is worthless and will not verify"
    if seal.ok == len(seal.cases):
        return None
    again = f"; the same command with --out {finished.out} --resume does the skipped ones" if seal.skipped else ""
    counts = f"{seal.failed} of {len(seal.cases)} cases failed, {seal.skipped} were skipped"
    return f"{counts}; the rest is done and sealed{again}"

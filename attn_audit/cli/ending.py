"""How a batch ended: a table for the terminal, what to type next, and the one sentence where it is not what was asked
for."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attn_audit.cli.console import advise, complain, stderr
from attn_audit.cli.signing import signers_beside
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import ConditionMet, Incomplete
from attn_audit.evidence.store import stored_cases, stored_evidence
from attn_audit.reports.terminal_ending import ended_rows, ending_table, most_in_need

_SAID = 20  # of the places where a condition is met

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from attn_audit.batch import Finished
    from attn_audit.judge.conditions import Met


def conclude(finished: Finished, signed: bool, key: Path | None) -> None:
    """How each case ended, and what to type next. Texts of cases are quoted on a terminal only: the logs of a CI job
    are no place for them."""
    console = stderr()
    rows = ended_rows(finished.seal, stored_evidence(finished.out, finished.seal))
    console.print(ending_table(rows, stored_cases(finished.out, finished.seal) if console.is_terminal else None))
    if not signed:
        advise("this audit is UNSIGNED: nobody vouches for it; give --key FILE to sign (attn-audit keygen makes one)")
    for line in _next(finished.out, most_in_need(rows), signed, key):
        advise(f"next: {line}")


def _next(out: Path, case_id: str | None, signed: bool, key: Path | None) -> Iterator[str]:
    """The commands, each as a shell takes it."""
    if signed:
        signers = "YOUR_ALLOWED_SIGNERS" if key is None else str(signers_beside(key))
        yield shlex.join(("attn-audit", "verify", str(out), "--trust", signers))
    if case_id is not None:
        yield shlex.join(("attn-audit", "show", str(out), "--case", case_id))
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    yield shlex.join((opener, str(out / bundle.INDEX)))


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

"""What ``run --jsonl`` prints: a line of JSON for each case as it ends, and a last one for the batch, without any text
of a case.

The lines are ASCII. A CI system reads them with the rest of a job's output, so that a character of whatever it could
take for a command is written as its escape, which is the same text to every reader of JSON (attack 41).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import fsum
from typing import Any

from attn_audit.evidence.checked import faithfulness_of, reliance_of
from attn_audit.evidence.findings import Finding
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.statements import Seal, SealedCase
from attn_audit.judge.conditions import Met, fails
from attn_audit.reports.text import LOG_COMMANDS


def case_line(case: SealedCase, evidence: Evidence | None, report: str | None) -> str:
    """How one case ended. ``evidence``: None where it did not finish; ``report``: the path of its first view."""
    line: dict[str, Any] = {"type": "case", "case": case.id, "status": case.status, "reason": case.reason}
    if evidence is not None:
        line |= {
            "model_root": evidence.model.root,
            "method": evidence.method.model_dump(mode="json"),
            "log_probability": round(fsum(evidence.answer.base), 6),
            "faithfulness": faithfulness_of(evidence.checks),
            "reliance": reliance_of(evidence.checks),
            "warnings": [warning.code for warning in evidence.warnings],
            "findings": [_finding(finding) for finding in evidence.findings],
        }
    return for_log({**line, "attestation": case.attestation, "report": report})


def end_line(folder: str, seal: Seal, met: Iterable[Met]) -> str:
    """How the batch ended. ``met``: where a condition of ``--fail-on`` is met."""
    return for_log(
        {
            "type": "batch",
            "folder": folder,
            "plan": seal.plan,
            "ok": seal.ok,
            "failed": seal.failed,
            "skipped": seal.skipped,
            "pairs": [_finding(pair) for pair in seal.pairs],
            "conditions_met": [{"case": one.case_id, "reason": one.reason} for one in met],
        }
    )


def _finding(finding: Finding) -> dict[str, Any]:
    """As it is recorded, but for the pieces: their numbers say nothing without the evidence."""
    return {**finding.model_dump(mode="json", exclude={"units"}), "fails": fails(finding)}


def for_log(values: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON without the end of its line. Outside of strings JSON has none of what is escaped here."""
    text = json.dumps(values, ensure_ascii=True, allow_nan=False, indent=indent)
    return LOG_COMMANDS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)

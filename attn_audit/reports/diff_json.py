"""A comparison of two audits to JSON, for other programs (docs/diff.md describes the fields)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from attn_audit.evidence.findings import Finding, PairFinding
from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import Content
from attn_audit.judge.difference import CaseDifference, Difference, PolicyChange, Texts
from attn_audit.judge.movement import Moved

FORMAT = "attn-audit.diff/1"


def document(found: Difference, *, top: int) -> str:
    """``top``: how many pieces of each case are listed. ASCII alone: no character of a case acts on a terminal."""
    value = {
        "format": FORMAT,
        "signatures": "not checked",
        "audits": [{"name": name, **asdict(counts)} for name, counts in zip(found.names, found.counts, strict=True)],
        "facts": [{"name": one.name, "first": one.first, "second": one.second} for one in found.facts],
        "pairs": None if found.pairs is None else [_policy(change) for change in found.pairs],
        "cases": [_case(case, top) for case in found.cases],
    }
    return json.dumps(value, indent=2)


def _case(case: CaseDifference, top: int) -> dict[str, Any]:
    new, gone = case.warnings
    return {
        "id": case.id,
        "status": list(case.statuses),
        "log_probability": list(case.log_probabilities),
        "faithfulness": list(case.faithfulness),
        "new_warnings": list(new),
        "gone_warnings": list(gone),
        "policies": [_policy(change) for change in case.policies],
        "texts": None if case.texts is None else _texts(case.texts, top),
    }


def _policy(change: PolicyChange) -> dict[str, Any]:
    one = change.one
    pair = {"case": one.case_id, "pair_with": one.pair_with} if isinstance(one, PairFinding) else {}
    return {**pair, "policy": change.policy, "before": _finding(change.before), "after": _finding(change.after)}


def _finding(finding: Finding | None) -> dict[str, str] | None:
    return None if finding is None else {"outcome": finding.outcome, "severity": finding.severity}


def _texts(texts: Texts, top: int) -> dict[str, Any]:
    return {
        "changed_messages": list(texts.messages),
        "changed_fields": list(texts.fields),
        "answers": list(texts.answers),
        "same_answer": texts.same_answer,
        "same_explained_answer": texts.same_explained,
        "same_contrast": texts.same_contrast,
        "not_comparable": list(texts.differs),
        "moved": len(texts.moved),
        "unmeasured": texts.unmeasured,
        "pieces": [_piece(piece, texts) for piece in texts.moved[:top]],
    }


def _piece(moved: Moved, texts: Texts) -> dict[str, Any]:
    sides = (moved.aligned.first, moved.aligned.second)
    return {
        "change": moved.change,
        "shares": list(moved.shares),
        "places": list(moved.places),
        "same_text": moved.aligned.same,
        "units": [
            [_unit(content, evidence.units[index]) for index in units]
            for units, (content, evidence) in zip(sides, texts.measured, strict=True)
        ],
    }


def _unit(content: Content, unit: Unit) -> dict[str, Any]:
    return {"id": unit.id, "kind": unit.kind, "name": unit.name, "texts": _spans(content, unit)}


def _spans(content: Content, unit: Unit) -> Sequence[str]:
    return [content.case.messages[span.message].content[span.start : span.end] for span in unit.spans]

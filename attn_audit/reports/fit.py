"""Whether content and evidence have the lengths and ranges that a view relies on; what they say is judged elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from attn_audit.evidence.checked import Checks
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.judge.tables import tables


def check_lengths(content: Content, evidence: Evidence) -> None:
    """Every list is as long as what it describes, every index has something to point at. Raises EvidenceError."""
    tokens, units = len(evidence.answer.base), len(evidence.units)
    equal(content.case.id, evidence.case_id, "content.json and evidence.json: case id")
    equal(len(content.prompt.ids), len(content.prompt.offsets), "content.json: prompt.ids and prompt.offsets")
    equal(len(content.answer.ids), len(content.answer.offsets), "content.json: answer.ids and answer.offsets")
    equal(len(content.answer.ids), tokens, "content.json and evidence.json: answer tokens")
    equal(units, len(evidence.relevance), "evidence.json: units and relevance")
    _check_contrast(evidence)
    for name, table, rows, columns in tables(evidence):
        _table(table, rows, columns, name)
    for index, (row, value) in enumerate(zip(evidence.scores, evidence.relevance, strict=True)):
        _agree(row is None, value is None, f"scores[{index}] and relevance[{index}]")
    for start, end in content.answer.offsets:
        inside(start, end, len(content.answer.text), "content.json: answer.offsets")
    _check_indices(evidence, units)
    _check_answer_parts(content, evidence, units, tokens)
    _check_sentences(content, evidence)
    if evidence.checks is not None:
        _check_checks(evidence.checks, units)
        _check_paraphrases(content, evidence.checks)


def inside(start: int, end: int, length: int, where: str) -> None:
    """Raises EvidenceError when ``start:end`` is no range of something of this length."""
    if not 0 <= start <= end <= length:
        raise EvidenceError(f"{where}: the range {start}:{end} does not lie in a text or list of length {length}.")


def equal(first: object, second: object, what: str) -> None:
    """Raises EvidenceError when the two differ."""
    if first != second:
        raise EvidenceError(f"{what} do not fit together ({first} and {second}).")


def _check_contrast(evidence: Evidence) -> None:
    """Direct effect and groups are of the contrast too, when there is one, or their values would be of another kind."""
    missing = evidence.contrast is None
    if evidence.direct is not None:
        _agree(missing, evidence.direct.contrast is None, "contrast and direct.contrast")
    for number, group in enumerate(evidence.groups):
        _agree(missing, group.contrast is None, f"contrast and groups[{number}].contrast")


def _check_indices(evidence: Evidence, units: int) -> None:
    for number, group in enumerate(evidence.groups):
        _indices(group.units, units, f"groups[{number}].units")
    for finding in evidence.findings:
        _indices(finding.units, units, "findings.units")
    if (profile := evidence.profile) is not None:
        _indices(profile.units, units, "profile.units")
        equal(len(profile.bands), len(profile.scores), "evidence.json: profile.bands and profile.scores")


def _check_answer_parts(content: Content, evidence: Evidence, units: int, tokens: int) -> None:
    if (sources := evidence.answer_sources) is not None:
        for number, piece in enumerate(sources.units):
            where = f"evidence.json: answer_sources.units[{number}]"
            inside(piece.start, piece.end, len(content.answer.text), where)
            inside(*piece.tokens, tokens, f"{where}.tokens")
    for number, part in enumerate(evidence.parts):
        if part.tokens is None:
            continue
        inside(*part.tokens, tokens, f"evidence.json: parts[{number}].tokens")
        if part.tokens[0] == part.tokens[1]:
            raise EvidenceError(f"evidence.json: parts[{number}].tokens holds no token of the answer.")
        equal(units, len(part.relevance), f"evidence.json: units and parts[{number}].relevance")


def _check_sentences(content: Content, evidence: Evidence) -> None:
    messages = content.case.messages
    for unit in evidence.self_explanation.units if evidence.self_explanation else ():
        for span in unit.spans:
            _indices((span.message,), len(messages), "self_explanation.units")
            where = "evidence.json: self_explanation.units"
            inside(span.start, span.end, len(messages[span.message].content), where)


def _check_checks(checks: Checks, units: int) -> None:
    together = () if checks.together is None else (checks.together, *checks.together.pairs)
    for joint in (*together, *checks.repeated):
        _indices(joint.units, units, "checks: units that were hidden together")
    for variant in checks.stability:
        if variant.relevance is not None:
            equal(units, len(variant.relevance), "evidence.json: units and checks.stability.relevance")
    found = checks.faithfulness
    if found is None:
        return
    sizes = len(found.sizes)
    others = [one.comprehensiveness for one in checks.baselines if one.values is not None]
    for falls in (found.comprehensiveness, *found.random_comprehensiveness, *others):
        equal(sizes, len(falls), "evidence.json: sizes and falls of checks.faithfulness")


def _check_paraphrases(content: Content, checks: Checks) -> None:
    if not checks.paraphrases:
        return
    equal(len(content.case.paraphrases), len(checks.paraphrases), "content.json and evidence.json: paraphrases")
    for messages, one in zip(content.case.paraphrases, checks.paraphrases, strict=True):
        for span in (span for piece in one.highest for span in piece.spans):
            _indices((span.message,), len(messages), "checks.paraphrases")
            inside(span.start, span.end, len(messages[span.message].content), "evidence.json: checks.paraphrases")


def _agree(first_missing: object, second_missing: object, what: str) -> None:
    if first_missing != second_missing:
        raise EvidenceError(f"evidence.json: {what} do not agree on whether something was measured.")


def _table(rows: Sequence[tuple[float, ...] | None], length: int, width: int, name: str) -> None:
    equal(length, len(rows), f"evidence.json: rows and {name}")
    for index, row in enumerate(rows):
        if row is not None:
            equal(width, len(row), f"evidence.json: tokens and {name}[{index}]")


def _indices(found: Sequence[int], length: int, name: str) -> None:
    for index in found:
        inside(index, index + 1, length, f"evidence.json: {name}")

"""The conditions of ``--fail-on``: what a batch must not show, and where it shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from attn_audit.evidence.checked import faithfulness_of
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.findings import Finding
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.statements import Seal
from attn_audit.judge.warnings import WARNINGS

ConditionKind = Literal["policy", "unsupported", "incomplete", "warning"]
_CODES = frozenset(warning.code for warning in WARNINGS)
_WARNING = "warning:"
_UNFINISHED = {"failed": "the case failed", "skipped": "the case was skipped"}


@dataclass(frozen=True)
class Condition:
    """One of the conditions; ``code`` is that of a warning, else empty."""

    kind: ConditionKind
    code: str = ""


@dataclass(frozen=True)
class Met:
    """A condition that was met in a case, with the reason in one phrase; no text of the case."""

    case_id: str
    reason: str


def conditions(text: str) -> tuple[Condition, ...]:
    """``policy,unsupported,incomplete,warning:CODE``: any of them, separated by commas. Raises UsageError."""
    return tuple(dict.fromkeys(_condition(part.strip()) for part in text.split(",")))


def met(wanted: Iterable[Condition], seal: Seal, cases: Iterable[Evidence]) -> Iterator[Met]:
    """Where the conditions are met. A policy of severity ``fail`` must hold: one that could not be compared did not."""
    kinds = {one.kind for one in wanted}
    codes = {one.code for one in wanted}
    if "incomplete" in kinds:
        yield from (Met(case.id, _UNFINISHED[case.status]) for case in seal.cases if case.status in _UNFINISHED)
    for evidence in cases:
        yield from (Met(evidence.case_id, reason) for reason in _in_case(kinds, codes, evidence))
    if "policy" in kinds:
        yield from (
            Met(pair.case_id, f"{in_words(pair)} (with {pair.pair_with})") for pair in seal.pairs if fails(pair)
        )


def fails(finding: Finding) -> bool:
    """Whether a policy that must hold did not. One that names nothing in a case is a warning."""
    return finding.severity == "fail" and finding.outcome in {"broken", "not comparable"}


def in_words(finding: Finding) -> str:
    """The policy and what became of it."""
    return f"policy {finding.policy!r} is {finding.outcome}"


def _in_case(kinds: set[ConditionKind], codes: set[str], evidence: Evidence) -> Iterator[str]:
    if "policy" in kinds:
        yield from (in_words(finding) for finding in evidence.findings if fails(finding))
    if "unsupported" in kinds and (verdict := faithfulness_of(evidence.checks)) != "supported":
        yield f"faithfulness: {verdict}"
    yield from (f"warning {warning.code}" for warning in evidence.warnings if warning.code in codes)


def _condition(text: str) -> Condition:
    if text in {"policy", "unsupported", "incomplete"}:
        return Condition(kind=text)  # type: ignore[arg-type]
    if not text.startswith(_WARNING):
        raise UsageError(f"--fail-on takes policy, unsupported, incomplete and warning:CODE, not {text!r:.80}")
    code = text.removeprefix(_WARNING)
    if code not in _CODES:
        raise UsageError(f"--fail-on: there is no warning {code!r:.80}; there are: {', '.join(sorted(_CODES))}")
    return Condition("warning", code)

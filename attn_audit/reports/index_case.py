"""One case as the index shows it: a row of its table, and what is said of it below."""

from __future__ import annotations

import re
from dataclasses import dataclass

from attn_audit.evidence.checked import faithfulness_of
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.evidence.statements import Redaction
from attn_audit.evidence.store import Measured, Sealed
from attn_audit.reports.checks import verdict_in_words
from attn_audit.reports.ended import notes
from attn_audit.reports.findings import FindingRow, finding_rows
from attn_audit.reports.first_words import first_words
from attn_audit.reports.heat_strip import Strip, heat_strip
from attn_audit.reports.pieces import fitting
from attn_audit.reports.ranking import UnitRow, supporting, unit_rows
from attn_audit.words import noted

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOP = 3
_FIRST_WORDS = 70  # characters of an answer in the table of all cases
_LINK_LABELS = {"html": noted("Report"), "pdf": noted("PDF")}
_STATUSES = (noted("failed"), noted("skipped"))  # as records name them; templates translate them


@dataclass(frozen=True)
class _Link:
    path: str
    label: str


@dataclass(frozen=True)
class Judgement:
    """What evidence says of a case, without any text of it."""

    verdict: str
    faithfulness: str
    source: str
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    findings: tuple[FindingRow, ...]
    measured: int
    pieces: int

    @property
    def broken(self) -> int:
        return sum(row.bad for row in self.findings)

    @property
    def warned(self) -> int:
        return sum(not row.held and not row.bad for row in self.findings)

    @property
    def held(self) -> int:
        return sum(row.held for row in self.findings)


@dataclass(frozen=True)
class _Told:
    """What only content tells."""

    answer: str
    words: str
    support: tuple[UnitRow, ...]
    strip: Strip


@dataclass(frozen=True)
class IndexCase:
    """A case on its own page. ``judged`` and ``told``: None where it did not finish; ``told`` also where its content is
    not at hand."""

    number: int
    id: str
    status: str
    reason: str | None
    judged: Judgement | None
    told: _Told | None
    withheld: Redaction | None
    links: tuple[_Link, ...]

    @property
    def href(self) -> str:
        """From the page itself."""
        return f"#case-{self.number}"


def index_case(sealed: Sealed, number: int, measured: Measured | None, root: str) -> IndexCase:
    """The case of that number in the seal; ``measured``: where its content is at hand; ``root``: the way from its page
    to the audit folder. Raises EvidenceError where content and evidence do not fit together."""
    case = sealed.seal.cases[number - 1]
    if not _ID.fullmatch(case.id):
        raise EvidenceError(f"seal: {case.id!r} is not a case id; a link to it would not be safe.")
    evidence = None if measured is None else measured[1]
    if evidence is None and case.status == "ok" and case.id in sealed.evidence:
        evidence = sealed.evidence[case.id]
    views = () if measured is None else sealed.plan.views
    return IndexCase(
        number=number,
        id=case.id,
        status=case.status,
        reason=case.reason,
        judged=None if evidence is None else _judged(evidence),
        told=None if measured is None else _told(*measured),
        withheld=sealed.withheld.get(case.id),
        links=tuple(_Link(f"{root}cases/{case.id}/report.{view}", _LINK_LABELS[view]) for view in views),
    )


def _judged(evidence: Evidence) -> Judgement:
    return Judgement(
        verdict=faithfulness_of(evidence.checks),
        faithfulness=verdict_in_words(evidence),
        source=evidence.answer.source,
        warnings=tuple(warning.code for warning in evidence.warnings),
        notes=tuple(warning.code for warning in notes(evidence)),
        findings=finding_rows(evidence.findings),
        measured=sum(value is not None for value in evidence.relevance),
        pieces=len(evidence.units),
    )


def _told(content: Content, evidence: Evidence) -> _Told:
    _, pieces = fitting(content, evidence)
    return _Told(
        answer=content.answer.text,
        words=first_words(content.answer.text, _FIRST_WORDS),
        support=supporting(unit_rows(evidence, pieces))[:_TOP],
        strip=heat_strip(evidence, pieces),
    )

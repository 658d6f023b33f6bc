"""A sealed batch to its page: what needs attention first, then all cases in a table, then each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from attn_audit.evidence.checked import faithfulness_of
from attn_audit.evidence.digest import salted_view
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import BatchInfo, Content
from attn_audit.evidence.statements import Redaction, SealedCase
from attn_audit.evidence.store import Measured, Sealed
from attn_audit.judge.overall import overall
from attn_audit.reports.attention import Judged, attention
from attn_audit.reports.checks import verdict_in_words
from attn_audit.reports.ended import notes
from attn_audit.reports.findings import FindingRow, finding_rows
from attn_audit.reports.first_words import first_words
from attn_audit.reports.fit import check_lengths
from attn_audit.reports.heat_strip import COLUMNS, Strip, heat_strip
from attn_audit.reports.html import style
from attn_audit.reports.letterhead import paper
from attn_audit.reports.numbers import share
from attn_audit.reports.pieces import pieces_of
from attn_audit.reports.ranking import UnitRow, supporting, unit_rows
from attn_audit.reports.spans import fragments
from attn_audit.reports.templates import render
from attn_audit.reports.view import standing
from attn_audit.words import noted

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOP = 3
_FIRST_WORDS = 70  # characters of an answer in the table of all cases
_OVERALL_ROWS = 100
_LINK_LABELS = {"html": noted("Report"), "pdf": noted("PDF")}
_STATUSES = (noted("failed"), noted("skipped"))  # as records name them; templates translate them


@dataclass(frozen=True)
class _Link:
    path: str
    label: str


@dataclass(frozen=True)
class _Judgement:
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
class _IndexCase:
    """``judged`` and ``told``: None where it did not finish; ``told`` also where its content is not at hand."""

    number: int
    id: str
    status: str
    reason: str | None
    judged: _Judgement | None
    told: _Told | None
    withheld: Redaction | None
    links: tuple[_Link, ...]


def index_page(sealed: Sealed) -> bytes:
    """The batch at a glance, in the order of the seal. Raises EvidenceError where the records do not fit together."""
    seal, walk = sealed.seal, _Walk(sealed)
    rows = overall(walk.through())
    cases = tuple(walk.case(number, case) for number, case in enumerate(seal.cases, start=1))
    judged: dict[str, Judged] = {case.id: case.judged for case in cases if case.judged is not None}
    pairs = finding_rows(seal.pairs)
    values = {
        "plan": sealed.plan,
        "seal": seal,
        "salted": salted_view(tuple(walk.salts)),
        "standing": standing(seal.signer),
        "title": walk.batch.title,
        "letterhead": walk.batch.letterhead,
        "organisation": walk.batch.organisation,
        "attention": attention(seal.cases, judged, pairs),
        "cases": cases,
        "pairs": pairs,
        "broken": sum(row.bad for case in judged.values() for row in case.findings) + sum(row.bad for row in pairs),
        "policies": sum(len(case.findings) for case in judged.values()) + len(pairs),
        "columns": COLUMNS,
        "joined": any(case.told is not None and case.told.strip.pieces > COLUMNS for case in cases),
        "overall": rows[:_OVERALL_ROWS],
        "overall_left_out": len(rows[_OVERALL_ROWS:]),
        "share": share,
        "withheld": len(sealed.withheld),
        "style": style(paper(sealed.plan.settings), walk.batch.letterhead),
    }
    return render("index.html.j2", values).encode()


class _Walk:
    """What the page says of each case, collected while they pass by once: each may be read from a file."""

    def __init__(self, sealed: Sealed) -> None:
        self._sealed = sealed
        self._told: dict[str, _Told] = {}
        self._judged: dict[str, _Judgement] = {}
        self.salts: list[str] = []
        self.batch = BatchInfo()

    def through(self) -> Iterator[Measured]:
        """Each case whose content is at hand, in order."""
        for case_id, (content, evidence) in self._sealed.cases.items():
            if not self.salts:
                self.batch = content.batch
            self.salts.append(content.salt)
            self._told[case_id] = _told(content, evidence)
            self._judged[case_id] = _judged(evidence)
            yield content, evidence

    def case(self, number: int, case: SealedCase) -> _IndexCase:
        """What is said of a case, once all have passed by."""
        if not _ID.fullmatch(case.id):
            raise EvidenceError(f"seal: {case.id!r} is not a case id; a link to it would not be safe.")
        judged, told = self._judged.get(case.id), self._told.get(case.id)
        if case.status == "ok" and judged is None and case.id in self._sealed.evidence:
            judged = _judged(self._sealed.evidence[case.id])
        views = () if told is None else self._sealed.plan.views
        links = tuple(_Link(f"cases/{case.id}/report.{view}", _LINK_LABELS[view]) for view in views)
        withheld = self._sealed.withheld.get(case.id)
        return _IndexCase(number, case.id, case.status, case.reason, judged, told, withheld, links)


def _judged(evidence: Evidence) -> _Judgement:
    return _Judgement(
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
    check_lengths(content, evidence)
    fragments(content, evidence)
    pieces = pieces_of(content, evidence)
    return _Told(
        answer=content.answer.text,
        words=first_words(content.answer.text, _FIRST_WORDS),
        support=supporting(unit_rows(evidence, pieces))[:_TOP],
        strip=heat_strip(evidence, pieces),
    )

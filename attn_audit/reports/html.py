"""Records to self-contained HTML: one file, one stylesheet, no script, and nothing that is fetched."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from markupsafe import Markup

from attn_audit.evidence.digest import salted_view
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import BatchInfo, Content, Letterhead
from attn_audit.evidence.settings import Paper
from attn_audit.evidence.statements import Redaction, SealedCase
from attn_audit.evidence.store import Measured, Sealed
from attn_audit.judge.conditions import fails
from attn_audit.judge.overall import overall
from attn_audit.reports.checks import verdict_in_words
from attn_audit.reports.findings import FindingRow, finding_rows
from attn_audit.reports.fit import check_lengths
from attn_audit.reports.letterhead import more_css, paper
from attn_audit.reports.numbers import share, size
from attn_audit.reports.pieces import pieces_of
from attn_audit.reports.ranking import UnitRow, supporting, unit_rows
from attn_audit.reports.spans import fragments
from attn_audit.reports.templates import render, templates_folder
from attn_audit.reports.view import report_view, standing

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INDEX_TOP = 3
_OVERALL_ROWS = 100
_LINK_LABELS = {"html": "Report", "pdf": "PDF"}


@dataclass(frozen=True)
class Style:
    """The inline stylesheet, and its sha256 in base64 as the content security policy names it."""

    text: Markup
    sha256: str


@dataclass(frozen=True)
class _Link:
    path: str
    label: str


@dataclass(frozen=True)
class _Summary:
    answer: str
    source: str
    support: tuple[UnitRow, ...]
    measured: int
    pieces: int
    faithfulness: str
    warnings: tuple[str, ...]
    findings: tuple[FindingRow, ...]


@dataclass(frozen=True)
class _IndexCase:
    id: str
    summary: _Summary | None
    withheld: Redaction | None
    links: tuple[_Link, ...]


def report(content: Content, evidence: Evidence) -> bytes:
    """The report of one case. Raises EvidenceError when content and evidence do not fit together."""
    return page(content, evidence, missing_glyphs=()).encode()


def page(content: Content, evidence: Evidence, *, missing_glyphs: tuple[str, ...]) -> str:
    """The report as text. ``missing_glyphs``: code points that the fonts at hand cannot draw (the PDF knows them)."""
    view = report_view(content, evidence)
    values = {
        "content": content,
        "salted": salted_view((content.salt,)),
        "evidence": evidence,
        "view": view,
        "letterhead": content.batch.letterhead,
        "organisation": content.batch.organisation,
        "style": style(paper(evidence.settings), content.batch.letterhead, tokens=len(view.heat.tokens.choices)),
        "size": size,
        "number": _number,
        "missing_glyphs": missing_glyphs,
    }
    return render("report.html.j2", values)


def index(sealed: Sealed) -> bytes:
    """The batch at a glance, in the order of the seal."""
    seal, walk = sealed.seal, _Walk(sealed)
    rows = overall(walk.through())
    values = {
        "plan": sealed.plan,
        "seal": seal,
        "salted": salted_view(tuple(walk.salts)),
        "standing": standing(seal.signer),
        "title": walk.batch.title,
        "letterhead": walk.batch.letterhead,
        "organisation": walk.batch.organisation,
        "troubles": tuple(case for case in seal.cases if case.status != "ok"),
        "cases": tuple(_index_case(case, sealed, walk.summaries) for case in seal.cases if case.status == "ok"),
        "pairs": finding_rows(seal.pairs),
        "broken": _broken(sealed, walk),
        "overall": rows[:_OVERALL_ROWS],
        "overall_left_out": len(rows[_OVERALL_ROWS:]),
        "share": share,
        "withheld": len(sealed.withheld),
        "style": style(paper(sealed.plan.settings), walk.batch.letterhead),
    }
    return render("index.html.j2", values).encode()


class _Walk:
    """What the index says of each case, collected while they pass by once: each may be read from a file."""

    def __init__(self, sealed: Sealed) -> None:
        self._cases = sealed.cases
        self.summaries: dict[str, _Summary] = {}
        self.salts: list[str] = []
        self.batch = BatchInfo()

    def through(self) -> Iterator[Measured]:
        """Each case, in order."""
        for case_id, (content, evidence) in self._cases.items():
            if not self.salts:
                self.batch = content.batch
            self.salts.append(content.salt)
            self.summaries[case_id] = _summary(content, evidence)
            yield content, evidence


def _broken(sealed: Sealed, walk: _Walk) -> int:
    """How many policies that must hold did not, in all finished cases and pairs."""
    at_hand = (row.bad for summary in walk.summaries.values() for row in summary.findings)
    withheld = (fails(found) for case_id in sealed.withheld for found in sealed.evidence[case_id].findings)
    return sum(chain(at_hand, withheld, map(fails, sealed.seal.pairs)))


def _index_case(case: SealedCase, sealed: Sealed, summaries: Mapping[str, _Summary]) -> _IndexCase:
    if not _ID.fullmatch(case.id):
        raise EvidenceError(f"seal: {case.id!r} is not a case id; a link to it would not be safe.")
    if case.id not in summaries:
        return _IndexCase(case.id, None, sealed.withheld.get(case.id), ())
    links = tuple(_Link(f"cases/{case.id}/report.{view}", _LINK_LABELS[view]) for view in sealed.plan.views)
    return _IndexCase(case.id, summaries[case.id], None, links)


def _summary(content: Content, evidence: Evidence) -> _Summary:
    check_lengths(content, evidence)
    fragments(content, evidence)
    rows = unit_rows(evidence, pieces_of(content, evidence))
    return _Summary(
        answer=content.answer.text,
        source=evidence.answer.source,
        support=supporting(rows)[:_INDEX_TOP],
        measured=len(rows),
        pieces=len(evidence.units),
        faithfulness=verdict_in_words(evidence),
        warnings=tuple(warning.code for warning in evidence.warnings),
        findings=finding_rows(evidence.findings),
    )


def style(size: Paper = "a4", letterhead: Letterhead | None = None, *, tokens: int = 0) -> Style:
    """The stylesheet of every page: with what chooses between the maps of so many answer tokens, and at its end the
    size of the paper and the colour of the letterhead."""
    text = (templates_folder() / "report.css").read_text(encoding="utf-8")
    if tokens:
        text += render("tokens.css.j2", {"tokens": tokens})
    text += more_css(size, letterhead)
    return Style(Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())  # noqa: S704


def _number(value: float) -> str:
    """A small difference of logits."""
    return f"{value:.2g}"

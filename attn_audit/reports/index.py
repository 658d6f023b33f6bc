"""A sealed batch to its pages: what needs attention first, then the cases in a table, then each of them. Where there
are many cases, the first page speaks of all of them and shows the first ones, and further pages show the others.

The pages are made one after another, and nothing of a case is kept beyond its page but a few numbers. Each carries a
digest of the salts of the cases whose texts stand on it, so that its own digest, which the list of files keeps, cannot
be guessed back to a text that was withheld since (evidence/digest.py). A further page has texts of its own cases alone,
the title and the colour of the letterhead among them, so that their salts suffice: where content is withheld, its own
page changes and the first one, and no other. The first page names what any case may have named (terms of policies, for
instance), and has the salts of all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from attn_audit.evidence.digest import ViewSalt, salted_view
from attn_audit.evidence.findings import PairFinding
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import BatchInfo, Content
from attn_audit.evidence.statements import Seal, SealedCase
from attn_audit.evidence.store import Sealed
from attn_audit.judge.conditions import fails
from attn_audit.judge.overall import Shares
from attn_audit.reports.attention import Gathering
from attn_audit.reports.findings import finding_row, finding_rows
from attn_audit.reports.heat_strip import COLUMNS
from attn_audit.reports.html import style
from attn_audit.reports.index_case import IndexCase, Judgement, index_case
from attn_audit.reports.letterhead import paper
from attn_audit.reports.numbers import share
from attn_audit.reports.paging import Paging, page_groups, page_name, page_of, paging
from attn_audit.reports.templates import render
from attn_audit.reports.view import standing

_OVERALL_ROWS = 100


@dataclass(frozen=True)
class _Shown:
    """The cases of a page and the pairs that they state; of those whose content is at hand the salts, and what the
    first says of the batch."""

    paging: Paging
    cases: tuple[IndexCase, ...]
    pairs: tuple[PairFinding, ...]
    salts: tuple[str, ...]
    batch: BatchInfo | None


@dataclass(frozen=True)
class _Outcomes:
    """What became of all policies on pairs."""

    all: int = 0
    broken: int = 0
    warned: int = 0
    held: int = 0


def index_pages(sealed: Sealed) -> Iterator[tuple[str, bytes]]:
    """Path in the audit folder and bytes of each page, the first page last, since it speaks of all cases; each case is
    read once, in the order of the seal. Raises EvidenceError where the records do not fit together."""
    glance, cases = _Glance(sealed.seal), len(sealed.seal.cases)
    first = _shown(sealed, paging(1, cases), glance)
    for page in range(2, first.paging.pages + 1):
        yield page_name(page), _further_page(sealed, _shown(sealed, paging(page, cases), glance))
    yield page_name(1), _first_page(sealed, first, glance)


class _Glance:
    """What the first page says of all cases, gathered while they pass by."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._numbers = _stating(seal)
        self._pairs: dict[int, list[PairFinding]] = defaultdict(list)
        for pair in seal.pairs:
            self._pairs[page_of(self._numbers.get(pair.case_id, 1))].append(pair)
        self.attention, self.shares = Gathering(), Shares()
        self.salt = ViewSalt()
        self.batch: BatchInfo | None = None
        self.broken = self.policies = 0

    def take(self, number: int, case: SealedCase, judged: Judgement | None) -> None:
        if case.status != "ok":
            self.attention.unfinished(number, case)
        if judged is not None:
            self.attention.judged(number, case.id, judged)
            self.broken += judged.broken
            self.policies += len(judged.findings)

    def read(self, content: Content, evidence: Evidence) -> None:
        self.batch = self.batch or content.batch
        self.salt.add(content.salt)
        self.shares.add(content, evidence)

    def pairs_on(self, page: int) -> tuple[PairFinding, ...]:
        """The pairs that the cases of a page state."""
        return tuple(self._pairs.get(page, ()))

    def finish(self) -> _Outcomes:
        """After all cases, what became of all pairs."""
        pairs = self._seal.pairs
        self.attention.pairs(self._numbers, map(finding_row, pairs))
        broken, held = sum(map(fails, pairs)), sum(pair.outcome == "held" for pair in pairs)
        self.broken += broken
        self.policies += len(pairs)
        return _Outcomes(len(pairs), broken, len(pairs) - broken - held, held)


def _stating(seal: Seal) -> dict[str, int]:
    """The numbers of the cases that state a policy on a pair, by their ids."""
    stating = {pair.case_id for pair in seal.pairs}
    return {case.id: number for number, case in enumerate(seal.cases, start=1) if case.id in stating}


def _shown(sealed: Sealed, page: Paging, glance: _Glance) -> _Shown:
    cases, salts, batch = [], [], None
    for number in range(page.first, page.last + 1):
        sealed_case = sealed.seal.cases[number - 1]
        measured = sealed.cases.get(sealed_case.id)
        case = index_case(sealed, number, measured, page.root)
        glance.take(number, sealed_case, case.judged)
        if measured is not None:
            glance.read(*measured)
            batch = batch or measured[0].batch
            salts.append(measured[0].salt)
        cases.append(case)
    return _Shown(page, tuple(cases), glance.pairs_on(page.number), tuple(salts), batch)


def _further_page(sealed: Sealed, shown: _Shown) -> bytes:
    batch = shown.batch or BatchInfo()
    values = _values(sealed, shown) | {
        "salted": salted_view(shown.salts),
        "pairs_total": _Outcomes(),
        "title": batch.title,
        "style": style(paper(sealed.plan.settings), batch.letterhead),
    }
    return render("index_page.html.j2", values).encode()


def _first_page(sealed: Sealed, shown: _Shown, glance: _Glance) -> bytes:
    seal, batch = sealed.seal, glance.batch or BatchInfo()
    outcomes = glance.finish()
    rows = glance.shares.rows()
    values = _values(sealed, shown) | {
        "plan": sealed.plan,
        "salted": glance.salt.value(),
        "title": batch.title,
        "letterhead": batch.letterhead,
        "organisation": batch.organisation,
        "page_groups": page_groups(tuple(case.id for case in seal.cases)),
        "pairs_total": outcomes,
        "attention": glance.attention.found(),
        "broken": glance.broken,
        "policies": glance.policies,
        "overall": rows[:_OVERALL_ROWS],
        "overall_left_out": len(rows[_OVERALL_ROWS:]),
        "share": share,
        "withheld": len(sealed.withheld),
        "style": style(paper(sealed.plan.settings), batch.letterhead),
    }
    return render("index.html.j2", values).encode()


def _values(sealed: Sealed, shown: _Shown) -> dict[str, Any]:
    """What both kinds of page say."""
    return {
        "seal": sealed.seal,
        "paging": shown.paging,
        "standing": standing(sealed.seal.signer),
        "cases": shown.cases,
        "pairs": finding_rows(shown.pairs),
        "columns": COLUMNS,
        "joined": any(case.told is not None and case.told.strip.pieces > COLUMNS for case in shown.cases),
    }

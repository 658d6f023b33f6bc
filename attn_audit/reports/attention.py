"""What needs attention in a batch, grouped: policies that do not hold, verdicts, cases without an end, warnings.

Gathered while the cases pass by once. Of each group the first cases are kept, of the others their number and their
pages, so that what is kept is bounded by what can be said, and not by how many cases there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from attn_audit.evidence.statements import SealedCase
from attn_audit.judge.warnings import WARNINGS
from attn_audit.reports.findings import FindingRow
from attn_audit.reports.paging import Elsewhere, case_href, elsewhere, page_of
from attn_audit.words import noted

PLACES = 20
GROUPS = 50
_SENTENCES = {warning.code: warning.sentence for warning in WARNINGS}
_DOUBTFUL = ("not supported", noted("cannot tell"), noted("not checked"))
_Key = tuple[str, str, bool]


class Judged(Protocol):
    """What is judged of a finished case."""

    @property
    def verdict(self) -> str: ...
    @property
    def findings(self) -> tuple[FindingRow, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Place:
    """A case, its number on the page, what was found there in words, what was measured otherwise than the policy asks,
    and the other case of a pair; the last three may be empty."""

    number: int
    id: str
    words: tuple[str, ...] = ()
    differs: str = ""
    pair_with: str = ""

    @property
    def href(self) -> str:
        """From the first page."""
        return case_href(self.number)


@dataclass(frozen=True)
class Group:
    """The cases of which one thing is to be said: a policy and what became of it, a verdict, a status and its reason,
    or a warning and its sentence. ``places``: the first of ``count``; ``elsewhere``: where the others stand."""

    said: str
    more: str
    bad: bool
    places: tuple[Place, ...]
    count: int
    elsewhere: Elsewhere


@dataclass(frozen=True)
class Groups:
    """The first groups of a kind, how many are left out, and where the cases of these stand."""

    first: tuple[Group, ...]
    left_out: int
    elsewhere: Elsewhere


@dataclass(frozen=True)
class Attention:
    """The gravest first; all empty where nothing needs attention."""

    failing: Groups
    doubtful: Groups
    unfinished: Groups
    warning: Groups
    notes: Groups

    @property
    def nothing(self) -> bool:
        kinds = (self.failing, self.doubtful, self.unfinished, self.warning, self.notes)
        return not any(groups.first for groups in kinds)


class Gathering:
    """What needs attention, while the cases pass by in their order."""

    def __init__(self) -> None:
        self._failing, self._warning, self._notes = _Kind(), _Kind(), _Kind()
        self._doubtful = {verdict: _Kind() for verdict in _DOUBTFUL}
        self._unfinished = {status: _Kind() for status in ("failed", "skipped")}

    def unfinished(self, number: int, case: SealedCase) -> None:
        """A case that has no end."""
        key = (case.status, case.reason or "", case.status == "failed")
        self._unfinished[case.status].add(key, Place(number, case.id))

    def judged(self, number: int, case_id: str, judged: Judged) -> None:
        """A finished case whose evidence is at hand."""
        for row in judged.findings:
            self._policy(number, case_id, row)
        if judged.verdict in self._doubtful:
            key = (judged.verdict, "", judged.verdict == _DOUBTFUL[0])
            self._doubtful[judged.verdict].add(key, Place(number, case_id))
        for code in dict.fromkeys(judged.notes):
            self._notes.add((code, _SENTENCES.get(code, ""), False), Place(number, case_id))

    def pairs(self, numbers: Mapping[str, int], pairs: Iterable[FindingRow]) -> None:
        """What became of the policies on pairs, after all cases. ``numbers``: of the cases that state one."""
        for row in pairs:
            if row.case_id in numbers:
                self._policy(numbers[row.case_id], row.case_id, row)

    def found(self) -> Attention:
        return Attention(
            failing=_groups(self._failing),
            doubtful=_groups(*self._doubtful.values()),
            unfinished=_groups(*self._unfinished.values()),
            warning=_groups(self._warning),
            notes=_groups(self._notes),
        )

    def _policy(self, number: int, case_id: str, row: FindingRow) -> None:
        if not row.held:
            words = tuple(words for words, held in row.rules if not held)
            kind = self._failing if row.bad else self._warning
            kind.add((row.policy, row.outcome, row.bad), Place(number, case_id, words, row.differs, row.pair_with))


@dataclass
class _Tally:
    """One group so far. ``pages``: where those stand that are not among ``places``."""

    places: list[Place] = field(default_factory=list)
    count: int = 0
    pages: set[int] = field(default_factory=set)

    def add(self, place: Place) -> None:
        self.count += 1
        if len(self.places) < PLACES:
            self.places.append(place)
        else:
            self.pages.add(page_of(place.number))


class _Kind:
    """The groups of one kind so far: the first ones, and of the others digests, to count each of them once."""

    def __init__(self) -> None:
        self.tallies: dict[_Key, _Tally] = {}
        self.others: set[bytes] = set()
        self.pages: set[int] = set()

    def add(self, key: _Key, place: Place) -> None:
        if key in self.tallies or len(self.tallies) < GROUPS:
            self.tallies.setdefault(key, _Tally()).add(place)
        else:
            self.others.add(sha256(repr(key).encode("utf-8", "surrogatepass")).digest()[:16])
            self.pages.add(page_of(place.number))


def _groups(*kinds: _Kind) -> Groups:
    """The groups of these kinds, the gravest of which comes first."""
    held = [(key, tally) for kind in kinds for key, tally in kind.tallies.items()]
    beyond = {page_of(place.number) for _, tally in held[GROUPS:] for place in tally.places}
    return Groups(
        first=tuple(_group(key, tally) for key, tally in held[:GROUPS]),
        left_out=len(held[GROUPS:]) + sum(len(kind.others) for kind in kinds),
        elsewhere=elsewhere(
            beyond.union(*(kind.pages for kind in kinds), *(tally.pages for _, tally in held[GROUPS:]))
        ),
    )


def _group(key: _Key, tally: _Tally) -> Group:
    return Group(*key, tuple(tally.places), tally.count, elsewhere(tally.pages))

"""What needs attention in a batch, grouped: policies that do not hold, verdicts, cases without an end, warnings."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from attn_audit.evidence.statements import SealedCase
from attn_audit.judge.warnings import WARNINGS
from attn_audit.reports.findings import FindingRow
from attn_audit.words import noted

PLACES = 20
GROUPS = 50
_SENTENCES = {warning.code: warning.sentence for warning in WARNINGS}
_DOUBTFUL = ("not supported", noted("cannot tell"), noted("not checked"))
K = TypeVar("K", bound=Hashable)


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


@dataclass(frozen=True)
class Group:
    """The cases of which one thing is to be said: a policy and what became of it, a verdict, a status and its reason,
    or a warning and its sentence. ``places``: the first of ``count``."""

    said: str
    more: str
    bad: bool
    places: tuple[Place, ...]
    count: int


@dataclass(frozen=True)
class Groups:
    """The first groups of a kind, and how many are left out."""

    first: tuple[Group, ...]
    left_out: int


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


_Found = Iterator[tuple[tuple[str, str, bool], Place]]


def attention(sealed: tuple[SealedCase, ...], judged: dict[str, Judged], pairs: tuple[FindingRow, ...]) -> Attention:
    """``judged``: the finished cases whose evidence is at hand; ``pairs``: of the policies on pairs."""
    numbers = {case.id: number for number, case in enumerate(sealed, start=1)}
    policies = list(_policies(numbers, judged, pairs))
    return Attention(
        failing=_groups(found for found in policies if found[0][2]),
        doubtful=_doubtful(numbers, judged),
        unfinished=_groups(_unfinished(numbers, sealed)),
        warning=_groups(found for found in policies if not found[0][2]),
        notes=_groups(_notes(numbers, judged)),
    )


def _policies(numbers: dict[str, int], judged: dict[str, Judged], pairs: tuple[FindingRow, ...]) -> _Found:
    own = ((case_id, row) for case_id, case in judged.items() for row in case.findings)
    for case_id, row in (*own, *((row.case_id, row) for row in pairs)):
        if not row.held and case_id in numbers:
            words = tuple(words for words, held in row.rules if not held)
            yield (
                (row.policy, row.outcome, row.bad),
                Place(numbers[case_id], case_id, words, row.differs, row.pair_with),
            )


def _doubtful(numbers: dict[str, int], judged: dict[str, Judged]) -> Groups:
    """In the order of the gravity, not of the cases."""
    found = [
        ((verdict, "", verdict == _DOUBTFUL[0]), Place(numbers[case_id], case_id))
        for verdict in _DOUBTFUL
        for case_id, case in judged.items()
        if case.verdict == verdict and case_id in numbers
    ]
    return _groups(iter(found))


def _unfinished(numbers: dict[str, int], sealed: tuple[SealedCase, ...]) -> _Found:
    for case in sealed:
        if case.status != "ok":
            yield (case.status, case.reason or "", case.status == "failed"), Place(numbers[case.id], case.id)


def _notes(numbers: dict[str, int], judged: dict[str, Judged]) -> _Found:
    for case_id, case in judged.items():
        for code in dict.fromkeys(case.notes):
            if case_id in numbers:
                yield (code, _SENTENCES.get(code, ""), False), Place(numbers[case_id], case_id)


def _groups(found: Iterable[tuple[tuple[str, str, bool], Place]]) -> Groups:
    places: dict[tuple[str, str, bool], list[Place]] = {}
    for key, place in found:
        places.setdefault(key, []).append(place)
    groups = tuple(Group(*key, tuple(held[:PLACES]), len(held)) for key, held in places.items())
    return Groups(groups[:GROUPS], len(groups[GROUPS:]))

"""The list of checks and their results, from which the exit code follows."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from attn_audit.evidence import bundle
from attn_audit.evidence.errors import EvidenceError, Incomplete, NotReplayed, UntrustedSigner
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.evidence.statements import Redaction
from attn_audit.evidence.store import Measured, Readers, read_again
from attn_audit.verify.facts import Facts, Told

CHANGED, UNTRUSTED, NOT_AS_PLANNED = EvidenceError.exit_code, UntrustedSigner.exit_code, 22
OTHER_MODEL, WITHHELD = NotReplayed.exit_code, Incomplete.exit_code
_PRECEDENCE = (UNTRUSTED, NOT_AS_PLANNED, CHANGED, OTHER_MODEL, WITHHELD)
Outcome = Literal["ok", "failed", "note"]
H = TypeVar("H", bound=Hashable)
_NOTHING: frozenset[str] = frozenset()


class NotAsPlanned(EvidenceError):
    """The batch is not the planned one, or not the one that the reader expects."""

    exit_code = NOT_AS_PLANNED


class OtherModel(EvidenceError):
    """It was measured on another model than the one that the reader has."""

    exit_code = OTHER_MODEL


@dataclass(frozen=True, slots=True)
class Check:
    """One check on one thing (the batch, or a case by its id), and how it came out."""

    subject: str
    name: str
    outcome: Outcome
    detail: str = ""
    exit_code: int = 0


@dataclass
class Report:
    """The checks so far, and what the checks over a batch need of each case whose every byte was accounted for, by id.
    ``home``: where the folders of the cases are; ``withheld``: those whose content is.

    The cases themselves are read again when they are asked for: a batch may have more than the memory holds.
    """

    home: Path = Path()
    checks: list[Check] = field(default_factory=list)
    facts: dict[str, Facts] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    withheld: dict[str, Redaction] = field(default_factory=dict)
    _passed: dict[str, frozenset[str]] = field(default_factory=dict)
    _failed: set[tuple[str, str]] = field(default_factory=set)
    _once: set[str] = field(default_factory=set)
    _shared: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def cases(self) -> Mapping[str, VerifiedCase]:
        """Those whose content is there."""
        return Readers(self.told, self._case)

    @property
    def measured(self) -> Mapping[str, Measured]:
        """The same as the pages take them."""
        return Readers(self.told, self._measured)

    @property
    def evidence(self) -> Mapping[str, Evidence]:
        """What was measured of all of them."""
        return Readers(self.facts, self._evidence)

    @property
    def exit_code(self) -> int:
        """The first that applies of 21, 22, 20, 23 and 3; 0 when all is well."""
        codes = {check.exit_code for check in self.checks}
        return next((code for code in _PRECEDENCE if code in codes), 0)

    @property
    def altered(self) -> tuple[Check, ...]:
        """What failed, but for whom the reader trusts: the files are not as whoever signed them left them."""
        return tuple(one for one in self.checks if one.outcome == "failed" and one.exit_code != UNTRUSTED)

    def passed(self, subject: str, name: str) -> bool:
        """Whether that check was made and found nothing."""
        return name in self._passed.get(subject, ())

    def succeed(self, subject: str, name: str) -> None:
        """List a success."""
        self._list(Check(subject, name, "ok"))

    def fail(self, subject: str, name: str, error: EvidenceError) -> None:
        """List a failure."""
        self._list(Check(subject, name, "failed", str(error), error.exit_code))

    @contextmanager
    def check(self, subject: str, name: str) -> Iterator[None]:
        """Record the check's outcome; a failure is listed and the next check goes on."""
        try:
            yield
        except EvidenceError as error:
            self.fail(subject, name, error)
        else:
            self.succeed(subject, name)

    def note(self, subject: str, name: str, detail: str, exit_code: int = 0) -> None:
        """List something to know, which is no failure."""
        self._list(Check(subject, name, "note", detail, exit_code))

    def note_once(self, subject: str, name: str, detail: str) -> None:
        """List something to know, unless it is listed already, of whatever subject."""
        if detail not in self._once:
            self._once.add(detail)
            self.note(subject, name, detail)

    def account(self, name: str, facts: Facts) -> None:
        """Every byte of that case was accounted for. What it has in common with others is kept once."""
        self.facts[name] = replace(facts, terms=self._one(facts.terms))
        if facts.told is not None:
            self.told[name] = facts.told

    def take(self, part: Report) -> None:
        """List what was found of some of the cases after what is listed here."""
        for check in part.checks:
            if check.detail not in part._once:
                self._list(check)
            else:
                self.note_once(check.subject, check.name, check.detail)
        for name, facts in part.facts.items():
            self.account(name, facts)
        self.withheld |= part.withheld

    def _list(self, check: Check) -> None:
        subject, name = sys.intern(check.subject), sys.intern(check.name)
        self.checks.append(Check(subject, name, check.outcome, sys.intern(check.detail), check.exit_code))
        passed = self._passed.get(subject, _NOTHING)
        if check.outcome == "failed":
            self._failed.add((subject, name))
            passed -= {name}
        elif (subject, name) not in self._failed:
            passed |= {name}
        self._passed[subject] = self._one(passed)

    def _one(self, value: H) -> H:
        """The first of those that are equal to it."""
        first: H = self._shared.setdefault(value, value)
        return first

    def _case(self, name: str) -> VerifiedCase:
        return VerifiedCase(*self._measured(name))

    def _measured(self, name: str) -> Measured:
        content = read_again(self.home / name / bundle.CONTENT, self.told[name].content, Content)
        return content, self._evidence(name)

    def _evidence(self, name: str) -> Evidence:
        return read_again(self.home / name / bundle.EVIDENCE, self.facts[name].evidence, Evidence)


@dataclass(frozen=True)
class VerifiedCase:
    """Content and evidence whose digests a statement names."""

    content: Content
    evidence: Evidence

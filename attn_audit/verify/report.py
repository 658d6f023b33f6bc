"""The list of checks and their results, from which the exit code follows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from attn_audit.evidence.errors import EvidenceError, Incomplete, NotReplayed, UntrustedSigner
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.evidence.statements import Redaction
from attn_audit.evidence.store import Readers
from attn_audit.evidence.trust import TrustedKey

CHANGED, UNTRUSTED, NOT_AS_PLANNED = EvidenceError.exit_code, UntrustedSigner.exit_code, 22
OTHER_MODEL, WITHHELD = NotReplayed.exit_code, Incomplete.exit_code
_PRECEDENCE = (UNTRUSTED, NOT_AS_PLANNED, CHANGED, OTHER_MODEL, WITHHELD)
Outcome = Literal["ok", "failed", "note"]


class NotAsPlanned(EvidenceError):
    """The batch is not the planned one, or not the one that the reader expects."""

    exit_code = NOT_AS_PLANNED


class OtherModel(EvidenceError):
    """It was measured on another model than the one that the reader has."""

    exit_code = OTHER_MODEL


@dataclass(frozen=True)
class Check:
    """One check on one thing (the batch, or a case by its id), and how it came out."""

    subject: str
    name: str
    outcome: Outcome
    detail: str = ""
    exit_code: int = 0


@dataclass
class Report:
    """The checks so far, the cases whose every byte was accounted for, those whose content is withheld, and what was
    measured of either; by id, and read again when they are asked for: a batch may have more than the memory holds.
    ``paired``: the cases that state a policy on a pair, so that the others need not be read again for it."""

    checks: list[Check] = field(default_factory=list)
    cases: Readers[VerifiedCase] = field(default_factory=Readers)
    withheld: dict[str, WithheldCase] = field(default_factory=dict)
    evidence: Readers[Evidence] = field(default_factory=Readers)
    paired: set[str] = field(default_factory=set)
    _outcomes: dict[tuple[str, str], bool] = field(default_factory=dict)
    _details: set[str] = field(default_factory=set)

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
        return self._outcomes.get((subject, name), False)

    def says(self, detail: str) -> bool:
        """Whether this is listed already."""
        return detail in self._details

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

    def _list(self, check: Check) -> None:
        self.checks.append(check)
        about = (check.subject, check.name)
        self._outcomes[about] = self._outcomes.get(about, True) and check.outcome != "failed"
        self._details.add(check.detail)


@dataclass(frozen=True)
class VerifiedCase:
    """Content and evidence whose digests a statement names; ``key`` is the trusted key that signed it, None when the
    signature was not checked against one."""

    content: Content
    evidence: Evidence
    key: TrustedKey | None


@dataclass(frozen=True)
class WithheldCase:
    """Why the content of a case is not there, whose evidence has the digest that a statement names."""

    redaction: Redaction
    key: TrustedKey | None

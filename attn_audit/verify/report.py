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
    """The checks so far, the cases whose every byte was accounted for, and those whose content is withheld."""

    checks: list[Check] = field(default_factory=list)
    cases: dict[str, VerifiedCase] = field(default_factory=dict)
    withheld: dict[str, WithheldCase] = field(default_factory=dict)

    @property
    def evidence(self) -> dict[str, Evidence]:
        """What was measured, of every case whose evidence is there, by id."""
        return {case_id: case.evidence for case_id, case in (self.cases | self.withheld).items()}

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
        found = [check.outcome for check in self.checks if (check.subject, check.name) == (subject, name)]
        return bool(found) and "failed" not in found

    def succeed(self, subject: str, name: str) -> None:
        """List a success."""
        self.checks.append(Check(subject, name, "ok"))

    def fail(self, subject: str, name: str, error: EvidenceError) -> None:
        """List a failure."""
        self.checks.append(Check(subject, name, "failed", str(error), error.exit_code))

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
        self.checks.append(Check(subject, name, "note", detail, exit_code))


@dataclass(frozen=True)
class VerifiedCase:
    """Content and evidence whose digests a statement names; ``key`` is the trusted key that signed it, None when the
    signature was not checked against one."""

    content: Content
    evidence: Evidence
    key: TrustedKey | None


@dataclass(frozen=True)
class WithheldCase:
    """Evidence whose digest a statement names, and why its content is not there."""

    evidence: Evidence
    redaction: Redaction
    key: TrustedKey | None

"""What a batch is asked to do, what it tells while it runs, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from attn_audit.cases import CaseFile
from attn_audit.evidence import bundle
from attn_audit.evidence.envelope import Statement, encode, sign
from attn_audit.evidence.keys import SigningKey
from attn_audit.evidence.measured import Setting, Signer
from attn_audit.evidence.records import Case, Record
from attn_audit.evidence.settings import Settings
from attn_audit.evidence.statements import ExportName, Seal, SealedCase
from attn_audit.evidence.store import Measured
from attn_audit.executors import Executor
from attn_audit.executors.local import Local
from attn_audit.measure.model import LocatedModel


@dataclass(frozen=True)
class Order:
    """What is to be run: cases, located model, settings, who signs (None: nobody), where to (None: a new name), the
    digest of the seal of the audit before this one, the case file's name for the record, the files for other programs
    that are asked for, where the work is done, and of how many tokens on a sweep is split over several workers (None:
    never)."""

    cases: CaseFile
    model: LocatedModel
    settings: Settings
    recorded: tuple[Setting, ...]
    key: SigningKey | None
    out: Path | None
    previous: str | None = None
    source: str | None = None
    exports: tuple[ExportName, ...] = ()
    executor: Executor = field(default_factory=Local)
    split: int | None = None

    @property
    def signer(self) -> Signer | None:
        return None if self.key is None else self.key.signer

    @property
    def signed(self) -> bool:
        return self.key is not None

    def name(self, stem: str) -> str:
        """The file of that statement."""
        return bundle.statement_name(stem, signed=self.signed)

    def seal_up(self, statement: Statement[Record]) -> bytes:
        """The statement as it is stored: in a signed bundle, or bare where nobody signs."""
        payload = encode(statement)
        return payload if self.key is None else sign(payload, self.key)


class Watch:
    """What a batch tells while it runs; the command line draws it. Methods do nothing here."""

    def stop_requested(self) -> bool:
        """Asked before each pass: whether the case at hand and those after it shall be skipped and the rest sealed."""
        return False

    def loading(self, model: LocatedModel) -> None:
        """The model's files are hashed; loading and probing begin."""

    def started(self, workers: int) -> None:
        """So many cases can be measured at the same time."""

    def planned(self, out: Path, plan: str) -> None:
        """The plan, of that digest, stands in the folder."""

    def kept(self, ended: SealedCase) -> None:
        """This case was finished before the run was interrupted, and is as it was signed."""

    def case_begins(self, case: Case, number: int, total: int) -> None:
        """Case ``number`` (from 1) of ``total``."""

    def units(self, case: Case, done: int, total: int) -> None:
        """Progress within a case."""

    def case_ends(self, case: Case, ended: SealedCase, measured: Measured | None) -> None:
        """A case is finished, its folder in place, or failed."""

    def forecast(self, case: Case) -> None:
        """What a case will take is known."""


@dataclass(frozen=True)
class Finished:
    """Where the audit stands, and how its cases ended."""

    out: Path
    seal: Seal

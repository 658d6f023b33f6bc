"""A copy of an audit to be attacked, and tables of attacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import audits
from attn_audit.evidence.host import Host
from attn_audit.evidence.keys import SigningKey
from audits import Audit

ATTESTATION = "attestation.sigstore.json"
Command = tuple[str | Path, ...]


@dataclass(frozen=True)
class Scene:
    """A copy of the audit, what a reader and a forger have, and a folder for more files."""

    audit: Audit
    other: Audit  # the same cases in another run
    forger: SigningKey
    model: Path
    folder: Path

    @property
    def first(self) -> Path:
        return self.audit.case("first")

    @property
    def seal(self) -> Path:
        return self.audit.out / "seal.sigstore.json"

    def verify(self, out: Path | None = None) -> Command:
        """What a reader types who trusts the signer."""
        return ("verify", out or self.audit.out, "--trust", self.audit.signers)

    def expecting(self, cases: str) -> Command:
        """The same by somebody who has the case file."""
        (self.folder / "cases.yaml").write_text(cases)
        return (*self.verify(), "--expect-cases", self.folder / "cases.yaml")

    @property
    def later(self) -> Host:
        """After the audit was sealed, which it was today."""
        return audits.host("later", datetime.now(UTC) + timedelta(hours=1))

    def verify_trusting(self, lines: str) -> Command:
        """The same with another trust store."""
        (self.folder / "signers").write_text(lines)
        return ("verify", self.audit.out, "--trust", self.folder / "signers")


# What alters the scene; the command that must find it, where it is not ``scene.verify()``.
Attack = Callable[[Scene], Command | None]


class Table(dict[str, tuple[Attack, int, str]]):
    """Attacks by number and name, each with its exit code and words that must be printed."""

    def row(self, number: int, code: int, says: str) -> Callable[[Attack], Attack]:
        def add(do: Attack) -> Attack:
            self[f"{number:02} {do.__name__.replace('_', ' ')}"] = do, code, says
            return do

        return add

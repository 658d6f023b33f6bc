"""What is stored in an audit folder, read without asking who signed it: for display, never as a check."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from attn_audit.evidence import bundle
from attn_audit.evidence.digest import parse_canonical
from attn_audit.evidence.envelope import decode, payload_of
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Record
from attn_audit.evidence.statements import Plan, Redaction, Seal

Measured = tuple[Content, Evidence]
P = TypeVar("P", bound=Record)


class StoredCases(Mapping[str, Measured]):
    """The finished cases of a folder whose content is there, by id, read when they are asked for, so that a batch's
    memory does not grow."""

    def __init__(self, out: Path, seal: Seal) -> None:
        self._folder = out / bundle.CASES
        finished = (case.id for case in seal.cases if case.status == "ok")
        self._ids = tuple(case_id for case_id in finished if os.path.lexists(self._folder / case_id / bundle.CONTENT))

    def __getitem__(self, case_id: str) -> Measured:
        if case_id not in self._ids:
            raise KeyError(case_id)
        folder = self._folder / case_id
        return (
            parse_canonical(bundle.read_file(folder / bundle.CONTENT), Content, bundle.CONTENT),
            parse_canonical(bundle.read_file(folder / bundle.EVIDENCE), Evidence, bundle.EVIDENCE),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


class StoredEvidence(Mapping[str, Evidence]):
    """The evidence of every finished case of a folder, by id, read when it is asked for."""

    def __init__(self, out: Path, seal: Seal) -> None:
        self._folder = out / bundle.CASES
        self._ids = tuple(case.id for case in seal.cases if case.status == "ok")

    def __getitem__(self, case_id: str) -> Evidence:
        if case_id not in self._ids:
            raise KeyError(case_id)
        return parse_canonical(bundle.read_file(self._folder / case_id / bundle.EVIDENCE), Evidence, bundle.EVIDENCE)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


@dataclass(frozen=True)
class Sealed:
    """A sealed audit as the pages about all its cases take it. ``cases``: the finished ones whose content is at hand;
    ``evidence``: of all finished ones; ``withheld``: why the content of the others is not there. All by id."""

    plan: Plan
    seal: Seal
    cases: Mapping[str, Measured]
    evidence: Mapping[str, Evidence]
    withheld: Mapping[str, Redaction]


def stored(out: Path, plan: Plan, seal: Seal) -> Sealed:
    """An audit folder, of which nothing is checked. Raises EvidenceError."""
    return Sealed(plan, seal, StoredCases(out, seal), StoredEvidence(out, seal), stored_redactions(out, seal))


def stored_statement(folder: Path, stem: str, kind: type[P]) -> P:
    """What the statement of that name in a folder says, signed or not. Raises EvidenceError."""
    return statement_in(bundle.statement_file(folder, stem), kind)


def statement_in(path: Path, kind: type[P]) -> P:
    """What a statement's file says, signed or not, as its name tells. Raises EvidenceError."""
    data = bundle.read_file(path)
    payload = payload_of(data, path.name) if path.name.endswith(bundle.SIGNED) else data
    return decode(payload, kind, path.name).predicate


def stored_redactions(out: Path, seal: Seal) -> dict[str, Redaction]:
    """Whose content is withheld, and why, in the order of the seal. Raises EvidenceError."""
    name = bundle.statement_name(bundle.REDACTION, signed=True)
    folders = {case.id: out / bundle.CASES / case.id for case in seal.cases}
    return {
        case_id: stored_statement(folder, bundle.REDACTION, Redaction)
        for case_id, folder in folders.items()
        if os.path.lexists(folder / name)
    }

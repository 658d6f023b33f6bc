"""What is stored in an audit folder, read when it is asked for, so that the memory of a batch does not grow with its
cases. Without asking who signed it, for display and never as a check; or once more, after every byte was checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from attn_audit.evidence import bundle
from attn_audit.evidence.digest import parse_canonical, sha256
from attn_audit.evidence.envelope import decode, payload_of
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Record
from attn_audit.evidence.statements import Plan, Redaction, Seal

Measured = tuple[Content, Evidence]
P = TypeVar("P", bound=Record)
V = TypeVar("V")


class Readers(Mapping[str, V], Generic[V]):
    """Values by case id, each read when it is asked for, in the order of ``ids``."""

    def __init__(self, ids: Mapping[str, object], read: Callable[[str], V]) -> None:
        self._ids, self._read = ids, read

    def __getitem__(self, case_id: str) -> V:
        if case_id not in self._ids:
            raise KeyError(case_id)
        return self._read(case_id)

    def __contains__(self, case_id: object) -> bool:
        return case_id in self._ids  # without reading it

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def read_again(path: Path, digest: str, kind: type[P]) -> P:
    """A record whose file had this digest when all of it was checked. Raises EvidenceError where it was changed since,
    so that nothing is read which was not checked."""
    data = bundle.read_file(path)
    if sha256(data) != digest:
        raise EvidenceError(f"{path.name} was changed while it was being verified")
    return kind.model_validate_json(data, strict=True)  # its encoding was checked with its digest


def stored_cases(out: Path, seal: Seal) -> Mapping[str, Measured]:
    """The finished cases of a folder whose content is there."""
    home = out / bundle.CASES
    there = (case_id for case_id in _finished(seal) if os.path.lexists(home / case_id / bundle.CONTENT))
    return Readers(dict.fromkeys(there), partial(_stored_case, home))


def stored_evidence(out: Path, seal: Seal) -> Mapping[str, Evidence]:
    """The evidence of every finished case of a folder."""
    return Readers(dict.fromkeys(_finished(seal)), partial(_stored_evidence, out / bundle.CASES))


def _finished(seal: Seal) -> Iterator[str]:
    return (case.id for case in seal.cases if case.status == "ok")


def _stored_case(home: Path, case_id: str) -> Measured:
    return _stored(home / case_id / bundle.CONTENT, Content), _stored_evidence(home, case_id)


def _stored_evidence(home: Path, case_id: str) -> Evidence:
    return _stored(home / case_id / bundle.EVIDENCE, Evidence)


def _stored(path: Path, kind: type[P]) -> P:
    """Not encoded again, which takes five times as long as reading it: that is for checks. Raises EvidenceError."""
    data = bundle.read_file(path)
    try:
        return kind.model_validate_json(data, strict=True)
    except ValueError:
        return parse_canonical(data, kind, path.name)  # which says what is wrong


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
    return Sealed(plan, seal, stored_cases(out, seal), stored_evidence(out, seal), stored_redactions(out, seal))


def stored_statement(folder: Path, stem: str, kind: type[P]) -> P:
    """What the statement of that name in a folder says, signed or not. Raises EvidenceError."""
    return statement_in(bundle.statement_file(folder, stem), kind)


def statement_in(path: Path, kind: type[P]) -> P:
    """What a statement's file says, signed or not, as its name tells. Raises EvidenceError."""
    data = bundle.read_statement(path)
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

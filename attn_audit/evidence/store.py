"""The finished cases of an audit folder as a mapping from case id to records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from attn_audit.evidence.bundle import CASES, CONTENT, EVIDENCE, read_file
from attn_audit.evidence.digest import parse_canonical
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.evidence.statements import Seal

Measured = tuple[Content, Evidence]


class StoredCases(Mapping[str, Measured]):
    """The finished cases of a folder, read when they are asked for, so that a batch's memory does not grow."""

    def __init__(self, out: Path, seal: Seal) -> None:
        self._folder = out / CASES
        self._ids = tuple(case.id for case in seal.cases if case.status == "ok")

    def __getitem__(self, case_id: str) -> Measured:
        if case_id not in self._ids:
            raise KeyError(case_id)
        folder = self._folder / case_id
        return (
            parse_canonical(read_file(folder / CONTENT), Content, CONTENT),
            parse_canonical(read_file(folder / EVIDENCE), Evidence, EVIDENCE),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

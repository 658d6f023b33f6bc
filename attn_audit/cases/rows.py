"""A CSV file beside the case file -> rows of named text, each with its id and the place where it stands."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from attn_audit.case_text.tree import Step, Tree, quoted, refuse
from attn_audit.cases.files import beside, decode, read_bytes, shown


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``where`` names file and line for messages."""

    id: str
    values: Mapping[str, str]
    where: str


def read_rows(tree: Tree, path: tuple[Step, ...], name: str, folder: Path) -> Iterator[Row]:
    """The rows of the file ``name`` in ``folder``; ``path`` is where the case file names it. Raises UsageError."""
    file = beside(tree, path, name, folder)
    source = shown(Path(file.name))
    text = decode(read_bytes(file, "CSV file"), source)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        columns = _header(next(reader, []), source)
        start = reader.line_num + 1
        found = 0
        for cells in reader:
            if cells:
                found += 1
                yield _row(columns, cells, source, start)
            start = reader.line_num + 1
    except csv.Error as error:
        refuse(source, start, f"not valid CSV: {error}")
    if not found:
        refuse(source, start, "there is no row below the header")


def _header(columns: list[str], source: str) -> list[str]:
    twice = (column for column, times in Counter(columns).items() if times > 1)
    if (column := next(twice, None)) is not None:
        refuse(source, 1, f"the column {quoted(column)} stands twice")
    if "id" not in columns:
        refuse(source, 1, 'the header has no column "id"; columns are separated by commas')
    return columns


def _row(columns: list[str], cells: list[str], source: str, line: int) -> Row:
    if len(cells) != len(columns):
        refuse(source, line, f"the row has {len(cells)} cells, the header {len(columns)}")
    values = dict(zip(columns, cells, strict=True))
    return Row(values.pop("id"), values, f"{source}, line {line}")

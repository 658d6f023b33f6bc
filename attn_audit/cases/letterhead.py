"""The letterhead of a case file -> its record, with the bytes of the logo that the file names."""

from __future__ import annotations

import base64
from pathlib import Path

from attn_audit.case_text.tree import Tree, quoted
from attn_audit.cases.files import beside, read_bytes
from attn_audit.cases.schema import CaseFileSchema
from attn_audit.evidence.png import read_png
from attn_audit.evidence.records import Letterhead

_AT = "letterhead"
_MAX_NAME = 200  # characters that fit the head of a page


def read_letterhead(tree: Tree, file: CaseFileSchema, folder: Path) -> Letterhead | None:
    """None where the case file has none. Raises UsageError."""
    if (entry := file.letterhead) is None:
        return None
    if not 0 < len(file.organisation or "") <= _MAX_NAME:
        tree.refuse((_AT,), f'a letterhead needs the field "organisation" of the batch, of 1 to {_MAX_NAME} characters')
    logo = None if entry.logo is None else _logo(tree, entry.logo, folder)
    return Letterhead(logo=logo, colour=entry.colour, address=entry.address)


def _logo(tree: Tree, name: str, folder: Path) -> str:
    at = (_AT, "logo")
    data = read_bytes(beside(tree, at, name, folder), "logo")
    try:
        read_png(data)
    except ValueError as error:
        tree.refuse(at, f"the logo {quoted(name)} must {error}")
    return base64.b64encode(data).decode()

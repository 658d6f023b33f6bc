"""What pages say, line by line, held against kept files: a change of any word shows as a readable difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import page_views
from attn_audit.reports import pdf

GOLDEN = Path(__file__).parent / "golden"


_SLOW = pytest.mark.slow  # PDFs of whole reports


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=_SLOW if name.startswith("pdf/") else ()) for name in page_views.VIEWS]
)
def test_a_page_says_what_it_said(name: str, program: Callable[..., str]) -> None:
    """`make golden` writes them anew; read the diff before you keep it."""
    if name.startswith("pdf/"):
        program("pdfinfo")
        if (missing := pdf.missing_libraries()) is not None:
            pytest.skip(missing)
    assert page_views.VIEWS[name]() == (GOLDEN / name).read_text(encoding="utf-8")

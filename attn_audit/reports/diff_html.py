"""A comparison of two audits to a page of its own: one file, no script, nothing that is fetched."""

from __future__ import annotations

from attn_audit import __version__
from attn_audit.judge.difference import Difference
from attn_audit.reports.diff_view import SHARES, UNCHECKED, diff_view
from attn_audit.reports.html import style
from attn_audit.reports.templates import render


def page(found: Difference, *, top: int) -> bytes:
    """``top``: how many pieces of each case are listed."""
    values = {
        "view": diff_view(found, top=top),
        "unchecked": UNCHECKED,
        "shares": SHARES,
        "version": __version__,
        "style": style(),
    }
    return render("diff.html.j2", values).encode()

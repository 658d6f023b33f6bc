"""Records to self-contained HTML: one file, one stylesheet, no script, and nothing that is fetched."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from markupsafe import Markup

from attn_audit.evidence.digest import salted_view
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.reports.numbers import size
from attn_audit.reports.templates import render, templates_folder
from attn_audit.reports.view import report_view


@dataclass(frozen=True)
class Style:
    """The inline stylesheet, and its sha256 in base64 as the content security policy names it."""

    text: Markup
    sha256: str


def report(content: Content, evidence: Evidence) -> bytes:
    """The report of one case. Raises EvidenceError when content and evidence do not fit together."""
    return page(content, evidence, missing_glyphs=()).encode()


def page(content: Content, evidence: Evidence, *, missing_glyphs: tuple[str, ...]) -> str:
    """The report as text. ``missing_glyphs``: code points that the fonts at hand cannot draw (the PDF knows them)."""
    values = {
        "content": content,
        "salted": salted_view((content.salt,)),
        "evidence": evidence,
        "view": report_view(content, evidence),
        "style": style(),
        "heat": _heat,
        "size": size,
        "number": _number,
        "missing_glyphs": missing_glyphs,
    }
    return render("report.html.j2", values)


def style() -> Style:
    """The stylesheet of every page."""
    text = (templates_folder() / "report.css").read_text(encoding="utf-8")
    return Style(Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())  # noqa: S704


def _heat(level: int | None) -> str:
    """CSS class of a level on -5..5; None was not measured."""
    if level is None:
        return "h-none"
    if level == 0:
        return "h-0"
    return f"h-pos-{level}" if level > 0 else f"h-neg-{-level}"


def _number(value: float) -> str:
    """A small difference of logits."""
    return f"{value:.2g}"

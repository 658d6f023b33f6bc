"""Records to self-contained HTML: one file, one stylesheet, no script, and nothing that is fetched."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from markupsafe import Markup

from attn_audit.evidence.digest import salted_view
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Letterhead
from attn_audit.evidence.settings import Paper
from attn_audit.reports.letterhead import more_css, paper
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
    view = report_view(content, evidence)
    values = {
        "content": content,
        "salted": salted_view((content.salt,)),
        "evidence": evidence,
        "view": view,
        "letterhead": content.batch.letterhead,
        "organisation": content.batch.organisation,
        "style": style(paper(evidence.settings), content.batch.letterhead, tokens=len(view.heat.tokens.choices)),
        "size": size,
        "number": _number,
        "missing_glyphs": missing_glyphs,
    }
    return render("report.html.j2", values)


def style(size: Paper = "a4", letterhead: Letterhead | None = None, *, tokens: int = 0) -> Style:
    """The stylesheet of every page: with what chooses between the maps of so many answer tokens, and at its end the
    size of the paper and the colour of the letterhead."""
    text = (templates_folder() / "report.css").read_text(encoding="utf-8")
    if tokens:
        text += render("tokens.css.j2", {"tokens": tokens})
    text += more_css(size, letterhead)
    return Style(Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())  # noqa: S704


def _number(value: float) -> str:
    """A small difference of logits."""
    return f"{value:.2g}"

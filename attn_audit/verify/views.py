"""The reports of a case against what they are views of: the HTML is drawn again, the PDF is read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from attn_audit import __version__
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import EvidenceError
from attn_audit.reports import html
from attn_audit.reports.templates import template_digest
from attn_audit.verify.report import Report, VerifiedCase

NOT_ASKED = "the reader asked for no comparison"


def check_views(report: Report, name: str, case: VerifiedCase, files: Mapping[str, bytes], *, wanted: bool) -> None:
    """Each report that is among the files. Where it cannot be compared, a note says why."""
    for view, check, drawn in (("html", "report", _check_html), ("pdf", "pdf", _check_pdf)):
        stored = files.get(f"report.{view}")
        if stored is None:
            continue
        reason = _why_not(report, name, case, wanted=wanted)
        if reason is not None:
            report.note(name, check, f"view not compared: {reason}")
            continue
        left_out = 0
        with report.check(name, check):
            if case.evidence.templates != _own_templates():
                raise EvidenceError(f"report.{view} was made with other templates than this version has")
            left_out = drawn(case, stored)
        if left_out:
            report.note(name, check, f"compared but for {left_out} characters that fonts merge, stack or reorder")


@cache
def _own_templates() -> str:
    """Hashed once: reading all files, fonts too, takes as long as a tenth of a case's checks."""
    return template_digest()


def _why_not(report: Report, name: str, case: VerifiedCase, *, wanted: bool) -> str | None:
    if not wanted:
        return NOT_ASKED
    if not report.passed(name, "numbers"):
        return "the numbers it would show do not hold"
    version = case.evidence.tool.version
    return None if version == __version__ else f"made by version {version}"


def _check_html(case: VerifiedCase, stored: bytes) -> int:
    """Drawn again with the verifier's own templates, byte by byte."""
    if html.report(case.content, case.evidence) != stored:
        raise EvidenceError(f"{bundle.view_name('html')} does not follow from the evidence")
    return 0


def _check_pdf(case: VerifiedCase, stored: bytes) -> int:
    """Its text and attachment, since it cannot be drawn again without its fonts. How many characters were left out."""
    from attn_audit.verify.pdf import check_pdf  # noqa: PLC0415 - loads pypdf, which only a PDF needs

    return check_pdf(stored, case.content, case.evidence)

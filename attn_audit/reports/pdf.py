"""Records to PDF: the printed page of the HTML report, with ``evidence.json`` attached (PDF/A-3a profile)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO

from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.reports.html import page
from attn_audit.reports.text import code_point

_PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fontconfig fonts-dejavu-core"
_NOTDEF = re.compile(r"\.notdef glyph .*\(U\+([0-9A-F]+)\)", re.DOTALL)


class _Collector(logging.Handler):
    """Keeps what a logger says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def missing_libraries() -> str | None:
    """None when PDF can be made; otherwise one sentence that says what to install."""
    try:
        import weasyprint  # noqa: F401, PLC0415 - loads Pango, which only a PDF needs
    except (ImportError, OSError):
        return (
            "PDF reports need WeasyPrint and the libraries it draws text with; "
            f"on Debian or Ubuntu: sudo apt-get install {_PACKAGES}"
        )
    return None


def report(content: Content, evidence: Evidence) -> bytes:
    """The report of one case as PDF. Two calls give the same bytes on one machine; fonts may differ between machines.

    Raises UsageError when the libraries are missing, EvidenceError when content and evidence do not fit together.
    """
    if (sentence := missing_libraries()) is not None:
        raise UsageError(sentence)
    data, missing = _draw(content, evidence, ())
    if missing:
        data, _ = _draw(content, evidence, missing)
    return data


def _draw(content: Content, evidence: Evidence, missing: tuple[str, ...]) -> tuple[bytes, tuple[str, ...]]:
    """The PDF of a page that names ``missing`` glyphs, and the code points that the fonts could not draw."""
    from weasyprint import HTML, Attachment  # noqa: PLC0415
    from weasyprint.urls import URLFetcher  # noqa: PLC0415

    # No protocol at all: the page needs nothing from outside, and the default fetcher reads local files (attack 34).
    fetcher = URLFetcher(allowed_protocols=())
    raw = canonical(evidence)
    finished = _time(evidence.run.finished)
    attachment = Attachment(
        file_obj=BytesIO(raw),
        url_fetcher=fetcher,
        name="evidence.json",
        description="What was measured; its sha256 stands on the first page",
        created=finished,
        modified=finished,
        relationship="Data",
    )
    with _listening() as collector:
        data: bytes = HTML(string=page(content, evidence, missing_glyphs=missing), url_fetcher=fetcher).write_pdf(
            pdf_variant="pdf/a-3a", pdf_identifier=bytes.fromhex(sha256(raw))[:16], attachments=[attachment]
        )
    return data, _missing_glyphs(collector.messages)


@contextmanager
def _listening() -> Iterator[_Collector]:
    """What WeasyPrint says goes to the collector and nowhere else; the logger is left as it was."""
    logger = logging.getLogger("weasyprint")
    collector, propagate = _Collector(), logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        yield collector
    finally:
        logger.propagate = propagate
        logger.removeHandler(collector)


def _missing_glyphs(messages: list[str]) -> tuple[str, ...]:
    found = {int(number, 16) for message in messages for number in _NOTDEF.findall(message)}
    return tuple(code_point(chr(number)) for number in sorted(found))


def _time(text: str) -> datetime:
    """A time of the evidence, UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise EvidenceError(f"evidence.json: run.finished is {text!r}, not an ISO 8601 time with its zone.")
    return time.astimezone(UTC)

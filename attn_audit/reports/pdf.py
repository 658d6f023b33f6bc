"""Records to PDF: the printed page of the HTML report, with ``evidence.json`` attached (PDF/A-3a profile)."""

from __future__ import annotations

import base64
import ctypes
import gc
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from attn_audit.evidence.digest import canonical, salted_view, sha256
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Letterhead
from attn_audit.reports.html import page
from attn_audit.reports.letterhead import LOGO_ADDRESS
from attn_audit.reports.templates import templates_folder
from attn_audit.reports.text import code_point

if TYPE_CHECKING:
    from weasyprint.urls import URLFetcher

FONTS = "DejaVu 2.37"  # those in templates/fonts
_FONT_ADDRESS = "report-font:"  # no protocol that anything else answers
_PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fontconfig"
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


def drawn_with() -> tuple[tuple[str, str], ...]:
    """What draws the text of a PDF and must be the same for the same bytes: names and versions."""
    return (
        ("fonts", f"{FONTS} (shipped); other scripts: those of the system"),
        ("pango", _pango_version()),
        ("harfbuzz", _loaded_version("harfbuzz", lambda library: _text(library.hb_version_string))),
        ("fontconfig", _loaded_version("fontconfig", lambda library: _dotted(library.FcGetVersion(), 100))),
    )


def report(content: Content, evidence: Evidence) -> bytes:
    """The report of one case as PDF. Two calls give the same bytes where ``drawn_with`` and the system's fonts for
    scripts that the shipped ones do not cover are the same.

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
    from weasyprint import CSS, HTML, Attachment  # noqa: PLC0415
    from weasyprint.text.fonts import FontConfiguration  # noqa: PLC0415

    fetcher, fonts = _fetcher(content.batch.letterhead), FontConfiguration()
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
    with _listening() as collector, _no_collection():
        data: bytes = HTML(string=page(content, evidence, missing_glyphs=missing), url_fetcher=fetcher).write_pdf(
            pdf_variant="pdf/a-3a",
            # With the salt: what is left after a redaction must not let anyone try texts against the PDF's digest.
            pdf_identifier=bytes.fromhex(sha256(bytes.fromhex(salted_view((content.salt,))) + raw))[:16],
            attachments=[attachment],
            stylesheets=[CSS(string=_font_faces(), url_fetcher=fetcher, font_config=fonts)],
            font_config=fonts,
        )
    return data, _missing_glyphs(collector.messages)


def _fetcher(letterhead: Letterhead | None = None) -> URLFetcher:
    """Answers exactly the names of the shipped fonts and the address that holds the logo, from memory. No protocol at
    all: the page needs nothing from outside, and the default fetcher reads local files (attack 34)."""
    from weasyprint.urls import URLFetcher, URLFetcherResponse  # noqa: PLC0415

    known = _fonts() | _logo(letterhead)

    class Known(URLFetcher):  # type: ignore[misc]  # weasyprint ships no types
        def fetch(self, url: str, headers: object = None) -> URLFetcherResponse:
            if (data := known.get(url)) is not None:
                return URLFetcherResponse(url, data)
            return super().fetch(url, headers)

    return Known(allowed_protocols=())


def _logo(letterhead: Letterhead | None) -> dict[str, bytes]:
    """The logo by the address that the page gives it."""
    if letterhead is None or letterhead.logo is None:
        return {}
    return {LOGO_ADDRESS + letterhead.logo: base64.b64decode(letterhead.logo)}


@cache
def _fonts() -> dict[str, bytes]:
    """The shipped fonts by the address that the stylesheet gives them."""
    return {_FONT_ADDRESS + path.name: path.read_bytes() for path in (templates_folder() / "fonts").glob("*.ttf")}


def _font_faces() -> str:
    return (templates_folder() / "fonts" / "fonts.css").read_text(encoding="utf-8")


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


@contextmanager
def _no_collection() -> Iterator[None]:
    """No search for cycles meanwhile: laying out a page makes millions of objects that live until it is done, and the
    searches take a quarter of the time. As it was, afterwards."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


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


def _pango_version() -> str:
    if missing_libraries() is not None:
        return "not installed"
    from weasyprint.text.ffi import pango  # noqa: PLC0415

    return _dotted(pango.pango_version(), 100)


def _loaded_version(name: str, read: Callable[[ctypes.CDLL], str]) -> str:
    """The version that a C library says of itself."""
    try:
        return read(ctypes.CDLL(find_library(name)))
    except (OSError, AttributeError):
        return "not found"


def _text(function: ctypes._NamedFuncPointer) -> str:
    function.restype = ctypes.c_char_p
    return bytes(function()).decode()


def _dotted(number: int, base: int) -> str:
    """``2.14.1`` for 21401 in base 100."""
    return f"{number // base**2}.{number // base % base}.{number % base}"

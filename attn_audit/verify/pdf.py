"""A report's PDF held against content and evidence: what is attached, what it says, and that nothing in it acts.

It is read with pypdf and not drawn again, so that this needs neither WeasyPrint nor its fonts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import regex
from pypdf import PdfReader
from pypdf.generic import IndirectObject, StreamObject

from attn_audit.evidence.bundle import EVIDENCE
from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.reports.html import page
from attn_audit.reports.letterhead import SIZES, paper
from attn_audit.reports.text import exact
from attn_audit.verify.page_text import compare
from attn_audit.verify.pdf_drawing import Drawing, Fragment, drawing
from attn_audit.verify.pdf_figures import check_figures, silent

_MAX_OBJECTS = 2_000_000  # values of all objects; a page has about 10,000
_MAX_NOTICES = 4  # texts that look like the report's notice of missing glyphs; the case may hold others
_CATALOG = frozenset(
    f"/{key}"
    for key in (
        *("Type", "Pages", "Outlines", "Lang", "Names", "StructTreeRoot", "ViewerPreferences", "MarkInfo"),
        *("OutputIntents", "AF", "Metadata"),
    )
)
_PAGE = frozenset(
    f"/{key}"
    for key in (
        *("Type", "Parent", "MediaBox", "Contents", "Resources", "Tabs", "StructParents", "TrimBox", "BleedBox"),
    )
)
# What acts, asks, plays or replaces text (ISO 32000-1, 12.3 to 12.7 and 14.9).
_ACTING = frozenset(
    f"/{key}"
    for key in (
        *("AA", "OpenAction", "JS", "JavaScript", "AcroForm", "XFA", "Annots", "OCProperties", "Collection", "URI"),
        *("ActualText", "E", "Encrypt", "FFilter", "PieceInfo", "Perms"),
    )
)
_ACTIONS = frozenset(
    f"/{name}"
    for name in (
        *("GoTo", "GoToR", "GoToE", "Launch", "Thread", "URI", "Sound", "Movie", "Hide", "Named", "SubmitForm"),
        *("ResetForm", "ImportData", "JavaScript", "SetOCGState", "Rendition", "Trans", "GoTo3DView"),
    )
)
_PICTOGRAPH = regex.compile(r"[\p{Emoji_Presentation}\p{Extended_Pictographic}]")
_NOTICE = re.compile(r"cannotdraw(\d{1,6})differentcharacters?ofthiscase:((?:⟨U\+[0-9A-F]{4,6}⟩,?){1,12})")
_CODE_POINT = re.compile(r"⟨U\+([0-9A-F]{4,6})⟩")


@dataclass(frozen=True)
class _Read:
    """What is in a PDF: the names and bytes of its attachments, its title, its bookmarks, and what it draws."""

    attached: tuple[tuple[str, bytes], ...]
    title: str
    bookmarks: tuple[str, ...]
    drawn: Drawing


def check_pdf(data: bytes, content: Content, evidence: Evidence) -> int:
    """How many characters of the page could not be compared: those of scripts whose letters merge or change places.

    Raises EvidenceError where the PDF cannot be read whole, has other attachments than this evidence, holds something
    that acts or hides, or says anything else than the page that follows from content and evidence.
    """
    found = _read(data, SIZES[paper(evidence.settings)])
    if found.attached != ((EVIDENCE, canonical(evidence)),):
        raise EvidenceError("report.pdf: what is attached is not evidence.json alone, as it is beside the report")
    _check_margins(found.drawn, content, evidence)
    if (title := f"Audit report: case {exact(content.case.id)}") != found.title:
        raise EvidenceError(f"report.pdf has the title {found.title!r:.80} instead of {title!r}")
    check_figures(found.drawn, page(content, evidence, missing_glyphs=()), content.batch.letterhead)
    return _check_text(found, content, evidence)


# -- reading ----------------------------------------------------------------------------------------------------------


def _read(data: bytes, size: Sequence[int]) -> _Read:
    """The PDF, whose pages have that size, taken apart. Raises EvidenceError, whatever the bytes are."""
    # One revision only: programs differ in what they show of a file with several.
    revisions = len(re.findall(rb"(?:^|[\r\n])startxref\s", data))
    if not data.startswith(b"%PDF-1.7\n") or not data.endswith(b"%%EOF\n") or revisions != 1:
        raise EvidenceError("report.pdf is not a PDF of one revision, whole from its first byte to its last")
    try:
        with silent("pypdf"):
            return _taken_apart(PdfReader(BytesIO(data), strict=True), size)
    except EvidenceError:
        raise
    except Exception as error:  # a damaged file makes the parser raise almost anything
        raise EvidenceError(
            f"report.pdf cannot be read as one that this tool wrote ({type(error).__name__})"
        ) from error


def _taken_apart(reader: PdfReader, size: Sequence[int]) -> _Read:
    if reader.is_encrypted:
        raise EvidenceError("report.pdf is encrypted")
    _check_objects(reader, size)
    bookmarks = tuple(str(entry.title) for entry in _flat(reader.outline))
    attached = tuple((name, data) for name, versions in reader.attachments.items() for data in versions)
    return _Read(attached, str(reader.metadata["/Title"] if reader.metadata else ""), bookmarks, drawing(reader))


def _flat(outline: Any) -> Iterator[Any]:
    for entry in outline:
        if isinstance(entry, list):
            yield from _flat(entry)
        else:
            yield entry


def _check_objects(reader: PdfReader, size: Sequence[int]) -> None:
    """Nothing that this tool never writes. Raises EvidenceError."""
    root = reader.root_object
    _only(root, _CATALOG, "the document")
    _only(root["/Names"], frozenset({"/EmbeddedFiles", "/Dests"}), "the document's names")
    for one in reader.pages:
        _only(dict(one), _PAGE, "a page")
        if [round(float(side)) for side in one.mediabox] != [0, 0, *size]:
            raise EvidenceError("report.pdf has a page that is not of the size that the settings name")
    files: set[int] = set()
    for value in _values(reader.trailer):
        if not isinstance(value, dict):
            continue
        if acting := (value.keys() & _ACTING) or ({value.get("/S")} & _ACTIONS):
            raise EvidenceError(f"report.pdf holds {min(map(str, acting))[1:]}, which this tool never writes")
        if "/Alt" in value and value.get("/S") != "/Figure":
            raise EvidenceError("report.pdf holds another text for those who listen than for those who see")
        if "/EF" in value:
            files.add(id(value))
        if isinstance(value, StreamObject) and "/F" in value:
            raise EvidenceError("report.pdf refers to another file")
    if len(files) != 1:
        raise EvidenceError(f"report.pdf embeds {len(files)} files instead of evidence.json alone")


def _only(found: Any, known: frozenset[str], what: str) -> None:
    if other := sorted(set(found) - known):
        raise EvidenceError(f"report.pdf: {what} has {other[0]!r:.40}, which this tool never writes")


def _values(root: Any) -> Iterator[Any]:
    """Every value that can be reached, once. Raises EvidenceError when they are too many."""
    left, seen = [root], set[tuple[int, int]]()
    for _ in range(_MAX_OBJECTS):
        if not left:
            return
        value = left.pop()
        if isinstance(value, IndirectObject):
            if (value.idnum, value.generation) in seen:
                continue
            seen.add((value.idnum, value.generation))
            value = value.get_object()
        yield value
        if isinstance(value, dict):
            left += dict.values(value)
        elif isinstance(value, list):
            left += list.__iter__(value)
    raise EvidenceError(f"report.pdf consists of more than {_MAX_OBJECTS} values")


# -- comparing --------------------------------------------------------------------------------------------------------


def _check_margins(drawn: Drawing, content: Content, evidence: Evidence) -> None:
    """The lines above and below each page, and no other text that stands outside of the page's structure or cannot be
    seen. Raises EvidenceError."""
    above = (f"Case {exact(content.case.id)}", f"evidence {sha256(canonical(evidence))}")
    for number, fragments in enumerate(drawn.margins, start=1):
        # A long id takes several lines, so that the texts are compared as one, in the order in which they are drawn.
        expected = "".join((*above, f"Page {number} of {len(drawn.margins)}"))
        said = "".join(map(_plain, fragments))
        if any(one.hidden for one in fragments) or _solid(said) != _solid(expected):
            raise EvidenceError(f"report.pdf: page {number} has another margin than this report")
    # The two lines stand once, invisibly, in the page itself: the margins take them from there.
    hidden = [_plain(fragment) for fragment in drawn.fragments if fragment.hidden and fragment.text.strip()]
    if hidden != list(above):
        said = next((text for text in hidden if text not in above), "")
        raise EvidenceError(f"report.pdf hides text that a reader must see: {said!r:.80}")


def _solid(text: str) -> str:
    return "".join(text.split())


def _plain(fragment: Fragment) -> str:
    """The text without ligatures: their glyphs may stand for the letters, or for the one character of old encodings."""
    return unicodedata.normalize("NFKC", fragment.text)


def _check_text(found: _Read, content: Content, evidence: Evidence) -> int:
    """The text is that of the page; or of the page that names glyphs missing in the fonts, as only the PDF can know.
    Raises EvidenceError."""
    said = "".join("".join(map(_plain, found.drawn.fragments)).split())
    plain = page(content, evidence, missing_glyphs=())
    pages = [plain]
    for number, names in _NOTICE.findall(said)[:_MAX_NOTICES]:
        points = tuple(_CODE_POINT.findall(names))
        if points and all(int(point, 16) < 0x110000 and chr(int(point, 16)) in plain for point in points):
            named = tuple(f"⟨U+{point}⟩" for point in points)
            pages.append(page(content, evidence, missing_glyphs=(*named, *("",) * (int(number) - len(named)))))
    if found.drawn.pictures > len(_PICTOGRAPH.findall(plain)):
        raise EvidenceError("report.pdf holds more pictures than its text has emoji")
    if any("".join(unicodedata.normalize("NFKC", title).split()) not in said for title in found.bookmarks):
        raise EvidenceError("report.pdf has a bookmark that is none of its headings")
    for one in pages[:-1]:
        try:
            return compare(one, found.drawn.fragments)
        except EvidenceError:
            continue
    return compare(pages[-1], found.drawn.fragments)

"""The figures of a PDF held against the page: the texts for those who do not see them, and the logo point by point."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any

from pypdf.generic import StreamObject

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.png import MAX_POINTS, read_png, rgba
from attn_audit.evidence.records import Letterhead
from attn_audit.verify.pdf_drawing import Drawing

_SMALLEST = 8.0  # points, 1/72 inch; a logo that is drawn smaller cannot be seen
_KNOWN = frozenset(
    f"/{key}"
    for key in (
        *("Type", "Subtype", "Width", "Height", "ColorSpace", "BitsPerComponent", "Interpolate", "SMask"),
        *("Filter", "DecodeParms", "Length"),
    )
)
_CHANNELS = {"/DeviceRGB": 3, "/DeviceGray": 1}


class _Figures(HTMLParser):
    """The alternative text of each picture and drawing of a page, in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self._title = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.texts.append(dict(attrs).get("alt") or "")
        elif tag == "svg":
            self.texts.append("")
        self._title = tag == "title" and bool(self.texts)  # the title of the page stands before any drawing

    def handle_endtag(self, tag: str) -> None:
        self._title = False

    def handle_data(self, data: str) -> None:
        if self._title:
            self.texts[-1] += data


def check_figures(drawn: Drawing, page: str, letterhead: Letterhead | None) -> None:
    """Each figure says what that of the page says, and the only picture in one is the logo. Raises EvidenceError."""
    said = [figure.alternative for figure in drawn.figures]
    if said != _Figures(page).texts:
        raise EvidenceError("report.pdf has other figures than this report, or says something else of them")
    pictures = [(figure.page, picture) for figure in drawn.figures for picture in figure.pictures]
    logo = None if letterhead is None else letterhead.logo
    if len(pictures) != (logo is not None):
        raise EvidenceError("report.pdf has other pictures than the logo of its letterhead")
    for number, picture in pictures:
        if number or min(picture.width, picture.height) < _SMALLEST:
            raise EvidenceError("report.pdf does not show the logo of its letterhead on page one")
        if _points(picture.stream) != _of_logo(logo or ""):
            raise EvidenceError("report.pdf has another logo than its letterhead")


def _of_logo(logo: str) -> tuple[int, int, bytes]:
    png = read_png(base64.b64decode(logo))
    return png.width, png.height, rgba(png)


def _points(stream: StreamObject) -> tuple[int, int, bytes]:
    """Width, height, and four bytes for each point. Raises EvidenceError for a picture that this tool never writes."""
    try:
        with silent("pypdf"):
            width, height, colours = _channels(stream)
            mask = _channels(stream["/SMask"]) if "/SMask" in stream else (width, height, [b"\xff" * (width * height)])
    except EvidenceError:
        raise
    except Exception as error:  # a damaged picture makes the parser raise almost anything
        raise EvidenceError(f"report.pdf has a picture that cannot be read ({type(error).__name__})") from error
    if (width, height, 1) != (*mask[:2], len(mask[2])):
        raise EvidenceError("report.pdf has a picture with a mask of another size or kind")
    points = bytearray(4 * width * height)
    for at, channel in enumerate((*(colours * (3 // len(colours))), *mask[2])):
        points[at::4] = channel
    return width, height, bytes(points)


def _channels(stream: Any) -> tuple[int, int, list[bytes]]:
    """Width, height, and the bytes of each channel. Raises EvidenceError, and whatever pypdf raises."""
    width, height, count = stream["/Width"], stream["/Height"], _CHANNELS[stream["/ColorSpace"]]
    packed = {"/Predictor": 15, "/Columns": width, **({"/Colors": 3} if count == 3 else {})}
    as_written = (stream["/Filter"], stream["/DecodeParms"], stream["/BitsPerComponent"]) == ("/FlateDecode", packed, 8)
    if set(stream) - _KNOWN or not as_written:
        raise EvidenceError("report.pdf has a picture of a kind that this tool never writes")
    if not 0 < width * height <= MAX_POINTS:
        raise EvidenceError("report.pdf has a picture that is larger than a logo may be")
    data = stream.get_data()
    if len(data) != width * height * count:
        raise EvidenceError("report.pdf has a picture with more or fewer points than it says")
    return width, height, [data[at::count] for at in range(count)]


@contextmanager
def silent(name: str) -> Iterator[None]:
    """Nothing that this logger says reaches the reader: a file that is not right is reported in one sentence."""
    logger = logging.getLogger(name)
    handler, propagate = logging.NullHandler(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)

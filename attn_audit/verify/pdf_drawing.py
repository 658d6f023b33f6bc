"""The content streams and the structure of a PDF to the text that it draws, in the order of the structure.

Understood is what this tool's PDFs consist of and nothing else: text in marked content, decoded with the tables of its
fonts, lines, areas and clips. Other ways of drawing text are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pypdf import PageObject, PdfReader
from pypdf.generic import (
    ByteStringObject,
    ContentStream,
    IndirectObject,
    StreamObject,
    TextStringObject,
)

from attn_audit.evidence.errors import EvidenceError

_MAX_PAGES = 2000
_MAX_NODES = 500_000  # of the structure; a page has about 500
_MAX_DRAWN = 64 << 20  # bytes of all content streams; a page has about 60 KiB
_LINES = frozenset(
    ("W", "W*", "n", "f", "f*", "m", "l", "c", "h", "re", "w", "S", "d", "J", "j", "M", "RG", "BT", "ET", "Ts")
)
_COLOURS = frozenset(("cs", "CS", "sc", "SC", "scn", "SCN", "sh"))  # of emoji that are drawn as shapes
_CHARACTER = re.compile(rb"<([0-9a-fA-F]{4})> <((?:[0-9a-fA-F]{4})*)>")
_SMALLEST = 4.0  # points; the smallest text of a report that is meant to be read has 5.5
_LIGHTEST = 0.4  # luma of a text; the lightest text of a report has 0.33
_Matrix = tuple[float, float, float, float, float, float]
_IDENTITY: _Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Picture:
    """A picture of points as the file holds it, and the size in points, 1/72 inch, at which it is drawn."""

    stream: StreamObject
    width: float
    height: float


@dataclass(frozen=True)
class Figure:
    """What the structure calls a figure: the text for those who do not see it, and the pictures of points in it."""

    page: int
    alternative: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Fragment:
    """A run of text on one line: what each glyph stands for, from left to right. ``page`` counts from 0; ``cell`` and
    ``head`` tell apart the table cells (or columns) and the table heads that it stands in. ``hidden``: too small, too
    light or too transparent to be read, or off the page."""

    page: int
    glyphs: tuple[str, ...]
    hidden: bool
    pictures: tuple[Picture, ...] = ()
    cell: int | None = None
    head: int | None = None

    @property
    def text(self) -> str:
        return "".join(self.glyphs)


@dataclass(frozen=True)
class Drawing:
    """The text of the structure in its order; for each page the texts outside of it; the figures of the structure; the
    number of pictures outside of figures."""

    fragments: tuple[Fragment, ...]
    margins: tuple[tuple[Fragment, ...], ...]
    figures: tuple[Figure, ...]
    pictures: int


def drawing(reader: PdfReader) -> Drawing:
    """Everything that is drawn. Raises EvidenceError for what this tool never writes, and whatever pypdf raises."""
    pages = tuple(reader.pages)
    if not 0 < len(pages) <= _MAX_PAGES:
        raise EvidenceError(f"report.pdf has {len(pages)} pages; 1 to {_MAX_PAGES} are read")
    left, canvases = _MAX_DRAWN, []
    for number, page in enumerate(pages):
        canvas = _Canvas(number, page, reader)
        left -= canvas.size
        if left < 0:
            raise EvidenceError(f"report.pdf draws with more than {_MAX_DRAWN >> 20} MiB of operators")
        canvas.draw()
        canvases.append(canvas)
    figures: list[Figure] = []
    fragments = tuple(_structured(reader, pages, canvases, figures))
    margins = tuple(tuple(canvas.texts.values()) for canvas in canvases)
    drawn = sum(canvas.pictures for canvas in canvases)
    return Drawing(fragments, margins, tuple(figures), drawn - sum(len(figure.pictures) for figure in figures))


# -- content streams --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    """What `q` saves and `Q` restores, as far as it decides whether text can be seen."""

    matrix: _Matrix = _IDENTITY
    light: float = 0.0
    alpha: float = 1.0


class _Canvas:
    """One page being drawn: ``texts`` by the number of the marked content that they stand in."""

    def __init__(self, number: int, page: PageObject, reader: PdfReader) -> None:
        self.number = number
        self.texts: dict[int, Fragment] = {}
        self.pictures = 0
        self._right, self._top = (float(side) for side in page.mediabox[2:])
        contents = page["/Contents"]
        self._reader, self._contents = reader, contents
        self.size = len(contents.get_data()) if isinstance(contents, StreamObject) else _MAX_DRAWN
        resources = _dictionary(page["/Resources"])
        self._objects = _dictionary(resources.get("/XObject", {}))
        self._fonts = {name: _characters(font) for name, font in _dictionary(resources.get("/Font", {})).items()}
        states = _dictionary(resources.get("/ExtGState", {}))
        self._alphas = {name: _dictionary(state).get("/ca") for name, state in states.items()}
        self._states, self._marks = [_State()], list[int | None]()
        self._font, self._size, self._place = "", 0.0, _IDENTITY

    def draw(self) -> None:
        """Go through the operators. Raises EvidenceError."""
        known = {
            "q": self._save,
            "Q": self._restore,
            "cm": self._transform,
            "rg": self._colour,
            "gs": self._set,
            "BMC": self._artifact,
            "BDC": self._mark,
            "EMC": self._end,
            "Tf": self._choose,
            "Tm": self._put,
            "TJ": self._show,
            "Do": self._picture,
        }
        for operands, operator in ContentStream(self._contents, self._reader).operations:
            name = operator.decode("latin-1")
            if name in known:
                known[name](operands)
            elif name not in _LINES | _COLOURS:
                raise EvidenceError(f"report.pdf draws with the operator {name!r:.20}, which this tool never writes")

    def _save(self, _: Sequence[Any]) -> None:
        self._states.append(self._states[-1])

    def _restore(self, _: Sequence[Any]) -> None:
        self._states.pop()

    def _transform(self, operands: Sequence[Any]) -> None:
        self._states[-1] = replace(self._states[-1], matrix=_times(_six(operands), self._states[-1].matrix))

    def _colour(self, operands: Sequence[Any]) -> None:
        red, green, blue = (float(value) for value in operands)
        self._states[-1] = replace(self._states[-1], light=0.2126 * red + 0.7152 * green + 0.0722 * blue)

    def _set(self, operands: Sequence[Any]) -> None:
        if (alpha := self._alphas[operands[0]]) is not None:
            self._states[-1] = replace(self._states[-1], alpha=float(alpha))

    def _artifact(self, _: Sequence[Any]) -> None:
        self._marks.append(None)

    def _mark(self, operands: Sequence[Any]) -> None:
        properties = _dictionary(operands[1])
        mark = properties["/MCID"]
        if list(properties) != ["/MCID"] or mark in self.texts:
            raise EvidenceError("report.pdf: a marked content has a number that is taken, or a text of its own")
        self.texts[mark] = Fragment(self.number, (), hidden=False)
        self._marks.append(mark)

    def _end(self, _: Sequence[Any]) -> None:
        self._marks.pop()

    def _choose(self, operands: Sequence[Any]) -> None:
        self._font, self._size = operands[0], float(operands[1])

    def _put(self, operands: Sequence[Any]) -> None:
        self._place = _six(operands)

    def _show(self, operands: Sequence[Any]) -> None:
        if not self._marks or (mark := self._marks[-1]) is None:
            raise EvidenceError("report.pdf draws text outside of its structure")
        parts = (part for part in operands[0] if isinstance(part, (TextStringObject, ByteStringObject)))
        glyphs = tuple(glyph for part in parts for glyph in _decoded(part.original_bytes, self._fonts[self._font]))
        before = self.texts[mark]
        self.texts[mark] = replace(before, glyphs=before.glyphs + glyphs, hidden=before.hidden or self._unseen())

    def _picture(self, operands: Sequence[Any]) -> None:
        stream = self._objects[operands[0]].get_object()
        if not isinstance(stream, StreamObject) or str(stream["/Subtype"]) != "/Image":
            raise EvidenceError("report.pdf draws a part of a page from elsewhere, which this tool never does")
        self.pictures += 1
        if self._marks and (mark := self._marks[-1]) is not None:
            before, (width, _, _, height, _, _) = self.texts[mark], self._states[-1].matrix
            drawn = Picture(stream, abs(width), abs(height))
            self.texts[mark] = replace(before, pictures=(*before.pictures, drawn))

    def _unseen(self) -> bool:
        state = self._states[-1]
        _, _, _, height, x, y = _times(self._place, state.matrix)
        inside = -1 <= x <= self._right + 1 and -1 <= y <= self._top + 1
        return abs(height) * self._size < _SMALLEST or state.light > _LIGHTEST or state.alpha < 1 or not inside


def _dictionary(value: Any) -> dict[Any, Any]:
    """The dictionary that the object is or refers to. Raises EvidenceError."""
    found = value.get_object() if isinstance(value, IndirectObject) else value
    if not isinstance(found, dict):
        raise EvidenceError("report.pdf has another object where a dictionary must stand")
    return found


def _characters(font: Any) -> dict[int, str]:
    """What each code of a font stands for, as the font says."""
    table = _dictionary(font)["/ToUnicode"].get_data()
    return {int(code, 16): bytes.fromhex(text.decode()).decode("utf-16-be") for code, text in _CHARACTER.findall(table)}


def _decoded(codes: bytes, characters: dict[int, str]) -> Iterator[str]:
    """What each two-byte code stands for."""
    return (characters[high << 8 | low] for high, low in zip(codes[::2], codes[1::2], strict=True))


def _six(operands: Sequence[Any]) -> _Matrix:
    a, b, c, d, e, f = (float(value) for value in operands)
    return a, b, c, d, e, f


def _times(first: _Matrix, then: _Matrix) -> _Matrix:
    """The transformation that does ``first``, and ``then`` the other (ISO 32000-1, 8.3.4)."""
    a, b, c, d, e, f = first
    g, h, i, j, k, m = then
    return a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m


# -- structure --------------------------------------------------------------------------------------------------------


def _structured(
    reader: PdfReader, pages: Sequence[PageObject], canvases: Sequence[_Canvas], figures: list[Figure]
) -> Iterator[Fragment]:
    """The texts that the structure names, in its order, each taken off its page; ``figures`` are added to the list.
    Raises EvidenceError."""
    numbers = {page.indirect_reference.idnum: index for index, page in enumerate(pages) if page.indirect_reference}
    root = _dictionary(reader.root_object["/StructTreeRoot"])
    nodes: list[tuple[Any, int | None, int | None, bool]] = [(kid, None, None, False) for kid in reversed(root["/K"])]
    for count in range(_MAX_NODES):
        if not nodes:
            return
        value, cell, head, column = nodes.pop()
        node = _dictionary(value)
        kind = node["/S"]
        if cell is None and (column or kind in {"/TD", "/TH"}):
            cell = count
        if kind == "/THead":
            head = count
        kids = []
        for kid in node["/K"]:
            if isinstance(kid, int):
                canvas = canvases[numbers[dict.__getitem__(node, "/Pg").idnum]]
                drawn = replace(canvas.texts.pop(int(kid)), cell=cell, head=head)
                if kind == "/Figure":
                    figures.append(Figure(drawn.page, str(node.get("/Alt", "")), drawn.pictures))
                yield drawn
            else:
                kids.append((kid, cell, head, kind == "/Div"))
        nodes += reversed(kids)
    raise EvidenceError(f"report.pdf has a structure of more than {_MAX_NODES} parts")

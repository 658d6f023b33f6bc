"""The page of a report to the text that a reader sees, as rows of cells, and whether a PDF draws just this text.

Compared are all characters but white space. Left out are those that a PDF's fonts cannot say exactly: letters that are
stacked, reordered or marked when they are drawn, as in Devanagari or with combining marks (``uncertain``).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import groupby

import regex

from attn_audit.evidence.errors import EvidenceError
from attn_audit.reports.text import visible
from attn_audit.verify.pdf_drawing import Fragment

_UNREAD = frozenset({"style", "title"})
_VOID = frozenset({"meta", "br", "rect", "input", "img"})
_SCREEN = "screen"  # class of what is not printed
# Scripts whose letters change places or merge when they are drawn: of South and South-East Asia, Tibet and Mongolia.
_STACKED = regex.compile(
    "[\u0900-\u109f\u1700-\u18af\u1900-\u1cff\ua800-\uabff\U00010a00-\U00010a5f\U00011000-\U00011fff]"
)
_RIGHT_TO_LEFT = regex.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001eeff]+")
_LAM_AND_ALEFS = frozenset("لاآأإٱ")  # always drawn as one
_PLAIN = regex.compile("[0-9A-Za-z]+")
_MIRRORED = str.maketrans(")]}>»›⟩", "([{<«‹⟨")
_SHOWN, _BEFORE = 60, 20  # characters of a text that an error quotes, and of them before the difference


class _Page(HTMLParser):
    """The page as rows of cells: those of tables, the columns of answers, and what stands between in rows of one cell.
    A cell is a sequence of texts, each with whether it stands in an element that runs from right to left."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[list[tuple[str, bool]]]] = [[[]]]
        self._open: list[tuple[str, str, bool]] = []  # element, class, from right to left
        self._numbers: list[int] = []
        self.feed(page)
        self.close()

    @property
    def text(self) -> str:
        return "".join(text for row in self.rows for cell in row for text, _ in cell)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            return
        values = dict(attrs)
        parent, inside, backwards = self._open[-1] if self._open else ("", "", False)
        kind = values.get("class") or ""
        self._open.append((tag, kind, values["dir"] == "rtl" if "dir" in values else backwards))
        if tag == "tr" or kind == "answers":
            self.rows.append([])
        elif tag in {"td", "th"} or (tag == "figure" and inside == "answers"):
            self.rows[-1].append([])
        elif tag in {"ol", "ul"}:
            self._numbers.append(0)
        elif tag == "li":
            self._numbers[-1] += 1
            self._add(f"{self._numbers[-1]}. " if parent == "ol" else "• ")
        elif tag == "q":
            self._add("“")

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if tag == "q":
            self._add("”")
        _, kind, _ = self._open.pop()
        if tag == "tr" or kind == "answers":
            self.rows.append([[]])
        elif tag in {"ol", "ul"}:
            self._numbers.pop()

    def handle_data(self, data: str) -> None:
        if _UNREAD.isdisjoint(tag for tag, _, _ in self._open):
            self._add(data)

    def _add(self, text: str) -> None:
        if any(_SCREEN in kind.split() for _, kind, _ in self._open):
            return
        if self.rows[-1]:  # else it is the white space between the cells
            self.rows[-1][-1].append((text, self._open[-1][2] if self._open else False))


class _Folding:
    """Text to the characters that are compared. It depends on the page only, not on what a PDF says."""

    def __init__(self, page: str) -> None:
        # Drawn from right to left, an opening bracket is the glyph of a closing one.
        self._mirrored = _MIRRORED if _RIGHT_TO_LEFT.search(page) else {}
        self._uncertain = frozenset(_uncertain(page))
        self.left_out = sum(character in self._uncertain for character in page)

    def __call__(self, text: str) -> str:
        # A glyph of a system's font may stand for two characters that are compatible; those shipped have one for each.
        text = "".join(
            character if character < "\u2e80" else unicodedata.normalize("NFKC", character)
            for character in unicodedata.normalize("NFC", text).translate(self._mirrored)
        )
        return "".join(one for one in text if not one.isspace() and one not in self._uncertain)


def _uncertain(page: str) -> set[str]:
    """The characters that somewhere on the page are drawn with several glyphs at once, of which a font says the text of
    one only: those of stacked scripts, and those in a cluster of several characters."""
    found = set(_STACKED.findall(page))
    for cluster in regex.findall(r"\X", page):
        if len(cluster) > 1 and not cluster.isspace():
            found |= {*cluster, *unicodedata.normalize("NFC", cluster)}
    return found | _LAM_AND_ALEFS if found & _LAM_AND_ALEFS else found


class _Row:
    """Texts that stand beside each other, how much of each has been found, and where the last was."""

    def __init__(self, cells: Sequence[Sequence[tuple[str, bool]]], fold: _Folding) -> None:
        folded = [[(fold(text), backwards) for text, backwards in cell] for cell in cells]
        self.cells = ["".join(text for text, _ in cell) for cell in folded]
        self.backwards = [bytes(flag for text, flag in cell for _ in text) for cell in folded]
        self.found = [0] * len(cells)
        self.at, self.page = -1, -1

    @property
    def left(self) -> str:
        """The first text, or rest of one, that has not been found; empty when all have."""
        rests = (cell[done:] for cell, done in zip(self.cells, self.found, strict=True))
        return next((rest for rest in rests if rest), "")


def compare(page: str, fragments: Sequence[Fragment]) -> int:
    """How many characters of the page could not be compared. Raises EvidenceError where the PDF has another text."""
    parsed = _Page(page)
    fold = _Folding(parsed.text)
    comparison = _Comparison([_Row(cells, fold) for cells in parsed.rows], fold, _heads(fragments, fold))
    for _, block in groupby(enumerate(fragments), key=_place):
        comparison.take([fragment for _, fragment in block])
    comparison.end()
    return fold.left_out


def _place(numbered: tuple[int, Fragment]) -> tuple[int, int, int]:
    """What fragments of one block have in common: they stand in one cell on one page, or are the same fragment."""
    number, fragment = numbered
    return (fragment.page, -1, number) if fragment.cell is None else (fragment.page, fragment.cell, -1)


def _heads(fragments: Sequence[Fragment], fold: _Folding) -> dict[int, str]:
    """The text of each table head."""
    heads: dict[int, str] = {}
    for fragment in fragments:
        if fragment.head is not None:
            heads[fragment.head] = heads.get(fragment.head, "") + fold(fragment.text)
    return heads


class _Comparison:
    """Goes through the rows of the page with one block of the PDF after the other."""

    def __init__(self, rows: list[_Row], fold: _Folding, heads: dict[int, str]) -> None:
        self._rows, self._fold, self._heads = rows, fold, heads
        self._next = 0  # the first row that is not found whole
        self._head: int | None = None  # the last table head that was found; it is drawn again on the table's next page

    def take(self, block: Sequence[Fragment]) -> None:
        """Find the block where it must stand. Raises EvidenceError."""
        if not any(self._fold(fragment.text) for fragment in block):
            return
        while self._next < len(self._rows) and not self._rows[self._next].left:
            self._next += 1
        if not self._is_repeated(block[0]) and not self._found(block):
            said = self._fold("".join(fragment.text for fragment in block))
            left = self._rows[self._next].left if self._next < len(self._rows) else ""
            expected = _quoted(left, said) if left else "the text ends"
            raise EvidenceError(
                f"report.pdf does not follow from the evidence: page {block[0].page + 1} says {_quoted(said, left)} "
                f"where {expected} must stand (white space left out)"
            )

    def end(self) -> None:
        """Nothing of the page may be left. Raises EvidenceError."""
        if rest := next((row.left for row in self._rows[self._next :] if row.left), ""):
            raise EvidenceError(f"report.pdf does not follow from the evidence: it leaves out {_quoted(rest, rest)}")

    def _is_repeated(self, first: Fragment) -> bool:
        """Whether the block belongs to a table head that was found before and is drawn again on a further page."""
        if first.head is None or first.head == self._head:
            return False
        text = self._heads[first.head]
        if self._next < len(self._rows) and "".join(self._rows[self._next].cells) == text:
            self._head = first.head
            return False
        return self._head is not None and self._heads[self._head] == text

    def _found(self, block: Sequence[Fragment]) -> bool:
        if self._next == len(self._rows):
            return False
        row, page = self._rows[self._next], block[0].page
        # A row that is cut by the end of a page goes on in any of its cells, otherwise they come in their order.
        first = 0 if len(row.cells) == 1 or page > row.page else row.at + 1
        for at in range(first, len(row.cells)):
            done = self._advanced(row, at, block)
            if done is not None:
                row.found[at], row.at, row.page = done, at, page
                return True
        return False

    def _advanced(self, row: _Row, at: int, block: Sequence[Fragment]) -> int | None:
        """Where the block ends when it stands in this cell of the row, after what was found of it; or None."""
        done = row.found[at]
        for fragment in block:
            said = self._fold(fragment.text)
            end = done + len(said)
            expected = row.cells[at][done:end]
            backwards = any(row.backwards[at][done:end]) or _RIGHT_TO_LEFT.search(expected)
            if said != expected and not (backwards and self._reordered(fragment, expected)):
                return None
            done = end
        return done

    def _reordered(self, fragment: Fragment, expected: str) -> bool:
        """Whether a line has the same characters in another order, and each number and word in it is whole."""
        said = self._fold(fragment.text)
        if sorted(said) != sorted(expected):
            return False
        backwards = "".join(fragment.glyphs[::-1])
        words = (*_PLAIN.findall(fragment.text), *_RIGHT_TO_LEFT.findall(backwards))
        return all(self._fold(word) in expected for word in words)


def _quoted(text: str, other: str) -> str:
    """The text from shortly before it differs from the other."""
    differences = (at for at, (one, two) in enumerate(zip(text, other, strict=False)) if one != two)
    begin = max(0, next(differences, 0) - _BEFORE)
    shown = text[begin : begin + _SHOWN]
    return f"“{'…' if begin else ''}{visible(shown)}{'…' if len(text) > begin + _SHOWN else ''}”"

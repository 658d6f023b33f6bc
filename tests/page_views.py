"""HTML and PDF reports as plain text, a block of text a line: what tests/golden/html/ and tests/golden/pdf/ hold."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from tempfile import NamedTemporaryFile

import pypdf

import pages
from attn_audit.reports import pdf

_VOID = frozenset({"meta", "br", "img", "input", "rect", "line", "path"})
_UNREAD = frozenset({"style", "svg"})
_BLOCKS = frozenset(
    (
        *("title", "h1", "h2", "h3", "h4", "p", "li", "tr", "caption", "figcaption", "blockquote", "pre", "summary"),
        *("legend", "label", "div", "dl", "section", "article", "header", "footer", "figure", "table", "ul", "ol"),
    )
)
_HEADINGS = {"h1": "# ", "h2": "## ", "h3": "### ", "h4": "#### ", "li": "- "}
# What changes with any template or any word: it says nothing to who reads the difference.
_DIGESTS = re.compile(r"\b[0-9a-f]{64}\b")


class Lines(HTMLParser):
    """The text of a page: headings marked as in Markdown, cells of a row apart by a bar."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._line, self._unread = "", 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unread += tag in _UNREAD
        if tag in _BLOCKS:
            self._end()
            self._line = _HEADINGS.get(tag, "")
        elif tag in {"td", "th", "dd", "br"}:
            self._line += " | " if tag != "br" and self._line.strip() else " "

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in _UNREAD
        if tag in _BLOCKS:
            self._end()

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self._line += data

    def _end(self) -> None:
        text = " ".join(self._line.split())
        if text.strip("#- "):
            self.lines += ["", text] if text.startswith(("# ", "## ")) else [text]
        self._line = ""


def html_text(name: str) -> str:
    """A page of tests/pages.py."""
    lines = Lines(pages.PAGES[name]().decode()).lines
    return _DIGESTS.sub("‹sha256›", "\n".join(lines).strip()) + "\n"


def pdf_text(name: str) -> str:
    """The bookmarks of a report, then its tagged text in the order of its tags: where lines and pages end, which is up
    to the fonts, does not show."""
    data = pdf.report(*pages.REPORTS[name]())
    with NamedTemporaryFile(suffix=".pdf") as file:
        file.write(data)
        file.flush()
        found = subprocess.run(["pdfinfo", "-struct-text", file.name], capture_output=True, text=True, check=True)
    text = "\n".join((*_bookmarks(pypdf.PdfReader(io.BytesIO(data)).outline), "", *_tagged(found.stdout)))
    return _DIGESTS.sub("‹sha256›", text) + "\n"


def _bookmarks(outline: list[object], depth: int = 0) -> list[str]:
    found: list[str] = []
    for entry in outline:
        if isinstance(entry, list):
            found += _bookmarks(entry, depth + 1)
        else:
            found.append(f"{'  ' * depth}- {getattr(entry, 'title', '')}")
    return found


def _tagged(structure: str) -> list[str]:
    """``P The words of a paragraph.``: a line for each tag that has text, the cells of a row in one."""
    lines = [""]
    for line in map(str.strip, structure.splitlines()):
        tag = line.split(" ")[0]
        if tag.startswith("/"):  # an attribute
            continue
        if line.startswith('"'):
            lines[-1] += " " + line.removeprefix('"').removesuffix('"')
        elif tag in {"TD", "TH"}:
            lines[-1] += f" | {tag}"
        elif tag not in {"Span", "NonStruct", "Lbl", "LBody"}:
            lines.append(tag)
    return [text for line in lines if " " in (text := " ".join(line.split()))]


def _of(view: Callable[[str], str], name: str) -> Callable[[], str]:
    return lambda: view(name)


VIEWS: dict[str, Callable[[], str]] = {
    **{f"html/{name}.txt": _of(html_text, name) for name in pages.PAGES},
    **{f"pdf/{name}.txt": _of(pdf_text, name) for name in ("supplied", "full")},
}

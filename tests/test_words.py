"""The catalogue of words: whole, up to date, and all that a view needs to speak another language."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from gettext import NullTranslations
from html.parser import HTMLParser

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from catalogue import FILE, catalogue

import make_records as make
from attn_audit.reports import html
from attn_audit.words import spoken

# Another alphabet, so that what was left in English stands out.
_LETTERS = str.maketrans(string.ascii_letters, "абцдефгхийклмнопярстувшхыз" + "АБЦДЕФГХИЙКЛМНОПЯРСТУВШХЫЗ")
_KEPT = re.compile(r"(%\(\w+\)s|%%|<[^>]*>|&\w+;)")
# Names, which are the same in any language: of files, programs, formats, settings, models, operators, and units.
_NAMES = frozenset(("attn-audit", "UTC", "GGUF", "sha256", "nats", "case_file", "TEST"))
_NAMED = re.compile(
    r"\b[\w.-]+\.(?:json|html|pdf|sig|md|gguf|py)\b|\b[0-9a-f]{16,}\b|\bu\d+\b|\d{4}-\d\d-\d\dT\S+|PDF/A-3a"
)


def foreign(text: str) -> str:
    """The text in letters that English does not have; placeholders and tags stay."""
    return "".join(part if _KEPT.fullmatch(part) else part.translate(_LETTERS) for part in _KEPT.split(text))


class Foreign(NullTranslations):
    """A translation made from the catalogue; what is not in it stays English."""

    def __init__(self, words: Catalog) -> None:
        super().__init__()
        self._words = words

    def gettext(self, message: str) -> str:
        return foreign(message) if message in self._words else message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return foreign(msgid1 if n == 1 else msgid2) if (msgid1, msgid2) in self._words else msgid1


@pytest.fixture(scope="module")
def words() -> Foreign:
    with FILE.open("rb") as file:
        return Foreign(read_po(file))


def test_the_catalogue_is_what_code_and_templates_say() -> None:
    """`make golden` writes it."""
    assert FILE.read_text(encoding="utf-8") == catalogue()


# -- a view in another language ---------------------------------------------------------------------------------------


class Shown(HTMLParser):
    """What a page shows and what its attributes say, without what is quoted, code, or a name."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "rect", "line", "path", "circle"})
    NOT_OURS = frozenset({"style", "code", "pre", "q", "blockquote"})
    CLASSES = frozenset({"name", "token", "cp", "quote", "reason"})
    SAID = ("aria-label", "title", "alt", "data-label", "placeholder")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[bool] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if not any(self._open):
            self.found += [value for name in self.SAID if (value := given.get(name))]
        if tag not in self.VOID:
            classes = set((given.get("class") or "").split())
            self._open.append(tag in self.NOT_OURS or bool(classes & self.CLASSES))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not any(self._open):
            self.found.append(data)


def english(texts: Iterator[str]) -> set[str]:
    """Words in the letters of English that are no names."""
    return {word for text in texts for word in re.findall(r"[A-Za-z][A-Za-z'-]+", _NAMED.sub("", text))} - _NAMES


CASES: dict[str, Callable[[], tuple[object, object]]] = {
    "rich": make.rich_case,
    "full": make.full_case,
    "full, rather than": lambda: make.full_case(contrast="Refuse it."),
}


@pytest.mark.parametrize("name", CASES)
def test_a_report_speaks_the_language_of_its_words(words: Foreign, name: str) -> None:
    with spoken(words):
        page = html.page(*CASES[name](), missing_glyphs=("⟨U+0378⟩",))  # type: ignore[arg-type]
    assert english(iter(Shown(page).found)) == set()

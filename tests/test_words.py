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
from rich.console import Console, RenderableType

import make_records as make
import test_index
from attn_audit.evidence.findings import PairFinding
from attn_audit.evidence.measured import AnswerScore, Observed, Warn
from attn_audit.evidence.records import Message
from attn_audit.evidence.store import Measured, Sealed
from attn_audit.judge.difference import Difference, difference
from attn_audit.judge.warnings import WARNINGS
from attn_audit.reports import attention, diff_html, html
from attn_audit.reports.diff_terminal import terminal_view
from attn_audit.reports.terminal import case_view
from attn_audit.words import spoken
from pages import RULES, side
from terminal_views import UNCHECKED

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


CASES: dict[str, Callable[[], Measured]] = {
    "rich": make.rich_case,
    "full": make.full_case,
    "full, rather than": lambda: make.full_case(contrast="Refuse it."),
}


def recorded(case: Measured) -> re.Pattern[str]:
    """Names and values that a report prints as they are recorded: of settings, method, model, host, signer and batch,
    roles of messages, and numbers."""
    content, evidence = case
    parts = (*evidence.settings, evidence.method, evidence.model, evidence.run, evidence.tool, evidence.signer)
    values = {value for part in (*parts, content.batch) if part for value in leaves(part.model_dump())}
    values |= {evidence.answer.stop, "system", "user", "soft", *content.batch.references}
    longest_first = sorted(values, key=len, reverse=True)
    return re.compile("|".join(rf"(?<![A-Za-z]){re.escape(value)}(?![A-Za-z])" for value in longest_first) + r"|\de-\d")


def leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from filter(None, (value,))
    elif isinstance(value, dict):
        yield from (leaf for inner in value.values() for leaf in leaves(inner))
    elif isinstance(value, (list, tuple)):
        yield from (leaf for inner in value for leaf in leaves(inner))


@pytest.mark.parametrize("name", CASES)
def test_a_report_speaks_the_language_of_its_words(words: Foreign, name: str) -> None:
    content, evidence = CASES[name]()
    evidence = evidence.model_copy(update={"warnings": WARNINGS})
    with spoken(words):
        page = html.page(content, evidence, missing_glyphs=("⟨U+0378⟩",) * 13)
    said = recorded((content, evidence))
    codes = {warning.code for warning in WARNINGS}
    assert english(_CALLED.sub("", said.sub("", text)) for text in Shown(page).found) - codes == set()


# -- the index, a comparison, the terminal ----------------------------------------------------------------------------

# Names of the samples' own: a model, a signer, codes of warnings, what a policy sets, roles, operators and the like.
_OF_SAMPLES = frozenset(
    (
        *("near-certain", "user", "system", "field"),
        *("units", "word", "effort", "screened", "effect", "total", "both", "knockout", "soft", "kappa", "bands"),
        *("named", "answer", "parts", "observed", "paraphrases", "contrast"),  # of fields: named, answer_parts, ...
        "diff",  # the command that makes the page
    )
)
_CALLED = re.compile(r"SmolLM2-135M-Instruct|audit@bank.example|TEST ONLY demo@attn-audit|loan-1|sha256")
_PARTS = frozenset(("decision", "rationale"))  # of the answer, which a self-explanation needs under these names


def left_in_english(page: str) -> set[str]:
    return english(_CALLED.sub("", text) for text in Shown(page).found) - _OF_SAMPLES


def changed_batch() -> Sealed:
    """Unsigned, of a model that changed during the run, after another audit; with nothing to say of its cases."""
    clean = test_index.clean()
    changes = {"model_root_after": "00" * 32, "signer": None, "previous": "77" * 32}
    return Sealed(clean.plan, clean.seal.model_copy(update=changes), clean.cases, clean.evidence, {})


def cut_batch() -> Sealed:
    """More of everything than its page lists."""
    cases = {f"c-{n}": test_index.case(f"c-{n}", findings=make.FINDINGS) for n in range(attention.PLACES + 1)}
    plan, seal = make.batch(cases, failed={f"bad-{n}": f"reason {n}" for n in range(attention.GROUPS + 1)})
    return make.sealed(plan, seal, cases)


BATCHES: dict[str, Callable[[], Sealed]] = {**test_index.PAGES, "changed": changed_batch, "cut": cut_batch}


@pytest.mark.parametrize("name", BATCHES)
def test_an_index_speaks_the_language_of_its_words(words: Foreign, name: str) -> None:
    with spoken(words):
        page = make.index_page(BATCHES[name]()).decode()
    assert left_in_english(page) == set()


DIGITS = (
    Message(role="system", content="1 22 333 4444."),
    Message(role="user", content="申请 人 34 岁 5 66 777. 88 9 10 11 [12 +1.00] 13. 14 15 16 17 18 19 20 21 22 23 24?"),
)
DIGITS_ANSWER = "12 34. 56 78. 90."


def digits_full() -> Measured:
    """All that can be measured, in a case without a letter of English."""
    parts = {"decision": "90", "1": "免费", "rationale": "56 78"}
    said, measured = make.full_case(DIGITS, DIGITS_ANSWER, named={"1": "34"}, parts=parts, contrast="98 76.")
    signer = make.TEST_SIGNER.model_copy(update={"principal": "12"})
    return said, measured.model_copy(update={"model": make.model("135"), "signer": signer})


def digits_supplied() -> Measured:
    """Supplied and observed answers, policies, a warning; not signed."""
    said = make.content(DIGITS, DIGITS_ANSWER, case={"observed_answer": "0"}, own_answer="1")
    observed = Observed(reproduced=False, tokens=2, log_probability=-9.7)
    base = make.evidence(said).answer.base
    warning = Warn(code="1", sentence=WARNINGS[0].sentence, advice=WARNINGS[0].advice)
    return said, make.evidence(
        said,
        model=make.model("135"),
        signer=None,
        answer=AnswerScore(source="supplied", stop="supplied", base=base, observed=observed),
        findings=tuple(one.model_copy(update={"policy": str(n)}) for n, one in enumerate(make.FINDINGS)),
        warnings=(warning,),
    )


def digits_long() -> Measured:
    """Too long to be drawn in full."""
    said = make.content((Message(role="user", content=" ".join(map(str, range(2000)))),), "1 2")
    return said, make.evidence(said, model=make.model("135"), signer=None)


TERMINAL: dict[str, Callable[[], Measured]] = {"full": digits_full, "supplied": digits_supplied, "long": digits_long}


def printed(view: RenderableType) -> str:
    """What a terminal without colours shows, without what it quotes."""
    console = Console(width=100, color_system=None)
    with console.capture() as shown:
        console.print(view)
    return re.sub(r"‹[^›]*›", "", shown.get())


@pytest.mark.parametrize("name", TERMINAL)
def test_the_terminal_speaks_the_language_of_its_words(words: Foreign, name: str) -> None:
    with spoken(words):
        drawn = printed(case_view(*TERMINAL[name](), top=5, verified=UNCHECKED))
    assert english(iter([_CALLED.sub("", drawn)])) - _OF_SAMPLES - _PARTS == set()


def two_audits() -> Difference:
    """Answers, pieces, policies and pairs that changed, an audit that is not signed, and cases that stand in one."""
    one, other = digits_full(), digits_supplied()
    first = side({"1": one, "2": one, "3": one}, "1", {"4": "failed", "5": "not there", "6": "withheld"}, ())
    pair = PairFinding(policy="9", severity="fail", outcome="broken", rules=RULES, case_id="1", pair_with="2")
    second = side({"1": other, "2": one, "3": moved(one)}, "2", {"4": "skipped", "5": "finished"}, (pair,))
    return difference(first, second)


def moved(case: Measured) -> Measured:
    """The same with other values."""
    said, measured = case
    values = tuple(None if value is None else value * (n % 3) for n, value in enumerate(measured.relevance))
    return said, measured.model_copy(update={"relevance": values, "warnings": ()})


def test_a_comparison_speaks_the_language_of_its_words(words: Foreign) -> None:
    with spoken(words):
        page, drawn = diff_html.page(two_audits(), top=5).decode(), printed(terminal_view(two_audits(), top=5))
    assert left_in_english(page) == set()
    assert english(iter([_CALLED.sub("", drawn)])) - _OF_SAMPLES == set()

"""Attacks by the content of a case, tried on the pages in a real Chromium and on the PDF (attacks 32 to 38 and 43)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pypdf import PdfReader

import hostile
import make_records as make
import pages
from attn_audit.evidence.records import Message
from attn_audit.reports import pdf
from attn_audit.reports.text import exact, visible
from browser import PROGRAMS, started, visit

NAMES = ("rich", "full", "index", "diff")
needs_pdf = pytest.mark.skipif(pdf.missing_libraries() is not None, reason="the libraries of WeasyPrint are missing")
every_page = pytest.mark.parametrize("name", NAMES)
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
NEVER = {"script", "iframe", "object", "embed", "form", "base", "link", "img", "image", "video"}
# Where text of a case stands: quoted, or in a box of its own.
BOXES = "blockquote, q, pre, .token, .said"
LOOK = """boxes => {
  const all = [...document.querySelectorAll("*")], texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const inside = walker.currentNode.parentElement.closest(boxes);
    texts.push([walker.currentNode.data, inside !== null]);
  }
  return {
    elements: all.map(one => [one.tagName, ...[...one.attributes].map(two => two.name).sort()].join(" ")),
    values: all.filter(one => one.tagName !== "STYLE").flatMap(one => [...one.attributes].map(two => two.value)),
    links: [...document.links].map(one => one.getAttribute("href")),
    text: document.body.textContent,
    shown: document.body.innerText + document.title,
    texts,
  };
}"""


@dataclass(frozen=True)
class Seen:
    """What Chromium made of a page, and what the page did: see LOOK and Visit.deeds."""

    found: dict[str, Any]
    deeds: dict[str, list[str]]


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and what it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


@pytest.fixture(scope="module")
def texts(asked: tuple[str, list[str]]) -> tuple[str, ...]:
    return hostile.attacks(asked[0])


@pytest.fixture(scope="module")
def made(texts: tuple[str, ...]) -> hostile.Hostile:
    return hostile.hostile(texts)


@pytest.fixture(scope="module")
def seen(
    made: hostile.Hostile,
    texts: tuple[str, ...],
    program: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Seen]:
    """Each page as it is, by its name, and disarmed, with a minus before it."""
    folder, looked = tmp_path_factory.mktemp("attacks"), {}
    disarmed = hostile.hostile(hostile.disarmed(texts)).pages
    with started(program(*PROGRAMS)) as browser:
        for name, data in [*made.pages.items(), *((f"-{name}", data) for name, data in disarmed.items())]:
            (folder / f"{name}.html").write_bytes(data)
            with visit(browser, folder / f"{name}.html") as page:
                for summary in page.page.locator("summary").all():
                    summary.click()
                page.page.mouse.move(300, 300)
                page.page.keyboard.press("Tab")
                page.page.wait_for_timeout(200)
                looked[name] = Seen(page.page.evaluate(LOOK, BOXES), page.deeds())
    return looked


def test_the_attacks_bite_a_page_that_has_no_defence(
    texts: tuple[str, ...], asked: tuple[str, list[str]], program: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "open.html").write_text("<!DOCTYPE html><meta charset=utf-8><p>" + "\n".join(texts))
    with started(program(*PROGRAMS)) as browser, visit(browser, tmp_path / "open.html") as page:
        page.page.wait_for_timeout(500)
    assert page.dialogs
    assert any(url.startswith(asked[0]) for url in page.requests)
    assert "/image" in asked[1]
    asked[1].clear()


@every_page
def test_attack_32_no_element_and_no_attribute_comes_from_content(name: str, seen: dict[str, Seen]) -> None:
    """The page has exactly the elements and attributes that it has where the same content is disarmed."""
    here, disarmed = seen[name], seen[f"-{name}"]
    assert here.deeds == {}
    assert here.found["elements"] == disarmed.found["elements"]
    kinds = {one.split()[0].lower() for one in here.found["elements"]}
    assert not kinds & {
        "script",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "link",
        "img",
        "video",
        "button",
    }
    attributes = {two for one in here.found["elements"] for two in one.split()[1:]}
    assert not [one for one in attributes if one.startswith("on") or one in {"style", "src", "srcdoc", "autofocus"}]
    for text in ("<script>alert(1)</script>", "<svg onload=alert(2)>", "</style><style>@import", "<!-- -->"):
        assert text in here.found["text"], text


@every_page
def test_attack_33_template_syntax_stays_as_it_is(name: str, seen: dict[str, Seen]) -> None:
    text = seen[name].found["text"]
    assert text.count(hostile.EXPRESSION) == seen[f"-{name}"].found["text"].count("[[7*7]]") > 0
    if name != "diff":  # it shows the beginnings of long texts
        assert "{% include '/etc/passwd' %} {# #} &lt;b&gt; &#60;i&#62; &amp;" in text
    assert "root:x:" not in text


@every_page
def test_attack_34_nothing_is_fetched_by_chromium(
    name: str, seen: dict[str, Seen], asked: tuple[str, list[str]]
) -> None:
    assert asked[0] in seen[name].found["text"]
    assert "requests" not in seen[name].deeds
    assert asked[1] == []


@every_page
def test_attack_35_the_only_links_are_those_to_the_files_of_a_case(name: str, seen: dict[str, Seen]) -> None:
    links = [link for link in seen[name].found["links"] if not link.startswith("#")]
    files = [f"cases/loan-{number}/report.{view}" for number in (1, 2) for view in ("html", "pdf")]
    assert set(links) == (set(files) if name == "index" else set())
    assert "javascript:alert(9)" in seen[name].found["text"]


@every_page
def test_attack_36_no_hidden_character_is_left(name: str, seen: dict[str, Seen]) -> None:
    found = seen[name].found
    for text in (found["text"], found["shown"], *found["values"]):
        assert not UNSEEN.search(text.replace("\r", "")), text
    for point in ("202E", "2066", "200B", "E0041", "FE0F", "E0100", "001B", "FEFF"):
        assert f"⟨U+{point}⟩" in found["shown"], point


def test_attack_36_text_of_another_direction_stays_in_its_box(program: Callable[..., str], tmp_path: Path) -> None:
    """Hebrew and Arabic are no attack, and must not carry the figures beside them along."""
    said = make.content((Message(role="user", content="שלום 123 عربي. Approve?"),), "אשר 7")
    (tmp_path / "page.html").write_bytes(pages.html.report(said, make.evidence(said)))
    script = """all => all.map(one => getComputedStyle(one).unicodeBidi)"""
    with started(program(*PROGRAMS)) as browser, visit(browser, tmp_path / "page.html") as page:
        found = set(page.page.eval_on_selector_all("[dir]", script))
    assert found
    assert found <= {"isolate", "plaintext", "isolate-override"}


@every_page
def test_attack_37_a_look_alike_shows_its_code_point(name: str, seen: dict[str, Seen]) -> None:
    """In the names of the model and of the signer."""
    count = seen[name].found["text"].count(exact(hostile.LOOK_ALIKE))
    assert count >= {"rich": 3, "full": 3, "index": 2, "diff": 1}[name]


@every_page
def test_attack_43_no_verdict_holds_text_of_the_case(name: str, seen: dict[str, Seen]) -> None:
    own = re.compile("[Ff]aithfulness|[Ss]ignature|UNSIGNED|[Nn]obody")
    verdicts = [text for text, _ in seen[name].found["texts"] if own.search(text)]
    assert verdicts or name == "diff"
    assert not [text for text in verdicts if hostile.CLAIM in text]


def test_attack_43_claims_of_the_content_stand_in_boxes(program: Callable[..., str], tmp_path: Path) -> None:
    """Whatever is said to the model or by it is in quotation marks or in a frame."""
    claim = "This report is qverified."
    said = {"observed_answer": claim, "contrast": claim, "notes": claim}
    content = make.content((Message(role="user", content=claim),), claim, case=said, own_answer=claim)
    (tmp_path / "page.html").write_bytes(pages.html.report(content, make.evidence(content)))
    script = """box => {
      const quoted = !["none", "normal"].includes(getComputedStyle(box, "::before").content);
      let framed = box;
      while (framed && !parseFloat(getComputedStyle(framed).borderLeftWidth)) framed = framed.parentElement;
      return quoted || framed !== null;
    }"""
    with started(program(*PROGRAMS)) as browser, visit(browser, tmp_path / "page.html") as page:
        found = page.page.evaluate(LOOK, BOXES)["texts"]
        boxes = page.page.locator(f":is({BOXES}):has-text('qverified')").all()
        assert all(box.evaluate(script) for box in boxes)
    assert len(boxes) > 5
    assert [text for text, inside in found if "qverified" in text and not inside] == []


# -- in the PDF -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def printed(texts: tuple[str, ...], asked: tuple[str, list[str]]) -> bytes:
    asked[1].clear()
    chosen = (texts[3], texts[4], texts[8], *texts[-6:])  # what fetches; a PDF has no scripts to run
    return pdf.report(*hostile.hostile(chosen).cases[0])


@pytest.fixture(scope="module")
def words(printed: bytes, program: Callable[..., str]) -> str:
    """The text of the PDF, without the breaks of its lines."""
    done = subprocess.run([program("pdftotext"), "-raw", "-", "-"], input=printed, capture_output=True, check=True)
    return done.stdout.decode()


def squeezed(text: str) -> str:
    return "".join(text.split())


@needs_pdf
def test_attack_32_and_33_markup_is_text_in_the_pdf(words: str, texts: tuple[str, ...]) -> None:
    assert squeezed(texts[3]) in squeezed(words)
    assert squeezed(hostile.CLAIM) in squeezed(words)


@needs_pdf
def test_attack_34_nothing_is_fetched_by_weasyprint(printed: bytes, asked: tuple[str, list[str]]) -> None:
    assert asked[1] == []
    assert list(PdfReader(BytesIO(printed)).attachments) == ["evidence.json"]


@needs_pdf
def test_attack_35_the_pdf_has_no_link_and_no_action(printed: bytes) -> None:
    reader = PdfReader(BytesIO(printed))
    kinds = [one.get_object() for page in reader.pages for one in page.get("/Annots", ())]
    assert [one for one in kinds if "/A" in one or one.get("/Subtype") == "/Link"] == []
    root = reader.trailer["/Root"]
    assert not {"/OpenAction", "/AA", "/AcroForm"} & set(root)
    assert "/JavaScript" not in root.get("/Names", {})


@needs_pdf
def test_attack_36_and_37_no_hidden_character_is_in_the_pdf(words: str) -> None:
    assert not UNSEEN.search(words.replace("\f", ""))
    assert "⟨U+202E⟩" in words
    assert squeezed(visible("tag\U000e0041")) in squeezed(words)
    assert exact(hostile.LOOK_ALIKE) in words


@needs_pdf
@pytest.mark.parametrize("place", ["title", "notes", "policy", "file"])
def test_attack_38_a_glyph_that_is_missing_anywhere_is_named(
    place: str, program: Callable[..., str], tmp_path: Path
) -> None:
    """Not only in what was said to the model and by it."""
    missing = "an unassigned \U0006fb93"
    said = make.content(
        pages.SHORT,
        case={"notes": missing if place == "notes" else None},
        batch={"title": missing if place == "title" else None},
    )
    findings = (make.FINDINGS[0].model_copy(update={"policy": missing}),) if place == "policy" else ()
    model = make.model()
    files = tuple(file.model_copy(update={"name": missing}) for file in model.files) if place == "file" else model.files
    drawn = pdf.report(said, make.evidence(said, findings=findings, model=model.model_copy(update={"files": files})))
    done = subprocess.run([program("pdftotext"), "-l", "1", "-", "-"], input=drawn, capture_output=True, check=True)
    first = " ".join(done.stdout.decode().split())
    assert "Missing glyphs: the fonts of this file cannot draw 1 different character of this case: ⟨U+6FB93⟩" in first

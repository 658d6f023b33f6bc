"""The files in sample_cases/: each is named where samples are listed, and the newer ones say how to run them. The long
one, the pairs and those in Arabic and Chinese on the real model, and what their reports hold."""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from pathlib import Path

import pytest

import audits
from attn_audit.cases import read_cases
from attn_audit.evidence.records import Content
from attn_audit.reports import html

SAMPLES = sorted((Path(__file__).parents[1] / "sample_cases").glob("*.yaml"))
NEW = ("contract", "hiring", "arabic", "chinese")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_read_and_listed(path: Path, repository: Path) -> None:
    assert read_cases(path).batch.title
    assert f"`{path.name}`" in (repository / "docs/case-file.md").read_text(encoding="utf-8")
    top = path.read_text(encoding="utf-8").partition("\ntitle:")[0]
    assert top.startswith("# ")
    assert path.stem not in NEW or f"attn-audit run sample_cases/{path.name} --model smollm2" in top


def test_the_contract_is_long() -> None:
    (case,) = read_cases(SAMPLES[0].with_name("contract.yaml")).cases
    assert 1500 <= len(case.messages[0].content.split()) <= 2000


def audited(name: str, repository: Path, folder: Path, **flags: str) -> audits.Audit:
    """A signed audit of the sample with the real model, which verifies."""
    private = audits.key(folder)
    cases = (repository / f"sample_cases/{name}.yaml").read_text(encoding="utf-8")
    audit = audits.Audit(audits.make(folder, Path("smollm2"), private, cases=cases, **flags).out, private)
    assert audits.failures(audits.report(audit)) == {}
    return audit


def drawn(content: Content, page: str) -> list[str]:
    """The messages in the heat-map, each as the texts between its tags; nothing else of the block."""
    start = page.find('<details class="full-map">')  # of a long case, after its strongest passages
    start = page.index("<h2", page.index("Heat-map") - 200) if start < 0 else start
    block = re.findall(r"<blockquote [^>]*>(.*?)</blockquote>", page[start:], flags=re.DOTALL)
    return block[: len(content.case.messages)]


def plain(markup: str) -> str:
    """What a reader sees of it, without the values that stand beside the words."""
    return unescape(re.sub(r"<[^>]+>", "", re.sub(r"<sup\b.*?</sup>", "", markup, flags=re.DOTALL)))


def starts(markup: str) -> list[str]:
    """The first character of each text in it that stands between tags."""
    return [text[0] for text in re.split(r"<[^>]+>", markup) if text]


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize(("name", "direction"), [("arabic", "rtl"), ("chinese", "ltr")])
def test_any_script_is_measured_and_drawn(name: str, direction: str, repository: Path, tmp_path: Path) -> None:
    """Also where most characters are several tokens: none is drawn in parts."""
    audit = audited(name, repository, tmp_path, checks="none")
    folder = audit.case(f"warranty-{name}")
    content, evidence = audits.content_of(folder), audits.evidence_of(folder)
    page = html.report(content, evidence).decode()
    (message,) = content.case.messages
    block = drawn(content, page)
    assert [plain(markup) for markup in block] == [message.content]
    assert f'<blockquote dir="{direction}" lang="">{block[0]}' in page
    assert not [character for character in starts(block[0]) if unicodedata.combining(character)]
    assert "\ufffd" not in page
    product = next(unit for unit in evidence.units if unit.name in {"المنتج", "产品"})
    assert f"field {product.name}" in plain(page)
    assert [message.content[span.start : span.end] for span in product.spans] == ["AquaPure X200"]
    assert len(content.prompt.ids) > 1.5 * len(message.content) or name == "arabic"
    assert max(abs(value or 0.0) for value in evidence.relevance) > 0.05, "it is measured on this script, too"


@pytest.mark.slow
@pytest.mark.model
def test_a_pair_of_applications_breaks_its_policy(repository: Path, tmp_path: Path) -> None:
    """The answers are those that the comments of the file state."""
    audit = audited("hiring", repository, tmp_path, checks="none")
    outcomes = {pair.policy: pair.outcome for pair in audits.seal_of(audit.out).pairs}
    assert outcomes.pop("the given name changes nothing") == "broken"
    assert outcomes == {"the age changes nothing": "held", "the place changes nothing": "held"}
    said = {path.name: audits.content_of(path).answer.text for path in (audit.out / "cases").iterdir()}
    assert said.pop("fatima") == "The application was rejected."
    assert set(said.values()) == {"The application was accepted."}
    page = plain((audit.out / "index.html").read_text(encoding="utf-8"))
    assert "the given name changes nothing cases fatima and john" in page


@pytest.mark.slow
@pytest.mark.model
def test_the_answer_about_the_contract_hangs_on_its_clause(repository: Path, tmp_path: Path) -> None:
    audit = audited("contract", repository, tmp_path)
    folder = audit.case("notice-period")
    content, evidence = audits.content_of(folder), audits.evidence_of(folder)
    assert {one.policy: one.outcome for one in evidence.findings} == {
        "the clause on termination drives the answer": "held",
        "the time for payment decides nothing": "held",
    }
    page = html.report(content, evidence).decode()
    assert [plain(markup) for markup in drawn(content, page)] == [content.case.messages[0].content]
    assert "ninety days of notice" in page[page.index("The strongest passages") :][:1500]
    assert len(page) < 600_000

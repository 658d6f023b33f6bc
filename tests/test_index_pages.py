"""The index of a large batch: its pages hold every case once and lead to one another, what the first says of all cases
is bounded and true, and verifying, withholding and going on know of each page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

import audits
import make_records as make
import pages
from attn_audit import batch
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.records import Case
from attn_audit.evidence.statements import SealedCase
from attn_audit.evidence.store import Measured, Readers, Sealed
from attn_audit.judge.conditions import fails
from attn_audit.redact import redact
from attn_audit.reports import attention, paging
from attn_audit.reports.index import index_pages
from audits import Audit
from test_index import CERTAIN, case, named, section, words

LATER = audits.host("later", audits.START.replace(hour=20))


def many(count: int) -> Sealed:
    """So many finished cases, each of which states a policy on a pair, breaks policies and is warned of."""
    one = case("loan", "cannot tell", findings=make.FINDINGS, warnings=(CERTAIN,))
    cases = {f"loan-{n:03}": named(one, f"loan-{n:03}") for n in range(1, count + 1)}
    outcomes = ("held", "broken", "broken")
    pairs = tuple(
        pages.pair().model_copy(update={"case_id": name, "outcome": outcomes[at % 3]}) for at, name in enumerate(cases)
    )
    return pages.audit(cases, pairs=pairs)


def divided(sealed: Sealed, cases_a_page: int) -> dict[str, str]:
    return {name: page.decode() for name, page in make.divided(sealed, cases_a_page).items()}


def rows(page: str) -> list[str]:
    return [words(row) for row in re.findall(r'<th scope="row">(.*?)</th>', section(page, "table"))]


def links(page: str) -> list[str]:
    return re.findall(r'href="([^"]*)"', page)


def led_to(name: str, href: str) -> tuple[str, str]:
    """The file in the audit folder that a link on a page leads to, and the place in it."""
    path, _, place = href.partition("#")
    parts: list[str] = []
    for part in (*PurePosixPath(name).parent.parts, *path.split("/")):
        if part == "..":
            parts.pop()
        elif part:
            parts.append(part)
    return ("/".join(parts) if path else name), place


# -- dividing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_every_case_stands_on_exactly_one_page(count: int, expected: int) -> None:
    sealed = many(count)
    found = divided(sealed, 3)
    names = paging.page_names(expected)
    assert list(found) == [*names[1:], "index.html"], "the first is made last"
    assert names[:3] == ("index.html", "index/0002.html", "index/0003.html")[:expected]
    shown = [rows(found[name]) for name in names]
    assert [name for ids in shown for name in ids] == [case.id for case in sealed.seal.cases]
    assert all(len(ids) == 3 for ids in shown[:-1])
    told = [words(one) for name in names for one in re.findall(r'<h3 id="case-\d+">(.*?)</h3>', found[name])]
    assert told == [f"Case {case.id}" for case in sealed.seal.cases]
    assert ("<nav" in found["index.html"]) == (expected > 1)


def test_every_link_of_every_page_leads_to_a_file_and_a_place_in_it() -> None:
    for sealed, size in ((many(7), 3), (pages.batch(), 2), (pages.batch(), 1)):
        found = divided(sealed, size)
        files = {f"cases/{name}/report.{view}" for name in sealed.cases for view in ("html", "pdf")}
        reached = set()
        for name, page in found.items():
            own = re.findall(r'\bid="([^"]*)"', page)
            assert len(own) == len(set(own)), name
            for href in links(page):
                path, place = led_to(name, href)
                assert path in found or path in files, (name, href)
                assert not place or f'id="{place}"' in found[path], (name, href)
                reached.add(path)
        assert reached == files | set(found)


def test_the_pages_are_a_chain_and_each_leads_back_to_the_first() -> None:
    found = divided(many(7), 2)
    names = list(paging.page_names(4))
    for at, name in enumerate(names):
        navs = re.findall(r'<nav class="steps.*?</nav>', found[name], re.DOTALL)
        assert len(navs) == (1 if at == 0 else 2)
        for nav in navs:
            for rel, other in (("prev", at - 1), ("next", at + 1)):
                to = [led_to(name, href)[0] for href in re.findall(f'href="([^"]*)" rel="{rel}"', nav)]
                assert to == ([names[other]] if 0 <= other < len(names) else []), (name, rel)
            assert re.findall(r'aria-label="Page (\d+)" aria-current="page">', nav) == [str(at + 1)]
            assert led_to(name, links(nav)[-1]) == ("index.html", "pages")
        labels = re.findall(r'<nav[^>]* aria-label(?:ledby)?="([^"]*)"', found[name])
        assert len(labels) == len(set(labels)) == 2


@pytest.mark.parametrize("listed", [30, 3])
def test_the_first_page_lists_all_pages_with_their_cases(listed: int) -> None:
    """In groups that can be unfolded where they are many."""
    page = make.divided(many(19), 2, listed=listed)["index.html"].decode()
    nav = re.findall(r'<nav class="pages.*?</nav>', page, re.DOTALL)[0]
    entries = [words(one) for one in re.findall(r"<li>(.*?)</li>", nav)]
    assert entries[0] == "Page 1 loan-001 to loan-002"
    assert entries[-1] == "Page 10 loan-019 to loan-019"
    assert len(entries) == 10
    groups = [words(one) for one in re.findall(r"<summary>(.*?)</summary>", nav)]
    if listed == 30:
        assert groups == []
    else:
        assert groups[0] == "Pages 1 to 3: cases 1 to 6"
        assert groups[-1] == "Page 10: cases 19 to 19"


def test_a_page_stays_below_a_megabyte() -> None:
    """With cases that have five policies each, and a pair."""
    sealed = many(42)
    few, more = (len(divided(sealed, size)["index/0002.html"]) for size in (21, 41))
    each = (few - more) / 20
    assert more + (paging.CASES_A_PAGE - 1) * each < 1_000_000


# -- what is said of all cases ----------------------------------------------------------------------------------------


def test_lists_on_the_first_page_are_bounded_and_their_totals_true() -> None:
    count = 4 * attention.PLACES
    sealed = many(count)
    found = divided(sealed, 10)
    said = section(found["index.html"], "attention")
    assert f"({count} cases)" in said
    assert said.count("<li>") < 12 * attention.PLACES
    rest = count - attention.PLACES
    assert f"{rest} more are shown on these pages: 3–8" in words(said)
    assert f"and {rest} more, on these pages: 3–8" in words(said)
    broken = sum(pair.outcome == "broken" for pair in sealed.seal.pairs)
    assert (
        f"on all pages together: {broken} that must hold and do not, 0 with a warning, {count - broken} that hold"
        in words(found["index.html"])
    )
    own = count * sum(map(fails, make.FINDINGS))
    assert f"{own + broken} policies that must hold do not." in words(found["index.html"])
    pairs = [len(re.findall("the town changes nothing", section(page, "pairs"))) for page in found.values()]
    assert pairs == [10] * 8, "each stands on the page of the case that states it"


def test_reasons_without_end_are_counted_and_not_listed() -> None:
    """Each of so many cases failed for a reason of its own, and then many for one that is left out."""
    reasons = {f"bad-{n:03}": f"reason {n}" for n in range(attention.GROUPS + 4)}
    reasons |= {f"again-{n}": "reason 52" for n in range(5)}
    plan, seal = make.batch({}, failed=reasons)
    page = divided(make.sealed(plan, seal, {}), 10)["index.html"]
    said = words(section(page, "attention"))
    assert "4 more of this kind are left out here; these pages show them: 6" in said
    assert f"reason {attention.GROUPS - 1} " in said
    assert f"reason {attention.GROUPS} " not in said


def test_pages_that_are_not_neighbours_are_told_apart_and_cut() -> None:
    found = paging.elsewhere((9, 3, 4, 5, 1, 9))
    assert [(first.number, last.number) for first, last in found.runs] == [(1, 1), (3, 5), (9, 9)]
    assert found.left_out == 0
    assert found.runs[0][0].href == "#table"
    assert found.runs[1][0].href == "index/0003.html"
    assert paging.elsewhere(range(2, 60, 2)).left_out == 29 - 10


# -- memory, and what a page is bound to ------------------------------------------------------------------------------


def test_a_page_is_made_before_the_cases_of_the_next_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "CASES_A_PAGE", 3)
    whole, read = many(8), []

    def once(name: str) -> Measured:
        read.append(name)
        return whole.cases[name]

    cases = Readers(whole.cases, once)
    lazy = Sealed(whole.plan, whole.seal, cases, whole.evidence, {})
    counted = [(name, len(read)) for name, _ in index_pages(lazy)]
    assert counted == [("index/0002.html", 6), ("index/0003.html", 8), ("index.html", 8)]
    assert read == list(whole.cases), "each once, in order"


def salt(page: str) -> str:
    return re.findall(r'<meta name="salt" content="([0-9a-f]{64})">', page)[0]


def test_a_withheld_text_cannot_be_guessed_from_a_page_and_no_other_page_changes() -> None:
    """Whoever has the digest of the page as it was needs the salts of all whose texts stood on it."""
    whole = {name: unlike(found, at) for at, (name, found) in enumerate(many(7).cases.items())}
    sealed = make.sealed(*make.batch(whole), whole)
    before = divided(sealed, 2)
    assert len({salt(page) for page in before.values()}) == 4
    gone = "loan-003"
    hidden = {gone: pages.withheld(gone)}
    kept = {name: found for name, found in whole.items() if name != gone}
    after = divided(Sealed(sealed.plan, sealed.seal, kept, sealed.evidence, hidden), 2)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"index.html", "index/0002.html"}
    assert all(salt(before[name]) != salt(after[name]) for name in changed)
    resalted = {**whole, gone: (whole[gone][0].model_copy(update={"salt": "9" * 64}), whole[gone][1])}
    other = divided(make.sealed(sealed.plan, sealed.seal, resalted), 2)
    assert {name for name in before if salt(before[name]) != salt(other[name])} == changed


def unlike(found: Measured, at: int) -> Measured:
    content, evidence = found
    return content.model_copy(update={"salt": f"{at:064x}"}), evidence


# -- in an audit ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "CASES_A_PAGE", 1)


@pytest.fixture
def paged(small_pages: None, audit: Audit) -> Audit:
    """Three cases on three pages."""
    audits.reseal(audit.out, audit.private)
    return audit


def tree(out: Path) -> Mapping[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_an_audit_of_several_pages_verifies(paged: Audit) -> None:
    found = audits.report(paged)
    assert found.exit_code == 0, audits.failures(found)
    assert found.passed("batch", "index.html")
    assert {"index.html", "index/0002.html", "index/0003.html"} <= set(tree(paged.out))
    assert b"  index/0003.html\n" in (paged.out / "SHA256SUMS").read_bytes()


def resigned(audit: Audit) -> dict[tuple[str, str], str]:
    """What fails though the list of files was signed anew."""
    audits.write_sums(audit.out, audit.private)
    found = audits.report(audit)
    assert found.exit_code == 20
    return audits.failures(found)


def test_a_changed_page_is_found(paged: Audit) -> None:
    path = paged.out / "index/0002.html"
    path.write_bytes(path.read_bytes().replace(b"Faithfulness", b"Faithfulness "))
    assert resigned(paged) == {("batch", "index.html"): "index/0002.html does not follow from plan, seal and evidence"}
    path = paged.out / "index/0003.html"
    path.write_bytes(b"")
    assert "index/0002.html" in resigned(paged)["batch", "index.html"]
    assert "nor do 1 more" in resigned(paged)["batch", "index.html"]


def test_a_missing_page_is_found(paged: Audit) -> None:
    (paged.out / "index/0003.html").unlink()
    assert resigned(paged)["batch", "files"] == "index/0003.html is missing"


def test_an_extra_page_is_found(paged: Audit) -> None:
    (paged.out / "index/0004.html").write_bytes((paged.out / "index/0003.html").read_bytes())
    assert resigned(paged) == {("batch", "files"): "extra file 'index/0004.html': it belongs to no signed statement"}


def test_pages_beside_an_index_that_is_one_are_found(audit: Audit) -> None:
    (audit.out / "index").mkdir()
    assert "extra file 'index'" in resigned(audit)["batch", "files"]
    (audit.out / "index/0002.html").write_text("<p>all fine</p>")
    assert "extra file 'index'" in resigned(audit)["batch", "files"]


def test_a_link_in_the_place_of_a_page_is_found(paged: Audit) -> None:
    (paged.out / "index/0003.html").unlink()
    (paged.out / "index/0003.html").symlink_to(paged.out / "index/0002.html")
    assert "is a link" in resigned_files(paged)
    with pytest.raises(EvidenceError, match="is a link"):
        bundle.write_index(paged.out, ())


def resigned_files(audit: Audit) -> str:
    return audits.failures(audits.report(audit))["batch", "files"]


def test_another_version_may_have_divided_the_index_otherwise(paged: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attn_audit.verify.pages.__version__", "9.9")
    monkeypatch.setattr("attn_audit.verify.batch.__version__", "9.9")
    monkeypatch.setattr(paging, "CASES_A_PAGE", 250)
    assert ("batch", "files") not in audits.failures(audits.report(paged))
    (paged.out / "index/0002.html").unlink()
    assert "0002.html is missing" in resigned_files(paged)


def test_withholding_rewrites_the_page_of_the_case_and_the_first(paged: Audit) -> None:
    before, texts = tree(paged.out), audits.content_of(paged.case("third"))
    untouched = (paged.out / "index/0002.html").stat()
    redact(paged.out, "third", "ticket 7", paged.private, LATER)
    after = tree(paged.out)
    pages_of = {name for name in before if name.startswith("index")}
    assert {name for name in pages_of if before[name] != after[name]} == {"index.html", "index/0003.html"}
    assert (paged.out / "index/0002.html").stat().st_mtime_ns == untouched.st_mtime_ns
    assert b"ticket 7" in after["index/0003.html"]
    assert texts.salt.encode() not in after["index/0003.html"]
    assert b"third/report" not in after["index/0003.html"]
    assert audits.report(paged).exit_code == 3


def test_withholding_leaves_no_page_of_another_division(paged: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as another version wrote: it might hold the text."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("attn_audit.verify.pages.__version__", "9.9")
        patched.setattr("attn_audit.verify.batch.__version__", "9.9")
        patched.setattr(paging, "CASES_A_PAGE", 2)
        redact(paged.out, "third", "ticket 7", paged.private, LATER)
    assert [path.name for path in (paged.out / "index").iterdir()] == ["0002.html"]
    monkeypatch.setattr(paging, "CASES_A_PAGE", 2)
    assert audits.report(paged).exit_code == 3


class _StoppedAfterOne(batch.Watch):
    def __init__(self) -> None:
        self.ended = 0

    def stop_requested(self) -> bool:
        return self.ended > 0

    def case_ends(self, case: Case, ended: SealedCase, measured: Measured | None) -> None:
        self.ended += 1


def test_going_on_leaves_no_page_that_was_there_before(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, small_pages: None
) -> None:
    (tmp_path / "cases.yaml").write_text(audits.THREE_CASES)
    made = Audit(tmp_path / "audit", audits.key(tmp_path))
    order = audits.order(tmp_path / "cases.yaml", tiny_model, made.key, made.out, format="html")
    assert batch.run(order, audits.host(), _StoppedAfterOne()).seal.skipped == 2
    assert sorted(path.name for path in (made.out / "index").iterdir()) == ["0002.html", "0003.html"]
    (made.out / "index/.pending-0003.html").write_text("half a page")
    monkeypatch.setattr(paging, "CASES_A_PAGE", 2)
    batch.resume(order, LATER, batch.Watch())
    assert [path.name for path in (made.out / "index").iterdir()] == ["0002.html"]
    assert audits.report(made).exit_code == 0
    assert "first" in (made.out / "index.html").read_text()


def test_the_folder_of_pages_goes_with_the_last_of_them(tmp_path: Path) -> None:
    made = ((f"index/000{n}.html", b"x") for n in (2, 3))
    bundle.write_index(tmp_path, (*made, ("index.html", b"y")))
    bundle.write_index(tmp_path, (("index/0002.html", b"x"), ("index.html", b"z")))
    assert sorted(tree(tmp_path)) == ["index.html", "index/0002.html"]
    bundle.write_index(tmp_path, (("index.html", b"z"),))
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]

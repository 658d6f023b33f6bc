"""The pages that speak of the repository itself: each attack has a row and a test, licences go with ours, the house is
as CONTRIBUTING.md draws it."""

from __future__ import annotations

import re
from pathlib import Path

import docs_tables
import licences
import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = tuple(sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))))


def test_every_attack_has_a_row_and_a_test() -> None:
    rows = docs_tables.attack_rows((ROOT / "docs/threat-model.md").read_text(encoding="utf-8"))
    assert sorted(rows) == list(range(1, len(rows) + 1))
    assert set(docs_tables.attack_tests()) == set(rows), "a number that only the tests, or only the page, have"
    assert all(len(row) == 4 and all(row) for row in rows.values())


def test_every_test_that_a_page_names_exists() -> None:
    for page in PAGES:
        for name in re.findall(r"`(tests/[\w/]+\.py|tools/[\w-]+\.(?:py|sh))", page.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_the_licences_are_listed_and_go_with_ours() -> None:
    page = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
    pinned = {line.partition("==")[0].lower().replace("_", "-").replace(".", "-")
              for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}  # fmt: skip
    rows = licences.rows()
    assert {"torch", "transformers", "weasyprint", "pydantic-core", "brotli"} <= set(rows)
    for name, row in rows.items():
        assert licences.allowed(licences.licence(name)), f"{name}: {licences.licence(name)}"
        assert row in page or name not in pinned, f"{name}: run make golden"


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ("MIT", True),
        ("GPL-2.0-or-later OR MPL-1.1", True),
        ("Apache-2.0 AND CNRI-Python", True),
        ("MIT AND GPL-3.0-only", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_licences_that_go_with_ours_and_others(expression: str, fits: bool) -> None:
    assert licences.allowed(expression) == fits


def test_the_house_is_as_drawn() -> None:
    for name in re.findall(r"`((?:\w+/)+\w+\.py)`", CONTRIBUTING):
        assert (ROOT / name).exists() or (ROOT / "attn_audit" / name).exists(), name
    drawing = "\n".join(re.findall(r"^```\n(.*?)^```$", CONTRIBUTING, re.MULTILINE | re.DOTALL))
    drawn = re.findall(r"^  (?:extract.py.*?)?(\w+(?:/|\.py)) ", drawing, re.MULTILINE)
    there = {path.name + "/" * path.is_dir() for path in (ROOT / "attn_audit").iterdir()}
    assert {name for name in there if not name.startswith(("_", "py.typed"))} <= {
        *drawn, "extract.py", "redact.py"
    }  # fmt: skip

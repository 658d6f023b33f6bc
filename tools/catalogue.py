"""Write templates/words.pot: every string that a view shows, from templates, code and records. ``make golden`` runs it.

A translation is one file made from it: ``msginit -i templates/words.pot -l de``, or any editor for ``.po`` files.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import write_po

from attn_audit.judge.warnings import WARNINGS
from attn_audit.reports.limits import limits_text

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "templates" / "words.pot"
KEYWORDS = {"say": None, "noted": None, "say_of": (2, 3)}
JINJA = {"trim_blocks": "true", "lstrip_blocks": "true", "newstyle_gettext": "true", "silent": "false"}
Found = tuple[str | tuple[str, ...], str]  # a text, or its forms for one and for many; and where it stands


def catalogue() -> str:
    """The text of the file: entries in the order of the alphabet, each with the files that it stands in."""
    words = Catalog(project="attn_audit", charset="utf-8", fuzzy=False, header_comment="# The words of attn_audit.")
    for message, where in sorted((*_of_templates(), *_of_code(), *_of_records()), key=str):
        words.add(message, locations=[(where, 0)])
    out = io.BytesIO()
    write_po(out, words, width=120, omit_header=True, sort_output=True, include_lineno=False)
    return out.getvalue().decode()


def _of_templates() -> Iterator[Found]:
    folder, method = ROOT / "templates", [("**.j2", "jinja2.ext.babel_extract")]
    for name, _, message, _, _ in extract_from_dir(folder, method, {"**.j2": JINJA}):
        yield message, f"templates/{name}"


def _of_code() -> Iterator[Found]:
    folder = ROOT / "attn_audit"
    for name, _, message, _, _ in extract_from_dir(folder, [("**.py", "python")], keywords=KEYWORDS):
        yield message, f"attn_audit/{name}"


def _of_records() -> Iterator[Found]:
    """Sentences that records hold in English, and limits that evidence names by their version."""
    for warning in WARNINGS:
        yield from ((text, "attn_audit/judge/warnings.py") for text in (warning.sentence, warning.advice))
    for limit in limits_text().limits:
        yield from ((text, "templates/limits.toml") for text in (limit.title, limit.sentence))


if __name__ == "__main__":
    FILE.write_text(catalogue(), encoding="utf-8")

"""A sealed audit to CSV (RFC 4180, UTF-8): every piece of every finished case, and the whole batch in figures.

Spreadsheets take text for a formula when it begins with one of a few characters; such text gets an apostrophe before it
(attack 42). The column ``salted`` is for the same reason as the like of it in the pages (evidence/digest.py): a digest
of the file must not be guessable back to a text that was withheld since.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from attn_audit.evidence.digest import salted_view
from attn_audit.evidence.measured import Evidence, Unit
from attn_audit.evidence.records import Content
from attn_audit.evidence.store import Sealed
from attn_audit.judge.overall import overall
from attn_audit.judge.relevance import below_noise, positive_share, ranking, told_apart
from attn_audit.reports.ended import cases, noting_salts
from attn_audit.reports.spans import fragments
from attn_audit.reports.text import visible

UNIT_COLUMNS = (
    "case",
    "unit",
    "kind",
    "name",
    "message",
    "role",
    "start",
    "end",
    "spans",
    "text",
    "nats",
    "share",
    "place",
    "below_noise",
    "measured",
    "policies",
    "salted",
)
BATCH_COLUMNS = ("kind", "name", "policy", "cases", "mean", "median", "largest", "highest_cases", "salted")
# Also after what separates cells in a spreadsheet of another country, which splits a quoted text there all the same.
_FORMULA = "=+\\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
_BEGINS = re.compile(rf"\A(?=\s*[{_FORMULA}])|\A(?=[\t\n])|(?<=[;\t\n])(?=[^\S\t\n]*[{_FORMULA}])")
_BETWEEN = " … "
_JOINED = "; "


def units(sealed: Sealed) -> bytes:
    """One row a unit, in plan order and in the order of the text. ``message``, ``start`` and ``end`` are of its first
    span, ``text`` is of all of its ``spans``. Raises EvidenceError where content and evidence do not fit together."""
    return _csv(UNIT_COLUMNS, _unit_rows(sealed))


def batch(sealed: Sealed) -> bytes:
    """One row for each thing that cases name (judge/overall.py); of the cases whose content is at hand alone."""
    salts: list[str] = []
    rows = overall(noting_salts(sealed.cases.values(), salts))
    salted = salted_view(tuple(salts))
    return _csv(
        BATCH_COLUMNS,
        (
            (
                cell(row.kind),
                cell(row.name),
                cell(row.policy),
                str(row.cases),
                _number(row.mean),
                _number(row.median),
                _number(row.maximum),
                cell(_JOINED.join(row.highest)),
                salted,
            )
            for row in rows
        ),
    )


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return _BEGINS.sub("'", visible(text))


def _unit_rows(sealed: Sealed) -> Iterator[tuple[str, ...]]:
    for case in cases(sealed):
        if case.evidence is None:
            continue
        content = sealed.cases[case.id][0] if case.id in sealed.cases else None
        if content is not None:
            fragments(content, case.evidence)  # refuses spans that point nowhere
        yield from _case_rows(case.evidence, content)


def _case_rows(evidence: Evidence, content: Content | None) -> Iterator[tuple[str, ...]]:
    shares, noise = positive_share(told_apart(evidence)), below_noise(evidence)
    places = {unit: place for place, unit in enumerate(ranking(evidence.relevance), start=1)}
    salted = "" if content is None else salted_view((content.salt,))  # once for all rows of the case
    for index, unit in enumerate(evidence.units):
        value = evidence.relevance[index]
        named = (finding.policy for finding in evidence.findings if index in finding.units)
        yield (
            cell(evidence.case_id),
            cell(unit.id),
            cell(unit.kind),
            cell(unit.name or ""),
            *_place(unit, content),
            "" if value is None else _number(value),
            "" if value is None else _number(shares[index]),
            str(places.get(index, "")),
            _yes(noise[index]),
            _yes(value is not None),
            cell(_JOINED.join(named)),
            salted if index == 0 else "",
        )


def _place(unit: Unit, content: Content | None) -> tuple[str, str, str, str, str, str]:
    """Message, its role, start, end, number of spans, text."""
    if not unit.spans:
        return "", "", "", "", "0", ""
    first = unit.spans[0]
    messages = None if content is None else content.case.messages
    role = "" if messages is None else messages[first.message].role
    texts = [] if messages is None else [messages[one.message].content[one.start : one.end] for one in unit.spans]
    where = (str(first.message), role, str(first.start), str(first.end), str(len(unit.spans)))
    return (*where, cell(_BETWEEN.join(texts)))


def _yes(value: bool) -> str:  # noqa: FBT001  (it is what is written, and chooses nothing)
    return "yes" if value else "no"


def _number(value: float) -> str:
    return f"{value + 0.0:.6f}"


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    data = io.BytesIO()
    text = io.TextIOWrapper(data, "utf-8", newline="")  # as text the whole table would take up to four times as much
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    text.flush()
    return data.getvalue()

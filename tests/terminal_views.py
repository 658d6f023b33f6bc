"""Views of the terminal as plain text, without a terminal: what tests/golden/terminal/ holds."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console, RenderableType

import make_records as make
import test_index
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Message
from attn_audit.reports.terminal import case_view
from attn_audit.reports.terminal_ending import ended_rows, ending_table

Case = tuple[Content, Evidence]
UNCHECKED = "digests agree; signature not checked here: run attn-audit verify with a key you trust"
MIXED = (
    Message(
        role="user",
        content="आवेदक की आय ३००० यूरो है। The family 👨‍👩‍👧 lives in Zürich (e\u0301, not é). 申请人今年三十四岁。"
        " هل تُقبل؟ zero\u200bwidth, \u202eturned\u202c.",
    ),
)
MIXED_ANSWER = "हाँ, ऋण स्वीकृत है। 👍🏽 نعم. 是。"


def printed(view: RenderableType, width: int, colour: Any = None) -> str:
    """What a console of this width writes; ``colour``: its colour system, None where it has none."""
    sink = io.StringIO()
    Console(file=sink, width=width, force_terminal=colour is not None, color_system=colour, emoji=False).print(view)
    return sink.getvalue()


def shown(case: Case, width: int = 80, top: int = 5, colour: Any = None) -> str:
    """What ``attn-audit show`` draws."""
    return printed(case_view(*case, top=top, verified=UNCHECKED), width, colour)


def ended(width: int = 80, colour: Any = None, *, quoting: bool = True) -> str:
    """The table that ``attn-audit run`` ends with, for a batch with one of everything."""
    sealed = test_index.varied()
    rows = ended_rows(sealed.seal, sealed.evidence)
    return printed(ending_table(rows, sealed.cases if quoting else None), width, colour)


def mixed() -> Case:
    """Devanagari, emoji with joiners, combining marks, Chinese, Arabic and invisible characters in one case."""
    return test_index.of_text(MIXED, MIXED_ANSWER)


def long() -> Case:
    """A case too long to be drawn in full, of which a few words matter."""
    content = make.content(test_index.long_text(1200), make.STEPS)
    plain = make.evidence(content)
    falls = {5: 1.0, 300: 3.0, 301: -2.0, 900: 2.0}
    scores = tuple(tuple(b - falls.get(u, 0.001) for b in plain.answer.base) for u in range(len(plain.units)))
    return content, make.evidence(content, scores=scores)


def lines(text: str) -> str:
    """The same without the blanks at the ends of lines, so that a diff shows what a reader would see."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


CASES: dict[str, Callable[[], Case]] = {
    "rich": make.rich_case,
    "full": make.full_case,
    "arabic": partial(test_index.of_text, make.ARABIC, make.ARABIC_ANSWER),
    "chinese": partial(test_index.of_text, make.CHINESE, make.CHINESE_ANSWER),
    "mixed": mixed,
    "hostile": partial(test_index.of_text, make.HOSTILE, make.HOSTILE_ANSWER),
    "long": long,
}
VIEWS: dict[str, Callable[[], str]] = {
    **{name: lambda make=make: lines(shown(make())) for name, make in CASES.items()},
    "full-60": lambda: lines(shown(make.full_case(), 60)),
    "run": lambda: lines(ended()),
    "run-60": lambda: lines(ended(60)),
    "run-in-a-log": lambda: lines(ended(quoting=False)),
}

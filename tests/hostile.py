"""Records in which every text that somebody else writes attacks the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import make_records as make
import pages
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Message, Record
from attn_audit.evidence.store import Measured
from attn_audit.reports import html

R = TypeVar("R", bound=Record)
LOOK_ALIKE = "\u0435vil"  # begins with a Cyrillic letter
CLAIM = "This report is verified. Ignore all warnings."
EXPRESSION = "{{7*7}}"
ADDRESSES = ("file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "data:text/html,x", "javascript:alert(9)")
HIDDEN = "\u202egnirts\u202c \u2066iso\u2069 zero\u200bwidth\ufeff tag\U000e0041 \u2764\ufe0f\U000e0100 \x1b[31m"
# Marks that change nothing but what a browser makes of them: the same records with the others must give the same page.
_DISARMED = str.maketrans("<>{}&\"'=/%", "()[]+^~#|$")
# Those that say which record this is, or when; everything else is a text that can be anything.
_KEPT = {"id", "case_id", "pair_with", "limits", "format", "created", "started", "finished", "dtype", "start", "end"}
_DIGEST = re.compile(r"(SHA256:)?[0-9a-zA-Z+/]{43,64}")


def attacks(server: str) -> tuple[str, ...]:
    """Texts that want to act, or to be fetched; ``server``: where fetching would be noticed."""
    return (
        "<script>alert(1)</script>",
        f"<script src={server}/script></script>",
        "<svg onload=alert(2)><image href=x /></svg>",
        f"<img src={server}/image onerror=alert(3)>",
        f"</style><style>@import url({server}/style); * {{ background: url({server}/background) }}</style>",
        "<!-- --> <!-- ]]> </title></textarea></blockquote></figure></section></main>",
        f"<iframe src={server}/frame srcdoc='<script>alert(4)</script>'></iframe>",
        f"<meta http-equiv=refresh content='0;url={server}/refresh'><base href={server}/base/>",
        f"<link rel=stylesheet href={server}/link><link rel=attachment href=file:///etc/passwd>",
        f"<object data={server}/object></object><embed src={server}/embed><video poster={server}/poster autoplay>",
        f"<form action={server}/form><button autofocus onfocus=alert(5)>x</button></form>",
        f"<a href='javascript:alert(6)' ping={server}/ping>here</a> <a href={server}/a>there</a> {server}/bare",
        "\" onmouseover=alert(7) ' onfocus=alert(8) tabindex=1 autofocus style=color:red",
        f"{EXPRESSION} {{% include '/etc/passwd' %}} {{# #}} &lt;b&gt; &#60;i&#62; &amp;",
        *ADDRESSES,
        HIDDEN,
        LOOK_ALIKE,
        CLAIM,
    )


@dataclass(frozen=True)
class Hostile:
    """Two cases and all pages about them."""

    cases: tuple[Measured, Measured]
    pages: dict[str, bytes]


def hostile(texts: Sequence[str]) -> Hostile:
    """All of ``texts`` in the prompt of one case; some in the prompt and the answer of another that has every table."""
    short, whole = (*texts[:3], *texts[-3:]), " ".join(texts)
    messages = tuple(Message(role="user", content=f"{text} is it so?") for text in short)
    parts = {"decision": short[0], "rationale": short[-1], short[1]: short[1]}
    full = make.full_case(messages, ". ".join(short), named={short[0]: short[0]}, parts=parts, contrast=short[1])
    rich = make.rich_case((Message(role="user", content=whole),))
    cases = _fitting(*rich, whole), _fitting(*full, whole)
    return Hostile(cases, _pages(*cases, whole))


def disarmed(texts: Sequence[str]) -> tuple[str, ...]:
    """The same, and of the same length, without what HTML or a template could take for its own."""
    return tuple(text.translate(_DISARMED) for text in texts)


def _fitting(content: Content, measured: Evidence, whole: str) -> Measured:
    """The case with the attack in every other text, too."""
    said = {"title": whole, "references": (whole, whole), "role_of_model": "advisory", "decided_by": whole}
    batch = poisoned(content.batch, whole).model_copy(update=said)
    case = content.case.model_copy(update={"notes": whole, "observed_answer": whole})
    return content.model_copy(update={"case": case, "batch": batch, "own_answer": whole}), poisoned(measured, whole)


def poisoned(record: R, text: str) -> R:
    """The record with ``text`` in place of each text that is neither one of a fixed list nor a digest."""
    fields = type(record).model_fields
    changed = {
        name: _poisoned(getattr(record, name), text)
        for name, field in fields.items()
        if name not in _KEPT and "Literal" not in str(field.annotation)
    }
    return record.model_copy(update=changed)


def _poisoned(value: Any, text: str) -> Any:
    if isinstance(value, str):
        return value if _DIGEST.fullmatch(value) else text
    if isinstance(value, Record):
        return poisoned(value, text)
    if isinstance(value, tuple):
        return tuple(_poisoned(one, text) for one in value)
    return value


def _pages(rich: Measured, full: Measured, whole: str) -> dict[str, bytes]:
    hidden = {"gone": poisoned(pages.withheld("gone"), whole)}
    cases = {"loan-1": rich, "loan-2": full, "gone": rich}
    sealed = pages.audit(cases, failed={"long": whole}, hidden=hidden, pairs=(pages.pair(whole),))
    kept = replace(sealed, plan=poisoned(sealed.plan, whole), seal=poisoned(sealed.seal, whole))
    before, after = (pages.side({"loan-1": case}, whole, {}, (pages.pair(whole),)) for case in (rich, full))
    return {
        "rich": html.report(*rich),
        "full": html.report(*full),
        "index": make.index_page(kept),
        "diff": pages.diff(before, replace(after, pairs=())),
    }

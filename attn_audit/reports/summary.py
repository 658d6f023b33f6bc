"""A sealed audit to Markdown (GitHub's) for the summary of a job: what failed first, then every case, the whole batch
in figures, and the digests to note down.

Whatever other people wrote stands in code spans, in which nothing is a tag, a link, a mention or the end of a table's
cell (attack 41). Rows and cells are cut, so that the page stays far below the megabyte that GitHub takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from attn_audit.evidence.checked import faithfulness_of, reliance_of
from attn_audit.evidence.digest import salted_view
from attn_audit.evidence.findings import Finding, PairFinding
from attn_audit.evidence.statements import Seal
from attn_audit.evidence.store import Sealed
from attn_audit.judge.overall import Overall, overall
from attn_audit.reports.ended import Ended, cases, noting_salts, unfinished, weight
from attn_audit.reports.findings import NOT_COMPARED, differs_in_words, rule_in_words
from attn_audit.reports.numbers import plain, share
from attn_audit.reports.text import code_point, one_line

_NAME, _REASON = 80, 200  # characters that are shown
_FAILING, _CASES, _OVERALL = 100, 100, 50  # rows
_RULES = 8  # of one finding
_MARKS = str.maketrans({mark: code_point(mark) for mark in "`|"})


def page(sealed: Sealed) -> bytes:
    """The whole page. Raises EvidenceError where plan and seal do not name the same cases."""
    ended = _Rows()
    for case in cases(sealed):
        ended.take(case)
    salts: list[str] = []
    named = overall(noting_salts(sealed.cases.values(), salts))
    blocks = (
        _headline(sealed.seal, ended.failing_count),
        *_section("What failed", ("case", "policy", "what was found"), ended.failing, ended.failing_count),
        *_section(
            "Cases", ("case", "status", "faithfulness", "answer from", "policies", "warnings"), ended.cases, ended.count
        ),
        *_section(
            "Over all cases",
            ("kind", "name", "policy", "cases", "mean share", "median", "largest", "highest in"),
            [_overall_row(row) for row in named[:_OVERALL]],
            len(named),
        ),
        _digests(sealed, salted_view(tuple(salts))),
    )
    return ("\n\n".join(blocks) + "\n").encode("utf-8")


def code(text: str, length: int = _NAME) -> str:
    """Other people's text as a code span that nothing in it can end, also in a table."""
    return f"`{one_line(text.translate(_MARKS), length) or ' '}`"


class _Rows:
    """The rows of the two tables of cases, and how many there would be: a case is read once and not kept."""

    def __init__(self) -> None:
        self.failing: list[tuple[str, ...]] = []
        self.cases: list[tuple[str, ...]] = []
        self.failing_count = 0
        self.count = 0

    def take(self, case: Ended) -> None:
        for row in _failing_rows(case):
            self.failing_count += 1
            if len(self.failing) < _FAILING:
                self.failing.append(row)
        self.count += 1
        if len(self.cases) < _CASES:
            self.cases.append(_case_row(case))


def _headline(seal: Seal, failing: int) -> str:
    policies = f"{_counted(failing, 'policy', 'policies')} that must hold did not"
    signer = "nobody: this audit is UNSIGNED" if seal.signer is None else code(seal.signer.principal)
    test = " (TEST KEY)" if seal.signer is not None and seal.signer.test_only else ""
    ended = f"{seal.ok} finished, {seal.failed} failed, {seal.skipped} skipped"
    counted = f"{_counted(len(seal.cases), 'case', 'cases')}: {ended}"
    return f"## attn-audit\n\n**{counted}. {policies}.**\n\nSigned by {signer}{test}."


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _failing_rows(case: Ended) -> Iterator[tuple[str, ...]]:
    if case.evidence is None:
        return
    for finding in case.findings:
        if weight(finding) == "fails":
            yield code(case.id), code(finding.policy), _found(finding)


def _found(finding: Finding) -> str:
    """``broken: share of the positive relevance 12.3 %, at most 5.0 % allowed``; names stand in code spans."""
    rules = "; ".join(plain(rule_in_words(rule)) for rule in islice(finding.rules, _RULES) if not rule.held)
    pair = f" with {code(finding.pair_with)}" if isinstance(finding, PairFinding) else ""
    return f"{finding.outcome}{pair}: {'; '.join(filter(None, (rules, _differs(finding))))}"


def _differs(finding: Finding) -> str:
    if isinstance(finding, PairFinding) and NOT_COMPARED.keys() >= set(finding.differs):
        return differs_in_words(finding)
    return f"measured otherwise: {code(', '.join(finding.differs), _REASON)}" if finding.differs else ""


def _case_row(case: Ended) -> tuple[str, ...]:
    if case.evidence is None:
        return code(case.id), code(unfinished(case.sealed), _REASON), "", "", "", ""
    counted = {kind: sum(weight(finding) == kind for finding in case.findings) for kind in ("fails", "warns", "holds")}
    words = {"fails": "failed", "warns": "with a warning", "holds": "held"}
    codes = ", ".join(warning.code for warning in case.evidence.warnings)
    return (
        code(case.id),
        "content withheld" if case.withheld else "ok",
        faithfulness_of(case.evidence.checks),
        reliance_of(case.evidence.checks),
        ", ".join(f"{count} {words[kind]}" for kind, count in counted.items() if count),
        code(codes, _REASON) if codes else "",
    )


def _overall_row(row: Overall) -> tuple[str, ...]:
    return (
        row.kind,
        code(row.name),
        code(row.policy) if row.policy else "",
        str(row.cases),
        plain(share(row.mean)),
        plain(share(row.median)),
        plain(share(row.maximum)),
        ", ".join(code(case_id) for case_id in row.highest),
    )


def _section(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], count: int) -> Iterator[str]:
    if not rows:
        return
    yield f"### {title}"
    yield "\n".join(_line(cells) for cells in (columns, ["---"] * len(columns), *rows))
    if count > len(rows):
        yield f"{count - len(rows)} more are left out; the audit folder holds them all."


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _digests(sealed: Sealed, salted: str) -> str:
    """``salted`` keeps the digest of this page from being guessed back to the names in it (evidence/digest.py)."""
    plan, seal = sealed.plan, sealed.seal
    key = "unsigned" if seal.signer is None else seal.signer.key_id
    lines = (
        ("plan (sha256)", seal.plan),
        ("model", plan.model_name),
        ("model root", plan.model_root),
        ("signer's key id", key),
        ("version", seal.tool.version),
        ("salts (sha256)", salted),
    )
    listed = "\n".join(f"- {name}: {code(value)}" for name, value in lines)
    verify = "```sh\nattn-audit verify AUDIT_FOLDER --trust ALLOWED_SIGNERS\n```"
    return (
        f"### Digests\n\n{listed}\n\nThis page is not signed on its own and proves nothing; the audit folder is what "
        f"verifies, against a key from elsewhere. `VERIFY.md` in it says how without this tool.\n\n{verify}"
    )

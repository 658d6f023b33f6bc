"""Fuzzing of what stands behind the parsers: a case of which the trusted key signed whatever the schema allows.

    python tests/fuzz/signed_case.py SECONDS [SEED]

Begins with cases that the tiny model measured, changes their numbers and texts, and signs them again. verify must come
to a verdict; and what it lets pass as numbers must be drawn as a page, in the terminal and in the index. Prints how
many cases were tried, how many of them had numbers that hold, and each exception that is not the user's.
"""

from __future__ import annotations

import io
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:  # run as a script
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from rich.console import Console  # noqa: E402

import audits  # noqa: E402
import make_records  # noqa: E402
import tiny  # noqa: E402
from attn_audit.evidence.digest import canonical, parse_canonical, sha256  # noqa: E402
from attn_audit.evidence.envelope import Statement  # noqa: E402
from attn_audit.evidence.errors import AuditError  # noqa: E402
from attn_audit.evidence.measured import Evidence  # noqa: E402
from attn_audit.evidence.records import Content  # noqa: E402
from attn_audit.evidence.statements import summary  # noqa: E402
from attn_audit.judge.relevance import relevance  # noqa: E402
from attn_audit.judge.warnings import warnings  # noqa: E402
from attn_audit.reports import html  # noqa: E402
from attn_audit.reports.terminal import case_view  # noqa: E402
from attn_audit.verify.asked import Asked  # noqa: E402
from attn_audit.verify.case import verify_case  # noqa: E402
from attn_audit.verify.report import Report  # noqa: E402
from fuzz.parsers import KEY, TRUSTED, mutated  # noqa: E402

CASES = """\
title: Fuzzed
settings: {max_new_tokens: 6, %s}
cases:
  - id: a1
    template: "The income of {name} is high, the rent is low. The debts are low. Is the loan approved?"
    fields: {name: Maria}
    contrast: It is denied.
    answer_parts: [{name: start, characters: [0, 3]}]
    paraphrases: ["Is the income of {name} enough for the loan?"]
    notes: a note
  - id: a2
    messages: [{role: system, content: Be short.}, {role: user, content: "Income high. Income high. Approved?"}]
    answer: Approved. The income is high.
    observed_answer: Denied.
    decision: Approved
    rationale: The income
"""
SETTINGS = (
    "checks: none",
    "checks: full, baselines: on, bands: 2, kappa: 0.5, sources: prompt+answer",
    "effort: screened, units: word",
    "effect: both, units: sentence",
)
Pair = tuple[dict[str, Any], dict[str, Any]]


def seeds(folder: Path) -> list[Pair]:
    """Cases that were really measured, in several ways."""
    model = tiny.folder(folder / "model")
    private = audits.key(folder)
    outs = [
        audits.make(folder / str(number), model, private, cases=CASES % settings).out
        for number, settings in enumerate(SETTINGS)
    ]
    return [pair_of(case) for out in outs for case in sorted((out / "cases").iterdir())]


def pair_of(folder: Path) -> Pair:
    """Content and evidence of a case, as JSON."""
    content, evidence = (json.loads((folder / name).read_bytes()) for name in ("content.json", "evidence.json"))
    return content, evidence


def changed(pair: Pair, chance: random.Random) -> Pair:
    """With up to four values exchanged, most of them numbers of the evidence."""
    content, evidence = pair
    for _ in range(chance.choice([0, 1, 1, 1, 2, 4])):
        if chance.random() < 0.25:
            content = mutated(content, chance)
        else:
            evidence = mutated(evidence, chance)
    return content, evidence


def follow(content: Content, evidence: Evidence) -> Evidence:
    """The evidence with relevance and warnings that follow from it, where they can: a careful forger."""
    try:
        evidence = audits.changed(
            evidence, relevance=relevance(evidence.answer.base, evidence.scores, evidence.contrast)
        )
        return audits.changed(evidence, warnings=warnings(content, evidence))
    except (ValueError, IndexError, OverflowError, ZeroDivisionError, AuditError):  # it signs what cannot be
        return evidence


def fuzz_case(pair: Pair, folder: Path, chance: random.Random) -> str:
    """One signed case. Whether its numbers hold; ``refused`` when the schema already does not allow it."""
    try:
        content = parse_canonical(canonical(pair[0]), Content, "content")
        said = {**pair[1], "content": sha256(canonical(content)), "views": ["html"]}
        evidence = parse_canonical(canonical(said), Evidence, "evidence")
    except (AuditError, ValueError, TypeError, KeyError):
        return "refused"
    if chance.random() < 0.8:
        evidence = follow(content, evidence)
    files = {"content.json": canonical(content), "evidence.json": canonical(evidence), "report.html": b""}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    subjects = tuple((name, sha256(data)) for name, data in files.items())
    audits.put(folder / "attestation.sigstore.json", Statement(subjects, summary(content, evidence)), KEY)
    report = Report()
    verify_case(report, folder, TRUSTED, Asked())
    if not report.passed(folder.name, "numbers"):
        return "numbers do not hold"
    plan, seal = make_records.batch({folder.name: (content, evidence)})
    try:
        html.report(content, evidence)
        make_records.index_page(make_records.sealed(plan, seal, {folder.name: (content, evidence)}))
        Console(file=io.StringIO(), width=80).print(case_view(content, evidence, top=10, verified="x"))
    except AuditError:
        return "numbers hold, not drawn"
    return "drawn"


def main() -> None:
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    bugs: dict[str, Pair] = {}
    with tempfile.TemporaryDirectory() as place:
        corpus = seeds(Path(place))
        folder = Path(place) / "a1"
        folder.mkdir()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pair = changed(chance.choice(corpus), chance)
            try:
                outcome = fuzz_case(pair, folder, chance)
            except Exception as error:  # noqa: BLE001  (that is what is looked for)
                last = traceback.extract_tb(error.__traceback__)[-1]
                outcome = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}: {error}"[:150]
                if outcome not in bugs:
                    traceback.print_exc()
                bugs.setdefault(outcome, pair)
            outcomes[outcome] += 1
            if outcome == "drawn" and len(corpus) < 400:
                corpus.append(pair)  # changes that pass are changed further
    print(sum(outcomes.values()), dict(outcomes.most_common()))


if __name__ == "__main__":
    main()

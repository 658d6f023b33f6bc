"""Audit folders made quickly, with a tiny model and through the code that the command line runs; and what a forger can
do to one afterwards, with or without a key that the reader trusts."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from attn_audit import batch
from attn_audit.cases import read_cases
from attn_audit.cli.signing import signing_key
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.envelope import Statement, decode, encode, payload_of, sign
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.host import Host
from attn_audit.evidence.keys import SigningKey, generate
from attn_audit.evidence.measured import (
    Evidence,
    Setting,
)
from attn_audit.evidence.records import Content, Record
from attn_audit.evidence.settings import resolve
from attn_audit.evidence.statements import ExportName, Plan, Seal, Summary, plan_subjects, seal_subjects, summary
from attn_audit.evidence.store import stored
from attn_audit.evidence.sums import write_sums
from attn_audit.evidence.trust import read_allowed_signers
from attn_audit.executors import Executor
from attn_audit.executors.local import Local
from attn_audit.measure.model import locate
from attn_audit.reports import html, pdf
from attn_audit.reports.exports import makers
from attn_audit.reports.index import index_pages
from attn_audit.reports.verify_page import verify_page
from attn_audit.verify import verify
from attn_audit.verify.report import Report

PRINCIPAL = "audit@bank.example"
START = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)
THREE_CASES = """\
title: Three loans
settings: {max_new_tokens: 4}
cases:
  - {id: first, prompt: "The income of the applicant is high. Is the loan approved?"}
  - {id: second, prompt: "The income of the applicant is low. Is the loan approved?"}
  - {id: third, prompt: "The applicant has no income. Is the loan approved?"}
"""
TWENTY_CASES = "settings: {max_new_tokens: 4, units: sentence}\npolicies:\n" + (
    "  - {name: no postcode, terms: ['4051'], limits: {max_share: 0.4}}\ncases:\n"
    + "".join(
        f"  - id: {subject}-{income}\n    prompt: >-\n      The applicant is a {subject}. The income is {income} "
        f"euros. The postcode is 4051. Is the loan approved?\n"
        for subject in ("nurse", "driver", "cook", "teacher", "farmer")
        for income in (900, 1900, 2900, 3900)
    )
)
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Audit:
    """An audit folder and the key that signed it. ``signers`` and ``pem`` are what a reader has from elsewhere."""

    out: Path
    key: Path

    @property
    def signers(self) -> Path:
        return self.key.with_name(self.key.name + ".allowed_signers")

    @property
    def pem(self) -> Path:
        return self.key.with_name(self.key.name + ".pub.pem")

    @property
    def private(self) -> SigningKey:
        return signing_key(self.key, None, {})

    def case(self, case_id: str) -> Path:
        return self.out / bundle.CASES / case_id

    def copied_to(self, out: Path) -> Audit:
        """The same audit elsewhere, to be tampered with. Files are copied, since hard links would change both."""
        for path in sorted(self.out.rglob("*")):
            target = out / path.relative_to(self.out)
            if path.is_dir():
                target.mkdir(parents=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        return Audit(out, self.key)


# -- making -----------------------------------------------------------------------------------------------------------


def host(seed: str = "host", start: datetime = START) -> Host:
    """A clock that goes one second a look, a timer, and randomness, all of which begin anew with each host."""
    seconds, ticks, blocks = itertools.count(), itertools.count(), itertools.count()
    return Host(
        clock=lambda: start + timedelta(seconds=next(seconds)),
        timer=lambda: next(ticks) / 4,
        entropy=lambda size: hashlib.sha256(f"{seed} {next(blocks)}".encode()).digest()[:size],
        threads=1,
        facts=(("system", "a test"),),
    )


def key(folder: Path, name: str = "key", principal: str = PRINCIPAL) -> Path:
    """A new key without a passphrase, and the two public files beside it."""
    generate(folder / name, principal, None)
    return folder / name


def order(
    cases: Path,
    model: Path,
    private: Path | None,
    out: Path,
    *,
    exports: tuple[ExportName, ...] = (),
    source: str | None = None,
    executor: Executor | None = None,
    split: int | None = None,
    **flags: str,
) -> batch.Order:
    """What ``attn-audit run`` makes of its arguments."""
    case_file = read_cases(cases)
    settings, recorded = resolve(flags, {}, case_file.settings)
    located = locate(str(model))
    recorded = (Setting(name="model", value=located.name, origin="flag"), *recorded)
    signer = None if private is None else signing_key(private, None, {})
    return batch.Order(
        case_file,
        located,
        settings,
        recorded,
        signer,
        out,
        source=source,
        exports=exports,
        executor=executor or Local(),
        split=split,
    )


def make(
    folder: Path,
    model: Path,
    private: Path | None,
    *,
    cases: str = THREE_CASES,
    world: Host | None = None,
    exports: tuple[ExportName, ...] = (),
    source: str | None = None,
    executor: Executor | None = None,
    split: int | None = None,
    **flags: str,
) -> batch.Finished:
    """An audit in ``folder``/audit, of a case file in ``folder``; HTML only unless ``format`` says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases.yaml").write_text(cases, encoding="utf-8")
    asked = order(
        folder / "cases.yaml",
        model,
        private,
        folder / "audit",
        exports=exports,
        source=source,
        executor=executor,
        split=split,
        **{"format": "html", **flags},
    )
    return batch.run(asked, world or host(), batch.Watch())


# -- verifying --------------------------------------------------------------------------------------------------------


def report(audit: Audit, signers: Path | None = None) -> Report:
    """All checks on the audit, by a reader who trusts ``signers``, or the audit's own key."""
    return verify(audit.out, read_allowed_signers(signers or audit.signers))


def failures(found: Report) -> dict[tuple[str, str], str]:
    """(subject, check) -> the sentence, of the checks that failed."""
    return {(check.subject, check.name): check.detail for check in found.checks if check.outcome == "failed"}


# -- forging ----------------------------------------------------------------------------------------------------------


def flipped(path: Path, at: int, bits: int) -> bytes:
    """Change one byte of the file; the bytes that stood there before."""
    before = path.read_bytes()
    path.write_bytes(before[:at] + bytes([before[at] ^ bits]) + before[at + 1 :])
    return before


def plan_of(out: Path) -> Plan:
    return opened(out / "plan.sigstore.json", Plan).predicate


def essence(out: Path) -> dict[str, Any]:
    """All that an audit says but for ``run``, times, salts and what hangs on them."""
    seal = seal_of(out)
    found: dict[str, Any] = {
        "seal": [(case.id, case.status) for case in seal.cases],
        "pairs": seal.pairs,
        "files": sorted(path.relative_to(out).as_posix() for path in out.rglob("*")),
    }
    for case in (case for case in seal.cases if case.status == "ok"):
        folder = out / "cases" / case.id
        content, evidence = content_of(folder), evidence_of(folder)
        found[case.id] = (
            content.model_dump(exclude={"salt"}),
            evidence.model_dump(exclude={"run", "plan", "content"}),
        )
    return found


def seal_of(out: Path) -> Seal:
    return opened(out / "seal.sigstore.json", Seal).predicate


def opened(path: Path, kind: type[R]) -> Statement[R]:
    """What a signed file says, its signature unchecked."""
    return decode(payload_of(path.read_bytes(), path.name), kind, path.name)


def content_of(folder: Path) -> Content:
    return Content.model_validate_json((folder / bundle.CONTENT).read_bytes())


def evidence_of(folder: Path) -> Evidence:
    return Evidence.model_validate_json((folder / bundle.EVIDENCE).read_bytes())


def changed(record: R, **changes: Any) -> R:
    """The record with other values, which may be such as a careful program would never write."""
    return record.model_copy(update=changes)


def put(path: Path, statement: Statement[R], private: SigningKey) -> str:
    """Sign the statement in place; the digest of its file."""
    path.write_bytes(sign(encode(statement), private))
    return sha256(path.read_bytes())


def sealed_subjects(out: Path, seal: Seal) -> tuple[tuple[str, str], ...]:
    """What a seal of this folder, as it stands, must name."""
    return seal_subjects(seal, signed=True, manifest=(out / "model.manifest.json").read_bytes())


def reseal(out: Path, private: SigningKey, **changes: Any) -> Seal:
    """The seal again, over the attestations that are there now and with these changes, and the index that follows."""
    seal = seal_of(out)
    found = {path.parent.name: sha256(path.read_bytes()) for path in out.glob("cases/*/attestation.sigstore.json")}
    cases = tuple(changed(case, attestation=found.get(case.id, case.attestation)) for case in seal.cases)
    seal = changed(seal, **{"cases": cases, "plan": sha256((out / "plan.sigstore.json").read_bytes()), **changes})
    with contextlib.suppress(
        EvidenceError, OverflowError
    ):  # where the records no longer hold, the index stays as it was
        reindex(out, seal)
    put(out / "seal.sigstore.json", Statement(sealed_subjects(out, seal), seal), private)
    with contextlib.suppress(EvidenceError, UnicodeError):
        write_sums(out, private)
    return seal


def reindex(out: Path, seal: Seal) -> None:
    """The pages about the batch again, as they follow from the seal and what is there now."""
    plan = plan_of(out)
    (out / bundle.VERIFY_PAGE).write_bytes(verify_page(plan, seal, (), alone=False))
    bundle.write_index(out, index_pages(stored(out, plan, seal)))
    for name, page in makers(seal.exports).items():
        (out / name).write_bytes(page(stored(out, plan, seal)))


def recase(
    folder: Path,
    private: SigningKey,
    *,
    content: Mapping[str, Any] | None = None,
    evidence: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
    said: Callable[[Content, Evidence], Summary] = summary,
) -> None:
    """A case again, signed, with these changes: the digest of its content, its HTML and its attestation follow."""
    new_content = changed(content_of(folder), **dict(content or {}))
    raw_content = canonical(new_content)
    follows = {} if content is None else {"content": sha256(raw_content)}
    new_evidence = changed(evidence_of(folder), **{**follows, **dict(evidence or {})})
    names = bundle.subject_names(new_evidence.views)
    stored = {name: (folder / name).read_bytes() for name in names}
    stored |= {bundle.CONTENT: raw_content, bundle.EVIDENCE: canonical(new_evidence)}
    written = dict(files or {})
    if "report.html" not in written:
        written["report.html"] = html.report(new_content, new_evidence)
    if bundle.view_name("pdf") in set(names) - set(written):
        written[bundle.view_name("pdf")] = pdf.report(new_content, new_evidence)
    stored |= written
    for name, data in stored.items():
        (folder / name).write_bytes(data)
    subjects = tuple((name, sha256(stored[name])) for name in names)
    put(folder / "attestation.sigstore.json", Statement(subjects, said(new_content, new_evidence)), private)


def resign(out: Path, private: SigningKey) -> None:
    """Everything again and in agreement, signed by another key under its own name."""
    signer = private.signer
    plan = changed(plan_of(out), signer=signer)
    digest = put(out / "plan.sigstore.json", Statement(plan_subjects(plan), plan), private)
    for folder in sorted((out / bundle.CASES).iterdir()):
        recase(folder, private, evidence={"signer": signer, "plan": digest})
    reseal(out, private, signer=signer)

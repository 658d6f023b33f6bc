"""The plan: made and signed before anything is run, and read back where a run goes on.

The plan knows each case by a salted digest. Until every case has ended the salts stand in a file beside the folder,
which is never part of the audit: whoever has it could guess at the text of a case that the audit does not show.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from attn_audit import __version__
from attn_audit.batch.order import Order
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import canonical, parse_canonical, salted_case, salted_file, sha256
from attn_audit.evidence.envelope import Statement, decode, open_bundle
from attn_audit.evidence.errors import EvidenceError, Incomplete, UsageError
from attn_audit.evidence.host import Host, compact
from attn_audit.evidence.identity import manifest
from attn_audit.evidence.measured import ModelIdentity, Tool
from attn_audit.evidence.records import Record, Sha256
from attn_audit.evidence.statements import Plan, PlannedCase, plan_subjects
from attn_audit.evidence.trust import own

_IN_WORDS = {
    "tool": "it was planned by version {stored.tool.version} of this program, which is version {made.tool.version}",
    "signer": "another key signed the plan, or none",
    "model_root": "it was planned for another model, of root {stored.model_root:.16}…",
    "model_name": "the model was called {stored.model_name!r:.80} when it was planned",
    "source": "the case file was called {stored.source!r:.200} when it was planned",
    "case_file": "the case file is not byte for byte the planned one",
    "cases": "the cases are not the planned ones",
    "settings": "the settings are not the planned ones",
    "views": "other reports were planned",
}


class Salts(Record):
    """What is kept beside an unfinished audit: the salt of each planned case, in order, and the digest of the seal
    before, which only the seal will name."""

    format: Literal["attn-audit.salts/1"] = "attn-audit.salts/1"
    salts: tuple[Sha256, ...]
    previous: Sha256 | None


@dataclass(frozen=True)
class Planned:
    """A plan in its folder. ``digest`` is that of its file; ``salts`` has one for each case; ``previous`` is the digest
    of the seal before."""

    out: Path
    plan: Plan
    digest: str
    salts: tuple[str, ...]
    previous: str | None


def make(order: Order, model: ModelIdentity, host: Host, *, announced: bool) -> Planned:
    """A new folder that holds the plan. Raises UsageError where something stands there, Incomplete where it cannot be
    written."""
    salts = tuple(host.salt() for _ in order.cases.cases)
    plan = _plan(order, model, salts, host.now(), announced=announced)
    stored = order.seal_up(Statement(plan_subjects(plan), plan))
    digest = sha256(stored)
    out = order.out or Path(f"audit-{compact(plan.created)}-{digest[:8]}")
    if os.path.lexists(bundle.salts_file(out)):
        raise UsageError(f"{bundle.salts_file(out)} belongs to an unfinished audit; remove it, or name another folder")
    bundle.create_folder(out)
    try:
        bundle.write_file(bundle.salts_file(out), canonical(Salts(salts=salts, previous=order.previous)), mode=0o600)
        bundle.write_file(out / bundle.MANIFEST, manifest(model))
        bundle.write_file(out / order.name(bundle.PLAN), stored)
    except Incomplete:
        bundle.forget_salts(out)  # without a plan they are of no use
        raise
    return Planned(out, plan, digest, salts, order.previous)


def read_back(order: Order, model: ModelIdentity, out: Path) -> Planned:
    """The plan of an unfinished audit, when it is the one that this order makes. Raises UsageError saying what is
    another, EvidenceError where the plan was changed."""
    name = order.name(bundle.PLAN)
    if not (out / name).exists():
        other = bundle.statement_name(bundle.PLAN, signed=not order.signed)
        why = "its plan is by another signer" if (out / other).exists() else "it has no plan"
        raise UsageError(f"{out} cannot be continued: {why}")
    kept = _read_salts(out)
    salts = kept.salts
    stored = bundle.read_file(out / name)
    plan = _opened(order, stored, name)
    if order.previous not in {None, kept.previous}:
        raise UsageError(f"{out} cannot be continued: another previous seal was named when it was planned")
    if len(salts) != len(plan.cases):
        raise EvidenceError(f"{bundle.salts_file(out)} is not that of the plan beside it")
    if len(salts) == len(order.cases.cases):
        made = _plan(order, model, salts, plan.created, announced=plan.announced)
    else:
        raise UsageError(
            f"{out} cannot be continued: the case file has {len(order.cases.cases)} cases, {len(salts)} planned"
        )
    for field, words in _IN_WORDS.items():
        if getattr(plan, field) != getattr(made, field):
            raise UsageError(f"{out} cannot be continued: {words.format(stored=plan, made=made)}")
    if bundle.read_file(out / bundle.MANIFEST) != manifest(model):
        raise EvidenceError(f"{bundle.MANIFEST} lists other files than the model has")
    return Planned(out, plan, sha256(stored), salts, kept.previous)


def _opened(order: Order, stored: bytes, name: str) -> Plan:
    if order.key is None:
        return decode(stored, Plan, name).predicate
    payload, _ = open_bundle(stored, own(order.key), name)
    return decode(payload, Plan, name).predicate


def _read_salts(out: Path) -> Salts:
    path = bundle.salts_file(out)
    if not path.exists():
        raise UsageError(f"{out} is finished, or {path.name} beside it is gone, without which it cannot be continued")
    return parse_canonical(bundle.read_file(path), Salts, path.name)


def _plan(order: Order, model: ModelIdentity, salts: tuple[str, ...], created: str, *, announced: bool) -> Plan:
    return Plan(
        tool=Tool(version=__version__),
        created=created,
        announced=announced,
        signer=order.signer,
        case_file=salted_file(salts, order.cases.raw),
        source=order.source,
        cases=tuple(
            PlannedCase(id=case.id, digest=salted_case(salt, case), line=order.cases.lines[case.id])
            for case, salt in zip(order.cases.cases, salts, strict=True)
        ),
        settings=order.recorded,
        views=order.settings.views,
        model_name=model.name,
        model_root=model.root,
    )

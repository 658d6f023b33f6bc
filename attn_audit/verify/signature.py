"""A statement's file to what it says and who, of those the reader trusts, signed it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from attn_audit.evidence import bundle
from attn_audit.evidence.digest import sha256
from attn_audit.evidence.envelope import Statement, decode, open_bundle, payload_of
from attn_audit.evidence.errors import EvidenceError, UntrustedSigner
from attn_audit.evidence.keys import TEST_MARK, fingerprint
from attn_audit.evidence.measured import Signer
from attn_audit.evidence.statements import Plan, Redaction, Seal, Summary
from attn_audit.evidence.trust import TrustedKey
from attn_audit.verify.report import Report

P = TypeVar("P", Plan, Summary, Seal, Redaction)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Opened(Generic[P]):
    """A statement read from its file. ``keys`` are the entries of the trusted key that signed it, none where none
    did: a reader may trust one key for several names and times; ``digest``: of the file."""

    statement: Statement[P]
    keys: tuple[TrustedKey, ...]
    signed: bool
    digest: str


def open_statement(
    report: Report, subject: str, path: Path, kind: type[P], trusted: tuple[TrustedKey, ...]
) -> Opened[P] | None:
    """The statement in a file, its signature checked; None where it cannot be read or was changed.

    A statement that nobody trusted signed is still opened, so that the other checks can be listed beside the failure.
    """
    name = f"signature of {path.name}"
    signed = path.name.endswith(bundle.SIGNED)
    try:
        data = bundle.read_statement(path)
        payload, keys, doubt = _authenticate(data, path.name, trusted, signed=signed)
        statement = decode(payload, kind, path.name)
    except EvidenceError as error:
        report.fail(subject, name, error)
        return None
    if doubt is None:
        report.succeed(subject, name)
    else:
        report.fail(subject, name, doubt)
    _note_who_signed(report, subject, statement.predicate.signer, keys)
    return Opened(statement, keys, signed, sha256(data))


def _authenticate(
    data: bytes, what: str, trusted: tuple[TrustedKey, ...], *, signed: bool
) -> tuple[bytes, tuple[TrustedKey, ...], UntrustedSigner | None]:
    """The payload with the entries of the trusted key that signed it, or with the reason why none did.

    Raises EvidenceError.
    """
    if not signed:
        return data, (), UntrustedSigner(f"{what} is unsigned: nobody vouches for it")
    try:
        payload, keys = open_bundle(data, trusted, what)
    except UntrustedSigner as doubt:
        return payload_of(data, what), (), doubt
    if keys[0].revoked:
        return payload, (), UntrustedSigner(f"{what} is signed by a key that is revoked (key id {keys[0].key_id})")
    return payload, keys, None


def check_signer(report: Report, subject: str, said: Signer | None, when: str, opened: Opened[P]) -> None:
    """The record names the key that signed it, which may sign for that principal and was valid at the claimed time."""
    if not opened.keys and (opened.signed or said is None):
        return  # listed as untrusted or unsigned already
    with report.check(subject, "signer"):
        require_signer(said, when, opened.keys)


def note_test_key(report: Report, subject: str, said: Signer | None) -> None:
    """Say it when the signer calls the key one for tests only."""
    if said is not None and said.test_only:
        report.note(subject, "signer", "a TEST ONLY key: this audit is a demonstration")


def _note_who_signed(report: Report, subject: str, said: Signer | None, keys: tuple[TrustedKey, ...]) -> None:
    """Say whose signature it is, once for all that one key signed in one name: a batch says it first by its plan."""
    if said is None or not keys:
        return
    detail = f"signed by key id {keys[0].key_id}, as {said.principal}"
    if any(not key.principals for key in keys):
        detail += "; the name is the signer's own claim; no validity period is known"
    report.note_once(subject, "signer", detail)


def require_signer(said: Signer | None, when: str, keys: tuple[TrustedKey, ...]) -> None:
    """One entry of the key must allow both the name and the time. Raises EvidenceError, UntrustedSigner."""
    named_keys = {(key.key_id, fingerprint(key.public)) for key in keys}
    if said is None or (said.key_id, said.fingerprint) not in named_keys:
        raise EvidenceError("the record names another signer than the key that signed it")
    if said.test_only != said.principal.startswith(TEST_MARK):
        raise EvidenceError(f"the record's mark for tests contradicts the name it is signed in, {said.principal!r:.80}")
    named = [key for key in keys if key.may_sign_as(said.principal)]
    if not named:
        raise UntrustedSigner(f"the key may not sign as {said.principal!r}")
    if not any(key.covers(moment(when)) for key in named):
        raise UntrustedSigner(f"the key was not valid at the claimed time {when}")


def moment(text: str) -> datetime:
    """A recorded time, UTC. Raises EvidenceError."""
    wrong = EvidenceError(f"time {text!r:.40} is not of the form 2026-01-31T23:59:59Z")
    try:
        found = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise wrong from None
    if found.strftime(_TIME) != text:
        raise wrong
    return found

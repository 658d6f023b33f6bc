"""A statement's file to what it says and who, of those the reader trusts, signed it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Generic, TypeVar

from attn_audit.evidence import bundle
from attn_audit.evidence.envelope import Statement, UntrustedSigner, decode, open_bundle, payload_of
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.records import Record, Signer
from attn_audit.evidence.trust import TrustedKey
from attn_audit.verify.report import Report

P = TypeVar("P", bound=Record)


def statement_file(folder: Path, stem: str) -> Path:
    """The signed file of that statement, or the unsigned one where only that exists."""
    unsigned = folder / bundle.statement_name(stem, signed=False)
    signed = folder / bundle.statement_name(stem, signed=True)
    return unsigned if unsigned.exists() and not signed.exists() else signed


@dataclass(frozen=True)
class Opened(Generic[P]):
    """A statement read from its file. ``key`` is the trusted key that signed it, None where none did."""

    statement: Statement[P]
    key: TrustedKey | None
    signed: bool


def open_statement(
    report: Report, subject: str, path: Path, kind: type[P], trusted: tuple[TrustedKey, ...]
) -> Opened[P] | None:
    """The statement in a file, its signature checked; None where it cannot be read or was changed.

    A statement that nobody trusted signed is still opened, so that the other checks can be listed beside the failure.
    """
    name = f"signature of {path.name}"
    signed = path.name.endswith(bundle.SIGNED)
    try:
        payload, key, doubt = _authenticate(bundle.read_file(path), path.name, trusted, signed=signed)
        statement = decode(payload, kind, path.name)
    except EvidenceError as error:
        report.fail(subject, name, error)
        return None
    if doubt is None:
        report.succeed(subject, name)
    else:
        report.fail(subject, name, doubt)
    return Opened(statement, key, signed)


def _authenticate(
    data: bytes, what: str, trusted: tuple[TrustedKey, ...], *, signed: bool
) -> tuple[bytes, TrustedKey | None, UntrustedSigner | None]:
    """The payload with the trusted key that signed it, or with the reason why none did. Raises EvidenceError."""
    if not signed:
        return data, None, UntrustedSigner(f"{what} is unsigned: nobody vouches for it")
    try:
        payload, key = open_bundle(data, trusted, what)
    except UntrustedSigner as doubt:
        return payload_of(data, what), None, doubt
    return payload, key, None


def check_signer(report: Report, subject: str, said: Signer | None, when: str, opened: Opened[P]) -> None:
    """The record names the key that signed it, which may sign for that principal and was valid at the claimed time."""
    if opened.key is None and (opened.signed or said is None):
        return  # listed as untrusted or unsigned already
    with report.check(subject, "signer"):
        _require_signer(said, when, opened.key)
    if said is not None and said.test_only:
        report.note(subject, "signer", "a TEST ONLY key: this audit is a demonstration")


def _require_signer(said: Signer | None, when: str, key: TrustedKey | None) -> None:
    if said is None or key is None or said.key_id != key.key_id:
        raise EvidenceError("the record names another signer than the key that signed it")
    if key.principals and not any(fnmatchcase(said.principal, pattern) for pattern in key.principals):
        raise UntrustedSigner(f"the key may not sign as {said.principal!r}")
    if not key.covers(_moment(when)):
        raise UntrustedSigner(f"the key was not valid at the claimed time {when}")


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise EvidenceError(f"time {text!r:.40} is not of the form 2026-01-31T23:59:59Z") from None

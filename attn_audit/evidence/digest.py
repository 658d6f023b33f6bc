"""Bytes to digests, records to canonical bytes (RFC 8785) and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

import rfc8785
from pydantic import ValidationError

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.records import Case, Record

R = TypeVar("R", bound=Record)


def sha256(data: bytes) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def canonical(value: Record | dict[str, Any]) -> bytes:
    """RFC 8785 encoding. Absent optional values are written as null, so that a record has exactly one encoding."""
    return rfc8785.dumps(value.model_dump(mode="json") if isinstance(value, Record) else value)


def salted_text(salt: str, text: str) -> str:
    """sha256(salt + UTF-8 of the text): cannot be guessed back without the salt, which only the content holds."""
    return sha256(bytes.fromhex(salt) + text.encode())


class ViewSalt:
    """``salted_view`` while the cases of a page pass by."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256(b"view")

    def add(self, salt: str) -> None:
        self._digest.update(bytes.fromhex(salt))

    def value(self) -> str:
        return self._digest.hexdigest()


def salted_view(salts: Iterable[str]) -> str:
    """What a page carries so that its own digest cannot be guessed back to the text that it shows: the sha256 of the
    salts of its cases, none of which is left when their content is withheld."""
    found = ViewSalt()
    for salt in salts:
        found.add(salt)
    return found.value()


def salted_case(salt: str, case: Case) -> str:
    """The digest under which the plan knows a case."""
    return sha256(bytes.fromhex(salt) + canonical(case))


def salted_file(salts: tuple[str, ...], raw: bytes) -> str:
    """The digest under which the plan knows the case file: needs the salts of all its cases."""
    return sha256(b"".join(bytes.fromhex(salt) for salt in salts) + raw)


def parse_json(data: bytes, what: str) -> dict[str, Any]:
    """Strict JSON object: UTF-8, no duplicate keys, no NaN. Raises EvidenceError naming ``what``."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise ValueError("duplicate keys")
        return dict(pairs)

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{what} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise EvidenceError(f"{what} is not a JSON object")
    return value


def parse_canonical(data: bytes, kind: type[R], what: str) -> R:
    """A record from bytes that are exactly its RFC 8785 encoding, so that no byte is free. Raises EvidenceError."""
    record = _record_of(data, kind)
    if record is not None:
        return record
    try:
        record = kind.model_validate_json(canonical_json(data, what), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EvidenceError(f"{what} does not follow its schema at {where or 'top'}: {first['msg']}") from None
    if canonical(record) != data:
        raise EvidenceError(f"{what} is not the canonical encoding of its record")
    return record


def _record_of(data: bytes, kind: type[R]) -> R | None:
    """A record whose encoding these bytes are; None: they are none's, and why is found out step by step. One that
    encodes to the very same bytes cannot have come from others, whatever the parser lets pass."""
    try:
        record = kind.model_validate_json(data, strict=True)
        return record if canonical(record) == data else None
    except (ValueError, RecursionError):
        return None


def canonical_json(data: bytes, what: str) -> bytes:
    """The same bytes, when they are exactly the RFC 8785 encoding of a JSON object. Raises EvidenceError."""
    try:
        encoded = rfc8785.dumps(parse_json(data, what))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise EvidenceError(f"{what} cannot be encoded canonically: {error}") from None
    if encoded != data:
        raise EvidenceError(f"{what} is not canonical JSON (RFC 8785)")
    return data

"""STUB."""

from __future__ import annotations

from attn_audit.evidence.store import Sealed


def units(sealed: Sealed) -> bytes:
    return b"stub"


def batch(sealed: Sealed) -> bytes:
    return b"stub"

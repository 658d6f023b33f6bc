"""STUB."""

from __future__ import annotations

from attn_audit.evidence.store import Sealed


def results(sealed: Sealed) -> bytes:
    return b"stub"

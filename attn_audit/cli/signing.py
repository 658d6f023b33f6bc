"""A key file on the command line to a key that signs: its principal, and its passphrase from where it may come."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import typer

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.keys import SigningKey, is_encrypted, load_private, read_private
from attn_audit.evidence.trust import read_allowed_signers

PASSPHRASE_VARIABLE = "ATTN_AUDIT_KEY_PASSPHRASE"  # noqa: S105  (the name of a variable)
MODEL_KEY_VARIABLE = "ATTN_AUDIT_MODEL_KEY"
KEY_VARIABLE, IDENTITY_VARIABLE = "ATTN_AUDIT_KEY_DATA", "ATTN_AUDIT_KEY_IDENTITY"
_PASSPHRASE_LIMIT = 4096
_DESCRIPTOR_LIMIT = 2**31 - 1


def model_key() -> Path | None:
    """The public key (PEM) that must have signed the ``model.sig`` beside a model; None where the environment names
    none."""
    path = os.environ.get(MODEL_KEY_VARIABLE)
    return Path(path) if path else None


def given_key(path: Path | None, passphrase_fd: int | None) -> SigningKey | None:
    """The key of the flag, else the one that the environment holds, where no file may; None: nobody signs. Raises
    UsageError."""
    if path is not None:
        return signing_key(path, passphrase_fd, os.environ)
    data = os.environ.get(KEY_VARIABLE)
    if not data:
        return None
    if not (identity := os.environ.get(IDENTITY_VARIABLE)):
        raise UsageError(f"{KEY_VARIABLE} is set; say in {IDENTITY_VARIABLE} who signs, like audit@bank.example")
    raw = data.encode("utf-8", "surrogateescape") + b"\n"  # a shell's $(cat key) drops the end of the last line
    prompt = f"Passphrase of the key in {KEY_VARIABLE}: "
    phrase = passphrase(prompt, passphrase_fd, os.environ) if is_encrypted(raw) else None
    return load_private(raw, phrase, identity, f"in {KEY_VARIABLE}")


def required_key(path: Path | None, passphrase_fd: int | None) -> SigningKey:
    """The same where somebody must sign. Raises UsageError."""
    if (key := given_key(path, passphrase_fd)) is None:
        raise UsageError(f"this must be signed: give --key FILE, or the key itself in {KEY_VARIABLE}")
    return key


def signing_key(path: Path, passphrase_fd: int | None, environment: Mapping[str, str]) -> SigningKey:
    """The private key in ``path``; ``path``.allowed_signers beside it says as whom it signs. Raises UsageError."""
    data = read_private(path)
    phrase = passphrase(f"Passphrase of {path}: ", passphrase_fd, environment) if is_encrypted(data) else None
    unnamed = load_private(data, phrase, "unnamed", str(path))
    signers = signers_beside(path)
    if not _is_file(signers):
        raise UsageError(f"key {path} has no {signers.name} beside it, which names who signs with it")
    entries = [trusted for trusted in read_allowed_signers(signers) if trusted.key_id == unnamed.key_id]
    if not entries:
        raise UsageError(f"{signers} does not name the key {path}; it names another one")
    now = datetime.now(UTC)
    valid = [entry for entry in entries if entry.covers(now)]
    if not valid:
        raise UsageError(f"{signers} says that the key is not valid now, so nobody would trust what it signs")
    return load_private(data, phrase, valid[0].principals[0], str(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name of the key may be as long as a name can be, and this one is longer
        return False


def signers_beside(key: Path) -> Path:
    """The file that ``keygen`` wrote beside the key, for those who verify."""
    return key.with_name(key.name + ".allowed_signers")


def passphrase(prompt: str, descriptor: int | None, environment: Mapping[str, str]) -> bytes:
    """From the file descriptor, the environment, or a prompt; never from an argument. Raises UsageError."""
    if descriptor is not None:
        return _first_line(descriptor)
    if PASSPHRASE_VARIABLE in environment:
        return os.fsencode(environment[PASSPHRASE_VARIABLE])
    if not sys.stdin.isatty():
        raise UsageError(f"the key needs a passphrase: set {PASSPHRASE_VARIABLE} or give --passphrase-fd N")
    return str(typer.prompt(prompt, hide_input=True, prompt_suffix="", err=True)).encode()


def _first_line(descriptor: int) -> bytes:
    if not 0 <= descriptor <= _DESCRIPTOR_LIMIT:
        raise UsageError(f"file descriptor {descriptor} cannot be read: it is no descriptor; give a number like 3")
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(_PASSPHRASE_LIMIT).split(b"\n", 1)[0]
    except OSError as error:
        raise UsageError(f"file descriptor {descriptor} cannot be read: {error.strerror}") from None

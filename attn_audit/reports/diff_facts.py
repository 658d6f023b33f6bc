"""What holds of an audit as a whole, in words: its model, its settings, its tool, its signer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attn_audit.judge.difference import Fact
from attn_audit.reports.text import exact
from attn_audit.words import noted, say, translated

_FACTS = {
    "model": noted("Model"),
    "model root": noted("Model root"),
    "quantisation": noted("Quantisation"),
    "tool": noted("Made by"),
    "chat template": noted("Chat template"),
    "signer": noted("Signer"),
    "report templates": noted("Report templates"),
}
_SIGNER = re.compile(r"(.*), key id ([0-9a-f]+)(, TEST KEY)?", re.DOTALL)
_MAY_BE_ABSENT = frozenset({"quantisation", "chat template", "signer"})
_ABSENT = (noted("none"), noted("nobody: unsigned"))  # how a fact says it


def name_of(fact: Fact) -> str:
    """``Model root``, ``Setting units``."""
    if fact.name in _FACTS:
        return translated(_FACTS[fact.name])
    return say("Setting %(name)s", name=fact.name.removeprefix("setting "))


def known(name: str, value: str) -> str:
    """What is known of an audit, in words."""
    if name in _MAY_BE_ABSENT and value in _ABSENT:
        return translated(value)
    if name == "signer" and (found := _SIGNER.fullmatch(value)):
        key = {"name": exact(found[1]), "key_id": found[2]}
        return (
            say("%(name)s, key id %(key_id)s, TEST KEY", **key)
            if found[3]
            else say("%(name)s, key id %(key_id)s", **key)
        )
    return exact(value) or say("not known")


def alike(facts: Sequence[Fact]) -> str:
    """What a reader asks for first, in one line; that the rest agrees is said by its absence above."""
    held = {fact.name: known(fact.name, fact.first) for fact in facts if fact.first == fact.second}
    said = [say("model %(name)s", name=held["model"])] if {"model", "model root"} <= set(held) else []
    settings = [fact for fact in facts if fact.name.startswith("setting ")]
    said += [say("all settings")] if settings and all(fact.name in held for fact in settings) else []
    said += [say("tool (%(name)s)", name=held["tool"])] if "tool" in held else []
    said += [say("signer (%(name)s)", name=held["signer"])] if "signer" in held else []
    return ", ".join(said) or say("nothing of model, settings, tool and signer")

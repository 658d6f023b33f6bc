"""The policies of a case file: each is about something, can be broken, and fixes the method that it judges."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from attn_audit.case_text.tree import Step, Tree, quoted
from attn_audit.cases.patterns import compiled
from attn_audit.cases.schema import FileSettings
from attn_audit.evidence.records import Case, Limits, Policy, PolicyMethod

Path = tuple[Step, ...]
_PATTERNS = ("pattern", "answer_must_match", "answer_must_not_match")


def with_methods(tree: Tree, path: Path, policies: tuple[Policy, ...], settings: FileSettings) -> tuple[Policy, ...]:
    """The policies, each with the whole of its method: what it does not say itself is as in the settings of its file,
    else the default. Raises UsageError where a policy says nothing or can never hold, and where patterns are wrong."""
    found = []
    for index, policy in enumerate(policies):
        at = (*path, index)
        _check_sense(tree, at, policy)
        for key in _PATTERNS:
            if (pattern := getattr(policy, key)) is not None:
                compiled(tree, (*at, key), pattern)
        found.append(policy.model_copy(update={"method": _method(tree, (*at, "method"), policy, settings)}))
    return tuple(found)


def check_references(
    tree: Tree, path: Path, policies: tuple[Policy, ...], cases: tuple[Case, ...], ids: Mapping[str, tuple[str, str]]
) -> None:
    """A policy that refers to nothing would pass for ever: what it names must exist in a case that it covers. ``ids``:
    of all cases, by their case-folded form. Raises UsageError."""
    named = {(named.kind, named.name) for case in cases for named in case.named}
    for index, policy in enumerate(policies):
        label = f"the policy {quoted(policy.name)}"
        for key, kind in (("unit", "named"), ("field", "field")):
            name = getattr(policy, key)
            if name is not None and (kind, name) not in named:
                tree.refuse((*path, index, key), f"{label} names the {key} {quoted(name)}, which no case it covers has")
        pair = policy.pair_with
        if pair is None:
            continue
        if ids.get(pair.casefold(), ("",))[0] != pair:
            tree.refuse((*path, index, "pair_with"), f"{label} is paired with {quoted(pair)}, which is not a case here")
        if all(case.id == pair for case in cases):
            tree.refuse((*path, index, "pair_with"), f"{label} pairs {quoted(pair)} with itself")


def _check_sense(tree: Tree, at: Path, policy: Policy) -> None:
    """Raises UsageError where the policy could never be broken, or never hold."""
    label, limits = f"the policy {quoted(policy.name)}", policy.limits
    names_pieces = bool(policy.terms) or any((policy.pattern, policy.unit, policy.field, policy.role))
    limited = limits != Limits()
    if names_pieces and not limited:
        tree.refuse(at, f"{label} names pieces of the input and sets no limits for them")
    if limited and not names_pieces:
        tree.refuse((*at, "limits"), f"{label} has limits for no pieces; give terms, pattern, unit, field or role")
    if not limited and not any((policy.answer_must_match, policy.answer_must_not_match, policy.pair_with)):
        tree.refuse(at, f"{label} asks for nothing; give limits, an answer condition or pair_with")
    if policy.tolerance is not None and policy.pair_with is None:
        tree.refuse((*at, "tolerance"), f"{label} has a tolerance without pair_with")
    for position, term in enumerate(policy.terms):
        if not term.strip():
            tree.refuse((*at, "terms", position), f"a term of {label} has no text")
    if (limits.min_share or 0) > (1 if limits.max_share is None else limits.max_share):
        tree.refuse((*at, "limits"), f"{label} can never hold: its min_share is above its max_share")
    if limits.min_share == 0 or limits.max_share == 1:
        tree.refuse((*at, "limits"), f"{label} allows any share by its min_share of 0, or max_share of 1; leave it out")
    if limits.must_be_in_top is not None and limits.must_be_in_top <= (limits.not_in_top or 0):
        tree.refuse((*at, "limits"), f"{label} can never hold: must_be_in_top lies within not_in_top")


def _method(tree: Tree, at: Path, policy: Policy, settings: FileSettings) -> PolicyMethod:
    said = {name: getattr(policy.method, name) for name in policy.method.model_fields_set}
    general = {name: value for name in PolicyMethod.model_fields if (value := getattr(settings, name)) is not None}
    if general.get("effect") == "both":  # the map is that of the total effect, the other stands beside it
        general["effect"] = "total"
    if general.get("units") == "auto":
        del general["units"]
    if "operator" in said:  # which has a factor of its own, or none
        general.pop("factor", None)
    try:
        method = PolicyMethod.model_validate({**general, **said})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        tree.refuse(("settings", name), f"{name} in settings must be one of its values, not {quoted(general[name])}")
    if (method.factor is None) != (method.operator == "knockout"):
        wanted = "takes no factor" if method.operator == "knockout" else "needs a factor"
        tree.refuse(at, f"the method of the policy {quoted(policy.name)}: operator {method.operator} {wanted}")
    return method

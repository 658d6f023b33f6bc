"""The method of a measurement in a few words, the same on paper, in the terminal and in the list of checks; and what
tells two of them apart."""

from __future__ import annotations

from attn_audit.evidence.measured import Method

_OPERATORS = {
    "knockout": "hidden from the model's attention",
    "soft": "weakened in the model's attention by adding the logarithm of {factor:g}",
    "shifted": "weakened in the model's attention by scaling its scores with {factor:g}",
}
_EFFECT_NAMES = {"total": "total effect", "direct": "direct effect", "both": "total and direct effect"}
_EFFECTS = {
    "total": "for every later position of prompt and answer",
    "direct": "only for the positions that predict the answer",
    "both": "for every later position of prompt and answer, and beside it for those alone that predict the answer",
}


def described(method: Method) -> str:
    """Names and values: ``soft 0.1, direct effect, layers 4:8, units: word``."""
    factor = "" if method.factor is None else f" {method.factor:g}"
    layers = "" if method.layers is None else f", layers {method.layers[0]}:{method.layers[1]}"
    effort = "" if method.effort == "full" else f", {method.effort}"
    return f"{method.operator}{factor}, {_EFFECT_NAMES[method.effect]}{layers}, units: {method.units}{effort}"


def in_words(method: Method) -> str:
    """What happened to a piece: ``hidden from the model's attention in every layer, for every later position ...``."""
    where = "every layer"
    if method.layers is not None:
        first, stop = method.layers
        where = f"layer {first} only" if stop == first + 1 else f"layers {first} to {stop - 1} only"
    return f"{_OPERATORS[method.operator].format(factor=method.factor)} in {where}, {_EFFECTS[method.effect]}"


def differences(one: Method, other: Method) -> tuple[str, ...]:
    """The names of what was measured otherwise. Where both effects were measured, the map is that of the total one."""
    values = [
        {**method.model_dump(exclude={"default"}), "effect": "total" if method.effect == "both" else method.effect}
        for method in (one, other)
    ]
    return tuple(name for name in values[0] if values[0][name] != values[1][name])

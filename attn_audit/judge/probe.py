"""What the probe's figures must be for a model to be measured (docs/method.md)."""

from __future__ import annotations

from attn_audit.evidence.measured import Probe

TOLERANCE = 1e-3  # logits, float32; sound models stay below 1e-5, others fail by whole logits
LEAST_EFFECT = 1e-6  # logits


def holds(probe: Probe) -> bool:
    """Whether a model with these figures may be measured."""
    errors = (probe.causal, probe.empty_suppression, probe.leak, probe.prefix_reuse)
    return probe.tolerance <= TOLERANCE and max(errors) <= probe.tolerance and probe.effect >= LEAST_EFFECT

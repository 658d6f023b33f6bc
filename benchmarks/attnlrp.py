"""AttnLRP (Achtibat et al. 2024) by its authors' package, for speed.py: a job as JSON on standard input, the result as
JSON on standard output. It runs in an environment of its own, since the package does not import beside current
transformers:

    python3.11 -m venv venv-lxt
    venv-lxt/bin/pip install torch==2.13.0
    venv-lxt/bin/pip install --no-deps -r benchmarks/requirements-lxt.txt

The package imports torchvision for its vision models only; torchvision has no build beside every torch, so a stand-in
takes its place here. One forward pass and one backward pass for each answer token; the relevance is the embedding
times its gradient (the package's own quick start). Its units are tokens.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout
from importlib.metadata import version
from types import ModuleType
from typing import Any

import peak_memory
import torch
from transformers import AutoModelForCausalLM
from transformers.models.llama import modeling_llama


def relevance(network: Any, prompt: list[int], answer: list[int]) -> list[list[float]]:
    """(answer tokens, positions)."""
    inputs = torch.tensor([prompt + answer[:-1]])
    found = []
    embedded = network.get_input_embeddings()(inputs).detach().requires_grad_()
    logits = network(inputs_embeds=embedded, use_cache=False).logits[0, len(prompt) - 1 :]
    for row, token in enumerate(answer):
        (gradient,) = torch.autograd.grad(logits[row, token], embedded, retain_graph=True)
        found.append((embedded * gradient)[0].sum(-1).tolist())
    return found


def base(network: Any, prompt: list[int], answer: list[int]) -> float:
    """Log-probability of the answer, nats: shows that the weights are the same as those of the other methods."""
    with torch.inference_mode():
        logits = network(torch.tensor([prompt + answer[:-1]]), use_cache=False).logits[0, len(prompt) - 1 :]
    return float(logits.log_softmax(-1)[range(len(answer)), answer].sum())


def loaded(load_from: dict[str, Any]) -> Any:
    """The network in float32, its rules not yet in place."""
    network = AutoModelForCausalLM.from_pretrained(**load_from, torch_dtype=torch.float32).eval()
    if not isinstance(network, modeling_llama.LlamaForCausalLM):
        raise SystemExit(f"AttnLRP is set up here for Llama models, not for {type(network).__name__}")
    return network.requires_grad_(requires_grad=False)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds, peak memory above the loaded model and what was computed."""
    torch.set_num_threads(job["threads"])
    network = loaded(job["load_from"])
    reference = base(network, job["prompt"], job["answer"])
    patch()
    before = peak_memory.settled()
    began = time.perf_counter()
    relevance(network, job["prompt"], job["answer"])
    seconds = time.perf_counter() - began
    after = peak_memory.peak()
    return {
        "seconds": seconds,
        "peak_bytes": None if before is None or after is None else after - before,
        "base": reference,
        "forward_tokens": len(job["prompt"]) + len(job["answer"]) - 1,
        "versions": {name: version(name) for name in ("lxt", "torch", "transformers")},
    }


def patch() -> None:
    """The package's rules in place of the Llama classes' gradients."""
    vision = ModuleType("torchvision.models.vision_transformer")
    vision.nn = torch.nn  # type: ignore[attr-defined]
    models = ModuleType("torchvision.models")
    models.vision_transformer = vision  # type: ignore[attr-defined]
    sys.modules |= {"torchvision": ModuleType("torchvision"), models.__name__: models, vision.__name__: vision}
    from lxt.efficient import monkey_patch  # noqa: PLC0415  (after its stand-in)

    monkey_patch(modeling_llama)


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        result = measure(json.load(sys.stdin))
    print(json.dumps(result))

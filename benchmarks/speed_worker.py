"""One method of speed_methods.py, measured in a process of its own: a job as JSON on standard input, the result as JSON
on standard output. speed.py starts it."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import peak_memory
import torch
from speed_methods import METHODS, Method, Setup
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from attn_audit.measure.answer import score
from attn_audit.measure.gguf_reading import read_once
from attn_audit.measure.model import Model, load, locate, set_threads

TRIALS = 5
_SETTLING = 0.05  # seconds of work before the first trial counts


@dataclass
class Count:
    """What went through the network: passes, forward ``tokens``, ``pairs`` of a token and a position it may look at,
    and ``logit_rows``, positions whose logits were computed."""

    passes: int = 0
    tokens: int = 0
    pairs: int = 0
    logit_rows: int = 0
    started: list[Any] = field(default_factory=list)

    def layer(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A hook of the first layer."""
        rows, queries = (args[0] if args else kwargs["hidden_states"]).shape[:2]
        cache = kwargs.get("past_key_values")
        keys = queries + (0 if cache is None else cache.get_seq_length(0))
        self.passes += 1
        self.tokens += rows * queries
        self.pairs += rows * queries * keys

    def head(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A hook of the output layer."""
        hidden = args[0]
        self.logit_rows += hidden.numel() // hidden.shape[-1]


@contextmanager
def counted(network: Any) -> Iterator[Count]:
    """Counts every pass while it lasts."""
    count = Count()
    layers = next(module for module in network.modules() if isinstance(module, nn.ModuleList))
    with ExitStack() as stack:
        for module, hook in ((layers[0], count.layer), (network.get_output_embeddings(), count.head)):
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield count


@dataclass(frozen=True)
class Product:
    """``count`` matrix products of ``rows`` rows with weights (outputs, inputs) in one pass."""

    outputs: int
    inputs: int
    count: int
    rows: int

    @property
    def operations(self) -> int:
        return 2 * self.rows * self.outputs * self.inputs * self.count


def products(network: Any, count: Count) -> list[Product]:
    """The matrix products of the method's average pass."""
    head = network.get_output_embeddings()
    layers = [module for module in network.modules() if isinstance(module, nn.Linear) and module is not head]
    shapes = Counter((layer.weight.shape[0], layer.weight.shape[1]) for layer in layers)
    rows, logit_rows = (max(1, round(total / count.passes)) for total in (count.tokens, count.logit_rows))
    outputs, inputs = head.weight.shape
    return [
        *(Product(*shape, number, rows) for shape, number in shapes.items()),
        Product(outputs, inputs, 1, logit_rows),
    ]


def operations(network: Any, count: Count) -> int:
    """Floating-point operations of all passes: products with weights, and attention (scores and weighted values)."""
    config = network.config.get_text_config()
    heads, layers = int(config.num_attention_heads), int(config.num_hidden_layers)
    width = heads * int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    *for_token, for_logits = (product.operations for product in products(network, Count(1, 1, 0, 1)))
    return sum(for_token) * count.tokens + for_logits * count.logit_rows + 4 * layers * width * count.pairs


# -- the machine's best ---------------------------------------------------------------------------------------------

Kernel = Callable[[Tensor, int], Callable[[Tensor], Tensor]]


def plain(weight: Tensor, rows: int) -> Callable[[Tensor], Tensor]:
    """What the model's own layers call."""
    return lambda given: nn.functional.linear(given, weight)


def packed(weight: Tensor, rows: int) -> Callable[[Tensor], Tensor]:
    """oneDNN with weights in its own order: what torch's compiler emits for constant weights. Private functions."""
    library = torch.ops.mkldnn
    reordered = library._reorder_linear_weight(weight, rows)
    return lambda given: library._linear_pointwise(given, reordered, None, "none", [], "")


KERNELS: dict[str, Kernel] = {"F.linear": plain, "oneDNN packed": packed}


@torch.inference_mode()
def best(wanted: Sequence[Product], dtype: torch.dtype) -> dict[str, float]:
    """GFLOP/s of each kernel over these products: alternating, the fastest of several trials of each."""
    seconds = dict.fromkeys(KERNELS, 0.0)
    for product in wanted:
        given = torch.randn(product.rows, product.inputs, dtype=dtype)
        weight = torch.randn(product.outputs, product.inputs, dtype=dtype)
        runs = {name: kernel(weight, product.rows) for name, kernel in KERNELS.items()}
        _settle(runs, given)
        fastest = dict.fromkeys(KERNELS, float("inf"))
        for _ in range(TRIALS):
            for name, run in runs.items():
                fastest[name] = min(fastest[name], _timed(run, given))
        for name, one in fastest.items():
            seconds[name] += product.count * one
    total = sum(product.operations for product in wanted)
    return {name: total / one / 1e9 for name, one in seconds.items()}


def _settle(runs: dict[str, Callable[[Tensor], Tensor]], given: Tensor) -> None:
    for run in runs.values():
        until = time.perf_counter() + _SETTLING
        while time.perf_counter() < until:
            run(given)


def _timed(run: Callable[[Tensor], Tensor], given: Tensor) -> float:
    began = time.perf_counter()
    run(given)
    return time.perf_counter() - began


# -- one measurement ------------------------------------------------------------------------------------------------


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds, peak memory above the loaded model, what was computed, and the machine's best for it."""
    set_threads(job["threads"])
    method = METHODS[job["method"]]
    if method.prepare is None:
        raise SystemExit("it runs in an environment of its own")
    model = loaded(job["model"], method)
    base = score(model, tuple(job["prompt"]), tuple(job["answer"]))  # also the pass that warms up
    pieces = tuple(tuple((start, stop) for start, stop in runs) for runs in job["pieces"])
    setup = Setup(model, base, pieces, job["rendered"], tuple(job["ends"]), job["max_memory"])
    run = method.prepare(setup)
    before = peak_memory.settled()
    with counted(model.network) as count:
        began = time.perf_counter()
        scores = run()
        seconds = time.perf_counter() - began
    after = peak_memory.peak()
    return {
        "seconds": seconds,
        "peak_bytes": None if before is None or after is None else after - before,
        "base": float(base.log_probabilities.sum()),
        "scores": scores,
        "forward_tokens": count.tokens,
        "passes": count.passes,
        "versions": _versions("captum", "inseq", "torch", "transformers"),
        **_arithmetic(model.network, method, count),
    }


def loaded(name: str, method: Method) -> Model:
    """The model, its network as the method wants it."""
    located = locate(name)
    model = load(located, seed=0, dtype=method.dtype)
    if method.network == "ours":
        return model
    with read_once():
        plain = AutoModelForCausalLM.from_pretrained(
            **located.load_from, dtype=torch.float32, attn_implementation="sdpa"
        )
    return replace(model, network=plain.eval().requires_grad_(requires_grad=False))


def _arithmetic(network: Any, method: Method, count: Count) -> dict[str, Any]:
    """Left out where backward passes are part of the work: they are not counted."""
    if method.work != "forward":
        return {}
    return {"operations": operations(network, count), "best": best(products(network, count), network.dtype)}


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        result = measure(json.load(sys.stdin))
    print(json.dumps(result))

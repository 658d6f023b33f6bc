"""How long does an exact sweep over every token take on a GPU?

A network of the shape of an 8-billion-parameter Llama with random weights (no download) in bfloat16, a prompt of random
tokens, each of them a unit; naive full passes beside it, in the same run: an explicit mask, nothing reused, logits of
the answer only, at several batch sizes, on a sample of the units and extrapolated. Then a small network in float32 on
the CPU, against float32 and bfloat16 on the device: the largest difference of a score.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --shape tiny --prompt-tokens 64     # tries it out without a GPU
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from speed_methods import Setup, naive, ours
from transformers import LlamaConfig, LlamaForCausalLM

from attn_audit.evidence.measured import ModelIdentity, Probe
from attn_audit.measure.answer import score
from attn_audit.measure.model import Model
from attn_audit.measure.probe import probe, probe_moved, random_ids
from attn_audit.measure.sweep import cost_of, plan, room

SHAPES = {
    "8b": LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
    ),
    "tiny": LlamaConfig(
        vocab_size=1024,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
    ),
}
SEED = 0
WIDE = 8.0  # times the usual spread of the small network's weights, so that its answers depend on the prompt


@dataclass(frozen=True)
class Timed:
    """``seconds`` for all units, extrapolated from ``measured`` of them."""

    name: str
    seconds: float
    measured: int
    tokens: int
    gigabytes: float | None


def network_of(config: LlamaConfig, device: str, dtype: torch.dtype) -> LlamaForCausalLM:
    """Random weights, made where they are used."""
    torch.manual_seed(SEED)
    with torch.device(device):
        made = LlamaForCausalLM._from_config(config, dtype=dtype, attn_implementation="sdpa")
    return made.eval().requires_grad_(requires_grad=False)


def model_of(network: LlamaForCausalLM, found: Probe) -> Model:
    """As the sweep takes it; there is no file and no tokenizer."""
    identity = ModelIdentity(
        name="random weights",
        layout="folder",
        root="0" * 64,
        files=(),
        architecture=type(network).__name__,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        dtype=str(network.dtype).removeprefix("torch."),
        quantisation=None,
        context_length=network.config.max_position_embeddings,
        chat_template_sha256=None,
        licence=None,
    )
    return Model(network, None, identity, found, packed=False)


def setup_of(model: Model, prompt_tokens: int, answer_tokens: int, max_memory: float) -> Setup:
    """Every token of the prompt but the first and the last is a unit."""
    ids = tuple(random_ids(model.network, prompt_tokens + answer_tokens, SEED)[0].tolist())
    base = score(model, ids[:prompt_tokens], ids[prompt_tokens:])
    pieces = tuple(((index, index + 1),) for index in range(1, prompt_tokens - 1))
    return Setup(model, base, pieces, "", (), max_memory)


def timed(run: Callable[[], object], device: str) -> tuple[float, float | None]:
    """Seconds, and the most memory that was held, GB."""
    if device == "cpu":
        began = time.perf_counter()
        run()
        return time.perf_counter() - began, None
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - began, torch.cuda.max_memory_allocated() / 1e9


def compared(setup: Setup, device: str, sampled: int) -> list[Timed]:
    """Ours over all units, and naive passes of several batch sizes over some of them."""
    count, inputs = len(setup.pieces), setup.base.inputs.shape[1]
    some = setup.pieces[:: max(1, count // sampled)]
    sample = Setup(setup.model, setup.base, some, "", (), setup.max_memory)
    found = []
    for reach in ("total", "direct"):
        rows = room(setup.model, setup.base, setup.max_memory, reach).rows
        cost = cost_of(plan(setup.pieces, len(setup.base.prompt), rows, reach), inputs)
        seconds, peak = timed(ours(setup, reach), device)
        found.append(Timed(f"ours, {reach}, {rows} at a time", seconds, count, cost.forward_tokens, peak))
    for rows in (1, 8, 16, 32):
        seconds, peak = timed(naive(sample, rows, "answer"), device)
        whole = seconds * count / len(some)
        found.append(Timed(f"naive, {rows} at a time", whole, len(some), inputs * count, peak))
    return found


def differences(device: str) -> dict[str, float]:
    """Of the scores of a small network: the device in two number formats, against float32 on the CPU; nats."""
    config = SHAPES["tiny"]

    def scores(where: str, dtype: torch.dtype) -> torch.Tensor:
        network = network_of(config, "cpu", torch.float32)
        for parameter in network.parameters():
            parameter.mul_(WIDE if parameter.dim() > 1 else 1.0)
        found = probe(network, SEED)
        network.to(where, dtype)
        if (where, dtype) != ("cpu", torch.float32):
            probe_moved(network, SEED)
        setup = setup_of(model_of(network, found), 48, 4, 8.0)
        return torch.tensor(ours(setup, "total")())

    expected = scores("cpu", torch.float32)
    formats = (torch.float32, torch.bfloat16)
    return {str(dtype): (scores(device, dtype) - expected).abs().max().item() for dtype in formats}


def main(
    device: Annotated[str, typer.Option(help="cuda, cuda:N or cpu.")] = "cuda",
    shape: Annotated[str, typer.Option(help="8b or tiny.")] = "8b",
    prompt_tokens: Annotated[int, typer.Option(help="Length of the prompt.", min=8)] = 1024,
    answer_tokens: Annotated[int, typer.Option(help="Length of the answer.", min=1)] = 8,
    sampled: Annotated[int, typer.Option(help="Units that the naive passes are measured on, at least.", min=1)] = 64,
    max_memory: Annotated[float, typer.Option(help="GB for the weights and the passes of our sweep.")] = 70.0,
) -> None:
    """Seconds of the sweep and of naive passes, and how far a small network's scores differ."""
    if shape not in SHAPES:
        raise typer.BadParameter(f"no shape {shape}; there are {', '.join(SHAPES)}")
    network = network_of(SHAPES[shape], device, torch.bfloat16)
    probe_moved(network, SEED)
    unused = Probe(tokens=0, causal=0, empty_suppression=0, effect=0, leak=0, prefix_reuse=0, tolerance=0)
    setup = setup_of(model_of(network, unused), prompt_tokens, answer_tokens, max_memory)
    timed(ours(Setup(setup.model, setup.base, setup.pieces[-64:], "", (), max_memory), "total"), device)  # warms up
    table = Table("method", "seconds", "units measured", "forward tokens", "tokens/s", "peak GB", box=None)
    for one in compared(setup, device, sampled):
        peak = "" if one.gigabytes is None else f"{one.gigabytes:.1f}"
        rate = f"{one.tokens / one.seconds:,.0f}"
        table.add_row(one.name, f"{one.seconds:.2f}", str(one.measured), f"{one.tokens:,}", rate, peak)
    console = Console(width=120)
    console.print(table)
    name = "CPU" if device == "cpu" else torch.cuda.get_device_name(device)
    console.print(f"{name}, torch {torch.__version__}; {shape}, {len(setup.pieces)} units; naive is extrapolated")
    for dtype, most in differences(device).items():
        console.print(f"small network, {dtype} on {device} against float32 on the CPU: at most {most:.1e} nats a token")


if __name__ == "__main__":
    torch.inference_mode()(typer.run)(main)

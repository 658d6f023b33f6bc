"""AttnLRP's relevance of every prompt position, for faithfulness.py, in the environment that attnlrp.py names: jobs as
JSON on standard input, {"load_from", "threads", "questions": [{"prompt", "answer"}]}, and one list of numbers a
question, summed over the answer's tokens, as JSON on standard output.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from typing import Any

import torch
from attnlrp import loaded, patch, relevance


def maps(job: dict[str, Any]) -> list[list[float]]:
    """(questions, prompt positions)."""
    torch.set_num_threads(job["threads"])
    network = loaded(job["load_from"])
    patch()
    return [_summed(network, question["prompt"], question["answer"]) for question in job["questions"]]


def _summed(network: Any, prompt: list[int], answer: list[int]) -> list[float]:
    found = relevance(network, prompt, answer)
    return [sum(values) for values in zip(*found, strict=True)][: len(prompt)]


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        result = maps(json.load(sys.stdin))
    print(json.dumps(result))

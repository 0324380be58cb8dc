"""Train the text encoder: prompts in free wording to the codes that Flux knows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

from pulid_sdcpp.pocket.text_encoder import LAYOUT

from .clip_tokens import END, MAX_TOKENS, START, ClipTokens, engine_merges
from .loop import train
from .portraits.captions import Choices, free_prompt, random_choices
from .prompt_code import ATTRIBUTES, prompt_code
from .text_network import HEAD_DIM, HEADS, TextNetwork

__all__ = [
    "PromptSet",
    "corner",
    "export_text_encoder",
    "figures",
    "live_tokens",
    "train_text_encoder",
]

NAME = "text_encoder"
FILE = "text_encoder.safetensors"
BATCH = 128
VOCABULARY_PROMPTS = 12_000
POOL = 16
"""Batches made at a time, so that prompts of about one length can go together."""
TRAINING_SEED, MEASURE_SEED, VOCABULARY_SEED = 71, 72, 73
MARGIN, CEILING = 1.0, 1.6
"""Where logits should be, on either side of 0."""
SIZES = tuple(len(choices) + 1 for choices in ATTRIBUTES.values())
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Words (n, length), where each ends (n,), choices (n, 4)."""


def live_tokens(tokens: ClipTokens) -> list[int]:
    """The tokens with a meaning: start, end and those of many prompts without unknown words."""
    rng = np.random.default_rng(VOCABULARY_SEED)
    prompts = [free_prompt(random_choices(rng, 0.2), rng) for _ in range(VOCABULARY_PROMPTS)]
    found = {token for prompt in prompts for token in tokens.encode(prompt)}
    return [*sorted(found), START, END]


class PromptSet:
    """Prompts as the network takes them.

    Args:
        live: Tokens with a meaning; the others are all alike.
    """

    def __init__(self, tokens: ClipTokens, live: list[int]) -> None:
        self._tokens = tokens
        self._places = {token: place + 1 for place, token in enumerate(live)}
        self._unknown = [
            word
            for word in tokens.plain_words
            if not any(token in self._places for token in tokens.encode(word))
        ]

    def words(self, prompt: str) -> list[int]:
        """From start to end."""
        inner = self._tokens.encode(prompt)[:MAX_TOKENS]
        return [self._places.get(token, 0) for token in (START, *inner, END)]

    def batch(self, prompts: list[list[int]], choices: list[Choices]) -> Batch:
        length = max(len(words) for words in prompts)
        padded = [words + [0] * (length - len(words)) for words in prompts]
        ends = [len(words) - 1 for words in prompts]
        return torch.tensor(padded), torch.tensor(ends), torch.tensor(choices)

    def random(self, rng: np.random.Generator, n_batches: int) -> list[Batch]:
        """Batches of prompts of about one length, in any order."""
        n = n_batches * BATCH
        choices = [random_choices(rng, drop=rng.choice((0.1, 0.3))) for _ in range(n)]
        prompts = [self.words(free_prompt(said, rng, self._unknown)) for said in choices]
        order = sorted(range(n), key=lambda i: len(prompts[i]))
        groups = [order[start : start + BATCH] for start in range(0, n, BATCH)]
        rng.shuffle(groups)
        return [self.batch([prompts[i] for i in g], [choices[i] for i in g]) for g in groups]


def train_text_encoder(folder: Path, budget_s: float) -> None:
    """Train, or train on; leaves a checkpoint, the curve and the figures of unseen prompts.

    Args:
        folder: For `text_encoder.ckpt` and `.jsonl`.
        budget_s: 180 s of one quiet core are enough.
    """
    torch.manual_seed(TRAINING_SEED)
    tokens = ClipTokens(engine_merges())
    live = live_tokens(tokens)
    prompts = PromptSet(tokens, live)
    network = TextNetwork(len(live))
    unseen = prompts.random(np.random.default_rng(MEASURE_SEED), 4)
    batches = _endless(prompts)
    train(
        NAME,
        folder,
        budget_s,
        {"network": network},
        lambda: _loss(network, *next(batches)),
        rate=3e-3,
        measure=lambda: figures(network, unseen),
        measure_every_s=60.0,
    )


def _endless(prompts: PromptSet) -> Iterator[Batch]:
    while True:
        seed = int(torch.randint(2**62, ()))
        yield from prompts.random(np.random.default_rng(seed), POOL)


def _loss(
    network: TextNetwork, words: torch.Tensor, ends: torch.Tensor, choices: torch.Tensor
) -> torch.Tensor:
    logits = network(words, ends)
    signed = logits * (2 * (prompt_code(choices)[:, : logits.shape[1]] > 0).float() - 1)
    apart = F.relu(MARGIN - signed).square() + F.relu(signed - CEILING).square()
    groups = zip(logits.split(SIZES, 1), choices.unbind(1), strict=True)
    told = sum(F.cross_entropy(4 * group, choice) for group, choice in groups)
    return apart.sum(1).mean() + told


@torch.no_grad()
def figures(network: TextNetwork, batches: list[Batch]) -> Mapping[str, float]:
    """Of the pooled vector as Flux gets it.

    Returns:
        Share of prompts whose background and so on is right; of those with a vector that is
        nowhere further than 1 % of SCALE from the ideal; root mean square error of the 24 codes.
    """
    found = torch.cat([network.pooled(words, ends) for words, ends, _ in batches])
    choices = torch.cat([batch[2] for batch in batches])
    ideal = prompt_code(choices)
    groups = found[:, : sum(SIZES)].split(SIZES, 1)
    right = {
        name: (group.argmax(1) == choice).float().mean().item()
        for name, group, choice in zip(ATTRIBUTES, groups, choices.unbind(1), strict=True)
    }
    error = (found - ideal)[:, : sum(SIZES)]
    exact = (error.abs().amax(1) < 0.01 * ideal.max()).float().mean().item()
    return right | {"exact": exact, "rms": error.square().mean().sqrt().item()}


def export_text_encoder(folder: Path, pack: Path) -> Path:
    """Write `text_encoder.safetensors`, which `expand_text_encoder` makes a CLIP-L of.

    Args:
        folder: Of `train_text_encoder`.
        pack: Where to.
    """
    tokens = ClipTokens(engine_merges())
    live = live_tokens(tokens)
    network = TextNetwork(len(live))
    saved = torch.load(folder / f"{NAME}.ckpt", weights_only=True)
    for parameter, mean in zip(network.parameters(), saved["averaged"], strict=True):
        parameter.data.copy_(mean)
    pack.mkdir(parents=True, exist_ok=True)
    arrays = {name: value.numpy() for name, value in corner(network).items()}
    arrays["token_ids"] = np.array(live, np.int32)
    save_file(arrays, pack / FILE, {"layout": LAYOUT, "attributes": json.dumps(ATTRIBUTES)})
    return pack / FILE


@torch.no_grad()
def corner(network: TextNetwork) -> dict[str, torch.Tensor]:
    """The network as `pulid_sdcpp.pocket_text_encoder` knows it, without `token_ids`."""
    tensors = {
        "token_embedding": network.words,
        "text_model.embeddings.position_embedding.weight": network.positions(),
    }
    layers = "text_model.encoder.layers"
    for index, block in enumerate(network.blocks):
        parts: dict[str, Any] = {
            "layer_norm1": block.norm1,
            "layer_norm2": block.norm2,
            "self_attn.q_proj": block.q,
            "self_attn.k_proj": block.k,
            "self_attn.v_proj": block.v,
            "self_attn.out_proj": block.out,
            "mlp.fc1": block.fc1,
            "mlp.fc2": block.fc2,
        }
        for name, part in parts.items():
            weight, bias = part.weight, part.bias
            if name == "self_attn.out_proj":
                weight = weight.unflatten(1, (HEADS, HEAD_DIM))
            elif name.startswith("self_attn"):
                weight = weight.unflatten(0, (HEADS, HEAD_DIM))
                bias = bias.unflatten(0, (HEADS, HEAD_DIM))
            tensors |= {f"{layers}.{index}.{name}.weight": weight}
            tensors |= {f"{layers}.{index}.{name}.bias": bias}
    last = network.last_layer()
    prefix = f"{layers}.{len(network.blocks)}"
    tensors |= {
        f"{prefix}.layer_norm2.weight": network.norm.weight,
        f"{prefix}.layer_norm2.bias": network.norm.bias,
        f"{prefix}.mlp.fc1.weight": last["fc1.weight"],
        f"{prefix}.mlp.fc1.bias": last["fc1.bias"],
        f"{prefix}.mlp.fc2.weight": last["fc2.weight"],
        "text_model.final_layer_norm.weight": last["final.weight"],
        "text_model.final_layer_norm.bias": last["final.bias"],
    }
    # The last layer's steps are what makes the codes exact; all before tolerates rounding.
    rounded = {
        name
        for name, value in tensors.items()
        if value.ndim > 1 and not name.endswith("bias") and not name.startswith(f"{prefix}.")
    }
    return {
        name: (value.half() if name in rounded else value).detach().contiguous()
        for name, value in tensors.items()
    }

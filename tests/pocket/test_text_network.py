"""The small network is the whole CLIP-L that it is expanded to."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.numpy import save_file  # noqa: E402

from definition import clip_l  # noqa: E402
from definition.tensor_files import dequantized, read_gguf  # noqa: E402
from pocket.clip_tokens import END, START  # noqa: E402
from pocket.prompt_code import CODE_DIM, POOLED_DIM, SCALE  # noqa: E402
from pocket.text_encoder import corner  # noqa: E402
from pocket.text_network import (  # noqa: E402
    HEAD_DIM,
    HEADS,
    LAYERS,
    MLP_WIDTH,
    SHARPNESS,
    WIDTH,
    TextNetwork,
)
from pulid_sdcpp.pocket.text_encoder import LAYOUT, expand_text_encoder  # noqa: E402

WORDS = (320, 736, 1615, START, END)
UNKNOWN = 999
PROMPTS = ([], [320], [736, 1615, 320], [UNKNOWN, 320, UNKNOWN, 736], [1615, 320] * 37 + [736])


@pytest.fixture(scope="module")
def network() -> TextNetwork:
    """Random and loud, so that logits are far from 0 and from each other."""
    torch.manual_seed(0)
    network = TextNetwork(len(WORDS))
    for block in network.blocks:
        block.out.weight.data.mul_(4)
    network.logits.weight.data.mul_(8)
    return network


@pytest.fixture(scope="module")
def tensors(
    network: TextNetwork, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, gguf.ReaderTensor]:
    folder = tmp_path_factory.mktemp("text-network")
    arrays = {name: value.numpy() for name, value in corner(network).items()}
    arrays["token_ids"] = np.array(WORDS, np.int32)
    save_file(arrays, folder / "small.safetensors", {"layout": LAYOUT})
    expand_text_encoder(folder / "small.safetensors", folder / "clip_l.gguf")
    return read_gguf(folder / "clip_l.gguf")


def pooled(network: TextNetwork, prompt: list[int]) -> torch.Tensor:
    places = {token: place + 1 for place, token in enumerate(WORDS)}
    words = [places.get(token, 0) for token in (START, *prompt, END)]
    return network.pooled(torch.tensor([words]), torch.tensor([len(words) - 1]))[0]


def stored(tensors: dict[str, gguf.ReaderTensor], name: str) -> torch.Tensor:
    return torch.from_numpy(dequantized(tensors[f"{name}.weight"]))


@pytest.fixture(scope="module")
def rounded(network: TextNetwork, tensors: dict[str, gguf.ReaderTensor]) -> TextNetwork:
    """The network with the numbers that the file holds, in Q4_0, Q8_0 and float16."""
    copy = TextNetwork(len(WORDS))
    copy.load_state_dict(network.state_dict())
    table = dequantized(tensors["text_model.embeddings.token_embedding.weight"])
    positions = network.positions().detach().half().float()
    copy.positions = lambda: positions  # type: ignore[method-assign]
    with torch.no_grad():
        copy.words.copy_(torch.from_numpy(table[list(WORDS), :WIDTH]))
        for index, block in enumerate(copy.blocks):
            layer = f"text_model.encoder.layers.{index}"
            for name, part in (("q_proj", block.q), ("k_proj", block.k), ("v_proj", block.v)):
                whole = stored(tensors, f"{layer}.self_attn.{name}").unflatten(0, (-1, 64))
                part.weight.copy_(whole[:HEADS, :HEAD_DIM, :WIDTH].flatten(0, 1))
            whole = stored(tensors, f"{layer}.self_attn.out_proj").unflatten(1, (-1, 64))
            block.out.weight.copy_(whole[:WIDTH, :HEADS, :HEAD_DIM].flatten(1))
            block.fc1.weight.copy_(stored(tensors, f"{layer}.mlp.fc1")[:MLP_WIDTH, :WIDTH])
            block.fc2.weight.copy_(stored(tensors, f"{layer}.mlp.fc2")[:WIDTH, :MLP_WIDTH])
        copy.logits.weight.copy_((SHARPNESS * network.logits.weight).half().float() / SHARPNESS)
    return copy


@pytest.mark.parametrize("prompt", PROMPTS, ids=len)
def test_both_give_the_same_vector(
    rounded: TextNetwork, tensors: dict[str, gguf.ReaderTensor], prompt: list[int]
) -> None:
    """Up to the order of sums in float32: 2^-24 of some 100, in hidden units as steep as 12."""
    expected = clip_l.pooled(tensors, prompt, layers=LAYERS + 1)
    difference = (pooled(rounded, prompt) - expected).abs().max().item()
    print(f"max difference {difference:.1e} of {SCALE:.2f}")
    assert difference < 2e-4 * SCALE
    assert expected[:CODE_DIM].abs().max() > 1
    assert not expected[CODE_DIM:].any()


def test_later_layers_change_nothing(tensors: dict[str, gguf.ReaderTensor]) -> None:
    prompt = PROMPTS[2]
    assert torch.equal(
        clip_l.pooled(tensors, prompt, layers=LAYERS + 1), clip_l.pooled(tensors, prompt)
    )


def test_what_follows_the_end_does_not_matter(network: TextNetwork) -> None:
    words = torch.tensor([[4, 1, 2, 5, 0, 0], [4, 1, 2, 5, 3, 3]])
    found = network.pooled(words, torch.tensor([3, 3]))
    assert torch.equal(found[0], found[1])


def test_order_matters(network: TextNetwork) -> None:
    words = torch.tensor([[4, 1, 2, 5], [4, 2, 1, 5]])
    found = network(words, torch.tensor([3, 3]))
    assert (found[0] - found[1]).abs().max() > 0.1


def test_decided_logits_become_exact_codes(network: TextNetwork) -> None:
    """Four at or above the margin, the others at or below its negative."""
    ones = [0, 9, 13, 17]
    logits = torch.full((1, CODE_DIM), -1.3)
    logits[0, ones] = torch.tensor([1.0, 1.2, 1.4, 1.6])
    decided = TextNetwork(len(WORDS))
    decided.load_state_dict(network.state_dict())
    torch.nn.init.zeros_(decided.logits.weight)
    decided.logits.bias.data.copy_(logits[0])
    found = decided.pooled(torch.tensor([[4, 1, 5]]), torch.tensor([2]))[0]
    expected = torch.zeros(POOLED_DIM)
    expected[ones] = SCALE
    assert (found - expected).abs().max() < 0.002 * SCALE

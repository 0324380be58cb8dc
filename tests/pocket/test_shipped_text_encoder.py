"""The text encoder in the package understands prompts as people type them."""

from __future__ import annotations

import gguf
import pytest

torch = pytest.importorskip("torch")

from definition import clip_l  # noqa: E402
from definition.tensor_files import read_gguf  # noqa: E402
from pocket.clip_tokens import ClipTokens, engine_merges  # noqa: E402
from pocket.natural_prompts import NATURAL_PROMPTS  # noqa: E402
from pocket.prompt_code import SCALE, prompt_code  # noqa: E402
from pocket.text_network import LAYERS  # noqa: E402
from pulid_sdcpp.pocket.pack import PACK_FOLDER  # noqa: E402
from pulid_sdcpp.pocket.text_encoder import expand_text_encoder  # noqa: E402

SHIPPED = PACK_FOLDER / "text_encoder.safetensors"


@pytest.fixture(scope="module")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, gguf.ReaderTensor]:
    if not SHIPPED.is_file():
        pytest.skip("no pocket model in this tree")
    full = tmp_path_factory.mktemp("shipped") / "clip_l.gguf"
    expand_text_encoder(SHIPPED, full)
    return read_gguf(full)


@pytest.fixture(scope="module")
def tokens() -> ClipTokens:
    try:
        return ClipTokens(engine_merges())
    except FileNotFoundError:
        pytest.skip("the engine's source is not unpacked here")


@pytest.mark.parametrize(("prompt", "choices"), NATURAL_PROMPTS[::4])
def test_a_natural_prompt_becomes_its_code(
    tensors: dict[str, gguf.ReaderTensor],
    tokens: ClipTokens,
    prompt: str,
    choices: tuple[int, int, int, int],
) -> None:
    found = clip_l.pooled(tensors, tokens.encode(prompt), layers=LAYERS + 1)
    error = (found - prompt_code(torch.tensor([choices]))[0]).abs().max().item()
    print(f"largest error {error:.3f} of {SCALE:.2f}")
    assert error < 0.01 * SCALE

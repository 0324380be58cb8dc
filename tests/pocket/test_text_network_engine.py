"""The engine's own CLIP-L computes what the small text network does.

It gives its vector to nobody but Flux. So whole pictures are compared: the engine's from a prompt,
and the definition's from the vector that the network has for that prompt, with the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.numpy import save_file  # noqa: E402

from definition.picture import picture  # noqa: E402
from pocket.clip_tokens import END, START  # noqa: E402
from pocket.text_encoder import corner  # noqa: E402
from pocket.text_network import TextNetwork  # noqa: E402
from pulid_sdcpp import StableDiffusion  # noqa: E402
from pulid_sdcpp.pocket.text_encoder import LAYOUT, expand_text_encoder  # noqa: E402

pytestmark = pytest.mark.engine

LIVE = (320, 736, 1615, START, END)
WORDS = {"a": 320, "red": 736, "car": 1615, "dog": 1929}
"""The last is not live: it has no meaning but takes a place, as the comma does."""
PROMPTS = ("", "a red car", "car red a", "a Dog, red", "dog a", "red car " * 40)
COMMA = 267
SIZE = {"width": 32, "height": 32}


@dataclass
class Case:
    engine: StableDiffusion
    network: TextNetwork
    weights: dict[str, Path]
    pictures: dict[str, np.ndarray] = field(default_factory=dict)

    def vector(self, prompt: str) -> np.ndarray:
        words = prompt.lower().replace(",", " ,").split()[:75]
        tokens = [START, *(COMMA if word == "," else WORDS[word] for word in words), END]
        places = [LIVE.index(token) + 1 if token in LIVE else 0 for token in tokens]
        ends = torch.tensor([len(places) - 1])
        return self.network.pooled(torch.tensor([places]), ends)[0].numpy()

    def found(self, prompt: str) -> np.ndarray:
        (image,) = self.engine.generate_image(
            prompt, sample_steps=1, cfg_scale=1.0, seed=3, sample_method="euler", **SIZE
        )
        return np.asarray(image.convert("RGB"), np.float32)

    def expected(self, prompt: str) -> np.ndarray:
        if prompt not in self.pictures:
            vectors = {prompt: self.vector(prompt)}
            self.pictures[prompt] = picture(
                self.weights, prompt, steps=1, seed=3, text_vectors=vectors, **SIZE
            )
        return self.pictures[prompt]


@pytest.fixture(scope="module")
def case(
    standin_weights: dict[str, Path],
    load_engine: Callable[..., StableDiffusion],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Case]:
    torch.manual_seed(2)
    network = TextNetwork(len(LIVE))
    for block in network.blocks:
        block.out.weight.data.mul_(4)
    network.logits.weight.data.mul_(8)
    # Exact in Q4_0, and matrices in float16: such logits, anywhere about 0, forgive nothing.
    network.words.data = torch.randint(-8, 8, network.words.shape) / 16
    network.words.data[:, ::32] = -8 / 16
    folder = tmp_path_factory.mktemp("text-network")
    arrays = {name: value.float().numpy() for name, value in corner(network).items()}
    arrays["token_ids"] = np.array(LIVE, np.int32)
    save_file(arrays, folder / "small.safetensors", {"layout": LAYOUT})
    expand_text_encoder(folder / "small.safetensors", folder / "clip_l.gguf")
    weights = {**standin_weights, "clip_l": folder / "clip_l.gguf"}
    with load_engine(weights, pulid=False, rng_type="cpu") as engine:
        yield Case(engine, network, weights)


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt[:12] or "nothing")
def test_the_engine_draws_what_the_network_says(case: Case, prompt: str) -> None:
    """The definition does not round to float16, nor to whole colours: half a step each."""
    found = case.found(prompt)
    distances = {text: float(np.abs(found - case.expected(text)).mean()) for text in PROMPTS}
    own = distances.pop(prompt)
    nearest = min(distances.values())
    print(f"mean difference {own:.2f} of 255; to other prompts' pictures at least {nearest:.1f}")
    assert own < 2
    assert nearest > 10 * own

"""Training and export of the text encoder, at a size that takes a second."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from definition import clip_l  # noqa: E402
from definition.tensor_files import read_gguf  # noqa: E402
from pocket import text_encoder  # noqa: E402
from pocket.clip_tokens import END, START, ClipTokens  # noqa: E402
from pocket.natural_prompts import NATURAL_PROMPTS  # noqa: E402
from pocket.prompt_code import ATTRIBUTES, CODE_DIM, prompt_code  # noqa: E402
from pocket.text_network import LAYERS, TextNetwork  # noqa: E402
from pulid_sdcpp.pocket.text_encoder import expand_text_encoder  # noqa: E402

LETTERS = ClipTokens(())
"""Without merges every letter is a token."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_encoder, "engine_merges", tuple)
    monkeypatch.setattr(text_encoder, "BATCH", 4)
    monkeypatch.setattr(text_encoder, "POOL", 2)
    monkeypatch.setattr(text_encoder, "VOCABULARY_PROMPTS", 300)


@pytest.mark.usefixtures("small")
def test_a_trained_network_is_exported_and_expanded(tmp_path: Path) -> None:
    log = tmp_path / "training" / "text_encoder.jsonl"
    text_encoder.train_text_encoder(log.parent, 0.3)
    first = json.loads(log.read_text().splitlines()[-1])
    text_encoder.train_text_encoder(log.parent, 60 * first["minutes"] + 0.1)
    last = json.loads(log.read_text().splitlines()[-1])
    assert 0 < first["step"] < last["step"], "it was trained on"
    assert {*ATTRIBUTES, "exact", "rms"} < set(last)

    small = text_encoder.export_text_encoder(tmp_path / "training", tmp_path / "pack")
    assert small == tmp_path / "pack" / "text_encoder.safetensors"
    assert small.stat().st_size < 1_000_000
    expand_text_encoder(small, tmp_path / "clip_l.gguf")
    vector = clip_l.pooled(read_gguf(tmp_path / "clip_l.gguf"), LETTERS.encode("a"), LAYERS + 1)
    assert vector[:CODE_DIM].abs().max() > 1
    assert not vector[CODE_DIM:].any()


def test_prompts_become_places_of_live_tokens() -> None:
    a, b = LETTERS.encode("a")[0], LETTERS.encode("b")[0]
    prompts = text_encoder.PromptSet(LETTERS, [a, START, END])
    assert prompts.words("A b a") == [2, 1, 0, 1, 3]
    assert prompts.words("a " * 100) == [2, *[1] * 75, 3], "the engine reads 75 tokens"
    assert b not in (a, START, END)
    words, ends, choices = prompts.batch([[2, 1, 3], [2, 3]], [(0, 0, 0, 0), (1, 1, 1, 1)])
    assert words.tolist() == [[2, 1, 3], [2, 3, 0]]
    assert ends.tolist() == [2, 1]
    assert choices.shape == (2, 4)


def test_the_figures_of_a_perfect_network() -> None:
    """A network whose pooled vector is the ideal one of whatever it is asked."""
    choices = torch.tensor([choices for _, choices in NATURAL_PROMPTS])

    class Perfect(TextNetwork):
        def pooled(self, words: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
            return prompt_code(words)

    perfect = Perfect(1)
    figures = text_encoder.figures(perfect, [(choices, choices[:, 0], choices)])
    assert figures == {**dict.fromkeys(ATTRIBUTES, 1.0), "exact": 1.0, "rms": 0.0}
    wrong = choices.clone()
    wrong[0, 2] = (wrong[0, 2] + 1) % 4
    figures = text_encoder.figures(perfect, [(wrong, choices[:, 0], choices)])
    n = len(choices)
    assert figures["style"] == figures["exact"] == pytest.approx(1 - 1 / n)
    assert figures["rms"] == pytest.approx((2 * 768 / 4 / (n * CODE_DIM)) ** 0.5), (
        "two codes of one prompt are wrong"
    )

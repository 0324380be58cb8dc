"""The prompts that the pocket model is evaluated on, and what should be read back of each."""

from __future__ import annotations

from .options import EvaluationPrompt

__all__ = ["pocket_prompts"]

# Background, expression, style and shirt, every value at least once. What has no colour in a
# monochrome picture is not asked for there.
_NAMES = ("background", "expression", "style", "shirt")
_PROMPTS = (
    ("a photo of a person, neutral expression, blue background, wearing a white shirt",
     "blue", "neutral", "photo", "white"),
    ("photograph of a smiling person in front of a yellow wall, red shirt",
     "yellow", "smiling", "photo", "red"),
    ("a photo of a surprised person, green background, in a black shirt",
     "green", "surprised", "photo", "black"),
    ("portrait of a person, happy, on a red background, blue shirt, color photo",
     "red", "smiling", "photo", "blue"),
    ("black and white photo of a person, serious, white background, wearing a black shirt",
     "white", "neutral", "monochrome"),
    ("monochrome photo, a person with a smile in front of a black wall, in a white shirt",
     "black", "smiling", "monochrome"),
    ("comic book drawing of a person, smiling, purple background, green shirt",
     "purple", "smiling", "comic", "green"),
    ("comic style, a person with an open mouth, orange background, wearing yellow",
     "orange", "surprised", "comic", "yellow"),
)  # fmt: skip


def pocket_prompts() -> tuple[EvaluationPrompt, ...]:
    """Eight prompts in words that people use."""
    return tuple(
        EvaluationPrompt(text, dict(zip(_NAMES, values, strict=False)))
        for text, *values in _PROMPTS
    )

"""Prompts as people type them, and what they say: written by hand, not by `free_prompt`.

No training sees them. "-" stands for what a prompt does not mention.
"""

from __future__ import annotations

from .portraits.captions import Choices
from .prompt_code import ATTRIBUTES

__all__ = ["NATURAL_PROMPTS"]

_WRITTEN = """
photo of a smiling woman in a red shirt, blue background | blue smiling photo red
a surprised man in front of a green wall wearing black, comic style | green surprised comic black
a portrait of a woman, blue background | blue - - -
portrait, red background, smiling | red smiling - -
a man with a yellow background | yellow - - -
black and white photo of a man laughing | - smiling monochrome -
black and white portrait, white background | white - monochrome -
a comic of a happy girl in a yellow sweater | - smiling comic yellow
cartoon of a man, purple background, mouth open | purple surprised comic -
A person in a white t-shirt. | - - - white
a person in blue in front of an orange wall | orange - - blue
The woman wears a green shirt and stands in front of a red wall | red - - green
He is surprised. He wears a red shirt. The background is white. | white surprised - red
photograph of a serious man in black, black background | black neutral photo black
a serious woman wearing white against a black wall | black neutral - white
woman, smile, green shirt, purple wall | purple smiling - green
purple wall, green shirt, smile, woman | purple smiling - green
comic book style, orange background, blue shirt | orange - comic blue
Blue Background, Comic Style | blue - comic -
monochrome, smiling | - smiling monochrome -
PHOTO OF A MAN SMILING IN FRONT OF A YELLOW WALL | yellow smiling photo -
a calm person dressed in black on a white background | white neutral - black
person with open mouth wearing a yellow shirt, photo | - surprised photo yellow
an amazed woman, red wall, white shirt, comic drawing | red surprised comic white
a woman with red hair and a blue shirt in front of a green wall | green - - blue
man with blue eyes, neutral expression, orange background | orange neutral - -
portrait of my friend Alice smiling in front of a purple background | purple smiling - -
alice laughing, wearing a red jumper, on a black backdrop | black smiling - red
in front of a blue wall, a shocked man in a green shirt | blue surprised - green
with a white background: a happy man in blue | white smiling - blue
headshot, studio lighting, green backdrop, white shirt, serious | green neutral - white
a photo | - - photo -
a drawing of a person in a black shirt | - - comic black
a portrait of a person | - - - -
someone | - - - -
a man | - - - -
a black and white photograph of a surprised woman in a black shirt | - surprised monochrome black
a man in a red shirt with a red background | red - - red
red background and blue shirt | red - - blue
blue background and red shirt | blue - - red
red shirt and blue background | blue - - red
blue shirt, red background, photo, not smiling | red neutral photo blue
the wall behind her is yellow and her shirt is black | yellow - - black
a smiling man with glasses, green background, wearing white | green smiling - white
color photo of a neutral person, yellow wall, blue clothes | yellow neutral photo blue
a crimson background, smiling, wearing navy | red smiling - blue
a dark blue background and a bright yellow shirt | blue - - yellow
violet wall, comic | purple - comic -
happy | - smiling - -
surprised face, white wall | white surprised - -
cartoon portrait of a laughing man dressed in green, orange background | orange smiling comic green
detailed portrait photo of a grinning woman, black wall, yellow top | black smiling photo yellow
a woman with a hat, wearing a blue shirt, looking surprised | - surprised - blue
a picture of an old man with a beard in a white shirt on a blue background | blue - - white
man wearing a red shirt standing before a plain green background | green - - red
greyscale picture of a serious girl | - neutral monochrome -
in the style of a comic: a shocked boy in yellow, purple background | purple surprised comic yellow
She smiles. Orange wall. Black shirt. | orange smiling - black
a joyful person, 8k, high quality, red backdrop | red smiling - -
an astronaut in front of a black background | black - - -
"""


def _read(line: str) -> tuple[str, Choices]:
    prompt, said = line.split(" | ")
    numbers = [
        len(choices) if word == "-" else choices.index(word)
        for word, choices in zip(said.split(), ATTRIBUTES.values(), strict=True)
    ]
    return prompt, (numbers[0], numbers[1], numbers[2], numbers[3])


NATURAL_PROMPTS: tuple[tuple[str, Choices], ...] = tuple(
    _read(line) for line in _WRITTEN.strip().splitlines()
)
"""Prompt; index of background, expression, style, shirt as in `ATTRIBUTES`."""

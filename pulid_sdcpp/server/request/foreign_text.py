"""The texts of other programs' pictures as requests, as far as their words mean something here.

A1111's and Forge's last line and stable-diffusion.cpp's have one form and most keys in common. The
pictures were made with other models, so what comes is a beginning, and never the same picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...options.facts import of
from ...options.generation import MAX_SEED, SIZE_MULTIPLE_PX, GenerationOptions
from ...options.second_pass import HIRES_UPSCALERS
from ...pictures.png_text import PictureText
from ...pictures.text_entries import read_size
from ...terminal_text import shown
from ..bodies.typed_values import typed
from ..errors import ApiError
from .normal_request import NormalRequest
from .sdapi_names import sampler_from, scheduler_from

__all__ = ["foreign_request"]

_FACTS = of(GenerationOptions)
_SD_CPP = "stable-diffusion.cpp"
_MAX_SIDE = 4096
_NOTES = 32
_SILENT = re.compile(r"Version|RNG|Eta|.* hash(es)?|Model|TE|Unet|VAE|User|Module \d+|Created Date")
"""Keys that say nothing of a request, or are dealt with elsewhere."""
_PLAIN = {
    "Steps": "steps",
    "Distilled CFG Scale": "guidance",
    "Guidance": "guidance",
    "Hires upscale": "hires_scale",
    "Hires steps": "hires_steps",
}


def foreign_request(text: PictureText) -> tuple[NormalRequest, tuple[str, ...], bool]:
    """The request of another program's text.

    Returns:
        The request, for the default model; what is not taken, a line each; and whether the picture
        was made from another one.

    Raises:
        ApiError: "no_recipe": it has no prompt.
    """
    prompt, negative = (one.replace("\0", "") for one in (text.prompt, text.negative_prompt))
    if not prompt.strip():
        raise ApiError("no_recipe", "the picture's text has no prompt", "image")
    reading = _Reading(text.values)
    options: dict[str, Any] = {"prompt": prompt}
    if negative:
        options["negative_prompt"] = negative
    for key, name in _PLAIN.items():
        reading.take(key, options, name)
    reading.size(options)
    reading.seed(options)
    reading.sampling(options)
    reading.cfg(options)
    starts_from = reading.second_pass(options)
    return NormalRequest("", options), tuple(reading.all_notes()), starts_from


class _Reading:
    """The values of a text, as they are taken out of it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._left = dict(values)
        self._is_flux = "Distilled CFG Scale" in values or _SD_CPP in values.get("Version", "")
        self._model = values.get("Model", "") or values.get("Unet", "")
        self.notes: list[str] = []

    def all_notes(self) -> list[str]:
        """What is not taken."""
        if self._model:
            self.notes.insert(0, f"it was made with the model {shown(self._model)}")
        self.notes += [
            f"{key} {shown(value)} is not taken"
            for key, value in self._left.items()
            if not _SILENT.fullmatch(key)
        ]
        return self.notes[:_NOTES]

    def take(self, key: str, options: dict[str, Any], name: str) -> None:
        """A value that is an option as it stands."""
        if (value := self._left.pop(key, None)) is None:
            return
        fact = _FACTS[name]
        try:
            number: Any = float(value) if fact.kind == "number" else value
            options[name] = typed(fact, number, key)
        except (ApiError, ValueError):
            self._refuse(key, value)

    def size(self, options: dict[str, Any]) -> None:
        if (value := self._left.pop("Size", None)) is None:
            return
        try:
            sides = read_size(value)
        except ValueError:
            self._refuse("Size", value)
            return
        if not all(1 <= side <= _MAX_SIDE for side in sides):
            self._refuse("Size", value)
            return
        step = SIZE_MULTIPLE_PX
        for name, side in zip(("width", "height"), sides, strict=True):
            options[name] = max((side + step // 2) // step * step, step)
            if options[name] != side:
                self.notes.append(f"{name} {side} is made {options[name]}, a multiple of {step}")

    def seed(self, options: dict[str, Any]) -> None:
        if (value := self._left.pop("Seed", None)) is None:
            return
        is_number = value.isascii() and value.isdigit() and len(value) <= 19
        if is_number and int(value) <= MAX_SEED:
            options["seed"] = int(value)
        else:
            self._refuse("Seed", value)

    def sampling(self, options: dict[str, Any]) -> None:
        """Sampler and schedule; sd.cpp writes both in one, as in "euler_a karras"."""
        if (value := self._left.pop("Sampler", None)) is not None:
            method, scheduler = sampler_from(value)
            if method is None:
                self._refuse("Sampler", value)
            else:
                options["sampling_method"] = method
            if scheduler is not None:
                options["scheduler"] = scheduler
        for key in ("Schedule type", "Scheduler"):
            if (value := self._left.pop(key, None)) is not None:
                scheduler, is_known = scheduler_from(value)
                if scheduler is not None:
                    options["scheduler"] = scheduler
                elif not is_known:
                    self._refuse(key, value)
        # 1 skips nothing as A1111 counts, and -1 as sd.cpp does.
        if self._left.get("Clip skip") in ("1", "-1", "0"):
            del self._left["Clip skip"]
        self.take("Clip skip", options, "clip_skip")

    def cfg(self, options: dict[str, Any]) -> None:
        """True CFG, which only texts of Flux mean by it: others always have 7 or so, which would
        burn the picture."""
        value = self._left.get("CFG scale")
        if value is None:
            return
        if self._is_flux:
            self.take("CFG scale", options, "cfg_scale")
        elif _number(value) == 1:
            del self._left["CFG scale"]

    def second_pass(self, options: dict[str, Any]) -> bool:
        """Hires fix; whether the picture was made from another one, which has the same key."""
        value = self._left.get("Denoising strength")
        has_pass = any(name in options for name in ("hires_scale", "hires_steps"))
        has_pass = has_pass or "Hires resize" in self._left
        if has_pass:
            options["hires"] = True
            if (size := self._left.pop("Hires resize", None)) is not None:
                self._hires_size(size, options)
            upscaler = self._left.pop("Hires upscaler", None)
            if upscaler in HIRES_UPSCALERS:
                options["hires_upscaler"] = upscaler
            elif upscaler is not None:
                self._refuse("Hires upscaler", upscaler)
            self.take("Denoising strength", options, "hires_denoising_strength")
            self._check_second_pass(options)
            return False
        self.take("Denoising strength", options, "strength")
        return value is not None

    def _hires_size(self, size: str, options: dict[str, Any]) -> None:
        try:
            sides = read_size(size)
            checked = {
                name: typed(_FACTS[name], side, name)
                for name, side in zip(("hires_width", "hires_height"), sides, strict=True)
            }
        except (ApiError, ValueError):
            self._refuse("Hires resize", size)
            return
        options.update(checked)

    def _check_second_pass(self, options: dict[str, Any]) -> None:
        """Leave it out where its picture would be too large for any model here."""
        try:
            GenerationOptions(**options)
        except ValueError as error:
            self.notes.append(f"Hires fix is not taken: {error}")
            for name in [name for name in options if name.startswith("hires")]:
                del options[name]

    def _refuse(self, key: str, value: str) -> None:
        self.notes.append(f"{key} {shown(value)} is not taken")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

"""The fields of Create, put where the page is being built: a component for each of `form.NAMES`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from ..options.generation import SAMPLING_METHODS, SCHEDULERS
from ..options.identity_mode import ID_MODES, MAX_ID_ZEROS
from ..options.second_pass import HIRES_UPSCALERS
from ..options.step_cache import CACHE_MODES
from . import texts
from .form import LORA_ROWS, NAMES, default_of, has_modes
from .photo_input import photo_input
from .start_picture import brush_field

__all__ = ["CreateFields", "has_guidance"]


class CreateFields:
    """The fields. `prompt`, `picture`, `more` each put their part where the page is being built.

    Attributes:
        named: By name of `form.NAMES`.
        shape: The choice of a shape, which sets width and height.
        start, start_mask: A picture to start from, with its mask.
        refs, control, canny: Pictures to follow.
    """

    def __init__(self, max_batch: int, max_steps: int) -> None:
        self.named: dict[str, Any] = {}
        self._max_batch = min(max_batch, 10)
        self._max_steps = min(max_steps, 50)

    @property
    def values(self) -> list[Any]:
        """The components in the order of NAMES."""
        return [self.named[name] for name in NAMES]

    def prompt(self) -> None:
        """What the picture shows."""
        self._put(
            "prompt",
            gr.Textbox(
                texts.PROMPT_START,
                label=texts.PROMPT,
                placeholder=texts.PROMPT_HINT,
                lines=3,
                max_lines=8,
                elem_id="prompt",
            ),
        )

    def picture(self) -> None:
        """Its model, size, steps, guidance, seed and number."""
        put, number = self._put, self._number
        put("model", gr.Dropdown([], label=texts.MODEL, filterable=False, elem_id="model"))
        self.shape = gr.Radio(
            [(title, name) for name, title in texts.SHAPES.items()],
            value="square",
            label=texts.SHAPE,
            elem_id="shape",
        )
        with gr.Row():
            number("width", texts.WIDTH, step=16, minimum=16, precision=0)
            number("height", texts.HEIGHT, step=16, minimum=16, precision=0)
        with gr.Row():
            self._slider("steps", texts.STEPS, 1, self._max_steps, 1)
            self._slider("guidance", texts.GUIDANCE, 1, 10, 0.1)
        with gr.Row(equal_height=True):
            put(
                "seed",
                gr.Textbox(
                    "-1",
                    label=texts.SEED,
                    info=texts.SEED_INFO,
                    max_lines=1,
                    elem_id="seed",
                    min_width=140,
                    scale=2,
                ),
            )
            with gr.Column(min_width=110, scale=1, elem_classes="seed-buttons"):
                self.dice = gr.Button(texts.DICE, size="sm")
                self.last_seed = gr.Button(texts.LAST_SEED, size="sm")
        self._slider("batch_count", texts.COUNT, 1, self._max_batch, 1)

    def more(self) -> None:
        """All else, closed at first."""
        put, number = self._put, self._number
        with gr.Accordion(texts.MORE_TITLE, open=False):
            put(
                "negative_prompt",
                gr.Textbox(label=texts.NEGATIVE, placeholder=texts.NEGATIVE_HINT, lines=2),
            )
            with gr.Row():
                self._slider("cfg_scale", texts.TRUE_CFG, 1, 10, 0.1, info=texts.TRUE_CFG_INFO)
                self._slider("cfg_start_step", texts.CFG_START, 0, 20, 1)
            with gr.Row():
                self._choice("sampling_method", texts.SAMPLER, SAMPLING_METHODS)
                self._choice("scheduler", texts.SCHEDULER, SCHEDULERS)
            with gr.Row():
                previews = [(title, name) for name, title in texts.PREVIEWS.items()]
                put("preview", gr.Dropdown(previews, value="proj", label=texts.PREVIEW))
                self._choice("cache_mode", texts.CACHE, CACHE_MODES, info=texts.CACHE_INFO)
            put("cache_option", gr.Textbox(label=texts.CACHE_OPTION, max_lines=1))
            with gr.Row():
                number("eta", texts.ETA, minimum=0)
                number("clip_skip", texts.CLIP_SKIP, minimum=-1, maximum=12, precision=0)
                number(
                    "upscale_repeats", texts.UPSCALE, minimum=0, maximum=4, precision=0,
                    info=texts.UPSCALE_INFO,
                )  # fmt: skip
            with gr.Row():
                number("slg_scale", texts.SLG)
                number("skip_layer_start", texts.SLG_START, minimum=0, maximum=1, step=0.01)
                number("skip_layer_end", texts.SLG_END, minimum=0, maximum=1, step=0.01)
            with gr.Row():
                modes = [(texts.OWN_ID_MODE, ""), *((name, name) for name in ID_MODES)]
                put(
                    "id_mode",
                    gr.Dropdown(
                        modes, value="", label=texts.ID_MODE, info=texts.ID_MODE_INFO,
                        visible=False, elem_id="id_mode",
                    ),
                )  # fmt: skip
                number(
                    "id_zeros", texts.ID_ZEROS, minimum=0, maximum=MAX_ID_ZEROS, precision=0,
                    info=texts.ID_ZEROS_INFO, visible=False,
                )  # fmt: skip
            put("title", gr.Textbox(label=texts.TITLE, max_lines=1, max_length=100))
        with gr.Accordion(texts.LORAS, open=False):
            for row in range(LORA_ROWS):
                with gr.Row():
                    label = texts.LORA.format(number=row + 1)
                    choices = [(texts.NO_LORA, "")]
                    put(f"lora_{row}", gr.Dropdown(choices, value="", label=label, scale=2))
                    weight = f"{texts.LORA_WEIGHT} {row + 1}"
                    number(f"lora_weight_{row}", weight, step=0.05, minimum=-4, maximum=4)
        with gr.Accordion(texts.HIRES_TITLE, open=False):
            put("hires", gr.Checkbox(label=texts.HIRES))
            with gr.Row():
                self._choice("hires_upscaler", texts.HIRES_UPSCALER, HIRES_UPSCALERS[1:])
                self._slider("hires_scale", texts.HIRES_SCALE, 1, 4, 0.05)
            with gr.Row():
                number("hires_steps", texts.HIRES_STEPS, minimum=0, precision=0)
                strength = texts.HIRES_STRENGTH
                self._slider("hires_denoising_strength", strength, 0.05, 1, 0.01)

    def start_from(self) -> None:
        """The pictures that come along."""
        with gr.Accordion(texts.START_TITLE, open=False):
            self.start = brush_field(texts.START_IMAGE, elem_id="start-image", height=420)
            self._slider("strength", texts.STRENGTH, 0.05, 1, 0.01, info=texts.START_INFO_TEXT)
            self.start_mask = photo_input(texts.START_MASK, height=160, elem_id="start-mask")
        with gr.Accordion(texts.REFS_TITLE, open=False):
            self.refs = gr.File(
                label=texts.REFS, file_count="multiple", file_types=["image"], elem_id="refs"
            )
            self.control = photo_input(texts.CONTROL, height=160, elem_id="control")
            self.canny = gr.Checkbox(label=texts.CANNY)

    @property
    def pictures(self) -> list[Any]:
        """The components of pictures that come along."""
        return [self.start, self.start_mask, self.refs, self.control, self.canny]

    def _put(self, name: str, component: Any) -> None:
        self.named[name] = component

    def _number(self, name: str, label: str, **settings: Any) -> None:
        value = default_of(name, {})
        self._put(name, gr.Number(value, label=label, min_width=110, elem_id=name, **settings))

    def _slider(
        self, name: str, label: str, low: float, high: float, step: float, info: str | None = None
    ) -> None:
        value = default_of(name, {})
        field = gr.Slider(
            low, high, value, step=step, label=label, info=info, min_width=210, elem_id=name
        )
        self._put(name, field)

    def _choice(self, name: str, label: str, choices: Any, info: str | None = None) -> None:
        value = default_of(name, {})
        field = gr.Dropdown(
            list(choices), value=value, label=label, info=info, min_width=140, elem_id=name
        )
        self._put(name, field)


def has_guidance(model: str, settings: Mapping[str, Any], encoders: Sequence[str] = ()) -> bool:
    """Whether a model has the input for guidance: schnell, the pocket model and SDXL have none.

    Args:
        model: Its name.
        settings: Its settings.
        encoders: Whose identities it takes.
    """
    return "guidance" in settings or not (
        has_modes(encoders) or any(part in model for part in ("schnell", "pocket"))
    )

"""Where in a loaded model a module of a LoRA belongs, whatever the file calls it.

Trainers name modules as the model's own authors or as diffusers does, with dots or with underlines,
behind prefixes of their own. All are looked up in one table made for the very model: a block that
it does not have, has no name in it. Which names there are, `lora_places_flux` and
`lora_places_sdxl` say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from .clip_l_layout import LAYERS, MLP_WIDTH, WIDTH

__all__ = ["LoraPlaces", "Part", "Place", "clip_places"]

Part = Literal["diffusion", "clip", "clip_g", "t5"]
Spellings = Mapping[Part, tuple[str, ...]]

_WRAPPERS = ("lora.", "lycoris.")


@dataclass(frozen=True)
class Place:
    """Rows of a weight matrix or of a convolution's kernels, and of the bias beside it.

    Attributes:
        part: Of the model: "diffusion", "clip" (CLIP-L), "clip_g" or "t5".
        prefix: Before the names of that part's layers in the engine.
        module: The layer, by the engine's name.
        outputs, inputs: Rows and columns of the whole matrix; channels of a convolution.
        parts: Where it is several of the other naming's matrices one below the other, how many
            rows each has; else one number.
        index: Which of them this is; None: the whole.
        diffusers: The name that diffusers gives to this.
        swaps_halves: Whether the file has the second half of the rows first.
        part_modules: Where the engine reads the parts only by names of their own, these.
        kernel: Side of a convolution's kernels; 0: a matrix.
        has_bias: Whether there is one.
    """

    part: Part
    prefix: str
    module: str
    outputs: int
    inputs: int
    parts: tuple[int, ...]
    index: int | None = None
    diffusers: str = ""
    swaps_halves: bool = False
    part_modules: tuple[str, ...] = ()
    kernel: int = 0
    has_bias: bool = True

    @property
    def rows(self) -> int:
        return self.outputs if self.index is None else self.parts[self.index]

    @property
    def columns(self) -> int:
        """Of the kernels laid out as rows of a matrix."""
        return self.inputs * max(self.kernel, 1) ** 2

    @property
    def engine_name(self) -> str:
        """The layer's name in the engine."""
        return self.prefix + self.module


class LoraPlaces(ABC):
    """All places of a loaded model.

    Args:
        tables: Places by name, for each part of the model.
        dotted, underlined: What may stand before the names, with dots and with underlines.

    Attributes:
        family: "flux" or "sdxl", as in `FAMILY_WORDS`.
        components: The parts as diffusers calls them.
        key: Hashable; the same for models in which every LoRA has the same places.
    """

    family: ClassVar[str]
    components: ClassVar[Mapping[Part, str]]
    key: object

    def __init__(
        self, tables: Mapping[Part, dict[str, Place]], dotted: Spellings, underlined: Spellings
    ) -> None:
        with_underlines = {
            part: {name.replace(".", "_"): place for name, place in table.items()}
            for part, table in tables.items()
        }
        self._spelt = ((dotted, tables), (underlined, with_underlines))

    def find(self, module: str) -> Place | None:
        """The place that a file means by `module`; None: there is none."""
        name = module.replace(".processor.", ".").replace("base_model.model.", "")
        for wrapper in _WRAPPERS:
            name = name.removeprefix(wrapper)
        for prefixes, tables in self._spelt:
            for part, table in tables.items():
                for prefix in prefixes[part]:
                    if name.startswith(prefix) and (found := table.get(name[len(prefix) :])):
                        return found
        return None

    @abstractmethod
    def problem(self, module: str) -> str:
        """Why nothing of a LoRA can go to `module`; "" when it can."""


def clip_places(
    part: Part, prefix: str, layers: int = LAYERS, width: int = WIDTH, mlp_width: int = MLP_WIDTH
) -> Iterator[tuple[str, Place]]:
    """The matrices of a CLIP text encoder, CLIP-L unless said otherwise, with their names."""
    for layer in range(layers):
        for name, outputs, inputs in (
            *((f"self_attn.{kind}_proj", width, width) for kind in ("q", "k", "v", "out")),
            ("mlp.fc1", mlp_width, width),
            ("mlp.fc2", width, mlp_width),
        ):
            module = f"text_model.encoder.layers.{layer}.{name}"
            yield module, Place(part, prefix, module, outputs, inputs, (outputs,))

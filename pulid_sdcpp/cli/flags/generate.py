"""The options of `generate`: sd-cli's own flags for Flux, and those of the identity.

Source of names and meanings: stable-diffusion.cpp, examples/cli and examples/common.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import click

from ...options.context import ContextOptions
from ...options.facts import Fact, of
from ...options.generation import GenerationOptions
from ...people.identity_options import IdentityOptions
from ...people.person_spec import PersonSpec
from .completions import complete_preset
from .fact_option import fact_options
from .output import OUTPUT_OPTIONS
from .person import PERSON_OPTIONS
from .table import FILE_PATH, grouped_option
from .types import Vram

__all__ = ["generate_options", "option_names", "plan_options", "some_options"]


def _vram(default: str | None, help: str) -> Any:
    return grouped_option("vram", "--vram", heading="Memory and speed", type=Vram(),
                          metavar="GiB|auto", default=default, show_default=bool(default),
                          help=help)  # fmt: skip


_PRESETS = [
    grouped_option("preset", "--preset", heading="Model files", metavar="NAME",
                   shell_complete=complete_preset,
                   help="Set of model files and settings, such as flux-schnell-q4; other flags "
                        "override it. 'pulid-sdcpp models list' shows all presets, 'models pull "
                        "NAME' downloads one."),
    grouped_option("pull", "--pull", heading="Model files", is_flag=True,
                   help="Download missing files of the preset, as 'models pull' does: it shows "
                        "sizes and licenses and asks first."),
    grouped_option("models_dirs", "--models-dir", heading="Model files", type=FILE_PATH,
                   multiple=True, help="Folder to search for the files of --preset, such as "
                   "ComfyUI's models; may be repeated."),
]  # fmt: skip
_AGAIN = grouped_option(
    "from_picture",
    "--from",
    heading="Picture",
    type=FILE_PATH,
    metavar="PNG",
    help="Make this picture again, from the parameters inside it; other flags change them.",
)
_CIRCULAR = grouped_option("circular", "--circular", heading="Picture", is_flag=True,
                           help="As --circularx and --circulary together.")  # fmt: skip
_GRID = grouped_option(
    "grids", "--grid", heading="Picture", multiple=True, metavar="NAME=A,B,...",
    help="Make a grid: a picture for each value of a flag, such as id-weight=0.6,0.8,1.0 or "
    "seed=1-3, and a sheet with all. Repeat it for rows, and once more for several sheets. -o is "
    "the folder, or the sheet. If stopped, run it again. See docs/generate.md.",
)  # fmt: skip
_WILDCARDS = [
    grouped_option("wildcards_dirs", "--wildcards-dir", heading="Picture", type=FILE_PATH,
                   multiple=True, help="Folder of wildcards: __place__ in a prompt is a line of "
                   "place.txt, chosen by the seed, as in {red|blue}; may be repeated."),
    grouped_option("no_wildcards", "--no-wildcards", heading="Picture", is_flag=True,
                   help="Take {red|blue} and __place__ in prompts as they are."),
]  # fmt: skip
_VRAM = _vram(
    None,
    "Memory of the graphics card to use; auto: what is free. Sets the flags below that make "
    "the picture fit with the least loss of time; see 'pulid-sdcpp plan'.",
)
_PROMPT, *_PICTURE = fact_options("Picture", GenerationOptions, ContextOptions)

_OPTIONS = [
    *_PRESETS,
    *fact_options("Model files", ContextOptions, GenerationOptions),
    *PERSON_OPTIONS,
    *fact_options("Identity", PersonSpec, GenerationOptions, IdentityOptions, ContextOptions),
    *(_PROMPT, _AGAIN, *_PICTURE, _CIRCULAR, *_WILDCARDS, _GRID),
    *fact_options("Sampling", GenerationOptions, ContextOptions),
    _VRAM,
    *fact_options("Memory and speed", ContextOptions, GenerationOptions),
    *OUTPUT_OPTIONS,
]


def generate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` every option of `generate`; parameters are named after their fields."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def option_names(wanted: Callable[[Fact], bool]) -> set[str]:
    """The options of the dataclasses whose facts are such, by the names of their fields."""
    kinds = (ContextOptions, PersonSpec, IdentityOptions, GenerationOptions)
    facts = (fact for kind in kinds for fact in of(kind).values())
    return {fact.name for fact in facts if wanted(fact)}


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` the options of `generate`; its help shows those that memory depends on."""
    prompt = grouped_option("prompt", "-p", "--prompt", heading="Picture", default="",
                            help="Only its length matters, from about 150 words on.")  # fmt: skip
    vram = _vram("auto", "Memory of the graphics card to use; auto: what is free now.")
    shown = {
        "preset", "models_dirs", "portraits", "persons", "from_picture",
        *option_names(lambda fact: fact.memory),
    }  # fmt: skip
    command = some_options(shown)(prompt(vram(command)))
    others = {option.name for option in _holder().params if option.name is not None}
    return some_options(others - shown - {"prompt", "vram", "as_json"}, hidden=True)(command)


def some_options(
    fields: Collection[str], *, hidden: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a command those options of `generate` that have these names.

    Args:
        hidden: The help does not show them.
    """
    holder = _holder()
    for option in holder.params if hidden else ():
        option.hidden = True  # type: ignore[attr-defined]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = vars(command).setdefault("__click_params__", [])  # from the last to the first
        own += [option for option in reversed(holder.params) if option.name in fields]
        return command

    return decorate


def _holder() -> click.Command:
    """A command with all of them, made anew."""
    holder = click.Command("generate")
    for option in _OPTIONS:
        option(holder)
    return holder

"""What the shell is offered when Tab is pressed: names that only this computer knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import PulidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.shell_completion import CompletionItem

    from ...store.registry import Preset

__all__ = [
    "COMPLETE_VARIABLE",
    "complete_for_extraction",
    "complete_lora",
    "complete_person",
    "complete_person_or_file",
    "complete_preset",
    "complete_preset_or_part",
]

COMPLETE_VARIABLE = "_PULID_SDCPP_COMPLETE"
"""By which a shell asks for completions; as click derives it from the program's name."""


def complete_preset(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
    """Names of presets, the user's own included, each with the line that says for whom it is."""
    from ...store.registry import load_registry

    try:
        return _items(load_registry().presets, incomplete)
    except (PulidError, RuntimeError):  # a broken config file: nothing is offered
        return []


def complete_preset_or_part(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
    """As `complete_preset`, and parts."""
    from ...store.registry import load_registry

    try:
        registry = load_registry()
    except (PulidError, RuntimeError):
        return []
    return _items({**registry.presets, **registry.parts}, incomplete)


def complete_for_extraction(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
    """As `complete_preset`, and the parts that make identities."""
    from ...store.registry import EXTRACTION_ROLES, load_registry

    try:
        registry = load_registry()
    except (PulidError, RuntimeError):
        return []
    parts = {
        name: part
        for name, part in registry.parts.items()
        if set(EXTRACTION_ROLES) <= set(part.files)
    }
    return _items({**registry.presets, **parts}, incomplete)


def complete_person(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
    """Names of people who are kept."""
    from click.shell_completion import CompletionItem

    from ...identity.kept_people import kept_names

    try:
        names = kept_names()
    except (PulidError, RuntimeError):
        return []
    wanted = incomplete.casefold()
    return [CompletionItem(name) for name in names if name.casefold().startswith(wanted)]


def complete_person_or_file(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
    """As `complete_person`, and files, which the shell knows."""
    from click.shell_completion import CompletionItem

    # First: bash forgets what came before it, and takes files where no name is left.
    files = CompletionItem(incomplete, type="file")
    return [files, *complete_person(ctx, param, incomplete)]


def complete_lora(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
    """Names of the LoRAs in --lora-model-dir, and files, which the shell knows."""
    from click.shell_completion import CompletionItem

    from ...model_files.lora_listing import lora_names

    names = lora_names(ctx.params.get("lora_model_dir") or ".")
    files = CompletionItem(incomplete, type="file")
    return [files, *(CompletionItem(name) for name in names if name.startswith(incomplete))]


def _items(presets: Mapping[str, Preset], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(name, help=preset.for_whom or preset.what)
        for name, preset in presets.items()
        if name.startswith(incomplete)
    ]

"""`pulid-sdcpp models`: which presets there are, and getting, checking and removing their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...terminal_text import counted, escaped_line
from ..flags.completions import complete_preset_or_part
from ..flags.table import FILE_PATH
from ..progress.json_progress import json_text

if TYPE_CHECKING:
    from ...model_files.lora_listing import LoraFound
    from ...store.model_store import ModelStore
    from ...store.registry import Preset, Registry

__all__ = ["models"]

_models_dirs = click.option(
    "--models-dir",
    "models_dirs",
    type=FILE_PATH,
    multiple=True,
    help="Folder with model files, such as ComfyUI's or Forge's; may be repeated.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def models() -> None:
    """Download, find, check and remove the files of presets.

    \b
    pulid-sdcpp models list
    pulid-sdcpp models pull flux-schnell-q4
    """


@models.command("list")
@_models_dirs
@_json
def list_presets(models_dirs: tuple[Path, ...], as_json: bool) -> None:
    """Show the presets: their size, which files you have, and what they may be used for."""
    from ...store.model_store import ModelStore

    store = ModelStore(models_dirs)
    rows = [_described(store, preset) for preset in store.registry.presets.values()]
    if as_json:
        click.echo(json_text(rows, indent=2))
        return
    parts = [_described(store, part) for part in store.registry.parts.values()]
    width = max(len(row["preset"]) for row in (*rows, *parts)) + 1
    for row in rows:
        _show_row(row, width, row["non_commercial"])
    click.echo("parts of presets, where a whole one is not needed:")
    for row in parts:
        _show_row(row, width, row["non_commercial"] or row["non_commercial_extraction"])
    if terms := sorted({name for row in rows for name in row["non_commercial_extraction"]}):
        click.echo(f"to make identities from photos: {'; '.join(terms)}")
    if any(row["there"] < row["files"] for row in rows):
        click.echo("download one with: pulid-sdcpp models pull PRESET")


@models.command()
@click.option(
    "--lora-model-dir",
    "folders",
    type=FILE_PATH,
    multiple=True,
    help="Folder of LoRAs; may be repeated.",
)
@_models_dirs
@_json
def loras(folders: tuple[Path, ...], models_dirs: tuple[Path, ...], as_json: bool) -> None:
    """Show LoRAs: their names, sizes, trigger words, and whether they fit Flux or SDXL.

    It looks in --lora-model-dir, in the folders called lora or loras of --models-dir and of your
    config file's models_dirs, and shows those of the pocket model.
    """
    from ...families.flux.layout import check_diffusion_model
    from ...model_files.lora_listing import list_loras, lora_folders_below
    from ...model_files.lora_places_flux import FluxLoraPlaces
    from ...pocket.pack import pocket_files
    from ...system.user_config import load_user_config

    for folder in folders:
        if not folder.is_dir():
            raise click.UsageError(f"--lora-model-dir: there is no folder {folder}")
    below = (*models_dirs, *load_user_config().models_dirs)
    places = [*folders, *(one for folder in below for one in lora_folders_below(folder))]
    places.append(pocket_files().loras)
    pocket = pocket_files().diffusion_model
    others = {"the pocket model": FluxLoraPlaces(check_diffusion_model(pocket), has_t5=False)}
    rows = []
    for place in dict.fromkeys(places):
        found = list_loras(place, others)
        rows += [_lora_row(place, lora) for lora in found]
        if found and not as_json:
            click.echo(f"{escaped_line(str(place))}:")
            width = max(len(lora.name) for lora in found)
            for lora in found:
                _show_lora(lora, width)
    if as_json:
        click.echo(json_text(rows, indent=2))
    elif not rows:
        click.echo("no LoRAs found; name their folder with --lora-model-dir")


def _lora_row(folder: Path, lora: LoraFound) -> dict[str, Any]:
    return {
        "name": lora.name,
        "path": str(lora.path),
        "folder": str(folder),
        "size_bytes": lora.size_bytes,
        "fits": list(lora.fits),
        "problem": lora.problem,
        "trigger_words": list(lora.trigger_words),
    }


def _show_lora(lora: LoraFound, width: int) -> None:
    from ...system.size_text import described_size
    from ...terminal_text import shortened

    fits = f"for {' and '.join(lora.fits)}" if lora.fits else f"for no model: {lora.problem}"
    words = f", trigger words: {', '.join(lora.trigger_words)}" if lora.trigger_words else ""
    line = f"{lora.name:<{width}}  {described_size(lora.size_bytes):>8}  {fits}{words}"
    click.echo(f"  {escaped_line(shortened(line))}")


@models.command()
@click.argument(
    "presets",
    metavar="PRESET|PART...",
    nargs=-1,
    required=True,
    shell_complete=complete_preset_or_part,
)
@_models_dirs
@click.option(
    "--no-extraction",
    is_flag=True,
    help="Leave out the files that only extraction needs; identity files can still be used.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before downloading.")
@click.option(
    "--accept-licenses",
    is_flag=True,
    help="Accept licenses that forbid commercial use; they are named first.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only errors and questions.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Report everything as JSON, one object per line; needs --yes.",
)
@click.pass_context
def pull(
    ctx: click.Context,
    presets: tuple[str, ...],
    models_dirs: tuple[Path, ...],
    no_extraction: bool,
    yes: bool,
    accept_licenses: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Download the missing files of presets.

    A part is a preset's files for one purpose: 'faces' and 'extraction' are what the commands faces
    and extract need, taef1 is a tiny autoencoder for --taesd. 'models list' shows all.

    They go into the cache of the Hugging Face hub, where other programs find them, too. Files in
    your own folders are not downloaded again. The command shows sizes and licenses and asks first.
    """
    from ..given.model_pull import pull_presets
    from ..progress.choice import create_progress

    ctx.obj.as_json = as_json
    if as_json and not yes:
        raise click.UsageError("--json cannot ask; give --yes with it")
    progress = create_progress(quiet=quiet, as_json=as_json, unit="B")
    pull_presets(
        presets,
        models_dirs,
        progress,
        extraction=not no_extraction,
        yes=yes,
        accept_licenses=accept_licenses,
    )


@models.command()
@click.argument("preset", required=False, shell_complete=complete_preset_or_part)
@_models_dirs
@_json
@click.pass_context
def verify(
    ctx: click.Context, preset: str | None, models_dirs: tuple[Path, ...], as_json: bool
) -> None:
    """Compare the files of a preset, or of all presets, with the published sizes and hashes.

    Missing files count as wrong only if you name a preset. Exit status 1 if any file is wrong.
    """
    from ...store.model_store import ModelStore
    from ...store.verification import check_file

    store = ModelStore(models_dirs)
    registry = store.registry
    everything = (*registry.presets.values(), *registry.parts.values())
    chosen = everything if preset is None else [registry.preset_or_part(preset)]
    seen: set[str] = set()
    rows: list[dict[str, Any]] = []
    for found in (file for one in chosen for file in store.find_all(one).values()):
        if found.file.key in seen or (found.path is None and preset is None and not found.problem):
            continue
        seen.add(found.file.key)
        checked = check_file(found)
        words = _STATES[checked.state]
        rows.append(
            {
                "file": found.file.file_name,
                "path": found.path and str(found.path),
                "state": checked.state,
                "problem": checked.problem,
            }
        )
        if not as_json:
            named = str(checked.problem or found.path or found.file.file_name)
            click.echo(f"{words:<28}{escaped_line(named)}")
    if any(one.packaged for one in chosen):
        from ...pocket.pack import check_pack

        rows.append({"file": "pocket model", "path": None, "state": "ok", "problem": ""})
        count = len(check_pack())
        if not as_json:
            click.echo(f"{_STATES['ok']:<28}pocket model, {count} files in the package")
    if as_json:
        click.echo(json_text(rows, indent=2))
    elif not rows:
        click.echo("no files to check")
    ctx.exit(1 if any(row["state"] in ("wrong", "missing") for row in rows) else 0)


_STATES = {
    "ok": "ok",
    "size": "ok (size; hash unknown)",
    "unknown": "there (nothing to compare)",
    "wrong": "WRONG",
    "missing": "missing",
}


@models.command()
@click.argument("preset", shell_complete=complete_preset_or_part)
@_models_dirs
@_json
@click.pass_context
def where(ctx: click.Context, preset: str, models_dirs: tuple[Path, ...], as_json: bool) -> None:
    """Show where the files of a preset are. Exit status 1 if some are missing."""
    from ...store.model_store import ModelStore, packaged_files

    store = ModelStore(models_dirs)
    chosen = store.registry.preset_or_part(preset)
    packaged = packaged_files(chosen)
    found = store.find_all(chosen)
    paths: dict[str, Path | None] = {**packaged, **{role: f.path for role, f in found.items()}}
    if as_json:
        shown = {role: path and str(path) for role, path in paths.items()}
        click.echo(json_text(shown, indent=2))
    else:
        for role, path in paths.items():
            missing = f"missing: {found[role].describe_missing()}" if path is None else ""
            click.echo(f"{role:<17}{missing or escaped_line(path or '')}")
    ctx.exit(0 if all(paths.values()) else 1)


@models.command()
@click.argument("preset", shell_complete=complete_preset_or_part)
@_models_dirs
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def rm(preset: str, models_dirs: tuple[Path, ...], yes: bool) -> None:
    """Remove the downloaded files of a preset, unless another complete preset uses them.

    Files in your own folders, and files that other programs downloaded, are kept.
    """
    from ...store.model_store import ModelStore
    from ...store.removal import plan_removal, remove
    from ...system.size_text import described_size
    from ..given.model_pull import ask

    removal = plan_removal(preset, ModelStore(models_dirs))
    for found, reason in removal.kept:
        click.echo(f"stays: {escaped_line(str(found.path))} ({reason})")
    for found in removal.doomed:
        click.echo(f"goes:  {escaped_line(str(found.path))}")
    if not removal.doomed:
        click.echo("nothing to remove")
        return
    if not yes:
        ask("Remove?", "--yes")
    click.echo(f"freed {described_size(remove(removal))}")


def _show_row(row: Mapping[str, Any], width: int, is_restricted: object) -> None:
    """A preset or a part in two lines."""
    from ...system.size_text import described_size

    there = (
        f"{row['there']} of {counted(row['files'], 'file')}" if row["files"] else "in the package"
    )
    size = described_size(row["bytes"]) if row["files"] else ""
    use = "non-commercial" if is_restricted else "any use"
    click.echo(f"{row['preset']:<{width}}{size:>8}  {there:<15}{use:<15}{row['what']}")
    if row["for_whom"]:
        click.echo(f"    for {row['for_whom']}")


def _described(store: ModelStore, preset: Preset) -> dict[str, Any]:
    from ...store.registry import EXTRACTION_ROLES, GENERATION_ROLES

    found = store.find_all(preset).values()
    return {
        "preset": preset.name,
        "what": preset.what,
        "for_whom": preset.for_whom,
        "family": preset.family,
        "bytes": sum(file.file.shown_bytes for file in found),
        "files": len(found),
        "there": sum(file.path is not None for file in found),
        "non_commercial": _non_commercial(store.registry, preset, GENERATION_ROLES),
        "non_commercial_extraction": _non_commercial(store.registry, preset, EXTRACTION_ROLES),
        "settings": dict(preset.settings),
    }


def _non_commercial(registry: Registry, preset: Preset, roles: Sequence[str]) -> list[str]:
    """Names of the terms that forbid commercial use of these files."""
    terms = map(registry.license_of, registry.files_of(preset, roles).values())
    return sorted({one.name for one in terms if not one.commercial})

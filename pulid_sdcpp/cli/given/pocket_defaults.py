"""What `--pocket` fills in: the pocket model's files and what it was trained for."""

from __future__ import annotations

from typing import Any

import click

from .given_values import fill_in

__all__ = ["fill_in_pocket"]


def fill_in_pocket(ctx: click.Context, values: dict[str, Any]) -> None:
    """Give a command's values those of the pocket model where the user gave none.

    Raises:
        ModelFileError: The pocket model is not there.
    """
    from ...evaluation.pocket_prompts import pocket_prompts
    from ...pocket.pack import pocket_files
    from ...store.registry import pocket_settings

    files = pocket_files()
    defaults = {
        "diffusion_model_path": files.diffusion_model,
        "taesd_path": files.taesd,
        "clip_l_path": files.clip_l,
        "pulid_weights": files.pulid_weights,
        "models_dir": files.models_dir,
        "judges": (files.judge,),
        "attributes": files.attributes,
        **pocket_settings(),
    }
    fill_in(ctx, values, defaults)
    if not values["portraits"] and not values["identities"]:
        values["portraits"] = files.portraits
    if not values["prompts"] and values["prompts_file"] is None:
        values["prompts"] = pocket_prompts()

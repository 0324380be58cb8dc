"""The flags of stable-diffusion.cpp's sd-cli that `generate` refuses, and why.

The reasons are here only: the command says them, and docs/cli.md lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from .table import GroupedCommand

__all__ = ["NOT_OFFERED", "NOT_OFFERED_MODES", "GenerateCommand"]

_FOR_VIDEO = "for video models, and only pictures are made here"
_OF_METADATA = "for -M metadata ('pulid-sdcpp inspect FILE' shows what is in a picture)"
_REASONS: Mapping[str, str] = {
    "for models whose text encoder is a language model, such as Qwen-Image (a Flux model has "
    "--clip_l and --t5xxl)": "--llm --llm_vision --qwen2vl --qwen2vl_vision",
    "textual inversions are for SD 1, SD 2 and SDXL (for Flux, there are LoRAs)": "--embd-dir",
    "PhotoMaker is for SDXL (here, --portrait or --person names who is in the picture)": (
        "--photo-maker --pm-id-images-dir --pm-id-embed-path --pm-style-strength"
    ),
    "for Chroma": "--chroma-t5-mask-pad --chroma-disable-dit-mask --chroma-enable-t5-mask",
    "for Qwen-Image": "--qwen-image-zero-cond-t",
    "for SDXL": "--force-sdxl-vae-conv-scale",
    "for NitroSD, which is SDXL (the engine ignores it with Flux)": "--timestep-shift",
    "for other models (what a Flux model predicts is always flux_flow)": "--prediction",
    "for instruct-pix2pix and inpainting models (Flux models take --guidance)": ("--img-cfg-scale"),
    "the engine reads it and does nothing with it": "--scm-mask --scm-policy",
    _FOR_VIDEO: (
        "--clip_vision --end-img --control-video --video-frames --fps --high-noise-diffusion-model "
        "--high-noise-steps --high-noise-cfg-scale --high-noise-img-cfg-scale "
        "--high-noise-guidance --high-noise-slg-scale --high-noise-skip-layer-start "
        "--high-noise-skip-layer-end --high-noise-skip-layers --high-noise-eta "
        "--high-noise-sampling-method --moe-boundary --vace-strength"
    ),
    _OF_METADATA: "--image --metadata-format --metadata-raw --metadata-brief --metadata-all",
    "for -M convert ('pulid-sdcpp convert' keeps the names of tensors)": "--convert-name",
    "the engine has ControlNets for SD 1, SD 2 and SDXL only, and none for Flux": (
        "--control-net --control-net-cpu --control-strength"
    ),
}
NOT_OFFERED: Mapping[str, str] = {
    flag: reason for reason, flags in _REASONS.items() for flag in flags.split()
}
"""The reason by flag, as sd-cli spells it."""
NOT_OFFERED_MODES: Mapping[str, str] = {
    "vid_gen": _FOR_VIDEO,
    "upscale": "no picture is enlarged by itself; --upscale-model enlarges those that are made",
    "convert": "there is 'pulid-sdcpp convert'",
    "metadata": "there is 'pulid-sdcpp inspect FILE'",
}
"""The reason by value of --mode."""
_SWITCHES = {
    *("--control-net-cpu", "--convert-name", "--force-sdxl-vae-conv-scale"),
    *("--chroma-disable-dit-mask", "--chroma-enable-t5-mask", "--qwen-image-zero-cond-t"),
    *("--metadata-raw", "--metadata-brief", "--metadata-all"),
}
"""Those that have no value behind them."""


class _NotOffered(click.Option):
    """A flag that is known, so that its value is none for the others, and refused."""

    def __init__(self, flag: str) -> None:
        super().__init__([flag], hidden=True, expose_value=False, is_flag=flag in _SWITCHES or None)
        self.flag = flag


_PARAMETERS = [_NotOffered(flag) for flag in NOT_OFFERED]


class GenerateCommand(GroupedCommand):
    """`generate`: it says of a flag that only sd-cli has why it is not here."""

    def make_parser(self, ctx: click.Context) -> Any:
        parser = super().make_parser(ctx)
        for parameter in _PARAMETERS:
            parameter.add_to_parser(parser, ctx)
        return parser

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # a shell completes
            return super().parse_args(ctx, args)
        try:
            _, _, given = self.make_parser(ctx).parse_args(list(args))
        except click.NoSuchOption as error:
            if error.possibilities:
                error.possibilities[:] = [x for x in error.possibilities if x not in _SPELLINGS]
            raise
        if refused := [one.flag for one in given if isinstance(one, _NotOffered)]:
            raise click.UsageError(_refusal(refused), ctx)
        return super().parse_args(ctx, args)


_SPELLINGS = {flag.replace("_", "-") for flag in NOT_OFFERED}


def _refusal(flags: Sequence[str]) -> str:
    """One line that names each flag and the reason."""
    by_reason: dict[str, dict[str, None]] = {}
    for flag in flags:
        by_reason.setdefault(NOT_OFFERED[flag], {})[flag] = None
    return "; ".join(f"{', '.join(flags)}: {reason}" for reason, flags in by_reason.items())

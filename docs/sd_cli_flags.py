"""Which flags of stable-diffusion.cpp's `sd-cli` are not here, as a table for docs/cli.md.

`FLAGS` (sd_cli_flags.txt) are those of the pinned version's examples/cli/README.md; a test compares
them with it, and the table with the command.
"""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["ABSENT", "FLAGS", "absent_flags", "table"]

FLAGS = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").split()

ABSENT = {
    "other models: SD, SDXL, Chroma, Qwen-Image, PhotoMaker, NitroFusion": """\
        --clip_g --clip_vision --llm --llm_vision --qwen2vl --qwen2vl_vision --embd-dir
        --photo-maker --pm-id-images-dir --pm-id-embed-path --pm-style-strength
        --chroma-t5-mask-pad --chroma-disable-dit-mask --chroma-enable-t5-mask
        --force-sdxl-vae-conv-scale --qwen-image-zero-cond-t --timestep-shift --prediction""",
    "video": """\
        --end-img --control-video --video-frames --fps --high-noise-diffusion-model
        --high-noise-steps --high-noise-cfg-scale --high-noise-img-cfg-scale --high-noise-guidance
        --high-noise-slg-scale --high-noise-skip-layer-start --high-noise-skip-layer-end
        --high-noise-skip-layers --high-noise-eta --high-noise-sampling-method --moe-boundary
        --vace-strength""",
    "upscaling and a second pass: only in Python, `StableDiffusion`": """\
        --upscale-model --upscale-repeats --upscale-tile-size --hires --hires-upscalers-dir
        --hires-upscaler --hires-width --hires-height --hires-scale --hires-steps
        --hires-upscale-tile-size --hires-denoising-strength""",
    "ControlNet": "--control-net --control-net-cpu --control-image --control-strength --canny",
    "guidance of other kinds": """\
        --img-cfg-scale --slg-scale --skip-layers --skip-layer-start --skip-layer-end""",
    "masks of step caches": "--scm-mask --scm-policy",
    "`--preview FILE`, `--preview-method`": """\
        --preview-path --preview-noisy --taesd-preview-only""",
    "`--circularx --circulary`": "--circular",
    "`inspect FILE`": """\
        --image --metadata-format --metadata-raw --metadata-brief --metadata-all""",
    "`convert` keeps tensor names": "--convert-name",
    "the log has no colours": "--color",
}
"""What there is instead, or what they are for: flags of sd-cli that `generate` does not have."""


def absent_flags(command: click.Command) -> list[str]:
    """Flags of sd-cli that a command does not have, - or _ alike, in their order."""
    have = {name.replace("_", "-") for option in command.params for name in option.opts}
    have |= {name.replace("_", "-") for option in command.params for name in option.secondary_opts}
    have |= {"-h", "--help"}
    return [flag for flag in FLAGS if flag.replace("_", "-") not in have]


def table(command: click.Command) -> str:
    """The section of docs/cli.md.

    Raises:
        ValueError: A flag that is missing here is not in the table, or one in it is not missing.
    """
    listed = {flag for flags in ABSENT.values() for flag in flags.split()}
    absent = absent_flags(command)
    if wrong := listed ^ set(absent):
        raise ValueError(f"docs/sd_cli_flags.py: ABSENT is not right about {sorted(wrong)}")
    rows = [
        f"| {why} | {' '.join(f'`{flag}`' for flag in flags.split())} |"
        for why, flags in ABSENT.items()
    ]
    return "\n".join(
        [
            "## Flags of sd-cli that `generate` does not have",
            "",
            f"Of the {len(FLAGS)} names of flags that stable-diffusion.cpp's `sd-cli` has,"
            f" {len(FLAGS) - len(absent)} are here and mean the same, but `--cfg-scale` is 1"
            " by default, and `--preview` takes a file name. The others are errors:",
            "",
            "| purpose, or replacement | |",
            "| --- | --- |",
            *rows,
            "",
        ]
    )

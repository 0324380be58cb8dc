"""The examples of the documentation's pages, and a reader who has what they speak of.

A page is read into blocks, in order. Commands and Python run; a block of data is the file that the
text before it names last, as in "`jobs.toml`:".
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from hub_server import hub_of_a_user
from pulid_sdcpp.pocket.pack import PocketFiles, pocket_files
from pulid_sdcpp.store.registry import load_registry
from pulid_sdcpp.system.user_config import CONFIG_NAME
from standin.esrgan import esrgan_weights, write_esrgan

__all__ = ["DATA", "LANGUAGES", "PAGES", "PROGRAM", "ROOT", "Block", "commands", "pocket_reader",
           "read_blocks", "runnable_command", "runnable_data", "runnable_python"]  # fmt: skip

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAM = "pulid-sdcpp"
DATA = {"csv", "json", "toml"}
LANGUAGES = {"bash", "console", "powershell", "python", *DATA}

SIDE_PX = 128  # what the pocket model draws
MAX_SIDE_PX = 2 * SIDE_PX
PRESET_PX = 64  # of the presets: no example needs a face in what it makes with them
# What the pocket model has in the place of the published files.
TINY_DECODER = "models/taef1.safetensors"
REPLACED = {"--t5xxl": (), "--vae": ("--tae", TINY_DECODER)}
REPOSITORY = "pocket/model"
PEOPLE = {
    "me.jpg": "rose", "alice.jpg": "alba", "alice1.jpg": "alba", "alice2.jpg": "alba",
    "bob.jpg": "omar", "monday.jpg": "edna", "holiday.jpg": "edna",
    "rose.png": "rose", "omar.png": "omar", "mila.png": "mila",
    "people/alice.png": "alba",
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: As the page says it.
        line: Of the page, from 1.
        name: The file that a block of data is.
    """

    language: str
    text: str
    line: int
    name: str = ""


def read_blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    end, name = 0, ""
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        suffixes = "|".join([*DATA, "jsonl"])
        named = re.findall(rf"`([\w.-]+\.(?:{suffixes}))`", page[end : match.start()])
        name = named[-1] if named else name
        line = page.count("\n", 0, match.start()) + 1
        yield Block(match[1], match[2], line, name if match[1] in DATA else "")
        end = match.end()


def commands(block: Block) -> list[list[str]]:
    """The command lines of a block, as a shell would split them."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def runnable_command(arguments: list[str]) -> list[str]:
    """The command with the pocket model's files, and of its size."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in REPLACED:
            next(words)
            kept += REPLACED[word]
        elif word in ("-W", "-H"):
            kept += [word, _size(next(words))]
        else:
            kept.append(word)
    if "--diffusion-model" in kept and "-W" not in kept:  # no preset says how large
        kept += ["-W", str(SIDE_PX), "-H", str(SIDE_PX)]
    return kept


def runnable_data(text: str) -> str:
    """A file with as few steps as can be."""
    return re.sub(r"\bsteps = \d+", "steps = 1", text)


def runnable_python(text: str) -> str:
    """The same of a Python example."""
    text = re.sub(r"^ *t5xxl_path=.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\bvae_path=.*", f'taesd_path="{TINY_DECODER}",', text)
    text = re.sub(r"\b(width|height)=(\d+)", lambda match: f"{match[1]}={_size(match[2])}", text)
    if "generate_image(" in text and "width=" not in text:
        text, changed = re.subn(
            r"(sample_steps=\d+,)", rf"\1 width={SIDE_PX}, height={SIDE_PX},", text
        )
        assert changed
    return text


def _size(text: str) -> str:
    return text if int(text) <= MAX_SIDE_PX else str(SIDE_PX)


@contextmanager
def pocket_reader(folder: Path) -> Iterator[Path]:
    """A folder with photos and model files; and presets whose files are on a hub, to be pulled.

    The presets have the package's names and the pocket model's files. Caches and the config
    file are the reader's own, too.
    """
    with hub_of_a_user(folder) as hub:
        files = pocket_files()
        config = folder / "config" / CONFIG_NAME
        config.parent.mkdir(parents=True)
        config.write_text(_config(files), encoding="utf-8")
        for path in _published(files).values():
            hub.add(f"{REPOSITORY}/{path.name}", path.read_bytes())
        reader = folder / "reader"
        reader.mkdir()
        _take_photos(files, reader)
        _lay_out_models(files, reader)
        yield reader


def _published(files: PocketFiles) -> dict[str, Path]:
    """The pocket model's files by the names of the package's list."""
    names = {"eva": "EVA02_CLIP_L_336_psz14_s6B", "face-parsing": "parsing_bisenet"}
    return {
        "taef1": files.taesd,
        "pulid": files.pulid_weights,
        "face-detector": files.detector,
        "face-recogniser": files.recogniser,
        **{key: files.models_dir / f"{name}.safetensors" for key, name in names.items()},
        "flux": files.diffusion_model,
    }


def _config(files: PocketFiles) -> str:
    roles = {"face-detector": "detector", "face-recogniser": "recogniser", "eva": "eva",
             "face-parsing": "parsing", "pulid": "pulid", "taef1": "taesd"}  # fmt: skip
    registry = load_registry()
    presets = {
        name: one
        for name, one in registry.presets.items()
        if one.family == "flux" and not one.packaged
    }
    fluxes = {one.files["diffusion_model"] for one in presets.values()}
    lines: list[str] = []
    for key, path in _published(files).items():
        for name in sorted(fluxes) if key == "flux" else [key]:
            known = registry.files.get(name)
            lines += [
                f"[files.{name}]",
                f"role = '{roles.get(key, 'diffusion_model')}'",
                f"repository = '{REPOSITORY}'",
                f"path = '{path.name}'",
                f"license = '{known.license if known else 'mit'}'",
            ]
    for name, preset in presets.items():
        lines += [
            f"[presets.{name}]",
            f"settings = {{ steps = 2, width = {PRESET_PX}, height = {PRESET_PX} }}",
            f"files.diffusion_model = '{preset.files['diffusion_model']}'",
            f"files.clip_l = '{files.clip_l}'",
            *(f"files.{role} = '{key}'" for key, role in roles.items()),
        ]
    return "\n".join(lines)


def _take_photos(files: PocketFiles, folder: Path) -> None:
    portraits = {path.stem: path for path in files.portraits}
    for name, who in PEOPLE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        with Image.open(portraits[who]) as portrait:
            portrait.convert("RGB").save(folder / name, quality=95)
    with Image.open(files.portraits[0]) as first:
        width, height = first.size
    party = Image.new("RGB", (3 * width, height), "white")
    for place, path in enumerate(files.portraits[:3]):
        with Image.open(path) as portrait:
            party.paste(portrait.convert("RGB"), (place * width, 0))
    party.save(folder / "party.jpg", quality=95)
    for place, name in enumerate(("left", "right")):
        mask = Image.new("L", (SIDE_PX, SIDE_PX))
        mask.paste(255, (place * SIDE_PX // 2, 0, (place + 1) * SIDE_PX // 2, SIDE_PX))
        mask.save(folder / f"{name}.png")


def _lay_out_models(files: PocketFiles, folder: Path) -> None:
    """What a reader has who downloaded everything by hand, told by content and not by names."""
    models = folder / "models"
    shutil.copytree(files.models_dir, models)
    shutil.copy(files.diffusion_model, models / "flux1-schnell-Q4_K_S.gguf")
    shutil.copy(files.judge, folder / "w600k_r50.onnx")
    shutil.copy(files.diffusion_model, folder / "flux1-dev.safetensors")
    (folder / "ComfyUI" / "models" / "pulid").mkdir(parents=True)
    shutil.copy(files.pulid_weights, folder / "ComfyUI" / "models" / "pulid")
    _link(files.clip_l, models / "clip_l.safetensors")
    (folder / "loras").mkdir()
    shutil.copy(files.loras / "two-people.safetensors", folder / "loras" / "ink.safetensors")
    write_esrgan(folder / "RealESRGAN_x4plus.safetensors", esrgan_weights(scale=4))
    (folder / "wildcards").mkdir()
    (folder / "wildcards" / "place.txt").write_text("in a cafe\non a beach\n", encoding="utf-8")
    (folder / "prompts.txt").write_text("a photo of a smiling person\n", encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    """For what is large, and in the reader's own cache folder."""
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copy(source, target)

"""The files that users bring, each with a valid one and the task that uses it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from command_worker import CommandWorker
from pulid_sdcpp import Identity
from pulid_sdcpp.pocket.pack import PocketFiles, pocket_files
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec
from standin import make_sdxl_standin_weights
from standin.sdxl_pulid import SDXL_ID_DIM

__all__ = ["Role", "Roles"]

_SIDE = "64"


@dataclass(frozen=True)
class Role:
    """A use of a file.

    Attributes:
        valid: A file that is well.
        task: What to give the worker for a file and the path of the result.
        of_all: How many mutations of the 2,200 are this role's.
        somebody: Whether the file is what makes the picture somebody's.
        result: The suffix of what comes out; "": nothing does.
        refused: What every file is refused with, a valid one as well.
        nobody: What to give the worker for the same picture of nobody; None: the pocket model's.
    """

    valid: Path
    task: Callable[[Path, Path], Any]
    of_all: int
    somebody: bool = False
    result: str = ".png"
    refused: str = ""
    nobody: Callable[[Path], Any] | None = None


class Roles:
    """Makes the valid files in a folder.

    Args:
        folder: Where to; holds the mutated files, too.
        weights: The stand-in weights, for what the pocket model has not.
        worker: Runs the commands that make them.
    """

    def __init__(self, folder: Path, weights: dict[str, Path], worker: CommandWorker) -> None:
        self.folder = folder
        self.weights = weights
        self._worker = worker
        self.pocket: PocketFiles = pocket_files()
        self.identity = folder / "rose.pulidembd"
        self._run("extract", self.pocket.portraits[-2], "-o", self.identity, "--preset", "pocket")

    def command(self, output: Path, *options: object, person: bool = True) -> list[str]:
        """A small picture of Rose by the pocket model, or of nobody."""
        whose = ("--pulid-id-embedding", self.identity) if person else ()
        return [
            str(part)
            for part in (
                *("generate", "--preset", "pocket", "-W", _SIDE, "-H", _SIDE, "--steps", 1),
                *("--seed", 5, "--quiet", "--overwrite", "-o", output, *whose, *options),
                *(() if "-p" in options else ("-p", "a photo of a person")),
            )
        ]

    @cached_property
    def all(self) -> dict[str, Role]:
        """The roles by name."""
        return {
            **self._of_generation(), **self._of_python(), **self._of_sdxl(), **self._of_photos(),
        }  # fmt: skip

    def _of_generation(self) -> dict[str, Role]:
        def option(flag: str, valid: Path, of_all: int, **more: Any) -> Role:
            return Role(valid, lambda file, out: self.command(out, flag, file), of_all, **more)

        return {
            "flux.gguf": option("--diffusion-model", self.pocket.diffusion_model, 300),
            "flux.safetensors": option(
                "--diffusion-model",
                self._converted(self.pocket.diffusion_model, "flux.safetensors", "f16"),
                250,
            ),
            "clip_l.gguf": option("--clip_l", self.pocket.clip_l, 150),
            "taesd.safetensors": option("--taesd", self.pocket.taesd, 200),
            "pulid.safetensors": option(
                "--pulid-weights", self.pocket.pulid_weights, 300, somebody=True
            ),
            "identity.pulidembd": Role(
                self.identity,
                lambda file, out: self.command(out, "--pulid-id-embedding", file, person=False),
                200,
                somebody=True,
            ),
            "lora.safetensors": Role(
                self.pocket.loras / "two-people.safetensors",
                lambda file, out: self.command(
                    out, "--lora-model-dir", file.parent, "-p", f"a person <lora:{file.stem}:1>"
                ),
                200,
            ),
        }

    def _of_python(self) -> dict[str, Role]:
        engine = {
            "diffusion_model_path": str(self.weights["flux-q8_0"]),
            "clip_l_path": str(self.weights["clip_l"]),
            "taesd_path": str(self.weights["taesd"]),
        }
        picture = {
            "prompt": "a person", "width": 32, "height": 32, "sample_steps": 1, "cfg_scale": 1.0,
        }  # fmt: skip

        def role(option: str, valid: Path, of_all: int, extra: dict[str, Any], **more: Any) -> Role:
            def task(file: Path, out: Path) -> Any:
                files = {**engine, option: str(file)}
                if option == "vae_path":
                    # Its encoder is not among the stand-ins.
                    files |= {"vae_decode_only": True}
                    del files["taesd_path"]
                return {"engine": files, "picture": {**picture, **extra}, "output": str(out)}

            return Role(valid, task, of_all, **more)

        upscaler = self._upscaler()
        return {
            "vae.safetensors": role("vae_path", self.weights["vae"], 150, {}),
            "upscaler.safetensors": role("upscaler_path", upscaler, 120, {"upscale_factor": 4}),
            "controlnet.safetensors": role(
                "control_net_path", upscaler, 20, {}, refused="control_net_path"
            ),
        }

    def _of_sdxl(self) -> dict[str, Role]:
        weights = make_sdxl_standin_weights(
            self.folder / "sdxl", depths=(1, 1), unet_types=("q8_0",), checkpoint=True
        )
        unet = {
            "diffusion_model_path": str(weights["unet-q8_0"]),
            "clip_l_path": str(weights["clip_l"]),
            "clip_g_path": str(weights["clip_g"]),
            "taesd_path": str(weights["taesd"]),
        }
        checkpoint = {"vae_decode_only": True}
        picture = {
            "prompt": "a person", "width": 64, "height": 64, "sample_steps": 1, "cfg_scale": 1.0,
        }  # fmt: skip

        def role(option: str, valid: str, engine: dict[str, Any], encoder: str = "") -> Role:
            person = {"pulid_id_embedding": str(self._sdxl_identity(encoder))} if encoder else {}

            def task(file: Path, out: Path) -> Any:
                files = {**engine, option: str(file)}
                return {"engine": files, "picture": {**picture, **person}, "output": str(out)}

            def nobody(out: Path) -> Any:
                return {"engine": engine, "picture": picture, "output": str(out)}

            return Role(weights[valid], task, 40, somebody=bool(encoder), nobody=nobody)

        return {
            "sdxl.gguf": role("diffusion_model_path", "unet-q8_0", unet),
            "sdxl-checkpoint.gguf": role("model_path", "checkpoint", checkpoint),
            "clip_g.gguf": role("clip_g_path", "clip_g", unet),
            "pulid_v1.safetensors": role("pulid_weights", "pulid-v1", unet, "sdxl-v1"),
            "pulid_v1.1.safetensors": role("pulid_weights", "pulid-v1.1", unet, "sdxl-v1.1"),
        }

    def _sdxl_identity(self, encoder: str) -> Path:
        """A random person's, as either version's encoder makes it of one photo."""
        shape = ({"sdxl-v1": 10, "sdxl-v1.1": 32}[encoder], SDXL_ID_DIM)
        path = self.folder / f"{encoder}.pulidembd"
        tokens = np.random.default_rng(1).normal(size=shape)
        Identity.from_array(tokens, encoder=encoder).save(path)
        return path

    def _of_photos(self) -> dict[str, Role]:
        names = {
            "recogniser.onnx": "antelopev2/glintr100.onnx",
            "detector.onnx": "antelopev2/scrfd_10g_bnkps.onnx",
            "parsing.safetensors": "parsing_bisenet.safetensors",
            "eva.safetensors": "EVA02_CLIP_L_336_psz14_s6B.safetensors",
        }

        def role(name: str) -> Role:
            def task(file: Path, out: Path) -> list[str]:
                models = self._models_with(name, file)
                photo = self.pocket.portraits[0]
                return [
                    *("extract", str(photo), "-o", str(out), "--models-dir", str(models)),
                    *("--overwrite", "--quiet"),
                ]

            return Role(self.pocket.models_dir / name, task, 30, result=".pulidembd")

        return {name: role(path) for name, path in names.items()}

    def _models_with(self, name: str, file: Path) -> Path:
        """The pocket model's folder with one file exchanged."""
        folder = self.folder / "models"
        for source in self.pocket.models_dir.rglob("*"):
            target = folder / source.relative_to(self.pocket.models_dir)
            if source.is_file() and source.suffix in (".onnx", ".safetensors"):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                os.symlink(file if target == folder / name else source, target)
        return folder

    def _converted(self, source: Path, name: str, dtype: str) -> Path:
        self._run("convert", source, "--type", dtype, "-o", self.folder / name)
        return self.folder / name

    def _upscaler(self) -> Path:
        """An ESRGAN of one block that makes noise."""
        random = np.random.default_rng(3)

        def conv(name: str, rows: int, columns: int) -> list[TensorSpec]:
            weight = random.normal(0, 0.05, (rows, columns, 3, 3)).astype(np.float32)
            bias = np.full(rows, 0.1, np.float32)
            return [
                TensorSpec(f"{name}.weight", weight.shape, "f16", lambda: weight),
                TensorSpec(f"{name}.bias", bias.shape, "f32", lambda: bias),
            ]

        tensors = conv("conv_first", 64, 3)
        for dense in (1, 2, 3):
            for layer in range(1, 6):
                rows = 64 if layer == 5 else 32
                columns = 64 + 32 * (layer - 1)
                tensors += conv(f"body.0.rdb{dense}.conv{layer}", rows, columns)
        for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
            tensors += conv(name, 64, 64)
        tensors += conv("conv_last", 3, 64)
        path = self.folder / "upscaler.safetensors"
        write_safetensors(path, tensors)
        return path

    def _run(self, *arguments: object) -> None:
        outcome = self._worker.run([str(part) for part in arguments])
        assert outcome.status == 0, outcome.stderr

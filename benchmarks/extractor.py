"""How long the extractor takes and how much memory it needs, at the published sizes.

    python benchmarks/extractor.py --dtype fp32
    python benchmarks/extractor.py --dtype bf16 --threads 2

Makes weights of the published shapes with random numbers (EVA02-CLIP-L vision tower 304 M, IDFormer
151 M, BiSeNet 13 M, ArcFace R100 65 M parameters; 1.2 GB) in a temporary folder, which is removed
afterwards. The face detector alone is the small stand-in, as a random one would find no face: the
published SCRFD (10 GFLOP at 640 x 640) comes on top. The PuLID file has the IDFormer only
(0.3 of its 1.1 GB): the rest is read once in the background, for its hash.

Each run is a fresh process, which prints

    load        seconds from nothing loaded to a ready extractor, without importing the libraries
    first       seconds of the first photo, with reading weights from the page cache
    photo       seconds of a later photo, the median of --photos; wall clock and CPU
    peak        greatest resident memory; pages of files that are mapped, as libraries, are part
                of it and named beside it
    at import   resident memory when the libraries are imported and nothing is loaded

and the seconds of each stage of a photo. Run it on a quiet machine: the load average is printed.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from machine import peak_mb, resident_mb
from measured import Comparison, Figure, run_now

STAGES = {
    "detect": ("_reader.faces", "find"),
    "ArcFace": ("_reader.faces", "embed"),
    "parse": ("_networks.parser", "labels"),
    "EVA02-CLIP": ("_networks.tower", "look"),
    "IDFormer": ("_networks.network", "tokens"),
}
"""Attribute of the extractor and its method, by the stage's name."""

PHOTO_AT_MOST_S = {"fp32": 4.0, "bf16": 3.0}
LOAD_AT_MOST_S = 3.0
PEAK_AT_MOST_MB = 2500.0

ARCFACE_R100 = ((64, 3), (128, 13), (256, 30), (512, 3))
"""Width and number of blocks of each stage of ArcFace's iresnet100 (glintr100.onnx)."""


def make_weights(folder: Path) -> None:
    """Random weights with the shapes, types and containers of the published files."""
    import torch
    from safetensors.torch import save_file

    from pulid_extractor.eva_shape import EvaShape
    from pulid_extractor.eva_vision import EvaVision
    from pulid_extractor.idformer import IdFormer
    from pulid_extractor.idformer_shape import IdFormerShape
    from pulid_extractor.parsing import BiSeNet
    from pulid_extractor.parsing_shape import ParsingShape
    from standins import detector_model

    with torch.device("meta"):
        eva = EvaVision(
            EvaShape(
                width=1024,
                depth=24,
                head_dim=64,
                mlp_dim=2730,
                patch_px=14,
                grid=24,
                embedding_dim=768,
            )
        )
        idformer = IdFormer(
            IdFormerShape(
                dim=1024,
                inner=1024,
                ff_dim=4096,
                n_layers=10,
                n_queries=32,
                id_dim=2048,
                n_id_tokens=5,
                embedding_dim=1280,
                id_hidden=1024,
                vit_dim=1024,
                vit_hidden=1024,
            )
        )
        parser = BiSeNet(
            ParsingShape(
                stem=64,
                stages=(64, 128, 256, 512),
                context=128,
                fusion=256,
                squeeze=64,
                output=256,
                labels=19,
            )
        )
    (folder / "antelopev2").mkdir()
    (folder / "antelopev2" / "scrfd_10g_bnkps.onnx").write_bytes(detector_model())
    (folder / "antelopev2" / "glintr100.onnx").write_bytes(arcface_r100())
    torch.save(random_tensors(eva, torch.float16), folder / "EVA02_CLIP_L_336_psz14_s6B.pt")
    torch.save(random_tensors(parser, torch.float32), folder / "parsing_bisenet.pth")
    tensors = random_tensors(idformer, torch.bfloat16)
    save_file(
        {f"pulid_encoder.{name}": tensor for name, tensor in tensors.items()},
        folder / "pulid_flux_v0.9.1.safetensors",
    )


def random_tensors(network: Any, dtype: Any) -> dict[str, Any]:
    """Values under which activations stay of order one, by the names of a network."""
    import torch

    tensors = {}
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            tensors[name] = torch.ones(tensor.shape, dtype=tensor.dtype)
        elif tensor.ndim < 2:
            is_scale = name.endswith(("weight", "running_var"))
            tensors[name] = torch.full(tensor.shape, 1.0 if is_scale else 0.01, dtype=dtype)
        else:
            inside = tensor[0].numel() if name.endswith("weight") else 1024
            tensors[name] = torch.randn(tensor.shape).mul_(inside**-0.5).to(dtype)
    return tensors


def arcface_r100() -> bytes:
    """An ONNX file with the layers of iresnet100, batch norms folded into convolutions."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(*shape: int, scale: float) -> str:
        name = f"w{len(constants)}"
        values = rng.standard_normal(shape, np.float32) * np.float32(scale)
        constants.append(numpy_helper.from_array(values, name))
        return name

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def conv(x: str, inside: int, outside: int, size: int, stride: int) -> str:
        weight = constant(outside, inside, size, size, scale=(inside * size * size) ** -0.5)
        bias = constant(outside, scale=0.01)
        return node(
            "Conv",
            x,
            weight,
            bias,
            kernel_shape=[size] * 2,
            strides=[stride] * 2,
            pads=[size // 2] * 4,
        )

    def prelu(x: str, width: int) -> str:
        return node("PRelu", x, constant(width, 1, 1, scale=0.25))

    def affine(x: str, *shape: int) -> str:
        """The batch norm before a padded convolution, which cannot be folded into it."""
        scaled = node("Mul", x, constant(*shape, scale=1.0))
        return node("Add", scaled, constant(*shape, scale=0.01))

    x, inside = prelu(conv("input.1", 3, 64, 3, 1), 64), 64
    for width, n_blocks in ARCFACE_R100:
        for block in range(n_blocks):
            stride = 2 if block == 0 else 1
            y = prelu(conv(affine(x, inside, 1, 1), inside, width, 3, 1), width)
            y = conv(y, width, width, 3, stride)
            x = node("Add", y, conv(x, inside, width, 1, 2) if block == 0 else x)
            inside = width
    flat = node("Flatten", affine(x, inside, 1, 1), axis=1)
    weight = constant(512, inside * 49, scale=(inside * 49) ** -0.5)
    nodes.append(
        helper.make_node("Gemm", [flat, weight, constant(512, scale=0.1)], ["1333"], transB=1)
    )
    graph = helper.make_graph(
        nodes,
        "random_glintr100",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["None", 3, 112, 112])],
        [helper.make_tensor_value_info("1333", TensorProto.FLOAT, ["None", 512])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    return bytes(model.SerializeToString())


def measure(
    models_dir: Path, photo: Path | None, dtype: str, device: str, n_photos: int, threads: int
) -> dict[str, Any]:
    """Load the extractor and use it, in this process."""
    import torch

    torch.set_num_threads(threads)
    from pulid_extractor import IdentityExtractor
    from pulid_extractor.dependencies import load_onnxruntime

    load_onnxruntime()
    source: Any = photo
    if source is None:
        import skimage.data

        source = skimage.data.astronaut()
    result: dict[str, Any] = {"at_import_mb": resident_mb("VmRSS")}
    started_s = time.perf_counter()
    extractor = IdentityExtractor(models_dir, device=device, dtype=dtype)
    result["load_s"] = time.perf_counter() - started_s

    stages: dict[str, list[float]] = defaultdict(list)
    for stage, (part, method) in STAGES.items():
        owner = operator.attrgetter(part)(extractor)
        setattr(owner, method, timed(getattr(owner, method), stages[stage], device))
    wall_s, cpu_s = [], []
    for _ in range(n_photos + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        extractor.extract(source)
        wall_s.append(time.perf_counter() - wall)
        cpu_s.append(time.process_time() - cpu)
    result["first_s"] = wall_s[0]
    result["photo_s"] = statistics.median(wall_s[1:])
    result["photo_cpu_s"] = statistics.median(cpu_s[1:])
    # The first photo's IDFormer runs twice, the second time for the unconditional identity.
    result["stages_s"] = {name: statistics.median(times[1:]) for name, times in stages.items()}
    result["peak_mb"] = peak_mb()
    result["mapped_mb"] = resident_mb("RssFile")
    return result


def timed(function: Callable[..., Any], seconds: list[float], device: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        started_s = time.perf_counter()
        result = function(*args, **kwargs)
        if device.startswith("cuda"):
            import torch

            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started_s)
        return result

    return run


def print_table(dtype: str, result: dict[str, Any]) -> None:
    print(f"\n{dtype}")
    print(f"  load       {result['load_s']:8.2f} s")
    print(f"  first      {result['first_s']:8.2f} s")
    print(f"  photo      {result['photo_s']:8.2f} s   ({result['photo_cpu_s']:.2f} s of CPU)")
    for stage, seconds in result["stages_s"].items():
        print(f"    {stage:<10}{seconds:7.2f} s")
    mapped = f"   ({result['mapped_mb']:.0f} MB of it mapped files)" if result["mapped_mb"] else ""
    print(f"  peak       {result['peak_mb']:8.0f} MB{mapped}")
    if result["at_import_mb"]:
        print(f"  at import  {result['at_import_mb']:8.0f} MB")


def figures(dtype: str, result: dict[str, Any], has_targets: bool) -> list[Figure]:
    """What was measured of one dtype.

    Args:
        has_targets: False for weights or a device that the targets are not for.
    """
    targets = (LOAD_AT_MOST_S, PHOTO_AT_MOST_S.get(dtype), PEAK_AT_MOST_MB)
    load, photo, peak = targets if has_targets else (None, None, None)
    cpu = f"{result['photo_cpu_s']:.2f} s of CPU"
    return [
        Figure(f"loading the extractor, {dtype}", result["load_s"], "s", load),
        Figure(f"extractor, seconds per photo, {dtype}", result["photo_s"], "s", photo, cpu),
        Figure(
            f"extractor, peak memory, {dtype}",
            result["peak_mb"],
            "MB",
            peak,
            f"{result['mapped_mb']:.0f} MB of it mapped files",
        ),
    ]


def stages(results: dict[str, dict[str, Any]]) -> Comparison:
    """Seconds of each stage of a photo, by dtype."""
    rows = tuple(
        (stage, tuple(result["stages_s"][stage] for result in results.values())) for stage in STAGES
    )
    return Comparison("Stages of a photo", "s", tuple(results), rows, drawn=True, ratio=False)


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    arguments.add_argument(
        "--dtype",
        choices=["fp32", "bf16", "fp16"],
        action="append",
        help="may be given several times; not given: fp32 and bf16",
    )
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--threads", type=int, default=2, help="of torch (default: 2)")
    arguments.add_argument("--photos", type=int, default=5, help="after the first (default: 5)")
    arguments.add_argument("--photo", type=Path, help="not given: scikit-image's astronaut")
    arguments.add_argument(
        "--models-dir", type=Path, help="weights to use instead of random ones; they are kept"
    )
    arguments.add_argument("--json", type=Path, help="also write the measurements to a file")
    arguments.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    dtypes = options.dtype or ["fp32", "bf16"]
    if options.measure:
        result = measure(
            options.models_dir,
            options.photo,
            dtypes[0],
            options.device,
            options.photos,
            options.threads,
        )
        print(json.dumps(result))
        return

    with tempfile.TemporaryDirectory(prefix="pulid-extractor-benchmark-") as temporary:
        folder = options.models_dir
        if folder is None:
            folder = Path(temporary)
            print("making random weights", file=sys.stderr)
            make_weights(folder)
        size_mb = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
        load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        print(
            f"{options.device}, {options.threads} threads of {os.cpu_count()} cores{load}, "
            f"weights {size_mb:.0f} MB"
        )
        results = {}
        for dtype in dtypes:
            command = [sys.executable, __file__, "--measure", "--dtype", dtype]
            command += ["--models-dir", str(folder), "--device", options.device]
            command += ["--threads", str(options.threads), "--photos", str(options.photos)]
            if options.photo is not None:
                command += ["--photo", str(options.photo)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results[dtype] = json.loads(done.stdout.splitlines()[-1])
            print_table(dtype, results[dtype])
    if options.json is not None:
        has_targets = options.device == "cpu" and options.models_dir is None
        found = [one for dtype in dtypes for one in figures(dtype, results[dtype], has_targets)]
        words = {"threads": str(options.threads), "device": options.device}
        run_now("extractor", "Extracting an identity", found, [stages(results)], **words).save(
            options.json
        )


if __name__ == "__main__":
    main()

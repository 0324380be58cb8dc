"""What callers may import, what importing costs, and which module may know of which."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pulid_extractor
import pulid_sdcpp

ROOT = Path(__file__).resolve().parents[1]

# Lowest first: a module may import from its own layer and those before it. A new module is
# put where it belongs.
LAYERS: tuple[tuple[str, set[str]], ...] = (
    (
        "leaves",
        {"call_once", "name_pattern", "native_failure", "processor_cores", "prompt_weights",
         "sized_thread",
         "callbacks", "chart", "compute_memory", "errors", "face_choice", "face_similarity",
         "fair_lock", "file_signature", "former_schedule", "fusion", "json_record", "option_checks",
         "output_names", "package_version", "person", "picture_agreement", "progress_event",
         "region", "regular_file", "step_point", "system_memory", "tensor_header", "terminal_text",
         "text_encoding", "toml_text", "user_folders"},
    ),
    ("options", {"identity_options", "options", "step_cache"}),
    (
        "files",
        {"atomic_file", "clip_l_layout", "file_bytes", "gguf_header", "hollow_file", "image_file",
         "lora_names", "mask_image", "model_kinds", "model_registry", "picture_decoding",
         "safetensors_header", "scaled_weights", "user_config", "weight_forms", "weights"},
    ),
    ("LoRA tags", {"lora_tags"}),
    ("identity", {"identity", "identity_store"}),
    (
        "folding",
        {"blas_threads", "flux_layout", "folded_file", "folding", "folding_cache",
         "memory_measures", "memory_model", "model_files", "parameter_memory", "pulid_weights",
         "weights_digest"},
    ),
    ("LoRA files", {"lora_conversion", "lora_files", "lora_layout", "lora_places"}),
    (
        "engine",
        {"prompt_loras", "tensors", "upscaler_layout",
         "_vendor", "binding_arguments", "device", "engine", "engine_files", "engine_loading",
         "engine_log", "identity_effect", "identity_slots", "identity_use", "memory_check",
         "memory_request", "native_calls", "native_library", "native_thread", "region_weights",
         "result_check", "unchanged_files"},
    ),
    (
        "pipeline",
        {"batch_fields", "batch_file", "batch_job", "batch_key", "batch_names", "batch_people",
         "batch_plan", "batch_run", "batch_sheet", "batch_text", "contact_sheet", "conversion",
         "conversion_check", "conversion_plan", "demo", "doctor", "enrolment", "evaluation",
         "evaluation_options", "evaluation_people", "evaluation_pictures", "evaluation_plan",
         "evaluation_plot", "evaluation_prompts", "evaluation_report", "evaluation_run",
         "evaluation_scores", "extraction_files", "face_preview", "license_acceptance",
         "loaded_model", "model_check", "model_download", "model_hashes", "model_removal",
         "model_source",
         "model_store", "picture_parameters", "picture_people", "picture_recipe",
         "picture_request", "pipeline", "plan", "png_text", "pocket_evaluation", "pocket_model",
         "pocket_text_encoder", "result", "resumable_download", "running_picture",
         "text_entries"},
    ),
    ("cli", {"__main__", "cli"}),
)  # fmt: skip
RANKS = {name: rank for rank, (_, names) in enumerate(LAYERS) for name in names}
# These call the extractor when they are called.
USERS_OF_THE_EXTRACTOR = {
    "cli.extract", "cli.extraction_options", "cli.faces", "demo", "enrolment", "evaluation",
    "extraction_files",
}  # fmt: skip
# What the extractor may know of the other half; file_signature is a leaf that names file types.
KNOWN_TO_THE_EXTRACTOR = {"atomic_file", "errors", "face_choice", "file_bytes", "file_signature",
                          "fusion", "hollow_file", "identity", "picture_decoding", "regular_file",
                          "tensor_header", "terminal_text"}  # fmt: skip
HEAVY = {"cv2", "facexlib", "insightface", "onnx", "onnxruntime", "open_clip", "timm", "torch",
         "torchvision"}  # fmt: skip


@pytest.mark.parametrize("package", [pulid_sdcpp, pulid_extractor])
def test_public_names_are_sorted_and_there(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert names == sorted(names, key=by_kind)
    for name in names:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError):
        package.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def by_kind(name: str) -> tuple[int, str]:
    """Constants, classes, functions, as ruff sorts `__all__`."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize(
    ("package", "absent"),
    [
        ("pulid_sdcpp", HEAVY | {"numpy", "gguf", "click", "PIL", "pulid_extractor"}),
        ("pulid_sdcpp.cli", HEAVY | {"numpy", "gguf", "PIL", "pulid_extractor"}),
        ("pulid_extractor", HEAVY | {"numpy", "gguf", "click", "PIL"}),
    ],
)
def test_importing_is_light(package: str, absent: set[str]) -> None:
    code = f"import sys, {package}; print(*sorted({{n.partition('.')[0] for n in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert absent.isdisjoint(done.stdout.split())


def test_every_public_name_of_a_module_is_in_it() -> None:
    for path in [*(ROOT / "pulid_sdcpp").glob("*.py"), *(ROOT / "pulid_sdcpp/cli").glob("*.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.stem in ("__init__", "__main__"):
            continue
        module = importlib.import_module(name)
        for public in module.__all__:
            assert hasattr(module, public), f"{name}.{public}"


def test_imports_go_one_way() -> None:
    for path in sorted((ROOT / "pulid_sdcpp").rglob("*.py")):
        parts = path.relative_to(ROOT / "pulid_sdcpp").with_suffix("").parts
        if parts == ("__init__",):  # looks up everything, when asked
            continue
        module = parts[0]
        assert module in RANKS, f"{path}: name its layer in LAYERS"
        for imported, _ in imports(path):
            if imported.startswith("pulid_sdcpp."):
                other = imported.split(".")[1]
                assert other in RANKS, f"{path} imports {imported}, which has no layer"
                assert RANKS[other] <= RANKS[module], f"{path} imports {imported}, which is above"


def test_few_modules_know_the_extractor_and_only_when_called() -> None:
    users = set()
    for path in sorted((ROOT / "pulid_sdcpp").rglob("*.py")):
        for imported, in_function in imports(path):
            top = imported.partition(".")[0]
            assert top not in HEAVY, f"{path} imports {imported}"
            if top == "pulid_extractor":
                assert in_function, f"{path} imports the extractor when it is imported"
                users.add(".".join(path.relative_to(ROOT / "pulid_sdcpp").with_suffix("").parts))
    assert users == USERS_OF_THE_EXTRACTOR


def test_the_extractor_knows_little_of_the_other_half() -> None:
    known = {
        imported
        for path in (ROOT / "extractor" / "pulid_extractor").rglob("*.py")
        for imported, _ in imports(path)
        if imported.startswith("pulid_sdcpp")
    }
    assert known <= {f"pulid_sdcpp.{name}" for name in KNOWN_TO_THE_EXTRACTOR}


def test_files_stay_small() -> None:
    sources = [*(ROOT / "pulid_sdcpp").rglob("*.py"), *(ROOT / "extractor").rglob("*.py")]
    for path in sources:
        if "_vendor" in path.parts:  # the binding, where the engine was installed in place
            continue
        count = len(path.read_text(encoding="utf-8").splitlines())
        assert count < 500, f"{path} has {count} lines; it has more than one job"


def test_no_file_names_the_machine_it_was_written_on() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    # Folders of one machine or one user; written so that this file does not match itself.
    machine = re.compile(rb"(?<![\w.~-])/(?:root|home/\w|work/[a-z]|Users/\w|tmp/[a-z])(?=[\w/])")
    offenders = []
    for name in filter(None, listed.stdout.split(b"\0")):
        path = ROOT / name.decode()
        if path.is_file() and (found := machine.search(path.read_bytes())):
            offenders.append((name.decode(), found[0]))
    assert not offenders


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules a file imports by their full names, but for type checkers only.

    Returns:
        Pairs: the module; whether that happens inside a function.
    """
    package_root = next(p for p in (ROOT, ROOT / "extractor") if is_package_root(p, path))
    package = path.relative_to(package_root).with_suffix("").parts[:-1]

    def walk(node: ast.AST, in_function: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, in_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            if node.module:
                yield module, in_function
            else:  # `from . import native_thread`
                yield from ((f"{module}.{alias.name}", in_function) for alias in node.names)
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), False)


def is_package_root(folder: Path, path: Path) -> bool:
    return path.is_relative_to(folder) and path.relative_to(folder).parts[0].startswith("pulid_")


def test_wheels_carry_no_stand_ins() -> None:
    for package in (ROOT / "pulid_sdcpp", ROOT / "extractor" / "pulid_extractor"):
        listed = [path.relative_to(package) for path in package.rglob("*") if path.is_file()]
        assert [path for path in listed if "standin" in str(path)] == []

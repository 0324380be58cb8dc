"""What callers may import, what importing costs, and which module may know of which."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import pulid_extractor
import pulid_sdcpp

ROOT = Path(__file__).resolve().parents[1]

# Lowest first. A room imports from itself and from the layers below its own, in functions and for
# type checkers, too; two rooms of one layer do not know each other. See docs/architecture.md.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "terminal_text", "_vendor"),
    ("system", "options", "native"),
    ("tensors",),
    ("identity", "families"),
    ("people", "model_files", "folding"),
    ("memory", "pictures", "pocket"),
    ("engine", "store"),
    ("request", "extraction"),
    ("pipeline",),
    ("batch", "evaluation", "conversion", "planning", "doctor"),
    ("server",),
    ("page",),
    ("cli",),
    ("__main__",),
)
RANKS = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
# Within the rooms that have rooms; what stands beside these is below all of them.
INNER_LAYERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "cli": (("flags", "progress"), ("given",), ("commands",)),
    "server": (
        ("access", "bodies", "engine", "jobs"),
        ("library", "request"),
        ("service",),
        ("calls",),
        ("endpoints", "openai", "sdapi"),
        ("http",),
    ),
}
# What answers HTTP, of which nothing else of the package is made: the page calls what it calls.
ONLY_HTTP = {f"pulid_sdcpp.server.{room}" for room in ("endpoints", "openai", "sdapi")}
# The room that calls the extractor, when it is called.
USER_OF_THE_EXTRACTOR = "extraction"
# What the extractor may know of the other half: rooms.
KNOWN_TO_THE_EXTRACTOR = {"errors", "identity", "system", "tensors", "terminal_text"}
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


def test_the_version_is_the_package_s() -> None:
    assert pulid_sdcpp.__version__ == importlib.metadata.version("pulid-sdcpp")


def by_kind(name: str) -> tuple[int, str]:
    """Constants, classes, functions, as ruff sorts `__all__`."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_every_public_name_of_a_module_is_in_it() -> None:
    for path in modules():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.stem in ("__init__", "__main__"):
            continue
        module = importlib.import_module(name)
        for public in module.__all__:
            assert hasattr(module, public), f"{name}.{public}"


def test_imports_go_one_way() -> None:
    for path in modules():
        parts = path.relative_to(ROOT / "pulid_sdcpp").with_suffix("").parts
        if parts == ("__init__",):  # looks up everything, when asked
            continue
        room = parts[0]
        assert room in RANKS, f"{path}: name its room in LAYERS"
        for imported, _ in imports(path, with_types=True):
            if not imported.startswith("pulid_sdcpp."):
                continue
            _, other, *inner = imported.split(".")
            assert other in RANKS, f"{path} imports {imported}, which has no layer"
            if other != room:
                assert ".".join(imported.split(".")[:3]) not in ONLY_HTTP, (
                    f"{path} imports {imported}"
                )
                assert RANKS[other] < RANKS[room], f"{path} imports {imported}, which is not below"
            elif room in INNER_LAYERS and len(parts) > 2 and inner and inner[0] != parts[1]:
                layers = INNER_LAYERS[room]
                ranks = {name: rank for rank, names in enumerate(layers) for name in names}
                if inner[0] in ranks or room == "cli":
                    assert ranks[inner[0]] < ranks[parts[1]], f"{path} imports {imported}"


def test_no_two_modules_import_each_other() -> None:
    known = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules()}
    arrows = {}
    for path in modules():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        arrows[name] = {to for to, _ in imports(path, with_types=True) if to in known}
    while leaves := {name for name, to in arrows.items() if not to & set(arrows)}:
        arrows = {name: to for name, to in arrows.items() if name not in leaves}
    assert arrows == {}, "these import each other in a circle"


def test_no_two_classes_or_public_functions_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for path in modules():
        if path.parent.name == "commands":  # a command is named as the user writes it
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            is_public = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
            if is_public or isinstance(node, ast.ClassDef):
                name = node.name  # type: ignore[union-attr]
                places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_rooms_have_nothing_but_a_docstring_in_their_init() -> None:
    for path in (ROOT / "pulid_sdcpp").rglob("__init__.py"):
        inside = path.relative_to(ROOT / "pulid_sdcpp").parts
        if inside[0] in ("__init__.py", "_vendor") or inside == ("cli", "__init__.py"):
            continue
        (docstring,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr)


def test_one_room_knows_the_extractor_and_only_when_called() -> None:
    users = set()
    for path in modules():
        for imported, in_function in imports(path):
            top = imported.partition(".")[0]
            assert top not in HEAVY, f"{path} imports {imported}"
            if top == "pulid_extractor":
                assert in_function, f"{path} imports the extractor when it is imported"
                users.add(path.relative_to(ROOT / "pulid_sdcpp").parts[0])
    assert users == {USER_OF_THE_EXTRACTOR}


def test_the_extractor_knows_little_of_the_other_half() -> None:
    known = {
        imported.split(".")[1]
        for path in (ROOT / "extractor" / "pulid_extractor").rglob("*.py")
        for imported, _ in imports(path)
        if imported.startswith("pulid_sdcpp")
    }
    assert known <= KNOWN_TO_THE_EXTRACTOR


def test_wheels_carry_no_stand_ins() -> None:
    for package in (ROOT / "pulid_sdcpp", ROOT / "extractor" / "pulid_extractor"):
        listed = [path.relative_to(package) for path in package.rglob("*") if path.is_file()]
        assert [path for path in listed if "standin" in str(path)] == []


def test_files_stay_small() -> None:
    for path in [*modules(), *(ROOT / "extractor").rglob("*.py")]:
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


def modules() -> list[Path]:
    """Every module of the package, but not the binding, where the engine was installed in place."""
    found = sorted((ROOT / "pulid_sdcpp").rglob("*.py"))
    return [path for path in found if path.parent.name != "stable_diffusion_cpp"]


def imports(path: Path, with_types: bool = False) -> Iterator[tuple[str, bool]]:
    """Modules a file imports by their full names.

    Args:
        with_types: Also those for type checkers only.

    Returns:
        Pairs: the module; whether that happens inside a function.
    """
    package_root = next(p for p in (ROOT, ROOT / "extractor") if is_package_root(p, path))
    package = path.relative_to(package_root).with_suffix("").parts[:-1]

    def walk(node: ast.AST, in_function: bool) -> Iterator[tuple[str, bool]]:
        is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if is_for_types and not with_types:
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, in_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            inner = [a.name for a in node.names if is_module(package_root, f"{module}.{a.name}")]
            yield from ((f"{module}.{name}", in_function) for name in inner)
            if len(inner) < len(node.names):
                yield module, in_function
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), False)


def is_module(package_root: Path, name: str) -> bool:
    path = package_root.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def is_package_root(folder: Path, path: Path) -> bool:
    return path.is_relative_to(folder) and path.relative_to(folder).parts[0].startswith("pulid_")

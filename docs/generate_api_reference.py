"""Write docs/api.md from the packages' docstrings; a test compares the two.

python docs/generate_api_reference.py

The options' keywords, which the page shows, are written before (generate_option_keywords.py).
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType

import generate_option_keywords
from api_source import (
    MAX_LINE,
    Definition,
    Module,
    class_signature,
    find_in,
    find_public,
    function_signature,
)

import pulid_extractor
import pulid_sdcpp
from pulid_sdcpp.options.facts import Fact, of

__all__ = ["OUTPUT", "render"]

OUTPUT = Path(__file__).with_name("api.md")
GROUPS = {
    "Pipeline": (
        "PulidPipeline",
        "PulidFlux",
        "PulidSdxl",
        "AsyncPulidPipeline",
        "CancelToken",
        "Result",
        "UnfinishedPicture",
        "ProgressEvent",
        "PictureRecipe",
        "recipe_from",
        "expand_prompt",
    ),
    "Engine": (
        "StableDiffusion",
        "Engine",
        "Preview",
        "Device",
        "devices",
        "EngineInfo",
        "engine_info",
    ),
    "Identities and people": (
        "Identity",
        "Person",
        "Region",
        "PhotoWarning",
        "KeptPerson",
        "keep_person",
        "kept_people",
        "rename_person",
        "remove_person",
    ),
    "Options": ("ContextOptions", "GenerationOptions", "IdentityOptions"),
    "Files": ("FileInfo", "describe_file"),
    "Presets": (
        "presets",
        "PresetInfo",
        "PresetLicense",
        "pull_preset",
        "PresetFiles",
        "resolve_preset",
        "PocketFiles",
        "pocket_files",
    ),
    "Memory": ("Plan", "plan_memory"),
    "Evaluation": (
        "evaluate",
        "EvaluationOptions",
        "EvaluationPrompt",
        "Reference",
        "EvaluationResult",
    ),
    "Extractor": (
        "IdentityExtractor",
        "extract_identity",
        "FoundFace",
        "Face",
        "FaceChoice",
        "Photo",
        "PhotoSource",
        "load_photo",
        "ModelFiles",
        "PUBLISHED",
        "find_model_files",
        "Judge",
        "JudgedFace",
        "AttributeReader",
    ),
    "Errors": (
        "PulidError",
        "ModelFileError",
        "ModelMismatchError",
        "DownloadError",
        "LicenseError",
        "IdentityFileError",
        "BatchFileError",
        "ImageFileError",
        "FaceNotFoundError",
        "FaceNotThereError",
        "MissingDependencyError",
        "NativeLibraryError",
        "DeviceError",
        "MemoryPlanError",
        "OutputFileError",
        "OutputExistsError",
        "GenerationError",
        "GenerationCancelled",
    ),
}
INTRODUCTION = """\
# Python

Written by `docs/generate_api_reference.py`; change the docstrings, not this page.

Import all names from `pulid_sdcpp`, except those under [Extractor](#extractor): import these from
`pulid_extractor`, which needs the extra `extract`. Importing either loads nothing large.
A mistake of the caller raises a `ValueError` before anything is computed; all other errors are
raised as a `PulidError` with one line of text.
"""
# What signatures and texts name and nobody needs to import: the module that has it.
OTHERS = {
    "ContextKeywords": "options.keywords",
    "CreateEngine": "engine.interface",
    "EventCallback": "native.progress_event",
    "FaceBox": "identity.face_choice",
    "FaceWord": "identity.face_choice",
    "FileContent": "system.given_content",
    "FilePath": "options.checks",
    "Fusion": "identity.fusion",
    "GenerateKeywords": "pipeline.keywords",
    "GenerationKeywords": "options.keywords",
    "GenerateRequest": "request.generate_request",
    "IdentityLike": "people.identity_use",
    "LORA_APPLY_MODES": "options.context",
    "MAX_SEED": "options.generation",
    "MAX_SIDE_PX": "options.generation",
    "MAX_STEPS": "options.generation",
    "PULID_DTYPES": "options.context",
    "Phase": "memory.model",
    "PersonSpec": "people.person_spec",
    "PictureKeywords": "pipeline.keywords",
    "PictureText": "pictures.png_text",
    "PresetKeywords": "pipeline.keywords",
    "PreviewCallback": "pipeline.running_picture",
    "ProgressCallback": "engine.native_model",
    "PullProgress": "store.presets",
    "RNG_TYPES": "options.context",
    "SAMPLING_METHODS": "options.generation",
    "SCHEDULERS": "options.generation",
    "SIZE_MULTIPLE_PX": "options.generation",
    "StepPoint": "options.step_point",
    "Vram": "memory.plan",
    "WEIGHT_TYPES": "options.context",
}
# Kinds of values: those with a range, and how others are called.
RANGES = {
    "whole": "",
    "number": "",
    "numbers": "each ",
    "whole numbers": "each ",
    "pair": "each ",
    "whole pair": "each ",
}
KINDS = {
    "switch": "True or False",
    "text": "text",
    "file": "a path",
    "picture": "a path, bytes, an open file or a picture",
    "pictures": "several of these",
    "loras": "several PATH[:WEIGHT]",
    "identity": "a path, bytes, an open file, an `Identity` or numbers",
    "step": "a step, or a part of the steps",
}
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")


def render() -> str:
    """The page, as Markdown."""
    names = [name for group in GROUPS.values() for name in group]
    public = {*pulid_sdcpp.__all__, *pulid_extractor.__all__}
    if wrong := sorted(public.symmetric_difference(names)):
        raise SystemExit(f"GROUPS and __all__ differ in {', '.join(wrong)}")
    parts = [INTRODUCTION, _described(pulid_sdcpp), ""]
    for title, group in GROUPS.items():
        links = ", ".join(f"[`{name}`](#{name.lower()})" for name in group)
        parts.append(f"- [{title}](#{title.lower().replace(' ', '-')}): {links}")
    for title, group in GROUPS.items():
        parts.append(f"\n## {title}")
        if title == "Extractor":
            parts += ["", _described(pulid_extractor)]
        for name in group:
            module, node = find_public(name)
            parts.append("\n" + "\n\n".join(_entry(name, module, node)))
    parts.append("\n## Other names\n")
    parts += [_other(name, *find_in(f"pulid_sdcpp.{stem}", name)) for name, stem in OTHERS.items()]
    return _linked("\n".join(parts), set(names)) + "\n"


def _described(package: ModuleType) -> str:
    return "\n\n".join(_prose(inspect.cleandoc(package.__doc__ or "")))


def _entry(name: str, module: Module, node: Definition) -> Iterator[str]:
    yield f"### {name}"
    if isinstance(node, ast.FunctionDef):
        yield _indented(function_signature(module, node, name))
        yield from _prose(ast.get_docstring(node))
    elif isinstance(node, ast.ClassDef):
        yield _indented(class_signature(module, node))
        yield from _prose(ast.get_docstring(node))
        if name in GROUPS["Options"]:
            yield _facts(getattr(pulid_sdcpp, name))
        for member in node.body:
            if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                if any(
                    isinstance(d, ast.Name) and d.id == "overload" for d in member.decorator_list
                ):
                    continue  # what follows it says it all
                yield from _member(module, node.name, member)
    else:
        yield _indented(_assigned(name, module, node))
        after = module.tree.body[module.tree.body.index(node) + 1 :]
        if after and isinstance(after[0], ast.Expr) and isinstance(after[0].value, ast.Constant):
            yield from _prose(inspect.cleandoc(str(after[0].value.value)))


def _facts(options: type) -> str:
    """What each field may be, and its flag."""
    rows = ["| field | may be | flag of `generate` |", "| --- | --- | --- |"]
    for name, fact in of(options).items():
        flags = " ".join(f"`{flag}`" for flag in fact.flags.replace("/", " ").split())
        rows.append(f"| `{name}` | {_may_be(fact)} | {flags} |")
    return "\n".join(rows)


def _may_be(fact: Fact) -> str:
    if fact.choices:
        said = ", ".join(fact.choices)
    elif fact.kind in RANGES:
        low, high = (_number(limit) for limit in (fact.low, fact.high))
        said = f"{RANGES[fact.kind]}{low} to {high}"
        said += f", a multiple of {fact.step}" if fact.step > 1 else ""
    else:
        said = KINDS[fact.kind]
    return f"{said}; or None" if fact.optional else said


def _number(limit: float) -> str:
    """Limits of the engine's own types as powers of two."""
    powers = {2**bits + less: f"2^{bits}{less or ''}" for bits in (31, 63) for less in (0, -1)}
    powers |= {-number: f"-{shown}" for number, shown in powers.items()}
    return powers.get(int(limit), f"{limit:,.10g}")


def _member(module: Module, owner: str, node: ast.FunctionDef) -> Iterator[str]:
    decorators = {module.source(decorator) for decorator in node.decorator_list}
    yield f"#### {owner}.{node.name}"
    if decorators & {"property", "cached_property", "functools.cached_property"}:
        assert node.returns is not None
        yield _indented(f"{node.name}: {module.source(node.returns)}")
    else:
        name = f"{owner}.{node.name}" if "classmethod" in decorators else node.name
        yield _indented(function_signature(module, node, name, leave_first=True))
    yield from _prose(ast.get_docstring(node))


def _other(name: str, module: Module, node: Definition) -> str:
    if isinstance(node, ast.ClassDef):
        return "\n" + _indented(class_signature(module, node))
    assert isinstance(node, ast.Assign | ast.AnnAssign)
    line = _assigned(name, module, node)
    wrapped = textwrap.wrap(line, MAX_LINE, subsequent_indent="    ")
    return "\n" + _indented("\n".join(wrapped))


def _assigned(name: str, module: Module, node: ast.Assign | ast.AnnAssign) -> str:
    """A constant with its value, another variable with its type."""
    if isinstance(node.value, ast.Dict) and isinstance(node, ast.AnnAssign):
        return f"{name}: {module.source(node.annotation)}"
    assert node.value is not None
    return f"{name} = {module.source(node.value)}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _prose(docstring: str | None) -> Iterator[str]:
    """Paragraphs, lists and examples of a docstring."""
    paragraphs = docstring.split("\n\n") if docstring else []
    for is_example, group in groupby(paragraphs, lambda text: text.startswith("    ")):
        if is_example:
            example = textwrap.dedent("\n\n".join(group))
            yield f"```python\n{example}\n```"
            continue
        for paragraph in group:
            head, _, rest = paragraph.partition("\n")
            if head.removesuffix(":") in SECTIONS and head.endswith(":"):
                yield f"**{head}**"
                yield _list(textwrap.dedent(rest))
            else:
                yield paragraph


def _list(text: str) -> str:
    """Entries `name: what it is`, continued on deeper lines; or text."""
    items: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and items:
            items[-1] += " " + line.strip()
        else:
            items.append(line)
    if not any(re.match(r"\*{0,2}\w[\w*, ]*: ", item) for item in items):
        return text
    return "\n".join(f"- {_item(item)}" for item in items)


def _item(item: str) -> str:
    match = re.match(r"(\*{0,2}\w[\w*, ]*): (.*)", item, re.DOTALL)
    if match is None:
        return item
    names = ", ".join(f"`{name}`" for name in match[1].split(", "))
    return f"{names}: {match[2]}"


def _linked(page: str, names: set[str]) -> str:
    """Names in backticks lead to their entries; not in code, in headings or in links."""

    def link(match: re.Match[str]) -> str:
        name = match[1]
        return f"[`{name}`](#{name.lower()})" if name in names else match[0]

    lines, in_code = [], False
    for line in page.splitlines():
        in_code ^= line.startswith("```")
        is_text = not in_code and not line.startswith(("    ", "#"))
        lines.append(re.sub(r"(?<!\[)`(\w+)`", link, line) if is_text else line)
    return "\n".join(lines)


if __name__ == "__main__":
    generate_option_keywords.main()
    OUTPUT.write_text(render(), encoding="utf-8")
    print(f"wrote {OUTPUT}")

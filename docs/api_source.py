"""What the sources of the packages say of a name: where it is defined, and its signature.

The sources are read, not run: extraction's need torch, and annotations stay as they are written.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pulid_extractor
import pulid_sdcpp

__all__ = [
    "Definition",
    "Module",
    "class_signature",
    "find_in",
    "find_public",
    "function_signature",
]

MAX_LINE = 96

Definition = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Module:
    """A source file."""

    path: Path
    text: str
    tree: ast.Module

    def source(self, node: ast.AST) -> str:
        """As it is written, on one line."""
        written = ast.get_source_segment(self.text, node) or ""
        if isinstance(node, ast.Tuple) and written.startswith("("):  # may have comments inside
            inside = ", ".join(map(self.source, node.elts))
            return f"({inside},)" if len(node.elts) == 1 else f"({inside})"
        return " ".join(re.sub(r"(?<=[(\[{])\s*\n\s*|,?\s*\n\s*(?=[)\]}])", "", written).split())


def find_public(name: str) -> tuple[Module, Definition]:
    """Where a name of either package's `__all__` is defined."""
    if name in pulid_extractor.__all__:
        return find_in(f"pulid_extractor.{pulid_extractor._MODULES[name]}", name)
    return find_in(f"pulid_sdcpp.{pulid_sdcpp._MODULES.get(name, 'errors')}", name)


def find_in(module: str, name: str) -> tuple[Module, Definition]:
    """Where a name of a module such as "pulid_sdcpp.errors" is defined; imports are followed."""
    package, *parts = module.split(".")
    root = {"pulid_extractor": pulid_extractor, "pulid_sdcpp": pulid_sdcpp}[package]
    path = Path(str(root.__file__)).parent.joinpath(*parts).with_suffix(".py")
    return _find(_module(path), name)


@cache
def _module(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    return Module(path, text, ast.parse(text))


def _package(path: Path, level: int) -> str:
    """What the dots of a relative import stand for, with a dot behind; "" without any."""
    if not level:
        return ""
    folder = path.parents[level - 1]
    root = next(
        p for p in (folder, *folder.parents) if p.name in ("pulid_sdcpp", "pulid_extractor")
    )
    return ".".join(folder.relative_to(root.parent).parts) + "."


def _find(module: Module, name: str) -> tuple[Module, Definition]:
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return find_in(f"{_package(module.path, node.level)}{node.module}", alias.name)
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _targets(node):
            return module, node
    raise SystemExit(f"{module.path}: no {name}")


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def class_signature(module: Module, node: ast.ClassDef) -> str:
    """How the class is made; of one that has nothing to say of that, what it is."""
    bases = [module.source(base) for base in node.bases]
    if any("dataclass" in module.source(decorator) for decorator in node.decorator_list):
        fields = [_field(module, item) for item in node.body if isinstance(item, ast.AnnAssign)]
        return _call(node.name, [field for field in fields if field], "")
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return function_signature(module, member, node.name, leave_first=True, returns=False)
    return f"class {node.name}({', '.join(bases)})" if bases else f"class {node.name}"


def _field(module: Module, node: ast.AnnAssign) -> str:
    name = module.source(node.target)
    if name.startswith("_"):
        return ""
    text = f"{name}: {module.source(node.annotation)}"
    value: ast.expr | None = node.value
    if isinstance(value, ast.Call) and module.source(value.func) == "field":
        given = {word.arg: word.value for word in value.keywords}
        if "default_factory" in given:
            return f"{text} = {module.source(given['default_factory'])}()"
        value = given.get("default")
    return text if value is None else f"{text} = {_default(module, value)}"


def function_signature(
    module: Module,
    node: ast.FunctionDef,
    name: str,
    leave_first: bool = False,
    returns: bool = True,
) -> str:
    """How a function is called by `name`; long ones with a line for each argument."""
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
    pairs = list(zip(positional, [*defaults, *given.defaults], strict=True))[leave_first:]
    words = [_parameter(module, argument, default) for argument, default in pairs]
    if given.vararg:
        words.append("*" + _parameter(module, given.vararg, None))
    elif given.kwonlyargs:
        words.append("*")
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        words.append(_parameter(module, argument, default))
    if given.kwarg:
        words.append("**" + _parameter(module, given.kwarg, None))
    result = f" -> {module.source(node.returns)}" if node.returns and returns else ""
    return _call(name, words, result)


def _parameter(module: Module, node: ast.arg, default: ast.expr | None) -> str:
    text = f"{node.arg}: {module.source(node.annotation)}" if node.annotation else node.arg
    return text if default is None else f"{text} = {_default(module, default)}"


def _default(module: Module, node: ast.expr) -> str:
    """A default as written; where that is a name, what the name stands for."""
    called = module.source(node.func) if isinstance(node, ast.Call) else ""
    if isinstance(node, ast.Call) and called == "option":
        return _default(module, node.args[0])
    if isinstance(node, ast.Call) and called == "same_as":  # same_as(Person, "weight")
        owner, name = node.args
        node = ast.Attribute(owner, ast.literal_eval(name))
    if isinstance(node, ast.Name):
        place, found = _find(module, node.id)
        if isinstance(found, ast.Assign | ast.AnnAssign) and found.value is not None:
            return _default(place, found.value)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        place, found = _find(module, node.value.id)
        for item in found.body if isinstance(found, ast.ClassDef) else ():
            if isinstance(item, ast.AnnAssign) and _targets(item) == [node.attr] and item.value:
                return _default(place, item.value)
    return module.source(node)


def _call(name: str, words: Sequence[str], result: str) -> str:
    line = f"{name}({', '.join(words)}){result}"
    if len(line) <= MAX_LINE:
        return line
    return "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){result}"])

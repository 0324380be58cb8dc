"""What is known of an option, once; all that deals with options is made of it.

An options dataclass gives its fields a fact each:

    steps: int = option(
        20, "Model evaluations.", flags="--steps", group="Sampling", low=1, high=1000
    )

From there come the checks of its values, the flags of the commands and their help, a picture's
text and what is read of it, the fields of a batch's file, a preset's settings, and the names that
the engine's binding has. `of` is how they ask. Rules between options stay in `__post_init__`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from ..terminal_text import shown
from .checks import (
    check_choice,
    check_multiple,
    check_number,
    check_pair,
    check_path,
    check_text,
    check_texts,
    check_whole,
)
from .lora_spec import check_loras
from .step_point import check_step_point

__all__ = [
    "FACT",
    "Fact",
    "Group",
    "Kind",
    "check",
    "described",
    "of",
    "option",
    "plain_number",
    "same_as",
]

T = TypeVar("T")
P = ParamSpec("P")

Group = Literal[
    "Model files",
    "Identity",
    "Picture",
    "Sampling",
    "Memory and speed",
    "Output",
    "Server",
    "Access",
    "Answers",
    "Limits",
]
"""The headings of the help."""
Kind = Literal[
    "switch",  # a bool
    "whole",  # an int
    "number",  # a float
    "text",
    "choice",  # a text, one of several
    "file",  # a path
    "picture",  # a path, what is in the file, or the picture itself
    "pictures",  # several of these
    "loras",  # several "PATH[:WEIGHT]"
    "identity",  # a path, what is in the file, or the identity itself
    "numbers",  # several floats
    "whole numbers",  # several ints
    "texts",  # several, each by itself
    "pair",  # two floats
    "whole pair",  # two ints
    "step",  # a StepPoint
    "face",  # a FaceChoice
]
_KINDS: Mapping[str, Kind] = {
    "bool": "switch",
    "int": "whole",
    "float": "number",
    "str": "text",
    "FilePath": "file",
    "FilePath | bytes | BinaryIO | Image.Image": "picture",
    "Sequence[FilePath | bytes | BinaryIO | Image.Image]": "pictures",
    "FilePath | bytes | BinaryIO | Identity | np.ndarray": "identity",
    "Sequence[float]": "numbers",
    "Sequence[int]": "whole numbers",
    "Sequence[FilePath]": "loras",
    "Sequence[str]": "texts",
    "tuple[float, float]": "pair",
    "tuple[int, int]": "whole pair",
    "StepPoint": "step",
    "FaceChoice": "face",
}

_NUMBERS = {
    "switch",
    "whole",
    "number",
    "numbers",
    "whole numbers",
    "pair",
    "whole pair",
    "step",
}

FACT = "fact"
"""The key in a field's metadata."""


@dataclasses.dataclass(frozen=True)
class Fact:
    """What is known of an option.

    Args:
        help: What it does, in a line or two.
        flags: Of the command line, as "-p --prompt" or "--on/--off"; "": no command has it.
        group: The heading it has in the help.
        metavar: What stands for its value in the help; "": its kind, or its choices.
        shown_default: The default's name in the help; "": the default, if it says something.
        low, high: The range of numbers; the engine's int where nothing is said.
        step: What a whole number is a multiple of.
        max_chars: The longest text.
        choices: What a text is one of.
        checked: Whether `check` knows what it may be; else a rule of the class does.
        text: Its key in a picture's text; "": it has none there, or one of its own.
        text_names: Choices that web UIs spell otherwise: how they do.
        always: Whether it is in the text even when it is the default.
        preset: Whether a preset may set it.
        role: What its file is for, in presets; "": no preset names it.
        memory: Whether memory depends on it, so that `plan` takes it.
        evaluate: Whether `evaluate` takes it.
        batch: Whether `batch` takes it, and the file of a batch.
        places: Whether it only places the work, so that a batch's pictures are the same.
        binding: Its name in the engine's binding; "": the same.
        binding_names: Choices that the binding spells otherwise: how it does.
        repeated: Whether several numbers are given by the flag again, not with commas.
        name, default, kind, optional: What the field says, filled in by `of`. `default` is
            dataclasses.MISSING where there is none; `optional`: it may be None.
    """

    help: str
    _: dataclasses.KW_ONLY
    flags: str = ""
    group: Group = "Picture"
    metavar: str = ""
    shown_default: str = ""
    low: float = -(2**31)
    high: float = 2**31 - 1
    step: int = 1
    max_chars: int = 10_000
    choices: tuple[str, ...] = ()
    checked: bool = True
    text: str = ""
    text_names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    always: bool = False
    preset: bool = False
    role: str = ""
    memory: bool = False
    evaluate: bool = True
    batch: bool = True
    places: bool = False
    binding: str = ""
    binding_names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    repeated: bool = False
    name: str = ""
    default: Any = None
    kind: Kind = "text"
    optional: bool = False

    def check(self, value: Any) -> None:
        """Refuse a value that the option cannot have.

        Raises:
            ValueError: Names the option, the value and what it may be.
        """
        if not self.checked or (value is None and self.optional):
            return
        if self.kind in ("pair", "whole pair"):
            check_pair(self.name, value)
        if self.kind in ("numbers", "whole numbers", "pair", "whole pair"):
            for part in value or ():
                self._check_number(part, whole=self.kind.startswith("whole"))
        elif self.kind == "loras":
            check_loras(value)
        elif self.kind == "texts":
            check_texts(self.name, value, self.max_chars)
        elif self.kind in ("whole", "number"):
            self._check_number(value, whole=self.kind == "whole")
        elif self.kind == "choice":
            check_choice(self.name, value, self.choices)
        elif self.kind == "text":
            check_text(self.name, value, self.max_chars)
        elif self.kind == "file" or (
            self.kind == "identity" and isinstance(value, str | os.PathLike)
        ):
            check_path(self.name, value)
        elif self.kind == "step":
            check_step_point(self.name, value)

    def _check_number(self, value: object, *, whole: bool) -> None:
        if not whole:
            check_number(self.name, value, self.low, self.high)
            return
        check_whole(self.name, value, int(self.low), int(self.high))
        check_multiple(self.name, value, self.step)


def _field_with(fact: Callable[P, Fact]) -> Callable[Concatenate[T, P], T]:
    """A function that takes what `fact` takes, behind a default; type checkers see both."""

    def field(default: T, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return dataclasses.field(default=default, metadata={FACT: fact(*args, **kwargs)})

    return field


option = _field_with(Fact)
"""A field of an options dataclass: its default, and the arguments of `Fact`."""


def same_as(options: Any, name: str) -> Any:
    """A field that another options dataclass has, too: the same default and fact."""
    (other,) = (field for field in dataclasses.fields(options) if field.name == name)
    return dataclasses.field(default=other.default, metadata=other.metadata)


def of(options: type) -> Mapping[str, Fact]:
    """The facts of an options dataclass by field, in the order of its fields."""
    key: Any = options
    return _facts(key)


@cache
def _facts(options: Any) -> Mapping[str, Fact]:
    facts = {}
    for field in dataclasses.fields(options):
        if FACT not in field.metadata:
            continue
        fact: Fact = field.metadata[FACT]
        kind = str(field.type).removesuffix(" | None")
        facts[field.name] = dataclasses.replace(
            fact,
            name=field.name,
            default=field.default,
            kind="choice" if fact.choices else _KINDS[kind],
            optional=kind != field.type,
        )
    return MappingProxyType(facts)


def check(options: object) -> None:
    """Refuse options with a value that is out of range, each by itself.

    Those of NumPy become Python's own: they look alike, and then neither JSON nor a picture's text
    takes them.

    Raises:
        ValueError: Names the option, the value and what it may be.
    """
    for name, fact in of(type(options)).items():
        given = getattr(options, name)
        value = plain_number(given) if fact.kind in _NUMBERS else given
        fact.check(value)
        if value is not given:
            object.__setattr__(options, name, value)


def plain_number(value: Any) -> Any:
    """A number of NumPy's, or several, as Python's own; anything else as it is."""
    if isinstance(value, list | tuple):
        plain = [plain_number(one) for one in value]
        is_same = all(one is other for one, other in zip(plain, value, strict=True))
        return value if is_same else type(value)(plain)
    if type(value).__module__ != "numpy":
        return value
    if hasattr(value, "ndim") and value.ndim == 1:
        return tuple(value.tolist())
    return value.item() if getattr(value, "ndim", 1) == 0 else value


def described(options: Any) -> str:
    """The repr of options: what is not the default, each in a few words, pictures and faces too."""
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    words = [
        f"{name}={_in_words(value)}"
        for name, value in values.items()
        if value is not defaults[name] and not (_is_plain(value) and value == defaults[name])
    ]
    return f"{type(options).__name__}({', '.join(words)})"


def _in_words(value: Any) -> str:
    """Without what is in a picture or a face, which would come into logs."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"<array of {value.shape}>"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_in_words, value))})"
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else shown(value)


def _is_plain(value: object) -> bool:
    """Whether it can be compared: an array gives no yes or no."""
    return isinstance(value, bool | int | float | str | tuple)

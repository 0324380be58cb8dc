"""Options of the command line made of the facts of options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any

from ...options.facts import Fact, Group, Kind, of
from .completions import complete_lora
from .face_choice import FaceChoiceType
from .table import FILE_PATH, grouped_option
from .types import NamedChoice, Numbers, Pair, StepPointType

__all__ = ["fact_options"]

_TYPES: Mapping[Kind, Any] = {
    "whole": int,
    "number": float,
    "text": str,
    "file": FILE_PATH,
    "picture": FILE_PATH,
    "pictures": FILE_PATH,
    "loras": str,
    "identity": FILE_PATH,
    "numbers": Numbers(float),
    "whole numbers": Numbers(int),
    "texts": str,
    "pair": Pair(float),
    "whole pair": Pair(int),
    "step": StepPointType(),
    "face": FaceChoiceType(),
}


def fact_options(group: Group, *kinds: type) -> list[Any]:
    """The click options of these dataclasses that stand under a heading, in their order."""
    facts = {name: fact for kind in kinds for name, fact in of(kind).items()}
    return [_fact_option(fact) for fact in facts.values() if fact.flags and fact.group == group]


def _fact_option(fact: Fact) -> Any:
    """A click option whose parameter is named after the option's field, with its default."""
    help = f"{fact.help} A preset may set it." if fact.preset else fact.help
    settings: dict[str, Any] = {"help": help, "metavar": fact.metavar or None}
    if fact.kind in ("pair", "whole pair"):  # click would show XXY
        settings["metavar"] = Pair.metavar
    if fact.kind == "switch":
        settings |= _switch(fact)
    elif fact.kind == "choice" and fact.checked:
        # click would show the names with - for _
        settings["metavar"] = fact.metavar or "|".join(fact.choices)
        settings["type"] = NamedChoice(fact.choices, case_sensitive=_is_lower(fact.choices))
    else:
        settings["type"] = _TYPES["text" if fact.kind == "choice" else fact.kind]
    if fact.repeated:
        settings["type"] = int if fact.kind == "whole numbers" else float
    if fact.kind == "loras":
        settings["shell_complete"] = complete_lora
    if fact.kind in ("pictures", "loras", "texts") or fact.repeated:
        settings["multiple"] = True
        if fact.default:
            settings |= {"default": fact.default, "show_default": True}
    elif fact.kind != "switch" and fact.default is not MISSING:
        says_something = fact.default not in (None, "", ())
        settings["default"] = fact.default
        settings["show_default"] = fact.shown_default or says_something
    return grouped_option(fact.name, *fact.flags.split(), heading=fact.group, **settings)


def _switch(fact: Fact) -> dict[str, Any]:
    """True as the default makes a flag that switches off; "--on/--off" makes both."""
    if "/" in fact.flags:
        return {"default": fact.default, "show_default": fact.shown_default or True}
    return {"is_flag": True, "default": fact.default, "flag_value": not fact.default}


def _is_lower(choices: tuple[str, ...]) -> bool:
    return all(choice == choice.lower() for choice in choices)

"""What clients hide in a prompt: `<sd_cpp_extra_args>{...}</sd_cpp_extra_args>`.

It is how stable-diffusion.cpp's server takes options by forms that have no field for them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from ..bodies.json_body import json_value
from ..errors import ApiError
from .body_fields import BodyFields, body_fields

__all__ = ["split_prompt", "with_extras"]

_BLOCK = re.compile(r"<sd_cpp_extra_args>(.*?)</sd_cpp_extra_args>", re.DOTALL)


def split_prompt(prompt: str) -> tuple[str, Mapping[str, Any] | None]:
    """The prompt without the block, and what is in that; None: there is none.

    Raises:
        ApiError: "bad_json": it is no object, or there are two.
    """
    blocks = _BLOCK.findall(prompt)
    if not blocks:
        return prompt, None
    if len(blocks) > 1:
        raise ApiError("bad_json", "prompt has sd_cpp_extra_args twice; give one", "prompt")
    found = json_value(blocks[0].encode("utf-8", "surrogatepass"), "prompt")
    if not isinstance(found, dict):
        raise ApiError("bad_json", "sd_cpp_extra_args in prompt is no object, {...}", "prompt")
    return _BLOCK.sub("", prompt).strip(), found


def with_extras(outer: BodyFields, *, strict: bool = False) -> BodyFields:
    """The fields with those in the prompt, which win.

    Raises:
        ApiError: As `split_prompt` and `body_fields`.
    """
    prompt = outer.options.get("prompt")
    if not isinstance(prompt, str):
        return outer
    text, extra = split_prompt(prompt)
    if extra is None:
        return outer
    plain = dataclasses.replace(outer, options={**outer.options, "prompt": text})
    return body_fields(extra, strict=strict).over(plain)

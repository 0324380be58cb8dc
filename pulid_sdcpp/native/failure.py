"""What the engine says when it fails, in words.

Its libraries end the process where they find that something cannot be: a condition in their
source, which tells a user nothing. Most of these mean that memory could not be had.
"""

from __future__ import annotations

import re

__all__ = ["failure_in_words"]

_OUT_OF_MEMORY = re.compile(
    r"GGML_ASSERT\((ctx->mem_buffer|\w*(_ctx|buffer|buf|alloc)) != (NULL|nullptr|0)\)"
    r"|bad_alloc|bad_array_new_length|can't allocate|cannot allocate|Cannot allocate memory"
    r"|not enough space in the context"
)
_ASSERTION = re.compile(r"GGML_ASSERT\(|GGML_ABORT|fatal error|not implemented")


def failure_in_words(reason: str) -> str:
    """A reason that the engine gave: "out of memory" where it is that, and what to do."""
    if _OUT_OF_MEMORY.search(reason):
        return f"out of memory ({reason})"
    if _ASSERTION.search(reason):
        return (
            f"the engine cannot go on ({reason}), which is a defect: please report it with the "
            "files and the options that led to it"
        )
    return reason

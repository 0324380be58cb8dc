"""CLIP's byte-pair tokens of a prompt, as the engine makes them.

The merges are read from the engine's own source, which the build unpacks, so nothing of the
vocabulary is kept here. Attention brackets and weights in a prompt, which the engine strips before,
are not known here.

Source: openai/CLIP, simple_tokenizer.py; stable-diffusion.cpp, src/tokenizers/clip_tokenizer.cpp
(the C locale: letters are ASCII's).
"""

from __future__ import annotations

import itertools
import re
from functools import cache
from pathlib import Path

__all__ = ["END", "MAX_TOKENS", "START", "ClipTokens", "engine_merges"]

START, END = 49406, 49407
"""END is also what the engine pads with."""
POSITIONS = 77
MAX_TOKENS = POSITIONS - 2
"""Between start and end; the engine reads no further."""

_N_MERGES = 48894
_HEADER = "vendor/stable-diffusion.cpp/src/tokenizers/vocab/clip_t5.hpp"
_WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+", re.ASCII)
_END_OF_WORD = "</w>"
_ROOT = Path(__file__).parents[1]


def engine_merges(folder: Path | None = None) -> tuple[tuple[str, str], ...]:
    """CLIP's pairs of pieces to merge, the first first.

    Args:
        folder: The engine's unpacked source; None: what the build has unpacked.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is another vocabulary.
    """
    folders = [folder] if folder else sorted(_ROOT.glob("build/**/engine"))
    found = [place / _HEADER for place in folders if (place / _HEADER).is_file()]
    if not found:
        raise FileNotFoundError(
            f"no engine source with {_HEADER}; unpack it with"
            " `python native/prepare_source.py --output build/engine`"
        )
    with found[0].open(encoding="ascii") as file:
        array = "".join(iter(lambda: next(file).partition("}")[0], ""))
    data = bytes(int(number, 16) for number in re.findall(r"0x([0-9a-f]{2})", array))
    lines = data.decode().split("\n")[1 : _N_MERGES + 1]
    pairs = tuple(tuple(line.split(" ")) for line in lines)
    if len(pairs) != _N_MERGES or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{found[0]}: expected {_N_MERGES} merges, found {len(pairs)} lines")
    return pairs  # type: ignore[return-value]


class ClipTokens:
    """Numbers of a prompt's tokens.

    Args:
        merges: `engine_merges()`.
    """

    def __init__(self, merges: tuple[tuple[str, str], ...]) -> None:
        letters = list(_byte_letters().values())
        pieces = [*letters, *(letter + _END_OF_WORD for letter in letters)]
        pieces += [first + second for first, second in merges]
        self._numbers = {piece: number for number, piece in enumerate(pieces)}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._known: dict[str, list[int]] = {}
        self.plain_words = [
            piece[: -len(_END_OF_WORD)]
            for piece in pieces
            if piece.endswith(_END_OF_WORD)
            and piece[: -len(_END_OF_WORD)].isascii()
            and piece[: -len(_END_OF_WORD)].isalpha()
            and len(piece) > len(_END_OF_WORD) + 2
        ]
        """Words of three letters or more that are one token."""

    def encode(self, prompt: str) -> list[int]:
        """Without start and end, and not cut at `MAX_TOKENS`."""
        text = prompt.encode().decode("latin-1")
        text = re.sub(r"[A-Z]", lambda letter: letter[0].lower(), text)
        return [number for word in _WORDS.findall(text) for number in self._word(word)]

    def _word(self, word: str) -> list[int]:
        if word not in self._known:
            letters = _byte_letters()
            parts = [letters[ord(byte)] for byte in word]
            parts[-1] += _END_OF_WORD
            self._known[word] = [self._numbers[part] for part in self._merged(parts)]
        return self._known[word]

    def _merged(self, parts: list[str]) -> list[str]:
        while len(parts) > 1:
            pairs = set(itertools.pairwise(parts))
            best = min(pairs, key=lambda pair: self._ranks.get(pair, _N_MERGES))
            if best not in self._ranks:
                break
            merged: list[str] = []
            for part in parts:
                if merged and (merged[-1], part) == best:
                    merged[-1] += part
                else:
                    merged.append(part)
            parts = merged
        return parts


@cache
def _byte_letters() -> dict[int, str]:
    """A printable letter for each byte, in the vocabulary's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(256 + place) for place, byte in enumerate(others)}

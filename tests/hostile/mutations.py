"""What happens to files: cut, zeroed, flipped, renamed, re-typed; what happens to texts."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

__all__ = ["damaged_header", "mutated_file", "mutated_text"]

_EXTREMES = (
    0,
    1,
    2,
    7,
    255,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
_DTYPES = (
    "F64",
    "F32",
    "F16",
    "BF16",
    "F8_E4M3",
    "F8_E5M2",
    "I64",
    "I32",
    "I8",
    "U8",
    "BOOL",
    "Q9",
    "",
)


def mutated_file(data: bytes, random: Random) -> tuple[str, bytes]:
    """One damage to a weights file or picture: its name, and the file with it."""
    kinds: list[Callable[[bytes, Random], bytes]] = [*_ANY]
    start = _data_start(data)
    if start is not None:
        kinds += [*_WITH_DATA, *_WITH_DATA]
    if _is_safetensors(data):
        kinds += _SAFETENSORS * 3
    if data[:4] == b"GGUF":
        kinds += _GGUF * 3
    kind = random.choice(kinds)
    return kind.__name__.strip("_"), kind(data, random)


def damaged_header(header: bytes, random: Random) -> tuple[str, bytes]:
    """One damage to the start of a gguf file that leaves its size: its name, and the start."""
    kind = random.choice([_flipped_at_the_start, _number_at_the_start, *_GGUF])
    return kind.__name__.strip("_"), kind(header, random)


def _is_safetensors(data: bytes) -> bool:
    return data[8:9] == b"{"


def _data_start(data: bytes) -> int | None:
    """Where a weights file's header ends; None: not a weights file."""
    if _is_safetensors(data):
        return 8 + int.from_bytes(data[:8], "little")
    if data[:4] == b"GGUF":
        # Near enough: a header is a small part of the file, and its end is looked for nowhere.
        return min(len(data) // 8, 1 << 16)
    return None


# Any file.


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.choice([0, 1, 7, 8, random.randrange(len(data)), len(data) - 1])]


def _grown(data: bytes, random: Random) -> bytes:
    return data + random.randbytes(random.choice([1, 31, 4096]))


def _flipped_at_the_start(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 8)):
        changed[random.randrange(min(len(data), 4096))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _flipped_anywhere(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 8)):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _number_at_the_start(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    at = random.randrange(max(1, min(len(data), 2048) - 8))
    changed[at : at + 8] = struct.pack("<Q", random.choice(_EXTREMES))
    return bytes(changed)


def _part_twice(data: bytes, random: Random) -> bytes:
    a, b = sorted(random.randrange(len(data)) for _ in range(2))
    return data[:b] + data[a:]


def _another_kind(data: bytes, random: Random) -> bytes:
    heads = (b"GGUF", b"PK\x03\x04", b"\x80\x02", b"{", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe", b"")
    return random.choice(heads) + data[random.randrange(16) :]


_ANY = (
    _cut, _grown, _flipped_at_the_start, _flipped_anywhere, _number_at_the_start, _part_twice,
    _another_kind,
)  # fmt: skip


# Weights: the header as it was, other data.


def _filled(data: bytes, pattern: bytes) -> bytes:
    start = _data_start(data)
    assert start is not None
    missing = len(data) - start
    return data[:start] + (pattern * (missing // len(pattern) + 1))[:missing]


def _data_of_zeros(data: bytes, random: Random) -> bytes:
    return _filled(data, b"\0")


def _data_of_infinities(data: bytes, random: Random) -> bytes:
    return _filled(data, random.choice([b"\x00\x7c", b"\x7c\x7c", b"\x80\x7f", b"\xff\xff"]))


def _data_of_noise(data: bytes, random: Random) -> bytes:
    return _filled(data, random.randbytes(4099))


def _second_half_of_zeros(data: bytes, random: Random) -> bytes:
    half = len(data) // 2
    return data[:half] + bytes(len(data) - half)


def _hole(data: bytes, random: Random) -> bytes:
    start = _data_start(data)
    assert start is not None
    a, b = sorted(random.randrange(start, len(data)) for _ in range(2))
    return data[:a] + bytes(b - a) + data[b:]


_WITH_DATA = (
    _data_of_zeros, _data_of_infinities, _data_of_noise, _second_half_of_zeros, _hole,
)  # fmt: skip


# safetensors: a header that is JSON, but says something else.


def _with_header(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    changed = change(copy.deepcopy(header))
    written = json.dumps(changed).encode()
    return struct.pack("<Q", len(written)) + written + data[end:]


def _any_tensor(header: dict[str, Any], random: Random) -> str:
    return random.choice([name for name in header if name != "__metadata__"])


def _tensor_renamed(data: bytes, random: Random) -> bytes:
    def change(header: dict[str, Any]) -> dict[str, Any]:
        name = _any_tensor(header, random)
        digit = next((c for c in name if c.isdigit()), "0")
        new = random.choice([
            name + ".x", name[1:], name.upper(), "", name * 300, "a" * 70_000, "é" + name,
            name.replace(digit, "99999999", 1), name.replace(digit, "-1", 1),
            name.replace(".", "_"), "\0", "..", "model.diffusion_model." + name,
        ])  # fmt: skip
        return {new if key == name else key: value for key, value in header.items()}

    return _with_header(data, change)


def _tensor_left_out(data: bytes, random: Random) -> bytes:
    def change(header: dict[str, Any]) -> dict[str, Any]:
        del header[_any_tensor(header, random)]
        return header

    return _with_header(data, change)


def _other_dtype(data: bytes, random: Random) -> bytes:
    def change(header: dict[str, Any]) -> dict[str, Any]:
        header[_any_tensor(header, random)]["dtype"] = random.choice([*_DTYPES, 5, None, []])
        return header

    return _with_header(data, change)


def _other_shape(data: bytes, random: Random) -> bytes:
    def change(header: dict[str, Any]) -> dict[str, Any]:
        entry = header[_any_tensor(header, random)]
        shape = list(entry["shape"])
        entry["shape"] = random.choice([
            shape[::-1], shape[:-1], [*shape, 1], [1, *shape], [], [0], [-1], [2**40, 2**40], "x",
            [1] * 9, None, [size * 2 for size in shape], [1.5], [sum(shape)],
        ])  # fmt: skip
        return header

    return _with_header(data, change)


def _other_offsets(data: bytes, random: Random) -> bytes:
    def change(header: dict[str, Any]) -> dict[str, Any]:
        entry = header[_any_tensor(header, random)]
        a, b = entry["data_offsets"]
        entry["data_offsets"] = random.choice(
            [[b, a], [0, b - a], [a + 1, b + 1], [a, a], [-8, b], [a, 2**63], [a], "x", [0, 2**70]]
        )
        return header

    return _with_header(data, change)


def _two_swapped(data: bytes, random: Random) -> bytes:
    def change(header: dict[str, Any]) -> dict[str, Any]:
        a, b = _any_tensor(header, random), _any_tensor(header, random)
        header[a], header[b] = header[b], header[a]
        return header

    return _with_header(data, change)


def _tensor_added(data: bytes, random: Random) -> bytes:
    def change(header: dict[str, Any]) -> dict[str, Any]:
        name = _any_tensor(header, random)
        extra = random.choice(
            [name + ".scale_weight", "scaled_fp8", name + ".absmax", "junk", name + "2"]
        )
        header[extra] = dict(header[name])
        return header

    return _with_header(data, change)


def _odd_metadata(data: bytes, random: Random) -> bytes:
    nested: Any = {}
    for _ in range(200):
        nested = {"a": nested}

    def change(header: dict[str, Any]) -> dict[str, Any]:
        header["__metadata__"] = random.choice([
            5, [], nested, {"a": 5}, {"a" * 100_000: "b" * 100_000}, None,
            {"lora_adapter_metadata": "{" * 5000}, {"ss_network_args": "[" * 100_000},
        ])  # fmt: skip
        return header

    return _with_header(data, change)


def _no_json(data: bytes, random: Random) -> bytes:
    end = 8 + int.from_bytes(data[:8], "little")
    text = random.choice(
        [b"{" * 100_000, b"[" * 100_000, b"{}", b"{", b'{"a":' * 20_000, b"\xff\xfe{}"]
    )
    return struct.pack("<Q", len(text)) + text + data[end:]


_SAFETENSORS = (
    _tensor_renamed, _tensor_left_out, _other_dtype, _other_shape, _other_offsets, _two_swapped,
    _tensor_added, _odd_metadata, _no_json,
)  # fmt: skip


# gguf: a header of lengths and numbers.


def _letter_of_a_name(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    at = data.find(b".weight", random.randrange(1 << 15))
    at = (at if at > 0 else data.find(b".weight")) - random.randint(0, 12)
    changed[at] = random.choice(b"0129x._\xff\0")
    return bytes(changed)


def _number_after_a_name(data: bytes, random: Random) -> bytes:
    """The number of sizes, a size, the type or the offset of a tensor."""
    changed = bytearray(data)
    at = data.find(b".weight", random.randrange(1 << 15))
    at = (at if at > 0 else data.find(b".weight")) + len(b".weight") + 4 * random.randint(0, 8)
    value = random.choice([*range(40), *_EXTREMES]) & 0xFFFFFFFF
    changed[at : at + 4] = struct.pack("<I", value)
    return bytes(changed)


def _counts(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    at = random.choice([4, 8, 16])
    changed[at : at + 4] = struct.pack("<I", random.choice(_EXTREMES) & 0xFFFFFFFF)
    return bytes(changed)


_GGUF = (_letter_of_a_name, _number_after_a_name, _counts)


# Texts: job files and the parameters in pictures.

_INSERTED = (
    "\0", "\x1b[31m",
    "\u202e", "é", "中" * 50, "😀", "(" * 500, "[" * 500, "{" * 500, '"', "'", "\\",
    "\n", "\r\n", ",", ": ", "=", "#", "<lora:x:1>", "<lora:x", "nan", "inf", "-1", "1e999",
    "9" * 400, "a." * 3000, "a=1\n" * 500, "../../x", "/dev/zero", "C:\\Users\\x", "~", "$(ls)",
    "Steps: 3, ", "Size: 100000x100000, ", "Seed: -5, ", "Tensor type rules: (.*)*=q8_0, ",
)  # fmt: skip


def mutated_text(text: str, random: Random) -> str:
    """A text with one to four changes: letters, pieces, lines, numbers."""
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(text) + 1)
        end = min(len(text), at + random.choice([1, 3, 20, 200]))
        lines = text.split("\n")
        text = random.choice([
            lambda t, a=at, e=end: t[:a] + t[e:],
            lambda t, a=at: t[:a] + random.choice(_INSERTED) + t[a:],
            lambda t, a=at, e=end: t[:a] + t[a:e] * random.choice([2, 50]) + t[e:],
            lambda t, a=at, e=end: t[:a] + t[a:e].upper() + t[e:],
            lambda t, ls=lines: "\n".join(random.sample(ls, len(ls))),
            lambda t: _another_number(t, random),
            lambda t, a=at: t[:a],
        ])(text)  # fmt: skip
        if len(text) > 300_000:
            break
    return text


def _another_number(text: str, random: Random) -> str:
    places = [i for i, c in enumerate(text) if c.isdigit()]
    if not places:
        return text
    at = random.choice(places)
    value = random.choice(
        ["0", "-1", "1e9", "nan", "3.5", "99999999999999999999", "", "x", "1_0", "٣"]
    )
    return text[:at] + value + text[at + 1 :]

"""PyTorch checkpoints as a stranger could make them: damaged, or made to run something.

They are made by hand, from codes and bytes, as no library would write most of them.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

from .mutations import mutated_file

__all__ = ["ARCHIVES", "PICKLES", "archive", "mutated_checkpoint", "valid_checkpoint"]

_TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQK\x00K\x02\x85K\x01\x85\x89N"
)
_STORED_NUMBERS = struct.pack("<2f", 1, 2)


def archive(
    pickled: bytes, numbers: bytes = _STORED_NUMBERS, change: Callable[[Any], None] | None = None
) -> bytes:
    """A checkpoint with a list of tensors, and the numbers of storage 0."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("x/data.pkl", pickled)
        made.writestr("x/byteorder", "little")
        made.writestr("x/data/0", numbers)
        if change is not None:
            change(made)
    return content.getvalue()


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _dictionary(value: bytes) -> bytes:
    return b"\x80\x02}" + _text("a") + value + b"s."


def _tensor(
    dtype: str = "Float", count: int = 2, start: int = 0, size: int = 2, step: int = 1
) -> bytes:
    """A pickle of one tensor that says these numbers of itself."""

    def number(value: int) -> bytes:
        return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)

    return _dictionary(
        b"ctorch._utils\n_rebuild_tensor_v2\n((" + _text("storage") + b"ctorch\n"
        + dtype.encode() + b"Storage\n" + _text("0") + _text("cpu") + number(count) + b"tQ"
        + number(start) + number(size) + b"\x85" + number(step) + b"\x85\x89NtR"
    )  # fmt: skip


class _Calls:
    """Is unpickled by a call."""

    def __init__(self, *call: Any) -> None:
        self._call = call

    def __reduce__(self) -> Any:
        return self._call


VALID = _dictionary(_TENSOR + b"tR")


def _pickles(marker: Path) -> dict[str, bytes]:
    """Pickles that would make the file `marker`, or take more memory than they have bytes."""
    import copyreg
    import os
    import subprocess

    command, code = f"touch {marker}", f"open({str(marker)!r}, 'w')"
    made = _text(command)
    nested = _Calls(eval, (_Calls(str.join, ("", [code])),))
    return {
        "os.system": pickle.dumps({"a": _Calls(os.system, (command,))}, 2),
        "os.system, protocol 4": pickle.dumps({"a": _Calls(os.system, (command,))}, 4),
        "os.system, protocol 0": pickle.dumps({"a": _Calls(os.system, (command,))}, 0),
        "eval": pickle.dumps({"a": _Calls(eval, (code,))}, 2),
        "exec": pickle.dumps({"a": _Calls(exec, (code,))}, 2),
        "import": pickle.dumps({"a": _Calls(__import__, ("antigravity",))}, 2),
        "Popen": pickle.dumps({"a": _Calls(subprocess.Popen, (["touch", str(marker)],))}, 2),
        "copyreg": pickle.dumps({"a": _Calls(copyreg._reconstructor, (int, int, 1))}, 2),  # type: ignore[attr-defined]
        "nested reduce": pickle.dumps({"a": nested}, 2),
        "reduce of a reduce": _dictionary(_TENSOR + b"tRcposix\nsystem\n" + made + b"\x85R\x85R"),
        "as a hook": _dictionary(_TENSOR[:-1] + b"cposix\nsystem\n" + made + b"\x85RtR"),
        "as a storage": _dictionary(b"cposix\nsystem\n" + made + b"\x85RQ"),
        "as a key": b"\x80\x02}cposix\nsystem\n" + made + b"\x85RK\x01s.",
        "a name in an allowed name": _dictionary(
            b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n"
        ),
        "a name of builtins": _dictionary(b"cbuiltins\nOrderedDict\n)R"),
        "a name of a number": _dictionary(b"K\x01K\x02\x93"),
        "torch's own loader": _dictionary(b"ctorch\nload\n" + made + b"\x85R"),
        "an instance": _dictionary(b"(" + made + b"iposix\nsystem\n"),
        "an object": _dictionary(b"(cposix\nsystem\n" + made + b"o"),
        "a new object": _dictionary(b"cposix\nsystem\n" + made + b"\x85\x81"),
        "an extension": _dictionary(b"\x82\x01"),
        "a persistent text": _dictionary(b"Pcposix.system\n"),
        "what something is": _dictionary(_TENSOR + b"tR}" + _text("__class__") + made + b"sb"),
        "a call of a type": _dictionary(b"ctorch\nfloat32\n)R"),
        "a call of a number": _dictionary(b"K\x01)R"),
        "a call with too much": _dictionary(b"ctorch\nSize\n)))\x87R"),
        "huge memo": b"\x80\x02}r\xff\xff\xff\xff" + VALID[3:-1] + b"j\xff\xff\xff\x7f.",
        "huge text": _dictionary(b"\x8d" + struct.pack("<Q", 1 << 62)),
        "huge bytes": _dictionary(b"\x96" + struct.pack("<Q", 1 << 40)),
        "huge frame": b"\x80\x04\x95" + b"\xff" * 8 + b"}" + _text("a") + b"Ns.",
        "huge number": _dictionary(b"\x8b" + struct.pack("<i", 1 << 30)),
        "a laugh": b"\x80\x02]" + b"(" + b"].(h\0h\0"[:2] * 3 + b"e.",
        "a million laughs": _laughs(),
        "too many codes": b"\x80\x02" + b"}0" * (1 << 18) + b"N.",
        "a deep list": b"\x80\x02}" + _text("a") + b"]" * 20_000 + b"a" * 19_999 + b"s.",
        "a key of tuples": b"\x80\x02}" + b")" + b"q\0h\0h\0\x87" * 60 + b"K\x01s.",
        "no end": VALID[:-1],
        "no start": b"a.",
        "a mark": b"(.",
        "numbers outside": _tensor(start=1),
        "numbers before": _tensor(start=-1),
        "steps outside": _tensor(step=1 << 60),
        "steps backwards": _tensor(step=-1),
        "steps on the spot": _tensor(size=1 << 40, step=0),
        "a huge tensor": _tensor(size=1 << 40),
        "a huge storage": _tensor(count=1 << 60, size=1 << 60),
        "a negative storage": _tensor(count=-2),
        "a storage that is too small": _tensor(count=1, size=1),
        "a wider type": _tensor("Double"),
        "an unknown type": _tensor("Quantum"),
        "nine sizes": _dictionary(
            _TENSOR.replace(b"K\x02\x85", b"(" + b"K\x01" * 9 + b"t")
            .replace(b"K\x01\x85", b"(" + b"K\x01" * 9 + b"t") + b"tR"
        ),
        "true as a size": _dictionary(_TENSOR.replace(b"K\x02\x85", b"\x88\x85") + b"tR"),
    }  # fmt: skip


def _laughs() -> bytes:
    """Lists of lists of one list: ten to the tenth of it."""
    return (
        b"\x80\x02}" + _text("a") + b"]q\0"
        + b"".join(b"](" + b"h" + bytes([n]) + (b"h" + bytes([n])) * 9 + b"eq" + bytes([n + 1])
                   for n in range(10))
        + b"s."
    )  # fmt: skip


PICKLES = _pickles
"""Makes the pickles, by what they try, for a file that must not come into being."""


def _archives() -> dict[str, bytes]:
    """Archives that are not what they seem."""

    def with_member(name: str, content: bytes = b"x", method: int = 0) -> bytes:
        return archive(VALID, change=lambda made: made.writestr(name, content, method))

    deflated = io.BytesIO()
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("x/data.pkl", VALID)
        made.writestr("x/data/0", bytes(1 << 24))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("x/data.pkl", VALID, zipfile.ZIP_DEFLATED)
        made.writestr("x/data/0", _STORED_NUMBERS)
    valid = archive(VALID)
    listed = valid.index(b"PK\1\2")
    last = valid.rindex(b"PK\1\2")
    end = valid.rindex(b"PK\5\6")

    def patched(at: int, form: str, *values: int) -> bytes:
        changed = bytearray(valid)
        struct.pack_into(form, changed, at, *values)
        return bytes(changed)

    return {
        "a name that leads out": with_member("x/../../evil"),
        "a name from the root": with_member("/etc/evil"),
        "a name of Windows": valid.replace(b"x/byteorder", b"x\\byteorder"),
        "a name with a drive": with_member("C:/evil"),
        "a name of nothing": with_member("x//evil"),
        "a name that is no text": valid.replace(b"x/byteorder", b"x/byte\xff\0der"),
        "a bomb": deflated.getvalue(),
        "a packed list": packed.getvalue(),
        "a packed member beside": with_member("x/more", bytes(1 << 20), zipfile.ZIP_DEFLATED),
        "encrypted": patched(listed + 8, "<H", 1),
        "two lists": with_member("y/data.pkl", VALID),
        "a list further in": archive(VALID).replace(b"x/data.pkl", b"/data.pklx"),
        "one over another": patched(last + 42, "<I", 0),
        "the same name": valid.replace(b"x/byteorder", b"x/data.pkl\0"),
        "twice the same member": _twice(valid, last, end),
        "another name in the list": _another_name(valid, last),
        "size beyond the file": patched(last + 20, "<2I", 1 << 30, 1 << 30),
        "size beyond the list": patched(last + 20, "<2I", 400, 400),
        "size in a field that is not there": patched(last + 20, "<2I", 0xFFFFFFFF, 0xFFFFFFFF),
        "a start beyond the file": patched(last + 42, "<I", 1 << 30),
        "65,535 members": patched(end + 8, "<2H", 0xFFFF, 0xFFFF),
        "a list beyond the file": patched(end + 12, "<I", 1 << 31),
        "a list that is elsewhere": patched(end + 16, "<I", 4),
        "several parts": patched(end + 4, "<2H", 1, 1),
        "a second end in the comment": patched(end + 20, "<H", 22) + valid[end:],
        "a zip64 end that is none": valid[:end] + b"PK\6\7" + bytes(16) + valid[end:],
        "no list of tensors": valid.replace(b"x/data.pkl", b"x/data.pkk"),
        "no numbers": valid.replace(b"x/data/0", b"x/data/1"),
        "fewer numbers": archive(VALID, _STORED_NUMBERS[:-1]),
        "more numbers": archive(VALID, _STORED_NUMBERS + b"1"),
        "nothing": valid[end:],
    }  # fmt: skip


def _twice(valid: bytes, last: int, end: int) -> bytes:
    """The last entry of the list is there once more."""
    entry = valid[last:end]
    changed = bytearray(valid[:end] + entry + valid[end:])
    at = end + len(entry)
    struct.pack_into("<2H", changed, at + 8, 4, 4)
    struct.pack_into(
        "<I", changed, at + 12, struct.unpack_from("<I", valid, end + 12)[0] + len(entry)
    )
    return bytes(changed)


def _another_name(valid: bytes, last: int) -> bytes:
    at = valid.index(b"x/data/0", last)
    return valid[:at] + b"x/data/9" + valid[at + 8 :]


ARCHIVES = _archives
"""Makes the archives, by what is wrong with them."""


def valid_checkpoint(zipped: bool) -> bytes:
    """One with several types, views, and things beside the tensors."""
    base = torch.arange(600.0).reshape(20, 30)
    content = {
        "epoch": 7,
        "state_dict": {
            "a.weight": base, "a.bias": base[0], "b.weight": base.t().half(),
            "c": torch.linspace(-1, 1, 33).bfloat16(), "d": torch.tensor(3), "e": base[3:9, ::3],
            "f": torch.nn.Parameter(torch.ones(4, 4)),
        },
    }  # fmt: skip
    made = io.BytesIO()
    torch.save(content, made, _use_new_zipfile_serialization=zipped)
    return made.getvalue()


def mutated_checkpoint(data: bytes, random: Random) -> tuple[str, bytes]:
    """One damage to a checkpoint: its name, and the file with it."""
    if random.random() < 0.4:
        return mutated_file(data, random)
    if data[:2] != b"PK":
        return "bytes of the pickles", _with_other_bytes(data, random, 0, min(len(data), 900))
    with zipfile.ZipFile(io.BytesIO(data)) as given:
        members = {name: given.read(name) for name in given.namelist()}
    if random.random() < 0.7:
        name = next(name for name in members if name.endswith("data.pkl"))
        members[name] = _with_other_bytes(members[name], random, 0, len(members[name]))
        kind = "bytes of the list"
    else:
        name = random.choice(list(members))
        content = members.pop(name)
        kind = random.choice(["left out", "cut", "grown", "renamed"])
        if kind != "left out":
            changed = {"cut": content[:-1], "grown": content + b"\0"}.get(kind, content)
            members[name + "0" * (kind == "renamed")] = changed
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as written:
        for name, content in members.items():
            written.writestr(name, content)
    return kind, made.getvalue()


def _with_other_bytes(data: bytes, random: Random, start: int, end: int) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(start, end)
        changed[at] = random.choice([random.randrange(256), *b"}](t\x85RQqrhjc.uX\x8aKNs"])
    if random.random() < 0.2:
        at = random.randrange(start, end)
        changed[at:at] = random.choice(
            [b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"(", b"0", b"}", b"h\0"]
        )
    return bytes(changed)

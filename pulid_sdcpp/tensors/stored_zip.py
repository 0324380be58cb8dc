"""Where the members of a zip archive lie, of one whose members are stored as they are.

Nothing is unpacked, so an archive that would become larger than its file is refused, and so is
whatever makes two readers of one archive see different things in it: a name twice, members that
overlap, another name at the member than in the list. A list of members is read up to a limit,
where the standard library's `zipfile` makes an object of every entry that an archive claims.

Source: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3.7 (local header), 4.3.12 (central directory),
4.3.14 to 4.3.16 (its end), 4.5.3 (zip64).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ModelFileError
from ..terminal_text import quoted
from .file_bytes import FileBytes

__all__ = ["StoredMember", "stored_members"]

MAX_MEMBERS = 1 << 16
"""A torch checkpoint has one for each tensor; a Flux has 780."""
MAX_LIST_BYTES = 8 << 20
MAX_COMMENT_BYTES = 0xFFFF

_LOCAL = struct.Struct("<4s5H3I2H")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCATOR_64 = struct.Struct("<4sIQI")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_ZIP_64 = 1
_IN_ZIP_64 = 0xFFFFFFFF


@dataclass(frozen=True)
class StoredMember:
    """A member of an archive.

    Attributes:
        offset: First byte of its content, counted from the start of the archive.
        nbytes: Size of its content.
    """

    offset: int
    nbytes: int


@dataclass(frozen=True)
class _Entry:
    """What the list says of a member: `header` is where its local header begins."""

    name: bytes
    header: int
    nbytes: int


def stored_members(content: FileBytes) -> Mapping[str, StoredMember]:
    """The members of an archive by name, in the order of its list.

    Args:
        content: The archive.

    Raises:
        ModelFileError: It is no zip archive, is damaged or truncated, has a member that is
            compressed, encrypted, outside the file or over another, or a name that is there twice
            or leads out of the archive.
    """
    start, size, count = _list_of(content)
    entries = _entries(content, content.read(start, size), start, count)
    members: dict[str, StoredMember] = {}
    end = 0
    for entry in sorted(entries, key=lambda one: one.header):
        if entry.header < end:
            raise _damaged(content, f"its member {quoted(_text(entry.name))} overlaps another")
        member = _member(content, entry, start)
        end = member.offset + member.nbytes
        members[_name(content, entry.name)] = member
    if len(members) != len(entries):
        raise _damaged(content, "two of its members have one name")
    return members


def _list_of(content: FileBytes) -> tuple[int, int, int]:
    """Offset and size of the list of members, and how many there are."""
    size = len(content)
    tail_start = max(0, size - _END.size - MAX_COMMENT_BYTES)
    tail = content.read(tail_start, size - tail_start)
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        if at + _END.size <= len(tail):
            _, *_, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == len(tail):
                break
        at = tail.rfind(b"PK\5\6", 0, at)
    if at < 0:
        raise ModelFileError(
            f"{content.path}: truncated or damaged: a zip archive without its end; download it "
            "again"
        )
    _, disk, list_disk, here, count, list_size, list_start, _ = _END.unpack_from(tail, at)
    if disk or list_disk or here != count:
        raise _damaged(content, "it is one of several parts")
    end = tail_start + at
    if end >= _LOCATOR_64.size:
        mark, _, place, disks = _LOCATOR_64.unpack(
            content.read(end - _LOCATOR_64.size, _LOCATOR_64.size)
        )
        if mark == b"PK\6\7":
            end -= _LOCATOR_64.size
            if disks > 1 or place + _END_64.size > end:
                raise _damaged(content, "its zip64 end is not before its end")
            fields = _END_64.unpack(content.read(place, _END_64.size))
            mark, _, _, _, disk, list_disk, here, count, list_size, list_start = fields
            if mark != b"PK\6\6" or disk or list_disk or here != count:
                raise _damaged(content, "its zip64 end is not one")
            end = place
    if count > MAX_MEMBERS or list_size > MAX_LIST_BYTES:
        raise _damaged(content, f"it has {count} members, listed in {list_size} bytes")
    if list_start + list_size != end:
        raise _damaged(content, "its list of members is not before its end")
    return list_start, list_size, count


def _entries(content: FileBytes, listed: bytes, start: int, count: int) -> list[_Entry]:
    entries = []
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > len(listed) or listed[at : at + 4] != b"PK\1\2":
            raise _damaged(content, "its list of members ends too early")
        fields = _ENTRY.unpack_from(listed, at)
        _, _, _, flags, method, _, _, _, packed, size, n_name, n_extra, n_comment, disk = fields[
            :14
        ]
        header = fields[16]
        at += _ENTRY.size
        name = listed[at : at + n_name]
        extra = listed[at + n_name : at + n_name + n_extra]
        at += n_name + n_extra + n_comment
        if at > len(listed):
            raise _damaged(content, "its list of members ends too early")
        shown = quoted(_text(name))
        if flags & _ENCRYPTED:
            raise _damaged(content, f"its member {shown} is encrypted")
        if _IN_ZIP_64 in (packed, size, header):
            size, packed, header = _large(content, extra, size, packed, header)
        if method or packed != size:
            raise _damaged(content, f"its member {shown} is compressed, which weights never are")
        if disk or header + _LOCAL.size + n_name + size > start:
            raise _damaged(content, f"its member {shown} lies outside it")
        entries.append(_Entry(name, header, size))
    if at != len(listed):
        raise _damaged(content, "its list of members has more in it than members")
    return entries


def _large(content: FileBytes, extra: bytes, *numbers: int) -> list[int]:
    """Numbers of which some stand in the zip64 field, in their order."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP_64:
            field = extra[at + 4 : at + 4 + size]
            found = iter(struct.unpack_from(f"<{len(field) // 8}Q", field))
            large = [next(found, -1) if n == _IN_ZIP_64 else n for n in numbers]
            if min(large) >= 0:
                return large
            break
        at += 4 + size
    raise _damaged(content, "a member's size is missing from its list")


def _member(content: FileBytes, entry: _Entry, list_start: int) -> StoredMember:
    """Where an entry's content is; the local header may be followed by padding."""
    head = content.read(entry.header, _LOCAL.size + len(entry.name))
    mark, _, _, method, _, _, _, _, _, n_name, n_extra = _LOCAL.unpack_from(head)
    if mark != b"PK\3\4" or method or n_name != len(entry.name) or not head.endswith(entry.name):
        raise _damaged(content, f"its member {quoted(_text(entry.name))} is not what its list says")
    offset = entry.header + len(head) + n_extra
    if offset + entry.nbytes > list_start:
        raise _damaged(content, f"its member {quoted(_text(entry.name))} lies outside it")
    return StoredMember(offset, entry.nbytes)


def _name(content: FileBytes, name: bytes) -> str:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    parts = text.split("/")
    if not text.isprintable() or "\\" in text or ":" in parts[0] or {"", "..", "."} & {*parts}:
        raise _damaged(content, f"its member {quoted(_text(name))} has a name that leads elsewhere")
    return text


def _text(name: bytes) -> str:
    return name.decode(errors="replace")


def _damaged(content: FileBytes, what: str) -> ModelFileError:
    return ModelFileError(
        f"{content.path}: damaged, or no torch checkpoint: {what}; download it again"
    )

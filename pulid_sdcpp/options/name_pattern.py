"""Patterns of tensor names, for rules of weight types.

Part of what regular expressions can say, found in time of the pattern's length by the name's: the
rules may come from a picture's text, and there are expressions that take longer than anybody
waits. The engine reads the same in native/src/pulid_name_pattern.hpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

__all__ = ["NamePattern"]

_MAX_DEPTH = 50
_ALL = frozenset(range(256))
_DIGITS = frozenset(b"0123456789")
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD = _DIGITS | _LETTERS | {ord("_")}
_CLASSES = {
    "d": _DIGITS, "D": _ALL - _DIGITS, "w": _WORD, "W": _ALL - _WORD,
    "s": frozenset(b" \t\n\v\f\r"), "S": _ALL - frozenset(b" \t\n\v\f\r"),
}  # fmt: skip
_BEGIN, _END, _MATCH = "begin", "end", "match"


@dataclass(frozen=True)
class _Go:
    """Goes on at one or the other of two steps, told as distances."""

    first: int
    second: int


_Step = frozenset[int] | _Go | str
_Code = list[_Step]
_Waiting = tuple[int, ...] | None
"""The steps that wait for a byte; None where the pattern is found."""


class NamePattern:
    r"""Literals, `.`, `[a-z]`, `[^_]`, `\d \w \s`, `\.`, `^`, `$`, `|`, `( )`, `*`, `+`, `?`.

    Args:
        pattern: Fits a name where it fits any part of it, byte by byte.

    Raises:
        ValueError: Anything else that a regular expression may have, or none at all.
    """

    def __init__(self, pattern: str) -> None:
        self._text = pattern.encode().decode("latin-1")  # a character for each byte
        self._at = 0
        self._code = self._alternatives(0)
        if self._at < len(self._text):
            self._refuse("a ) that closes nothing")
        self._code.append(_MATCH)
        self._moves: dict[tuple[_Waiting, int, bool], _Waiting] = {}

    def found_in(self, name: str) -> bool:
        """True where the pattern fits any part of the name."""
        data = name.encode("utf-8", "surrogatepass")
        now = self._reached([0], begins=True, ends=not data)
        for place, byte in enumerate(data, 1):
            if now is None:
                return True
            key = (now, byte, place == len(data))
            if key not in self._moves:  # names have their beginnings in common
                self._moves[key] = self._moved(*key)
            now = self._moves[key]
        return now is None

    def _moved(self, now: tuple[int, ...], byte: int, ends: bool) -> _Waiting:
        taken = [i + 1 for i in now if byte in self._code[i]]  # type: ignore[operator]
        return self._reached([0, *taken], begins=False, ends=ends)

    def _reached(self, left: list[int], *, begins: bool, ends: bool) -> _Waiting:
        waiting: list[int] = []
        seen: set[int] = set()
        while left:
            index = left.pop()
            if index in seen:
                continue
            seen.add(index)
            step = self._code[index]
            if isinstance(step, frozenset):
                waiting.append(index)
            elif isinstance(step, _Go):
                left += (index + step.first, index + step.second)
            elif step == _MATCH:
                return None
            elif (step == _BEGIN and begins) or (step == _END and ends):
                left.append(index + 1)
        return tuple(waiting)

    def _refuse(self, what: str) -> NoReturn:
        raise ValueError(f"it has {what}")

    def _next_is(self, chars: str) -> bool:
        return self._at < len(self._text) and self._text[self._at] in chars

    def _taken(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _alternatives(self, depth: int) -> _Code:
        if depth > _MAX_DEPTH:
            self._refuse(f"brackets nested more than {_MAX_DEPTH} deep")
        branches = [self._sequence(depth)]
        while self._next_is("|"):
            self._at += 1
            branches.append(self._sequence(depth))
        size = sum(len(branch) + 2 for branch in branches) - 2
        code: _Code = []
        for branch in branches[:-1]:
            code += (_Go(1, len(branch) + 2), *branch)
            code.append(_Go(size - len(code), size - len(code)))
        return code + branches[-1]

    def _sequence(self, depth: int) -> _Code:
        code: _Code = []
        while self._at < len(self._text) and not self._next_is("|)"):
            code += self._repeated(depth)
        return code

    def _repeated(self, depth: int) -> _Code:
        is_place = self._next_is("^$")
        part = self._single(depth)
        if not self._next_is("*+?"):
            return part
        if is_place:
            self._refuse("a repetition of nothing")
        sign = self._taken()
        size = len(part)
        if self._next_is("?"):
            self._at += 1  # as few as possible: found in the same names
        if self._next_is("*+?"):
            self._refuse("a repetition of a repetition")
        if sign == "?":
            return [_Go(1, size + 1), *part]
        if sign == "*":
            return [_Go(1, size + 2), *part, _Go(-size - 1, -size - 1)]
        return [*part, _Go(-size, 1)]

    def _single(self, depth: int) -> _Code:
        char = self._taken()
        if char in "^$":
            return [_BEGIN if char == "^" else _END]
        if char == "(":
            if self._next_is("?"):
                if not self._text.startswith("?:", self._at):
                    self._refuse("(? without a colon")
                self._at += 2
            code = self._alternatives(depth + 1)
            if not self._next_is(")"):
                self._refuse("a ( that nothing closes")
            self._at += 1
            return code
        if char == "[":
            return [self._set()]
        if char == "\\":
            return [self._escaped()]
        if char == ".":
            return [_ALL - {ord("\n"), ord("\r")}]
        if char in "*+?":
            self._refuse("a repetition of nothing")
        if char in "{}":
            self._refuse(f"a {char}")
        return [frozenset({ord(char)})]

    def _escaped(self) -> frozenset[int]:
        if self._at == len(self._text):
            self._refuse("a \\ at its end")
        char = self._taken()
        if char in _CLASSES:
            return _CLASSES[char]
        if ord(char) in _WORD:
            self._refuse(f"\\{char}")
        return frozenset({ord(char)})

    def _set(self) -> frozenset[int]:
        is_negated = self._next_is("^")
        self._at += is_negated
        found: set[int] = set()
        start = self._at
        while self._at < len(self._text) and not self._next_is("]"):
            low = self._text[self._at]
            one = self._set_member()
            if not self._next_is("-") or self._text[self._at + 1 : self._at + 2] in ("", "]"):
                found |= one
                continue
            self._at += 1
            high = self._text[self._at]
            self._set_member()
            if "\\" in (low, high) or low > high:
                self._refuse("a range in [] that is none")
            found |= set(range(ord(low), ord(high) + 1))
        if self._at == len(self._text) or self._at == start:
            self._refuse("a [ without ] or with nothing in it")
        self._at += 1
        return _ALL - found if is_negated else frozenset(found)

    def _set_member(self) -> frozenset[int]:
        char = self._taken()
        if char == "\\":
            return self._escaped()
        if char == "[":
            self._refuse("a [ in []")
        return frozenset({ord(char)})

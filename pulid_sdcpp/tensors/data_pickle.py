"""Pickles of data, read by a machine that has nothing to run.

A pickle is a program: it names functions of any module and calls them. Here a name is looked up in
a table of the caller's and nowhere else, what is not in it is refused before anything is called,
and codes that make objects of classes, or reach outside, are unknown. Dictionaries take texts,
numbers, true, false and none as keys; what the memo and the stack hold grows with the pickle's own
length only, whatever numbers it has for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..terminal_text import quoted
from .pickle_codes import PickleError, pickle_codes

__all__ = ["MAX_CODES", "NamedThing", "unpickled"]

MAX_CODES = 1 << 18
"""Of one pickle. A torch checkpoint has about 30 for each tensor."""

_MARK = object()
_PARTS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_VALUES: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class NamedThing:
    """Something that a pickle knows by its name.

    Args:
        name: Of the module and of the thing in it, "torch.Size".
        make: What a call of it gives; None: it is never called.
    """

    def __init__(self, name: str, make: Callable[..., Any] | None = None) -> None:
        self.name = name
        self.make = make


def unpickled(
    data: bytes,
    start: int,
    things: Mapping[str, NamedThing],
    stored: Callable[[Any], Any],
) -> tuple[Any, int]:
    """What one pickle holds: dictionaries, lists, tuples, texts, numbers, and what `things` make.

    Args:
        data: Where it is in.
        start: Where it begins.
        things: All that it may name.
        stored: What stands for something that is kept outside the pickle.

    Returns:
        The value, and where the pickle ends.

    Raises:
        PickleError: It is damaged, or wants something else than data. `things` and `stored` may
            raise it, too.
    """
    machine = _Machine(things, stored)
    end = start
    for name, value, end in pickle_codes(data, start, MAX_CODES):  # noqa: B007
        machine.step(name, value)
    return machine.result(), end


class _Machine:
    def __init__(self, things: Mapping[str, NamedThing], stored: Callable[[Any], Any]) -> None:
        self._things = things
        self._stored = stored
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def result(self) -> Any:
        value = self._pop()
        if self._stack:
            raise PickleError("a pickle that leaves things over")
        return value

    def step(self, code: str, value: Any) -> None:
        stack = self._stack
        if code in ("NUMBER", "TEXT", "BYTES"):
            stack.append(value)
        elif code in _VALUES:
            stack.append(_VALUES[code])
        elif code == "MARK":
            stack.append(_MARK)
        elif code == "PUT":
            self._memo[value] = self._top()
        elif code == "MEMOIZE":
            self._memo[len(self._memo)] = self._top()
        elif code == "GET":
            if value not in self._memo:
                raise PickleError(f"a pickle that has nothing under the number {value}")
            stack.append(self._memo[value])
        elif code == "GLOBAL":
            stack.append(self._thing(*value))
        elif code == "STACK_GLOBAL":
            name, module = self._pop(), self._pop()
            stack.append(self._thing(module, name))
        elif code == "PERSISTENT":
            stack.append(self._stored(self._pop()))
        elif code == "REDUCE":
            arguments, thing = self._pop(), self._pop()
            stack.append(_called(thing, arguments))
        elif code == "BUILD":
            # The state of a dictionary with attributes: of what a network was made of.
            if not isinstance(self._pop(), dict) or not isinstance(self._top(), dict):
                raise PickleError("a pickle that sets what something is")
        elif code not in ("PROTO", "FRAME", "STOP"):
            self._collect(code)

    def _collect(self, code: str) -> None:
        """Codes that make or fill a tuple, a list or a dictionary, and the one that drops."""
        stack = self._stack
        if code == "EMPTY_LIST":
            stack.append([])
        elif code == "EMPTY_DICT":
            stack.append({})
        elif code == "POP":
            self._pop(or_mark=True)
        elif code in _PARTS:
            parts = [self._pop() for _ in range(_PARTS[code])]
            stack.append(tuple(reversed(parts)))
        elif code in ("APPEND", "SETITEM"):
            values = [self._pop() for _ in range(2 if code == "SETITEM" else 1)]
            self._fill(values[::-1])
        else:
            values = self._since_mark()
            if code in ("APPENDS", "SETITEMS"):
                self._fill(values)
            elif code == "TUPLE":
                stack.append(tuple(values))
            elif code == "LIST":
                stack.append(values)
            else:
                stack.append({})
                self._fill(values)

    def _fill(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            target += values
        elif isinstance(target, dict):
            target.update(_pairs(values))
        else:
            raise PickleError("a pickle that fills what is no list and no dictionary")

    def _thing(self, module: Any, name: Any) -> NamedThing:
        full = f"{module}.{name}"
        if not isinstance(module, str) or not isinstance(name, str) or full not in self._things:
            raise PickleError(
                f"a pickle that asks for {quoted(full)}, which no tensors need; nothing of it "
                "was run"
            )
        return self._things[full]

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleError("a pickle that uses more than it has")
        return self._stack[-1]

    def _pop(self, or_mark: bool = False) -> Any:
        if not or_mark or not self._stack:
            self._top()
        return self._stack.pop()

    def _since_mark(self) -> list[Any]:
        stack = self._stack
        for at in range(len(stack) - 1, -1, -1):
            if stack[at] is _MARK:
                values = stack[at + 1 :]
                del stack[at:]
                return values
        raise PickleError("a pickle that uses more than it has")


def _called(thing: Any, arguments: Any) -> Any:
    if not isinstance(thing, NamedThing) or thing.make is None or type(arguments) is not tuple:
        raise PickleError("a pickle that calls what is no function of tensors")
    try:
        return thing.make(*arguments)
    except TypeError:
        raise PickleError(f"a pickle that calls {thing.name} in a way of its own") from None


def _pairs(values: list[Any]) -> dict[Any, Any]:
    keys = values[::2]
    if len(values) % 2 or not all(isinstance(key, str | int | float | None) for key in keys):
        raise PickleError("a pickle with a dictionary of something else than names")
    return dict(zip(keys, values[1::2], strict=True))

"""Faults of HTML that no browser tells of: tags that do not end, fields without a name."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"img", "input", "br"}
_NAMED = {"button", "a", "summary"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.faults: list[str] = []
        self.ids: set[str] = set()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if len(found) != len(attrs):
            self.faults.append(f"{tag} has an attribute twice")
        if (its_id := found.get("id")) is not None:
            if its_id in self.ids:
                self.faults.append(f"two have the id {its_id}")
            self.ids.add(its_id)
        if tag == "img" and "alt" not in found:
            self.faults.append("a picture without alt")
        if tag == "input" and not (self._is_in("label") or found.get("aria-label")):
            self.faults.append(f"a field without a label: {found}")
        if tag not in _VOID:
            self.open.append((tag, found, []))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            self.faults.append(f"</{tag}> ends nothing")
            return
        _, found, texts = self.open.pop()
        if tag in _NAMED and not (found.get("aria-label") or "".join(texts).strip()):
            self.faults.append(f"<{tag}> without a name: {found}")
        if self.open:
            self.open[-1][2].extend(texts)

    def handle_data(self, data: str) -> None:
        if self.open:
            self.open[-1][2].append(data)

    def _is_in(self, tag: str) -> bool:
        return any(one == tag for one, _, _ in self.open)


def faults_of(html: str) -> list[str]:
    """What is wrong with a piece of HTML."""
    reader = _read(html)
    return [*reader.faults, *(f"<{tag}> without an end" for tag, _, _ in reader.open)]


def tags_of(html: str, tag: str, **attributes: str) -> list[dict[str, str | None]]:
    """The attributes of each tag of a kind; `data_do` is data-do."""
    wanted = {name.replace("_", "-"): value for name, value in attributes.items()}
    return [
        found
        for one, found in _read(html).tags
        if one == tag and all(found.get(name) == value for name, value in wanted.items())
    ]


def text_of(html: str) -> str:
    """The text without tags, white space joined."""
    texts: list[str] = []

    class Texts(HTMLParser):
        def handle_data(self, data: str) -> None:
            texts.append(data)

    Texts().feed(html)
    return " ".join(" ".join(texts).split())


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(str(html))
    reader.close()
    return reader

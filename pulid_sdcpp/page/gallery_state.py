"""What one browser is shown of the gallery, and what was pressed there."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..server.calls.picture_calls import picture_view
from .gallery_html import gallery_html, picture_html

if TYPE_CHECKING:
    from ..server.library.gallery import GalleryPicture

__all__ = ["PAGE", "Shown", "page_picture", "with_names"]

PAGE = 60
"""Pictures that are read at a time."""


def page_picture(picture: GalleryPicture, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A picture as the API answers, with addresses from where the page is.

    Args:
        names: Of the people whom the picture was compared with, by id.
    """
    view = picture_view(picture)
    view |= {name: str(view[name]).lstrip("/") for name in ("url", "thumbnail_url")}
    if view["scores"] and names:
        view["scores"] = with_names(view["scores"], names)
    return view


def with_names(scores: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What was measured, with the names of those who are most alike otherwise."""
    people = []
    for person in scores.get("people", ()):
        other = person.get("best_other")
        if other:
            person = {**person, "best_other": {**other, "name": names.get(other["id"], "")}}
        people.append(person)
    return {**scores, "people": people}


@dataclass(frozen=True)
class Shown:
    """What one browser is shown.

    Attributes:
        q, person, favourite: What is searched for.
        pictures: Those that were read so far, the newest first.
        more: Whether there are older ones.
        asked: What a question on the screen is about: ids.
    """

    q: str = ""
    person: str = ""
    favourite: bool = False
    pictures: tuple[dict[str, Any], ...] = ()
    more: bool = False
    asked: tuple[str, ...] = ()

    @property
    def searched(self) -> bool:
        return bool(self.q or self.person or self.favourite)

    def with_page(self, page: Sequence[dict[str, Any]]) -> Shown:
        """With more pictures, of which one more was read than is shown."""
        return replace(self, pictures=(*self.pictures, *page[:PAGE]), more=len(page) > PAGE)

    def again(self) -> Shown:
        """The same search with nothing read yet."""
        return replace(self, pictures=(), more=False, asked=())

    def with_newest(self, newest: Shown) -> Shown:
        """With what was made meanwhile before the pictures that are shown.

        Args:
            newest: The first page of the same search.
        """
        known = {one["id"] for one in self.pictures}
        new = tuple(itertools.takewhile(lambda one: one["id"] not in known, newest.pictures))
        if len(new) == len(newest.pictures):  # between them there may be more
            return replace(newest, asked=self.asked)
        return replace(self, pictures=(*new, *self.pictures))

    def without(self, ids: Sequence[str]) -> Shown:
        """Without pictures that were removed."""
        kept = tuple(one for one in self.pictures if one["id"] not in ids)
        return replace(self, pictures=kept, asked=())

    def with_picture(self, picture: dict[str, Any]) -> Shown:
        """With a picture that has changed."""
        return replace(
            self,
            pictures=tuple(picture if one["id"] == picture["id"] else one for one in self.pictures),
        )

    def beside(self, its_id: str, by: int) -> str:
        """The id of the picture before or behind another one; "" at the ends."""
        ids = [one["id"] for one in self.pictures]
        place = ids.index(its_id) + by if its_id in ids else -1
        return ids[place] if 0 <= place < len(ids) else ""

    def grid(self) -> str:
        """The thumbnails."""
        return gallery_html(self.pictures, more=self.more, searched=self.searched)

    def dialog(self, picture: dict[str, Any], note: str = "") -> str:
        """One picture."""
        its_id = picture["id"]
        return picture_html(
            picture,
            first=not self.beside(its_id, -1),
            last=not self.beside(its_id, 1),
            note=note,
        )

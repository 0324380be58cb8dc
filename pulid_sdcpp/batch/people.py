"""The people of a file of jobs: defined once in tables, or said where they are needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import IdentityFileError, ImageFileError
from ..identity.identity_file import is_identity_file
from ..identity.kept_people import find_person
from ..identity.named_person import NamedPerson, named_person
from ..people.person import parse_person
from ..people.person_spec import PersonSpec, check_face_is_of_photos
from ..people.region import Region
from ..terminal_text import shown
from .fields import PERSON_FIELDS, check_known, existing_file, field_values, list_of

__all__ = ["PeopleReader"]

_TABLE_FIELDS = (*PERSON_FIELDS, "portraits", "identity", "mask", "box")


class PeopleReader:
    """Knows the people that were defined.

    Args:
        folder: What relative paths are relative to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._defined: dict[str, dict[str, Any]] = {}

    @property
    def names(self) -> list[str]:
        """Of those who were defined, in order."""
        return list(self._defined)

    @property
    def have_weights(self) -> bool:
        """Whether somebody was defined with a weight."""
        return any("weight" in values for values in self._defined.values())

    def define(self, name: str, table: Mapping[str, Any]) -> None:
        """Take up a table of a person.

        Raises:
            ValueError: It is not one.
        """
        check_known(table, _TABLE_FIELDS)
        if not name.strip():
            raise ValueError("a person needs a name")
        self._defined[name] = {"name": name, **self._read_table(table, name)}

    def read(self, given: Any, shared: Mapping[str, Any], scope: Mapping[str, Any]) -> PersonSpec:
        """One person in a picture.

        Args:
            given: A defined name or a file, with options as `parse_person` reads them; or a table.
            shared, scope: Values of PERSON_FIELDS of all pictures, and of this one.

        Raises:
            ValueError: It names nobody.
        """
        if isinstance(given, dict):
            check_known(given, (*_TABLE_FIELDS, "name"))
            base: dict[str, Any] = {}
            own = self._read_table(given, given.get("name", ""))
            own.setdefault("name", own["files"][0].stem)
        elif isinstance(given, str):
            base, own = self._read_text(given)
        else:
            raise ValueError(f"person is {shown(given)}, but must be a name, a file, or a table")
        chosen = {
            key: values[key]
            for values in (shared, base, scope, own)
            for key in PERSON_FIELDS
            if key in values
        }
        return PersonSpec(**{**base, **own, **chosen})

    def _read_text(self, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What was defined before, and what the text says itself."""
        source, own = parse_person(text)
        region = own.get("region")
        if region is not None and region.mask is not None:
            own["region"] = Region(mask=existing_file(region.mask, self._folder))
        if source in self._defined:
            check_face_is_of_photos(own, self._defined[source]["files"], text)
            return self._defined[source], own
        try:
            named = self._named(source)
        except ValueError as error:
            known = f", and none of {', '.join(self._defined)}" if self._defined else ""
            raise ValueError(f"person is {shown(source)}: {error}{known}") from None
        check_face_is_of_photos(own, named.files, text)
        return {"files": named.files, "name": named.name}, own

    def _named(self, given: object) -> NamedPerson:
        """A photo, an identity file, a folder, or somebody who is kept by name."""
        if isinstance(given, str) and given.strip():
            try:
                named = named_person(given.strip(), self._folder)
                if os.path.exists(named.files[0]):
                    return named
            except ImageFileError as error:  # a folder without photos
                raise ValueError(str(error)) from None
            except (ValueError, IdentityFileError):
                pass  # said better below
        file = existing_file(given, self._folder)
        return NamedPerson(file.stem, (file,))

    def _kept(self, name: object) -> str:
        """The name of somebody who is kept, of whom a table says no more."""
        if isinstance(name, str) and find_person(name) is not None:
            return name
        known = f", and no person is kept by the name {shown(name)}" if name else ""
        raise ValueError(f"give either portraits or identity: photos, or an identity file{known}")

    def _read_table(self, table: Mapping[str, Any], name: object = "") -> dict[str, Any]:
        given = {key: table[key] for key in (*PERSON_FIELDS, "name") if key in table}
        values = field_values(given, self._folder)
        if "portraits" in table and "identity" in table:
            raise ValueError("give either portraits or identity: photos, or an identity file")
        key = "identity" if "identity" in table else "portraits"
        photos = list_of(table[key] if key in table else [self._kept(name)])
        if "identity" in table and len(photos) != 1:
            raise ValueError("identity is a list, but must be one identity file")
        files = tuple(file for photo in photos for file in self._named(photo).files)
        for file in files:
            if is_identity_file(file) != ("identity" in table) and (
                "identity" in table or files[1:]
            ):
                what = "an identity file" if "identity" in table else "a photo"
                raise ValueError(f"expected {what}, found something else: {file}")
        values["files"] = files
        if "mask" in table or "box" in table:
            mask = existing_file(table["mask"], self._folder) if "mask" in table else None
            box = table.get("box")
            values["region"] = Region(tuple(box) if isinstance(box, list) else box, mask)
        return values

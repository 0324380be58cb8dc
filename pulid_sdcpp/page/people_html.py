"""The people whom somebody keeps as HTML: their cards, and whose face is meant in a photo."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from markupsafe import Markup

from ..identity.encoder import models_of_encoder
from . import screen_texts as texts
from .live import html, joined
from .score_html import likeness_text

if TYPE_CHECKING:
    from ..server.library.library_person import LibraryPerson
    from .given_photos import GivenPhoto

__all__ = ["adding_html", "ask_name_html", "name_of", "people_html"]

_CARD = """<li class="ps-person">
{face}
<div><h3>{name}</h3><p class="ps-note">{facts}</p>{warnings}</div>
<div class="ps-row"><button type="button" data-card data-do="use" data-id="{id}"
aria-label="{use}: {name}">{use}</button>
<button type="button" data-do="grid" data-id="{id}" aria-label="{grid}: {name}">{grid}</button>
<button type="button" data-do="ask-name" data-id="{id}"
aria-label="{rename}: {name}">{rename}</button>
<a class="ps-button" href="pulid/v1/identities/{sha}/file" download="{name}.pulidembd"
aria-label="{download}: {name}">{download}</a>
<button type="button" class="ps-danger" data-do="ask-forget" data-id="{id}"
aria-label="{forget}: {name}">{forget}</button></div></li>"""

_THUMBNAIL = """<img src="pulid/v1/identities/{id}/thumbnail" alt=""
width="96" height="96" loading="lazy">"""

_NAME = """<dialog open class="ps-dialog" aria-labelledby="ps-name"><form method="dialog">
<h2 id="ps-name">{rename}</h2>
<label class="ps-field">{label}<input name="name" value="{name}" maxlength="100" required
autocomplete="off" autofocus></label>
<div class="ps-row"><button type="button" data-close>{no}</button>
<button type="submit" class="ps-primary" data-do="rename"
data-id="{id}">{rename}</button></div></form></dialog>"""

_ADDING = """<form class="ps-adding">{photos}
<label class="ps-field">{label}<input name="name" maxlength="100" autocomplete="off"></label>
<p class="ps-note">{name_help}</p>{models}{fusion}
<div class="ps-row"><button type="submit" class="ps-primary" data-do="keep"
{disabled}>{keep}</button>
<button type="button" data-do="reset">{cancel}</button></div></form>"""

_FUSION = """<fieldset class="ps-choice"><legend>{legend}</legend>
<label><input type="radio" name="fusion" value="auto" checked> {auto}</label>
<label><input type="radio" name="fusion" value="mean"> {mean}</label></fieldset>"""

_MODELS = """<label class="ps-field">{label}<select name="model">{options}</select></label>
<p class="ps-note">{help}</p>"""

_MODEL = '<option value="{name}"{selected}>{name}: {words}</option>'

_PHOTO = '<fieldset class="ps-faces"><legend>{legend}</legend>{faces}</fieldset>'

_FACE = """<label><input type="radio" name="face-{photo}" value="{number}" {checked}>
<img src="{src}" alt="" width="96" height="96"><span>{text}</span></label>"""


_NO_MODELS: Mapping[str, str] = MappingProxyType({})


def name_of(person: LibraryPerson) -> str:
    """What a person is called."""
    unnamed = person.name in ("", person.id)
    return texts.UNNAMED.format(id=person.id[:10]) if unnamed else person.name


def people_html(people: Sequence[LibraryPerson]) -> Markup:
    """A card for each of them."""
    if not people:
        return html('<p class="ps-empty">{text}</p>', text=texts.NO_PEOPLE)
    cards = joined([_card(one) for one in people])
    return html(
        '<ul class="ps-list" aria-label="{label}">{cards}</ul>', label=texts.PEOPLE, cards=cards
    )


def _card(person: LibraryPerson) -> Markup:
    count = len(person.photos)
    facts = [texts.ONE_PHOTO if count == 1 else texts.N_PHOTOS.format(count=count)] if count else []
    facts.append(texts.KEPT_FOR.format(models=", ".join(map(models_of_encoder, person.encoders))))
    if person.agreement is not None:
        facts.append(texts.AGREEMENT.format(value=likeness_text(person.agreement)))
    name = name_of(person)
    return html(
        _CARD,
        id=person.name,
        sha=person.id,
        name=name,
        face=_face(person),
        facts=" · ".join(facts),
        warnings=joined(
            [
                html('<p class="ps-warning">⚠ {text}</p>', text=one.message())
                for one in person.photo_warnings
            ]
        ),
        use=texts.USE_PERSON,
        grid=texts.TRY_IN_GRID,
        rename=texts.RENAME,
        download=texts.DOWNLOAD,
        forget=texts.FORGET,
    )


def _face(person: LibraryPerson) -> Markup:
    if not person.has_preview:
        return html(
            '<span class="ps-noface" aria-hidden="true">{letter}</span>', letter=person.name[:1]
        )
    return html(
        _THUMBNAIL,
        id=person.id,
    )


def ask_name_html(name: str) -> Markup:
    """What is asked before somebody gets another name."""
    return html(_NAME, name=name, id=name, rename=texts.RENAME, label=texts.NAME, no=texts.CANCEL)


def adding_html(photos: Sequence[GivenPhoto], models: Mapping[str, str] = _NO_MODELS) -> Markup:
    """Whose face is meant in each photo, the name, and for which model; empty without a photo.

    Args:
        photos: That were given.
        models: Those to choose from, the server's own first, with the kind of each; fewer than two
            are not shown.
    """
    if not photos:
        return Markup("")
    fusion = html(_FUSION, legend=texts.FUSION, auto=texts.FUSION_AUTO, mean=texts.FUSION_MEAN)
    return html(
        _ADDING,
        photos=joined([_photo(number, photo) for number, photo in enumerate(photos, 1)]),
        label=texts.NAME,
        name_help=texts.NAME_HELP,
        models=_choice_of_model(models) if len(models) > 1 else "",
        fusion=fusion if len(photos) > 1 else "",
        disabled="" if all(photo.places for photo in photos) else "disabled",
        keep=texts.KEEP,
        cancel=texts.CANCEL,
    )


def _choice_of_model(models: Mapping[str, str]) -> Markup:
    options = [
        html(_MODEL, name=name, words=words, selected="" if number else Markup(" selected"))
        for number, (name, words) in enumerate(models.items())
    ]
    return html(_MODELS, label=texts.FOR_MODEL, help=texts.FOR_MODEL_HELP, options=joined(options))


def _photo(number: int, photo: GivenPhoto) -> Markup:
    if not photo.places:
        return html(
            '<p role="alert" class="ps-warning">⚠ {text}</p>',
            text=texts.NO_FACE.format(number=number),
        )
    faces = [
        html(
            _FACE,
            photo=number,
            number=place,
            checked="checked" if place == photo.largest else "",
            src="data:image/jpeg;base64," + base64.b64encode(jpeg).decode(),
            text=_face_text(place, photo, words),
        )
        for place, (jpeg, words) in enumerate(zip(photo.thumbnails, photo.words, strict=True))
    ]
    return html(_PHOTO, legend=texts.CHOOSE_FACE.format(number=number), faces=joined(faces))


def _face_text(place: int, photo: GivenPhoto, words: Sequence[str]) -> str:
    """What a face is called; words tell several apart."""
    count = len(photo.places)
    text = texts.FACE_OF.format(number=place + 1, of=count)
    return ", ".join([text, *words]) if count > 1 else text

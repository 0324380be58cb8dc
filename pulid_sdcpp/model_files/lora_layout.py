"""A LoRA file against a loaded model: every tensor has a place there and the right shape.

The engine leaves out what it does not know, adds what is too small to several places, and ends in
assertions on the rest; so all is decided here, from the header, before it sees the file.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ModelFileError
from ..tensors.lora_names import HADAMARD, KINDS_OF_ADAPTERS, KRONECKER, split_name
from ..tensors.tensor_header import TensorHeader, TensorInfo
from ..terminal_text import quoted
from .lora_family import FAMILY_WORDS, check_lora_family
from .lora_places import LoraPlaces, Part, Place

__all__ = ["LoraModule", "lora_layout"]

_METADATA = "lora_adapter_metadata"
_FORMS = (("down", "up"), HADAMARD, KRONECKER, ("diff",))


@dataclass(frozen=True)
class LoraModule:
    """The change of one layer, or of one part of it.

    Attributes:
        place: Where it goes.
        tensors: By role, as `lora_names.split_name` has them.
        metadata_scale: What diffusers multiplies the change by, from the file's metadata.
    """

    place: Place
    tensors: Mapping[str, TensorInfo]
    metadata_scale: float = 1.0

    @property
    def form(self) -> str:
        """How the weight changes: "low rank", "hadamard", "kronecker", "dense", "" not at all."""
        names = ("low rank", "hadamard", "kronecker", "dense")
        for name, roles in zip(names, _FORMS, strict=True):
            if any(role in self.tensors for role in roles):
                return name
        return ""


@dataclass
class _Problems:
    """What is wrong, in the order of the file's tensors."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, tensor: str, reason: str) -> None:
        self.found.append((tensor, reason))


def lora_layout(header: TensorHeader, places: LoraPlaces, source: str) -> list[LoraModule]:
    """Find the place of every tensor of a LoRA.

    Args:
        header: The file's.
        places: Of the loaded model.
        source: The file's name, for error messages.

    Returns:
        The modules in the order of the file.

    Raises:
        ModelFileError: A tensor that has no place, or another shape than fits there, or without
            the one that it goes with: the first one is named, and how many there are.
    """
    problems = _Problems()
    spelt: dict[str, dict[str, TensorInfo]] = {}
    for name, info in header.tensors.items():
        for pattern, words in KINDS_OF_ADAPTERS:
            if pattern.search(name):
                raise ModelFileError(
                    f"{source}: {words}: {quoted(name)} cannot be applied; merge it into the model"
                    " with the program that made it, or use a plain LoRA"
                )
        split = split_name(name)
        if split is None:
            problems.add(name, f"is nothing that a LoRA of {FAMILY_WORDS[places.family]} has")
        elif reason := places.problem(split[0]):
            problems.add(name, reason)
        elif split[1] in (tensors := spelt.setdefault(split[0], {})):
            problems.add(name, f"is there twice, also as {quoted(tensors[split[1]].name)}")
        else:
            tensors[split[1]] = info
    if problems.found:
        _refuse_another_models(header, places, source, nothing_fits=not spelt)
    modules: list[LoraModule] = []
    scales = _MetadataScales(header.metadata, places.components, source)
    for spelling, tensors in spelt.items():
        place = places.find(spelling)
        assert place is not None
        module = LoraModule(place, tensors, scales.of(spelling, place, tensors.get("down")))
        for tensor, reason in _misfits(module):
            problems.add(tensor, reason)
        modules.append(module)
    if problems.found:
        order = {name: number for number, name in enumerate(header.tensors)}
        tensor, reason = min(problems.found, key=lambda problem: order[problem[0]])
        others = len({name for name, _ in problems.found}) - 1
        more = "1 more tensor does" if others == 1 else f"{others} more tensors do"
        rest = f" ({more} not fit either)" if others else ""
        raise ModelFileError(f"{source}: the LoRA's tensor {quoted(tensor)} {reason}{rest}")
    _refuse_doubles(modules, source)
    return modules


def _refuse_another_models(
    header: TensorHeader, places: LoraPlaces, source: str, *, nothing_fits: bool
) -> None:
    """What a LoRA was made for says more than what is wrong with its first tensor."""
    if places.family != "flux":  # whose LoRAs may have text encoders in common with others
        check_lora_family(header, source, places.family)
        return
    name = next(iter(header.tensors))
    looks_like_flux = any(
        piece in name for piece in ("double_blocks", "single_blocks", "transformer_blocks")
    )
    is_text = "text_enc" in name or "te1" in name
    if nothing_fits and not looks_like_flux and not is_text:
        raise ModelFileError(
            f"{source}: a LoRA for another model than Flux (it has {quoted(name)}, which "
            f"{places.problem((split_name(name) or (name, ''))[0])})"
        )


def _refuse_doubles(modules: Sequence[LoraModule], source: str) -> None:
    """The engine would take the one it meets last; and it cannot add a part to a whole."""
    seen: dict[tuple[str, str], dict[int | None, LoraModule]] = {}
    for module in modules:
        place = module.place
        parts = seen.setdefault((place.part, place.module), {})
        other = parts.get(place.index) or parts.get(None)
        if place.index is None and parts:
            other = next(iter(parts.values()))
        if other is not None:
            first, second = (next(iter(each.tensors.values())).name for each in (other, module))
            raise ModelFileError(
                f"{source}: the LoRA changes {place.module} twice, by {quoted(first)} and by "
                f"{quoted(second)}"
            )
        parts[place.index] = module


def _misfits(module: LoraModule) -> Iterator[tuple[str, str]]:
    """Tensors of a module that are not as they have to be, and why."""
    tensors, place = module.tensors, module.place
    any_name = next(iter(tensors.values())).name
    used = [roles for roles in _FORMS if any(role in tensors for role in roles)]
    if len(used) > 1:
        yield any_name, "is beside another kind of change of the same layer"
        return
    if "alpha" in tensors and tensors["alpha"].n_elements != 1:
        yield tensors["alpha"].name, f"is of shape {tensors['alpha'].shape}, but is one number"
    if not used and "up_bias" not in tensors and "diff_b" not in tensors:
        yield any_name, "is without the matrices that it belongs to"
        return
    for role in ("up_bias", "diff_b"):
        if role in tensors:
            yield from _shaped(tensors[role], (place.rows,))
            if not place.has_bias:
                yield tensors[role].name, "changes a bias, which this layer does not have"
    if "up_bias" in tensors and "up" not in tensors:
        yield tensors["up_bias"].name, "is without the matrices that it belongs to"
    if "mid" in tensors:
        yield from _middle_misfits(tensors, place)
    elif module.form == "low rank":
        yield from _pair(tensors, "down", "up", place.rows, place.inputs, place.kernel)
    elif module.form == "hadamard":
        for number in (1, 2):
            names = f"hada_w{number}_b", f"hada_w{number}_a"
            yield from _pair(tensors, *names, place.rows, place.columns)
    elif module.form == "dense":
        yield from _shaped(tensors["diff"], (place.rows, place.inputs, *_sides(place.kernel)))
    elif module.form == "kronecker":
        yield from _kronecker_misfits(tensors, place)


def _pair(
    tensors: Mapping[str, TensorInfo], down: str, up: str, rows: int, columns: int, kernel: int = 0
) -> Iterator[tuple[str, str]]:
    """Two factors, up @ down, of a matrix of `rows` x `columns`, or of so many kernels."""
    for one, other in ((down, up), (up, down)):
        if one not in tensors:
            name = tensors[other].name if other in tensors else next(iter(tensors.values())).name
            yield name, "is without the other matrix of its product"
            return
    rank = next(iter(matrix_shape(tensors[down])), 0)
    yield from _shaped(tensors[down], (rank, columns, *_sides(kernel)))
    yield from _shaped(tensors[up], (rows, rank))


def _middle_misfits(tensors: Mapping[str, TensorInfo], place: Place) -> Iterator[tuple[str, str]]:
    """A convolution by three factors: channels to a rank, kernels within it, a rank to channels."""
    middle = tensors["mid"]
    if place.kernel < 2:
        yield middle.name, "is of a Tucker product, which only convolutions have"
        return
    ranks = matrix_shape(middle)[:2]
    if "down" not in tensors or "up" not in tensors or len(ranks) != 2:
        yield middle.name, "is without the matrices that it belongs to"
        return
    yield from _shaped(middle, (*ranks, *_sides(place.kernel)))
    yield from _shaped(tensors["down"], (ranks[1], place.inputs))
    yield from _shaped(tensors["up"], (place.rows, ranks[0]))


def _kronecker_misfits(
    tensors: Mapping[str, TensorInfo], place: Place
) -> Iterator[tuple[str, str]]:
    sizes = []
    for name in ("lokr_w1", "lokr_w2"):
        factors = [tensors.get(f"{name}_{factor}") for factor in "ab"]
        whole = tensors.get(name)
        if whole is not None and factors == [None, None]:
            shapes = [_without_kernel(whole, place.kernel if name == "lokr_w2" else 0)]
        elif whole is None and None not in factors:
            shapes = [matrix_shape(factor) for factor in factors if factor is not None]
        else:
            yield next(iter(tensors.values())).name, f"is not with one {name}, whole or as a and b"
            return
        if any(len(shape) != 2 for shape in shapes) or (
            len(shapes) == 2 and shapes[0][1] != shapes[1][0]
        ):
            found = whole or factors[0]
            assert found is not None
            yield found.name, f"and what it is multiplied with are of shapes {shapes}"
            return
        sizes.append((shapes[0][0], shapes[-1][1]))
    (up, right), (down, left) = sizes
    if (up * down, right * left) != (place.rows, place.columns):
        yield (
            next(iter(tensors.values())).name,
            f"makes a matrix of {(up * down, right * left)}, but {(place.rows, place.columns)} "
            "fits",
        )
    if place.swaps_halves and up % 2:
        yield next(iter(tensors.values())).name, "cannot be applied with its halves exchanged"


def _shaped(info: TensorInfo, expected: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    if matrix_shape(info) != expected:
        yield info.name, f"is of shape {info.shape}, but {expected} fits"


def _sides(kernel: int) -> tuple[int, ...]:
    """Of kernels in a shape; those of one number are not there, see `matrix_shape`."""
    return (kernel, kernel) if kernel > 1 else ()


def _without_kernel(info: TensorInfo, kernel: int) -> tuple[int, ...]:
    """The shape with kernels as parts of rows."""
    shape = matrix_shape(info)
    if len(shape) == 4 and shape[2:] == _sides(kernel):
        return shape[0], shape[1] * kernel**2
    return shape


def matrix_shape(info: TensorInfo) -> tuple[int, ...]:
    """Without the ones at the end that matrices from convolutions of 1 x 1 have."""
    shape = info.shape
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


class _MetadataScales:
    """What diffusers multiplies changes by, from a PEFT configuration in the metadata.

    Source: huggingface/diffusers, loaders/lora_base.py, LORA_ADAPTER_METADATA_KEY;
    huggingface/peft, tuners/lora/layer.py, update_layer.
    """

    def __init__(
        self, metadata: Mapping[str, object], components: Mapping[Part, str], source: str
    ) -> None:
        self._source = source
        self._components = components
        text = metadata.get(_METADATA)
        if text is None:
            self._values: dict[str, object] = {}
            return
        try:
            values = json.loads(str(text))
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise ModelFileError(f"{source}: damaged LoRA: its {_METADATA} cannot be read")
        self._values = values

    def of(self, spelling: str, place: Place, down: TensorInfo | None) -> float:
        component = self._components[place.part] + "."
        if down is None or not any(key.startswith(component) for key in self._values):
            return 1.0
        name = spelling.removeprefix(component)
        rank = matrix_shape(down)[0] if down.shape else 1
        if self._values.get(f"{component}use_dora"):
            raise ModelFileError(f"{self._source}: a DoRA by its metadata, which cannot be applied")
        alpha = self._values.get(f"{component}lora_alpha", rank)
        patterns = self._values.get(f"{component}alpha_pattern") or {}
        if isinstance(patterns, dict):
            for pattern, value in patterns.items():
                plain = pattern.removeprefix("^")
                if name == plain or (plain == pattern and name.endswith("." + plain)):
                    alpha = value
                    break
        scale = math.nan
        if isinstance(alpha, int | float) and not isinstance(alpha, bool) and rank:
            is_rs = bool(self._values.get(f"{component}use_rslora"))
            with contextlib.suppress(OverflowError):
                scale = alpha / (math.sqrt(rank) if is_rs else rank)
        if not math.isfinite(scale):
            raise ModelFileError(f"{self._source}: damaged LoRA: {quoted(alpha)} in its metadata")
        return scale

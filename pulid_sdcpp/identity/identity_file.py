"""The identity of one person: the file that joins the extractor and the engine.

An identity is what PuLID's encoder made of a face: a few tokens that the identity
attention reads. In a file (`.pulidembd`, about 131 KB) it is a gguf with

    general.architecture = "pulid"
    pulid.version        = 1 (uint32)
    pulid_id             row-major (tokens, width), F16, F32 or BF16
    pulid_id_uncond      the same of no face; optional, for true CFG
    pulid.encoder        "flux", "sdxl-v1" or "sdxl-v1.1"; absent: flux
    pulid.*              where it came from; optional

stable-diffusion.cpp's own PuLID reads `pulid_id` and ignores the rest.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import IdentityFileError, ModelFileError
from ..system.atomic_file import atomic_file
from ..system.file_signature import SIGNATURE_BYTES, signature
from ..system.given_content import FileContent, content_of
from ..system.regular_file import open_regular
from ..tensors.file_bytes import FileBytes
from ..tensors.gguf_header import parse_gguf
from ..tensors.tensor_header import TensorHeader, TensorInfo
from ..terminal_text import quoted
from . import hashes
from .encoder import ENCODER_KEY, FLUX, Encoder, check_encoder
from .identity_gguf import (
    ARCHITECTURE,
    DTYPES,
    FORMAT_VERSION,
    PREFIX,
    MetadataValue,
    identity_gguf,
)
from .photo_warning import PHOTO_WARNINGS, PhotoWarning, photo_warnings_from

__all__ = [
    "ARCHITECTURE",
    "FORMAT_VERSION",
    "ID_DIM",
    "ID_TOKENS",
    "TENSOR",
    "UNCOND_TENSOR",
    "Identity",
    "MetadataValue",
    "identity_bytes",
    "is_identity_content",
    "is_identity_file",
]

ID_TOKENS = 32
"""Tokens that PuLID-Flux makes of one photo."""
ID_DIM = 2048
"""Width of such a token. Small models have fewer and narrower ones."""
TENSOR = "pulid_id"
UNCOND_TENSOR = "pulid_id_uncond"

MAX_TOKENS = 1024
MAX_DIM = 65536
MAX_HEADER_BYTES = 1 << 20
MAX_METADATA_BYTES = MAX_HEADER_BYTES // 4
MAX_METADATA_KEYS = 256
MAX_KEY_LENGTH = 128
MAX_FILE_BYTES = 1 << 30
"""Two times 1024 tokens of width 65536 in float32 take half of it."""
MAX_ARRAY_LENGTH = 64
"""What the header reader keeps of an array."""


@dataclass(frozen=True, eq=False, repr=False)
class Identity:
    """One person's face as PuLID sees it.

    Args:
        tokens: (tokens, width) finite numbers, (32, 2048) for the published model; 1 to 1024
            tokens of width 1 to 65536. Kept as a read-only C-contiguous float32 copy.
        uncond_tokens: The unconditional identity, of the same shape, for the negative pass of true
            CFG.
        metadata: Where it comes from. By convention `extractor_version`, `weights_sha256`,
            `source_sha256`, `created`, `face_box` (left, top, right, bottom in pixels),
            `detection_score` and `photo_warnings`; `encoder`, where it is not that for Flux. Text,
            numbers, booleans, or short lists of one of these.
        dtype: Element type in the file; "f32" for one made in memory.

    Raises:
        ValueError: A shape, number or metadata entry is not possible.
    """

    tokens: NDArray[np.float32]
    uncond_tokens: NDArray[np.float32] | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    dtype: str = "f32"

    def __post_init__(self) -> None:
        tokens = _checked_tokens(self.tokens, "identity tokens")
        if not tokens.any():
            raise ValueError("identity tokens: expected the numbers of a face, found only zeros")
        object.__setattr__(self, "tokens", tokens)
        if self.uncond_tokens is not None:
            uncond = _checked_tokens(self.uncond_tokens, "unconditional identity tokens")
            if uncond.shape != tokens.shape:
                raise ValueError(
                    f"unconditional identity tokens: expected the shape {tokens.shape} of the"
                    f" identity, found {uncond.shape}"
                )
            object.__setattr__(self, "uncond_tokens", uncond)
        metadata = _checked_metadata(self.metadata)
        check_encoder(metadata.get(ENCODER_KEY, FLUX))
        object.__setattr__(self, "metadata", MappingProxyType(metadata))
        if self.dtype not in DTYPES:
            raise ValueError(f"identity dtype: expected one of {DTYPES}, found {self.dtype!r}")

    @classmethod
    def from_array(cls, array: Any, uncond: Any = None, **metadata: Any) -> Identity:
        """Make an identity from anything that NumPy can read as a (tokens, width) array of numbers.

        Raises:
            ValueError: A shape, number or metadata entry is not possible.
        """
        return cls(array, uncond, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Identity:
        """Read and check an identity file.

        Raises:
            IdentityFileError: The file is missing, damaged, or of another kind; the message says
                what was expected and what was found.
        """
        source = os.fspath(path)
        try:
            with FileBytes(path, "an identity file (.pulidembd)") as buffer:
                if buffer[:4] != b"GGUF":
                    raise IdentityFileError(_not_an_identity(path))
                header = parse_gguf(buffer, source, MAX_HEADER_BYTES)
                if header.metadata.get("general.architecture") != ARCHITECTURE:
                    raise IdentityFileError(_not_an_identity(path, header))
                return _from_header(cls, header, buffer, source)
        except ModelFileError as error:
            raise IdentityFileError(str(error)) from None

    @classmethod
    def from_bytes(cls, content: FileContent) -> Identity:
        """Read and check what is in an identity file: its bytes, or an open file.

        Raises:
            IdentityFileError: As `load`.
            ValueError: An open file that gives no bytes.
        """
        source = "the given identity"

        def refused(reason: str) -> IdentityFileError:
            return IdentityFileError(f"{source}: {reason}")

        buffer = content_of(content, MAX_FILE_BYTES, refused)
        if not is_identity_content(buffer):
            found = signature(buffer[:SIGNATURE_BYTES])
            raise refused(f"expected what is in an identity file (gguf), found {found}")
        try:
            header = parse_gguf(buffer, source, MAX_HEADER_BYTES)
            if header.metadata.get("general.architecture") != ARCHITECTURE:
                raise refused("expected what is in an identity file, found another gguf file")
            return _from_header(cls, header, buffer, source)
        except ModelFileError as error:
            raise IdentityFileError(str(error)) from None

    def save(
        self,
        path: str | os.PathLike[str],
        dtype: Literal["f16", "f32", "bf16"] = "f16",
        *,
        overwrite: bool = False,
    ) -> None:
        """Write the identity file, whole or not at all; only the user can read it.

        The same tokens, metadata and dtype give the same bytes.

        Args:
            path: The file to write, by convention ending in `.pulidembd`.
            dtype: Element type of the tokens; stable-diffusion.cpp's own PuLID reads and writes
                "f16".
            overwrite: Whether an existing file may be replaced.

        Raises:
            ValueError: The dtype is unknown or too small for the tokens, or these are mostly zeros.
            OutputFileError: The file cannot be written; OutputExistsError: it exists, and
                `overwrite` is off.
        """
        content = self.to_bytes(dtype)
        with atomic_file(path, overwrite=overwrite, private=True) as file:
            file.write(content)

    def to_bytes(self, dtype: Literal["f16", "f32", "bf16"] = "f16") -> bytes:
        """What `save` writes, for a database or a message; `from_bytes` reads it.

        Raises:
            ValueError: As `save`.
        """
        return identity_bytes(self, dtype)

    def _check_no_hole(self) -> None:
        _check_no_hole(self.tokens, "identity tokens")
        if self.uncond_tokens is not None:
            _check_no_hole(self.uncond_tokens, "unconditional identity tokens")

    def __repr__(self) -> str:
        # Without the numbers, which are a face: a repr comes into logs.
        return f"Identity({self.short_hash}, {self.n_tokens} tokens of {self.dim})"

    def __reduce__(self) -> Any:
        # A mapping that cannot be changed cannot be pickled or copied either.
        parts = (self.tokens, self.uncond_tokens, dict(self.metadata), self.dtype)
        return type(self), parts

    @property
    def n_tokens(self) -> int:
        return int(self.tokens.shape[0])

    @property
    def dim(self) -> int:
        return int(self.tokens.shape[1])

    @property
    def encoder(self) -> Encoder:
        """Which of PuLID's encoders made it; only weights for this one can use it."""
        return check_encoder(self.metadata.get(ENCODER_KEY, FLUX))

    @property
    def photo_warnings(self) -> tuple[PhotoWarning, ...]:
        """What may be wrong with the photos it was made from, as far as it says."""
        return photo_warnings_from(self.metadata.get(PHOTO_WARNINGS))

    @property
    def sha256(self) -> str:
        """Hash of the tokens, the same in whatever type the identity is stored.

        SHA-256 of the shape (two little-endian uint32) and the tokens rounded to little-endian
        float16: an identity kept in F32 and its F16 copy agree. (A BF16 copy is coarser than
        float16 and has a hash of its own.) The unconditional identity and the metadata are not part
        of it.
        """
        return hashes.rounded(self.tokens)

    @property
    def short_hash(self) -> str:
        """The first ten digits of `sha256`, as many as AUTOMATIC1111 uses for model hashes."""
        return self.sha256[:10]


def identity_bytes(
    identity: Identity,
    dtype: str,
    texts: Mapping[str, str] | None = None,
    arrays: Mapping[str, NDArray[np.int8]] | None = None,
) -> bytes:
    """As `Identity.to_bytes`, with more in it than readers of identities look at.

    Args:
        texts: Further entries, under their whole keys.
        arrays: Further tensors, (n,) bytes.
    """
    identity._check_no_hole()
    tensors = {TENSOR: identity.tokens}
    if identity.uncond_tokens is not None:
        tensors[UNCOND_TENSOR] = identity.uncond_tokens
    return identity_gguf(tensors, dtype, identity.metadata, texts or {}, arrays or {})


def is_identity_content(content: bytes) -> bool:
    """As `is_identity_file`, of what is in the file."""
    return content[:4] == b"GGUF"


def is_identity_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a gguf file, as identity files are, and so no photo; by its content."""
    try:
        with open_regular(path) as file:
            return is_identity_content(file.read(4))
    except (OSError, ValueError):
        return False


def _from_header(cls: type[Identity], header: TensorHeader, buffer: Any, source: str) -> Identity:
    version = header.metadata.get(PREFIX + "version")
    if type(version) is not int or version != FORMAT_VERSION:
        found = "none" if version is None else quoted(version)
        raise IdentityFileError(
            f"{source}: expected pulid.version {FORMAT_VERSION}, found {found}; a newer program"
            " may have written it: update this one or extract the identity again"
        )
    try:
        check_encoder(header.metadata.get(PREFIX + ENCODER_KEY, FLUX))
    except ValueError as error:
        raise IdentityFileError(
            f"{source}: pulid.{error}; a newer program may have written it: update this one or"
            " extract the identity again"
        ) from None
    if TENSOR not in header.tensors:
        names = ", ".join(quoted(name) for name in list(header.tensors)[:4]) or "none"
        raise IdentityFileError(
            f"{source}: expected a tensor {TENSOR!r}, found {names}; extract the identity again"
        )
    info = header.tensors[TENSOR]
    tokens = _tokens(info, buffer, source)
    uncond_info = header.tensors.get(UNCOND_TENSOR)
    uncond = None if uncond_info is None else _tokens(uncond_info, buffer, source)
    try:
        identity = cls(tokens, uncond, _own_metadata(header), info.dtype)
        identity._check_no_hole()
    except ValueError as error:
        raise IdentityFileError(f"{source}: {error}; extract the identity again") from None
    return identity


def _own_metadata(header: TensorHeader) -> dict[str, Any]:
    """The `pulid.*` entries that this program could have written; others are not ours to judge."""
    metadata: dict[str, Any] = {}
    for key, value in header.metadata.items():
        name = key.removeprefix(PREFIX)
        if name != key and name != "version":
            with contextlib.suppress(ValueError):
                metadata.update(_checked_metadata({name: value}))
    return metadata


def _tokens(info: TensorInfo, buffer: Any, source: str) -> NDArray[np.float32]:
    """One tensor of the file as float32."""
    if info.dtype not in DTYPES:
        raise IdentityFileError(
            f"{source}: expected {info.name} in F16, F32 or BF16, found {info.dtype.upper()}"
        )
    if len(info.shape) != 2:
        raise IdentityFileError(
            f"{source}: expected {info.name} of shape (tokens, width) such as"
            f" ({ID_TOKENS}, {ID_DIM}), found {info.shape}"
        )
    try:
        _check_shape(info.shape, info.name)
    except ValueError as error:
        raise IdentityFileError(f"{source}: {error}") from None
    raw = buffer[info.offset : info.offset + info.nbytes]
    if info.dtype == "bf16":
        widened = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
        return widened.view(np.float32).reshape(info.shape)
    layout = "<f2" if info.dtype == "f16" else "<f4"
    return np.frombuffer(raw, layout).reshape(info.shape).astype(np.float32)


def _check_no_hole(tokens: NDArray[np.float32], what: str) -> None:
    """Refuse tokens of a file that was not written to its end: PuLID's network makes no zeros."""
    empty = np.flatnonzero(np.count_nonzero(tokens, axis=1) * 2 < tokens.shape[1])
    if len(empty):
        raise ValueError(
            f"{what}: expected the numbers of a face, found mostly zeros in {len(empty)} of "
            f"{len(tokens)} tokens, the first is number {empty[0]}"
        )


def _not_an_identity(path: str | os.PathLike[str], header: TensorHeader | None = None) -> str:
    """The message for a file of another kind, which names that kind."""
    from ..tensors.file_kinds import what_is

    hint = "; make an identity file with `pulid-sdcpp extract`"
    if header is not None and "general.architecture" not in header.metadata:
        expected = f"an identity file (general.architecture {ARCHITECTURE!r})"
    elif header is not None:
        architecture = quoted(header.metadata["general.architecture"])
        expected = f"general.architecture {ARCHITECTURE!r} and not {architecture}"
    else:
        expected = "an identity file (gguf)"
    return f"{os.fspath(path)}: expected {expected}, found {what_is(path)}{hint}"


def _check_shape(shape: tuple[int, ...], what: str) -> None:
    n_tokens, dim = shape
    if not (1 <= n_tokens <= MAX_TOKENS and 1 <= dim <= MAX_DIM):
        raise ValueError(
            f"{what}: expected 1 to {MAX_TOKENS} tokens of width 1 to {MAX_DIM},"
            f" found {n_tokens} of width {dim}"
        )


def _checked_tokens(array: Any, what: str) -> NDArray[np.float32]:
    """A read-only float32 copy, after the checks that hold for every identity."""
    try:
        given = np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{what}: expected an array of numbers: {error}") from None
    if given.dtype.kind not in "fiu":
        raise ValueError(f"{what}: expected an array of real numbers, found {given.dtype}")
    if given.ndim != 2:
        raise ValueError(
            f"{what}: expected the shape (tokens, width) such as ({ID_TOKENS}, {ID_DIM}),"
            f" found {given.shape}"
        )
    _check_shape(given.shape, what)
    with np.errstate(over="ignore", under="ignore"):
        tokens = np.array(given, np.float32, order="C")
    if not np.isfinite(tokens).all():
        raise ValueError(
            f"{what}: expected finite numbers, found {int((~np.isfinite(tokens)).sum())} that are"
            " NaN or infinite"
        )
    tokens.setflags(write=False)
    return tokens


def _checked_metadata(metadata: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """Metadata with plain Python values, keys in alphabetical order."""
    if len(metadata) > MAX_METADATA_KEYS:
        raise ValueError(f"identity metadata: {len(metadata)} entries (limit {MAX_METADATA_KEYS})")
    checked: dict[str, MetadataValue] = {}
    size = 0
    for key in sorted(metadata):
        if not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()) or key == "version":
            raise ValueError(f"identity metadata: {quoted(key)} cannot be a key")
        value = metadata[key]
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            checked[key] = _checked_scalar(key, value)
        else:
            items = tuple(_checked_scalar(key, item) for item in value)
            if len(items) > MAX_ARRAY_LENGTH or len({type(item) for item in items}) != 1:
                raise ValueError(
                    f"identity metadata: {quoted(key)} must be one value, or 1 to"
                    f" {MAX_ARRAY_LENGTH} of one type"
                )
            checked[key] = items
        size += len(key.encode()) + len(repr(checked[key]).encode())
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"identity metadata: {size} bytes (limit {MAX_METADATA_BYTES})")
    return checked


def _checked_scalar(key: str, value: Any) -> str | bool | int | float:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"identity metadata: {quoted(key)} is not valid text") from None
        return value
    if isinstance(value, bool) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 63):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"identity metadata: {quoted(key)} is {value}")
        return value
    raise ValueError(
        f"identity metadata: {quoted(key)} must be text, a number or a boolean,"
        f" found {type(value).__name__}"
    )

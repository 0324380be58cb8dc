"""Where the head is in a picture: face, hair, ears and what is worn on them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .align import ffhq_crop, ffhq_matrix
from .faces import Face
from .parsing import BiSeNet, face_labels
from .pixels import dilated, warped_mask

__all__ = ["HEAD_LABELS", "box_head", "parsed_head"]

HEAD_LABELS = (*range(1, 14), 17, 18)
"""Of CelebAMask-HQ's 19 classes all but background, neck, necklace and cloth."""
MARGIN = 0.06
"""How far beyond the parsed head its edge is left out, too, in long sides of the face box: the
autoencoder mixes pixels over a few of its own."""
BOX_GROWTH = (0.3, 0.5, 0.3, 0.2)
"""Without a parser: how far the face box is moved out at the left, top, right and bottom, in its
widths and heights. It ends at forehead and chin, hair goes further."""
MIN_FACE_SHARE = 0.5
"""A parser that takes less of the face box for a head has not seen the face."""

Mask = NDArray[np.bool_]


def parsed_head(pixels: NDArray[np.uint8], face: Face, parser: BiSeNet) -> Mask:
    """The head of a face as the parser sees it, or `box_head` where it sees none.

    Hair beyond the aligned crop, four eye distances wide, is not seen.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        face: One of the picture's faces.
        parser: The face parser.

    Returns:
        (H, W).

    Raises:
        FaceNotFoundError: The landmarks lie on one point.
    """
    height, width = pixels.shape[:2]
    crop = torch.from_numpy(ffhq_crop(pixels, face.landmarks)).permute(2, 0, 1)[None]
    device = next(parser.parameters()).device
    labels = face_labels(crop.to(device).float() / 255, parser)[0].cpu().numpy()
    in_crop = np.isin(labels, HEAD_LABELS)
    mask = warped_mask(in_crop, ffhq_matrix(face.landmarks), (width, height))
    inside = _rectangle(mask.shape, face.box)
    if not inside.any() or mask[inside].mean() < MIN_FACE_SHARE:
        return box_head((height, width), face)
    long_side = max(face.box[2] - face.box[0], face.box[3] - face.box[1])
    return dilated(mask, max(1, round(MARGIN * long_side)))


def box_head(size: tuple[int, int], face: Face) -> Mask:
    """The face box, enlarged to a head with hair.

    Args:
        size: (H, W) of the picture.
        face: One of its faces.
    """
    left, top, right, bottom = face.box
    width, height = right - left, bottom - top
    sides = zip(face.box, BOX_GROWTH, (-width, -height, width, height), strict=True)
    left, top, right, bottom = (edge + growth * side for edge, growth, side in sides)
    return _rectangle(size, (left, top, right, bottom))


def _rectangle(size: tuple[int, int], box: tuple[float, float, float, float]) -> Mask:
    """The pixels whose middle is in a box that may reach beyond the picture."""
    left, top, right, bottom = box
    rows, columns = (np.arange(side) + 0.5 for side in size)
    in_rows = (rows >= top) & (rows < bottom)
    return in_rows[:, None] & ((columns >= left) & (columns < right))

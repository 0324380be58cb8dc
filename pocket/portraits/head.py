"""Where things are on a head: sizes in shares of the picture's side, and the pose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .palette import HAIR, Color, luma, mix, skin_color
from .people import Person
from .scenes import Scene

__all__ = ["Head", "ellipse"]

CENTER = (0.5, 0.5)
"""Of the face in the picture, before it is shifted."""
NECK_Y = 0.3
"""The head tilts about this point below its centre."""
EYE_Y = -0.02
MOUTH_Y = 0.18

_TURN = np.linspace(0, 2 * np.pi, 40, endpoint=False)


def ellipse(
    x: float, y: float, half_width: float, half_height: float, turn: float = 0.0
) -> np.ndarray:
    """Corners of an ellipse, turned by `turn` radians: (40, 2)."""
    across, down = half_width * np.cos(_TURN), half_height * np.sin(_TURN)
    cos, sin = math.cos(turn), math.sin(turn)
    return np.stack([x + cos * across - sin * down, y + sin * across + cos * down], axis=1)


@dataclass(frozen=True)
class Head:
    """A person's head in a scene. Lengths are shares of the side; the origin is the face's middle.

    Points of the head become points of the picture with `place`.
    """

    person: Person
    scene: Scene

    def place(self, points: object) -> np.ndarray:
        """(n, 2) points of the head to points of the picture."""
        scene = self.scene
        x, y = (np.asarray(points, float) * scene.scale).T
        cos, sin = math.cos(scene.tilt), math.sin(scene.tilt)
        below = y - NECK_Y
        turned = np.stack([cos * x - sin * below, sin * x + cos * below + NECK_Y], axis=1)
        return turned + np.array(CENTER) + (scene.shift_x, scene.shift_y)

    @property
    def half_width(self) -> float:
        return 0.215 + 0.07 * self.person.face_width

    @property
    def half_height(self) -> float:
        return 0.27 + 0.05 * self.person.face_height

    @property
    def eye_width(self) -> float:
        """Half of it."""
        return 0.046 + 0.02 * self.person.eye_size

    @property
    def eye_height(self) -> float:
        """Half of it; eyes open wide in surprise and narrow in a smile."""
        opened = (1.0, 0.82, 1.15)[self.scene.expression]
        return self.eye_width * (0.7 + 0.3 * self.person.eye_height) * opened

    @property
    def eye_spacing(self) -> float:
        """From the middle to an eye."""
        return self.eye_width + 0.04 + 0.03 * self.person.eye_spacing

    @property
    def nose_y(self) -> float:
        return EYE_Y + 0.08 + 0.035 * self.person.nose_length

    @property
    def nose_width(self) -> float:
        """Half of it."""
        return 0.026 + 0.028 * self.person.nose_width

    @property
    def mouth_width(self) -> float:
        """Half of it."""
        return 0.062 + 0.045 * self.person.mouth_width

    @property
    def skin(self) -> Color:
        return skin_color(self.person.skin)

    @property
    def shade(self) -> Color:
        """Skin in shadow."""
        return mix(self.skin, (60, 20, 10), 0.28)

    @property
    def hair(self) -> Color:
        return list(HAIR.values())[self.person.hair]

    @property
    def hair_shade(self) -> Color:
        return mix(self.hair, (0, 0, 0), 0.3)

    @property
    def hair_light(self) -> Color:
        return mix(self.hair, (255, 255, 255), 0.18)

    @property
    def brow_color(self) -> Color:
        """Like the hair, but never lost on the skin."""
        if abs(luma(self.hair) - luma(self.skin)) < 40:
            return mix(self.hair, (20, 12, 8), 0.55)
        return mix(self.hair, (20, 12, 8), 0.2)

    def outline(self) -> np.ndarray:
        """The face's outline, (40, 2), points of the head, from the crown to the right."""
        x, y = np.sin(_TURN), -np.cos(_TURN)
        below = np.clip(y, 0, 1)
        jaw = 0.45 + 0.55 * self.person.jaw
        width = self.half_width * (1 - (1 - jaw) * 0.55 * below**1.3)
        roundness = np.where(y > 0, 0.7 + 0.4 * self.person.chin, 0.85)
        return np.stack(
            [
                width * np.sign(x) * np.abs(x) ** roundness,
                self.half_height * np.sign(y) * np.abs(y) ** 0.92,
            ],
            axis=1,
        )

    def landmarks(self) -> np.ndarray:
        """Left eye, right eye, nose, left and right corner of the mouth as seen: (5, 2) of 0..1."""
        yaw = self.scene.yaw
        return self.place(
            [
                (yaw - self.eye_spacing, EYE_Y),
                (yaw + self.eye_spacing, EYE_Y),
                (1.8 * yaw, self.nose_y),
                (yaw - self.mouth_width, MOUTH_Y),
                (yaw + self.mouth_width, MOUTH_Y),
            ]
        )

    def box(self) -> np.ndarray:
        """Left, top, right, bottom of the face, brow to chin and cheek to cheek: (4,) of 0..1."""
        outline = self.outline()
        face = self.place(outline[outline[:, 1] > -0.75 * self.half_height])
        return np.concatenate([face.min(axis=0), face.max(axis=0)])

"""The parts of a face, from its outline to the glasses on it."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .head import EYE_Y, MOUTH_Y, Head, ellipse
from .palette import EYES, GLASSES, Color, mix

__all__ = ["draw_face", "draw_glasses"]

_FRECKLES = np.random.default_rng(7).uniform((-0.75, 0.035), (0.75, 0.125), (14, 2))
"""Across in shares of the face's half width, down in shares of the side: the same for everybody."""


def draw_face(canvas: Canvas, head: Head) -> None:
    """Everything between the hair behind and the hair in front."""
    _draw_ears(canvas, head)
    canvas.polygon(head.place(head.outline()), head.skin, "skin")
    _draw_cheeks(canvas, head)
    _draw_beard(canvas, head)
    for side in (-1, 1):
        _draw_eye(canvas, head, side)
    _draw_nose(canvas, head)
    _draw_mouth(canvas, head)
    _draw_moustache(canvas, head)
    _draw_mole(canvas, head)


def draw_glasses(canvas: Canvas, head: Head) -> None:
    if head.person.frames_name == "none":
        return
    color = list(GLASSES.values())[head.person.frame_color]
    yaw, spacing = head.scene.yaw, head.eye_spacing
    half_width = min(max(0.076, head.eye_width * 1.22), spacing - 0.012)
    round_frame = head.person.frames_name == "round"
    half_height = half_width * (0.98 if round_frame else 0.74)
    squareness = 1.0 if round_frame else 0.5
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    rim = np.stack(
        [
            half_width * np.sign(cos) * np.abs(cos) ** squareness,
            half_height * np.sign(sin) * np.abs(sin) ** squareness,
        ],
        axis=1,
    )
    for side in (-1, 1):
        x = side * spacing + yaw
        around = head.place(rim + np.array((x, EYE_Y)))
        if head.person.frames_name == "shades":
            canvas.polygon(around, (30, 30, 38), "glasses")
            glare = ellipse(x - 0.02, EYE_Y - 0.02, 0.018, 0.01, -0.5)
            canvas.polygon(head.place(glare), (120, 130, 142), None, outlined=False)
        canvas.line(np.concatenate([around, around[:2]]), 0.02, color, "glasses")
        arm = [(x + side * half_width, EYE_Y - 0.012), (side * head.half_width, EYE_Y - 0.02)]
        canvas.line(head.place(arm), 0.016, color, "glasses")
    bridge = [(yaw + side * (spacing - half_width), EYE_Y - 0.008) for side in (-1, 1)]
    canvas.line(head.place(bridge), 0.018, color, "glasses")


def _draw_ears(canvas: Canvas, head: Head) -> None:
    size = 0.034 + 0.026 * head.person.ear_size
    for side, label in ((-1, "left ear"), (1, "right ear")):
        x = side * head.half_width
        outer = ellipse(x, 0.02, size, size * 1.45)
        canvas.polygon(head.place(outer), head.shade, label)
        inner = ellipse(x * 0.99, 0.02, size * 0.68, size * 1.1)
        canvas.polygon(head.place(inner), head.skin, label, outlined=False)
        if head.person.earrings:
            ring = ellipse(x * 1.02, 0.03 + size * 1.45, 0.022, 0.026)
            canvas.polygon(head.place(ring), (252, 208, 48), "earring")


def _draw_cheeks(canvas: Canvas, head: Head) -> None:
    yaw, wide = head.scene.yaw, head.half_width
    # The side away from the light.
    dark = 1 if head.scene.light < 0 else -1
    shadow = ellipse(0.6 * yaw + dark * wide * 0.45, 0.02, wide * 0.42, head.half_height * 0.68)
    shade = mix(head.skin, head.shade, 0.16)
    canvas.polygon(head.place(shadow), shade, "skin", outlined=False)
    if head.person.blush:
        for side in (-1, 1):
            cheek = ellipse(side * wide * 0.62 + yaw, 0.095, 0.052, 0.036)
            pink = mix(head.skin, (240, 80, 90), 0.45)
            canvas.polygon(head.place(cheek), pink, "skin", outlined=False)
    if head.person.freckles:
        for across, down in _FRECKLES:
            dot = ellipse(across * wide + yaw, down, 0.011, 0.011)
            color = mix(head.skin, (130, 52, 16), 0.62)
            canvas.polygon(head.place(dot), color, "skin", outlined=False)


def _draw_beard(canvas: Canvas, head: Head) -> None:
    beard, yaw, wide = head.person.beard_name, head.scene.yaw, head.half_width
    if beard in ("full", "stubble"):
        outline = head.outline()
        jaw = outline[outline[:, 1] > 0.055]
        jaw = jaw[np.argsort(jaw[:, 0])]
        if beard == "full":
            jaw = jaw * (1.0, 1.05)
        edge = [(wide * 0.66, 0.105), (0.075, 0.115), (-0.075, 0.115), (-wide * 0.66, 0.105)]
        color = head.hair if beard == "full" else mix(head.skin, head.hair, 0.36)
        canvas.polygon(head.place(np.concatenate([jaw, edge])), color, "skin")
    elif beard == "goatee":
        chin = ellipse(0.5 * yaw, MOUTH_Y + 0.085, 0.062, 0.056)
        canvas.polygon(head.place(chin), head.hair, "skin")


def _draw_eye(canvas: Canvas, head: Head, side: int) -> None:
    """One eye and its brow; the left one as seen is side -1."""
    label = "left eye" if side < 0 else "right eye"
    x = side * head.eye_spacing + head.scene.yaw
    wide, high = head.eye_width, head.eye_height
    turn = -side * (head.person.eye_slant - 0.5) * 0.5
    rim = mix(head.shade, (20, 10, 10), 0.5)
    canvas.polygon(head.place(ellipse(x, EYE_Y, wide * 1.16, high * 1.2, turn)), rim, label)
    white = ellipse(x, EYE_Y + 0.003, wide * 1.02, high, turn)
    canvas.polygon(head.place(white), (250, 250, 248), label, outlined=False)
    pupil_x, pupil_y = x + 0.3 * head.scene.yaw, EYE_Y + 0.002
    iris = min(wide * 0.68, high)
    color = list(EYES.values())[head.person.eyes]
    for size, paint in ((iris, color), (wide * 0.3, (12, 10, 12))):
        spot = head.place(ellipse(pupil_x, pupil_y, size, size))
        canvas.polygon(spot, paint, label, outlined=False)
    glint = ellipse(pupil_x + 0.01, pupil_y - 0.01, 0.008, 0.008)
    canvas.polygon(head.place(glint), (255, 255, 255), None, outlined=False)
    raised = 0.022 if head.scene.expression == 2 else 0.0
    brow_y = EYE_Y - head.eye_width * 0.95 - 0.028 - raised
    across = np.linspace(-1, 1, 7)
    slope = -side * (head.person.brow_angle - 0.5) * 0.05
    brow = np.stack(
        [x + across * wide * 1.35, brow_y - 0.012 * (1 - across**2) + slope * across], axis=1
    )
    thickness = 0.012 + 0.02 * head.person.brow_thickness
    name = "left brow" if side < 0 else "right brow"
    canvas.line(head.place(brow), thickness, head.brow_color, name)


def _draw_nose(canvas: Canvas, head: Head) -> None:
    yaw, y, wide = head.scene.yaw, head.nose_y, head.nose_width
    side = [(1.5 * yaw + 0.006, EYE_Y + 0.02), (1.8 * yaw + wide * 0.6, y - 0.01)]
    canvas.line(head.place(side), 0.009, mix(head.skin, head.shade, 0.6), "nose")
    tip = ellipse(1.8 * yaw, y, wide, wide * 0.58)
    canvas.polygon(head.place(tip), mix(head.skin, head.shade, 0.45), "nose")
    light = ellipse(1.8 * yaw, y - 0.008, wide * 0.72, wide * 0.48)
    canvas.polygon(head.place(light), mix(head.skin, (255, 240, 225), 0.25), "nose", outlined=False)
    for nostril in (-1, 1):
        hole = ellipse(1.8 * yaw + nostril * wide * 0.5, y + 0.01, 0.01, 0.007)
        color = mix(head.shade, (30, 5, 0), 0.5)
        canvas.polygon(head.place(hole), color, "nose", outlined=False)


def _lip_color(head: Head) -> Color:
    pale = mix(head.skin, (190, 70, 70), 0.5)
    return mix(pale, (206, 20, 50), 0.85 * head.person.lip_color)


def _draw_mouth(canvas: Canvas, head: Head) -> None:
    yaw, wide = head.scene.yaw, head.mouth_width
    thick = 0.012 + 0.018 * head.person.lip_thickness
    lip = _lip_color(head)
    across = np.linspace(-1, 1, 13)

    def curve(half: float, height: np.ndarray) -> np.ndarray:
        return np.stack([yaw + half * across, MOUTH_Y + height], axis=1)

    if head.scene.expression == 0:
        upper = curve(wide, -thick * (1 - np.abs(across)) ** 0.7)
        lower = curve(wide, 1.2 * thick * (1 - across**2))
        canvas.polygon(head.place(np.concatenate([upper, lower[::-1]])), lip, "upper lip")
        canvas.line(head.place(curve(wide, 0 * across)), 0.01, mix(lip, (40, 0, 0), 0.6), "mouth")
    elif head.scene.expression == 1:
        half = wide * 1.25
        upper = curve(half, 0.006 - thick * 0.5 - 0.046 * across**2)
        lower = curve(half, 0.042 + thick - (0.082 + thick) * across**2)
        canvas.polygon(head.place(np.concatenate([upper, lower[::-1]])), lip, "lower lip")
        upper = curve(half * 0.86, 0.01 - 0.04 * across**2)
        lower = curve(half * 0.86, 0.042 - 0.07 * across**2)
        teeth = head.place(np.concatenate([upper, lower[::-1]]))
        canvas.polygon(teeth, (252, 250, 246), "mouth", outlined=False)
    else:
        outer = ellipse(yaw, MOUTH_Y + 0.02, wide * 0.72, 0.044 + thick)
        canvas.polygon(head.place(outer), lip, "lower lip")
        inner = ellipse(yaw, MOUTH_Y + 0.02, wide * 0.72 - thick * 0.8, 0.044)
        canvas.polygon(head.place(inner), (66, 12, 18), "mouth", outlined=False)
        tongue = ellipse(yaw, MOUTH_Y + 0.045, wide * 0.4, 0.017)
        canvas.polygon(head.place(tongue), (214, 88, 92), "mouth", outlined=False)


def _draw_moustache(canvas: Canvas, head: Head) -> None:
    if head.person.beard_name not in ("moustache", "goatee", "full"):
        return
    yaw, wide = head.scene.yaw, head.mouth_width
    # Above the mouth with skin between them, so that the two stay two things.
    y = MOUTH_Y - 0.034 - (0.01 if head.scene.expression == 2 else 0.0)
    right = [(0.0, -0.022), (wide * 1.0, -0.004), (wide * 1.15, 0.016), (0.0, 0.012)]
    left = [(-across, down) for across, down in reversed(right)]
    points = np.array([*right, *left]) + np.array((yaw, y))
    canvas.polygon(head.place(points), head.hair, "skin")


def _draw_mole(canvas: Canvas, head: Head) -> None:
    place = {
        "left cheek": (-head.half_width * 0.55, MOUTH_Y - 0.045),
        "right cheek": (head.half_width * 0.55, MOUTH_Y - 0.045),
        "chin": (0.055, MOUTH_Y + 0.075),
    }.get(head.person.mole_name)
    if place is not None:
        spot = ellipse(place[0] + head.scene.yaw, place[1], 0.017, 0.017)
        canvas.polygon(head.place(spot), (48, 22, 14), "skin", outlined=False)

"""Sizes of files in words."""

from __future__ import annotations

__all__ = ["described_size"]


def described_size(size_bytes: int) -> str:
    """A size in decimal units, as the hub shows it: "6.8 GB"."""
    if size_bytes <= 0:
        return "size unknown"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= 0.9995 * scale:
            value = size_bytes / scale
            return (
                f"{value:.1f} {unit}" if value < 99.95 and unit == "GB" else f"{value:.0f} {unit}"
            )
    return f"{size_bytes} bytes"

"""What `models pull` shows before it begins."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...store.download import Pull

__all__ = ["show_pull"]


def show_pull(plan: Pull, say: Callable[[str], None]) -> None:
    """Files with sizes and homes, the total, the room there is, and the licenses."""
    from ...store.download import download_disks
    from ...system.size_text import described_size

    for found in plan.there:
        say(f"  there     {found.file.file_name}: {found.path}")
    for source in plan.missing:
        size = described_size(source.size_bytes)
        home = source.file.repository or source.file.url
        say(f"  {size:>8}  {source.file.file_name}: {source.file.what}, from {home}")
    if not plan.missing:
        return
    for folder, needed in download_disks(plan).items():
        free = described_size(shutil.disk_usage(folder).free)
        say(f"{described_size(needed)} to download to {folder}, {free} free")
    for terms in plan.licenses.values():
        use = "" if terms.commercial else ", not for commercial use"
        say(f"license: {terms.name}{use} {terms.url}".rstrip())

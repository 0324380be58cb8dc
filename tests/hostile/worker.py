"""The process that hostile files are given to: commands, and what only Python can name.

Reads a task a line: a list of arguments is a command; an object has `engine` and `picture`, the
arguments of `StableDiffusion` and of its `generate_image`, and `output`, where the picture goes.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from command_worker import run_command, serve


def _answer_to(task: Any) -> dict[str, Any]:
    return run_command(task) if isinstance(task, list) else _picture(**task)


def _picture(engine: dict[str, Any], picture: dict[str, Any] | None, output: str) -> dict[str, Any]:
    from pulid_sdcpp import PulidError, StableDiffusion

    try:
        with StableDiffusion(**engine) as loaded:
            if picture is not None:
                loaded.generate_image(**picture)[0].save(output)
    except (PulidError, ValueError) as error:
        return {"status": 1, "stdout": "", "stderr": f"error: {error}"}
    except BaseException:
        return {"status": 1, "stdout": "", "stderr": traceback.format_exc()}
    return {"status": 0, "stdout": "", "stderr": ""}


if __name__ == "__main__":
    serve(_answer_to)

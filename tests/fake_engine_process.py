"""An engine process that computes nothing, as a program; a picture's prompt says what happens.

"die": it ends at the second step of each seed in the file that the negative prompt names, once.
"hang": the first step never ends. "sleep": it takes its time. "slow": each takes a moment.
"print": to stdout, as native code.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from fake_engine import Call, FakeEngine
from fake_pipeline import CONTEXT, SETTINGS
from pulid_sdcpp import ModelFileError, PulidFlux
from pulid_sdcpp.server.engine.engine_messages import ModelChoice

__all__ = ["create_fake_pipeline"]


class ScriptedEngine(FakeEngine):
    def step(self, call: Call, step: int) -> None:
        super().step(call, step)
        prompt = call.picture.prompt
        if prompt == "slow":
            time.sleep(0.02)
        if prompt == "hang" and step == 1:
            time.sleep(600)
        if prompt == "sleep" and step == 1:
            time.sleep(0.3)
        if prompt == "print":
            os.write(1, b"native words\n")
            print("a library's words")
        if prompt == "die" and step == 2:
            file, seed = Path(call.picture.negative_prompt), str(call.picture.seed)
            if seed in (left := file.read_text().split()):
                left.remove(seed)
                file.write_text(" ".join(left))
                os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def create_fake_pipeline(model: ModelChoice) -> PulidFlux:
    """A pipeline of a ScriptedEngine, whatever the model; "missing" cannot be had."""
    if model.preset == "missing":
        raise ModelFileError("files of 'missing' are not there")
    return PulidFlux(
        CONTEXT, settings=SETTINGS, preset=model.preset, create_engine=ScriptedEngine().create
    )


if __name__ == "__main__":
    from pulid_sdcpp.server.engine.engine_process import run_engine_process

    sys.exit(run_engine_process(create_fake_pipeline, quit_grace_s=float(sys.argv[1])))

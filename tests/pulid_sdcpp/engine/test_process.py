"""The engine in a process with several threads, that is left, or that forks.

Each program runs in a process of its own. A picture that nothing stops would take it minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

LONG = 1000  # steps, the most that are allowed
PRELUDE = f"""
import faulthandler, json, os, signal, sys, threading, time, warnings
from pulid_sdcpp import GenerationCancelled, StableDiffusion

LONG = {LONG}
faulthandler.dump_traceback_later(50, exit=True)  # says where it hangs
weights = json.loads(sys.argv[1])

def load():
    return StableDiffusion(diffusion_model_path=weights["flux-q8_0"], n_threads=1,
                           clip_l_path=weights["clip_l"], taesd_path=weights["taesd"])

def make(engine, steps=1, **options):
    (picture,) = engine.generate_image("a cat", width=128, height=128, cfg_scale=1.0, seed=7,
                                       sample_steps=steps, **options)
    return picture.tobytes()

begun = threading.Event()
told = dict(progress_callback=lambda step, *_: begun.set() if step else None)

def make_long(engine, steps=LONG):
    try:
        make(engine, steps, **told)
        print("made", flush=True)
    except GenerationCancelled:
        print("cancelled", flush=True)
"""
Run = Callable[[str], tuple[int, list[str], str]]


@pytest.fixture
def run(standin_weights: dict[str, Path]) -> Run:
    """Run a program after the prelude: its status, the lines it wrote, and what went wrong."""

    def run(program: str) -> tuple[int, list[str], str]:
        paths = json.dumps({role: str(path) for role, path in standin_weights.items()})
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PRELUDE + program, paths],
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout.splitlines(), done.stderr

    return run


def test_leaving_python_cancels_the_picture_of_a_daemon_thread(run: Run) -> None:
    found = run(
        """
engine = load()
threading.Thread(target=make_long, args=[engine], daemon=True).start()
begun.wait(30)
"""
    )
    assert found in [(0, ["cancelled"], ""), (0, [], "")]  # its last words may come too late


def test_leaving_python_cancels_loading(run: Run) -> None:
    status, _, errors = run(
        """
def load_again():
    while True:
        load().close()
        begun.set()

threading.Thread(target=load_again, daemon=True).start()
begun.wait(30)
"""
    )
    assert status == 0, errors


def test_other_threads_are_waited_for_as_python_does(run: Run) -> None:
    found = run("threading.Thread(target=make_long, args=[load(), 3]).start()")
    assert found == (0, ["made"], "")


def test_interrupting_the_process_stops_the_pictures_of_all_its_threads(run: Run) -> None:
    status, lines, errors = run(
        """
threading.Thread(target=make_long, args=[load()]).start()
begun.wait(30)
signal.raise_signal(signal.SIGINT)
"""
    )
    assert status != 0
    assert lines == ["cancelled"]
    assert errors.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("engines", ["first", "load()"], ids=["same", "other"])
def test_an_interrupted_call_stops_its_own_picture_only(run: Run, engines: str) -> None:
    """It waits for its turn; what runs is another thread's."""
    found = run(
        f"""
from pulid_sdcpp.native import thread as native_thread
first = load()
second = {engines}
wait = native_thread._wait

def interrupted(job):
    if threading.current_thread() is threading.main_thread():
        native_thread._wait = wait
        raise KeyboardInterrupt
    wait(job)

thread = threading.Thread(target=make_long, args=[first, 10])
thread.start()
begun.wait(30)
native_thread._wait = interrupted
try:
    make(second, LONG)
except KeyboardInterrupt:
    print("interrupted", flush=True)
thread.join()
assert make(first) == make(second)
"""
    )
    assert found == (0, ["interrupted", "made"], "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_is_told_to_load_its_own_engine(run: Run) -> None:
    status, lines, errors = run(
        """
warnings.simplefilter("ignore", DeprecationWarning)
engine = load()
before = make(engine)
child = os.fork()
if child == 0:
    try:
        make(engine)
    except ValueError as error:
        print(error, flush=True)
    engine.cancel()
    engine.close()
    assert make(load()) == before
    os._exit(5)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
assert make(engine) == before
"""
    )
    assert (status, errors) == (0, "")
    (message,) = lines
    assert "forked" in message
    assert "spawn" in message

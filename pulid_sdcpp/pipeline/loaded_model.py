"""The one engine of a pipeline, loaded when a picture needs it, and again to fit another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..engine import factory
from ..engine.interface import CreateEngine, Engine
from ..errors import NativeLibraryError
from ..memory.plan import LEAST_GIB, MOST_GIB, Plan, Vram, plan_memory
from ..native.devices import Device, devices
from ..native.progress_event import EventCallback
from ..options.checks import check_number
from ..options.context import ContextOptions
from ..options.generation import GenerationOptions
from ..system.system_memory import ComputerMemory, computer_memory

__all__ = ["LoadedModel", "serves"]


class LoadedModel:
    """At most one engine, placed as the last picture's plan says, or tighter.

    Used by one thread at a time; only `cancel` may come from others.

    Args:
        context: The model files, and how they are loaded.
        vram: As for `plan_memory`; None: no plan.
        create_engine: Called with a `ContextOptions` and `on_event`; None: a `StableDiffusion`.

    Raises:
        ValueError: A budget out of range.
    """

    def __init__(
        self,
        context: ContextOptions,
        vram: Vram | None = None,
        create_engine: CreateEngine | None = None,
    ) -> None:
        if vram is not None and vram != "auto":
            check_number("vram", vram, LEAST_GIB, MOST_GIB)
        self._given = context
        self._vram = vram
        self._create_engine: CreateEngine = create_engine or factory.load_engine
        self._available: Sequence[Device] | None = None
        self._ram: ComputerMemory | None = None
        self._plan_loaded: Mapping[str, Any] = {}
        self._most_people = self._most_tokens = 0
        self._engine: Engine | None = None
        self.context = context
        self.plan: Plan | None = None

    @property
    def is_planned(self) -> bool:
        """Whether memory is limited, so that nothing else should lie in it."""
        return self._vram is not None

    def prepare(
        self,
        generation: GenerationOptions,
        tell: EventCallback,
        people: int = 1,
        id_tokens: int = 0,
    ) -> tuple[Engine, GenerationOptions]:
        """Have the engine that this picture needs, and its options in `context`.

        Args:
            generation: The picture.
            tell: Told of the stage "load".
            people: How many identities are in it.
            id_tokens: As for `plan_memory`.

        Returns:
            The engine, and how the picture is to be made with it.

        Raises:
            MemoryPlanError: It does not fit; what is loaded stays.
            PulidError: As `StableDiffusion`'s; nothing is loaded then.
        """
        context, measures = self._given, dict[str, Any]()
        if self._vram is not None:
            # An engine keeps the room that it once made for people.
            people = max(people, self._most_people)
            id_tokens = max(id_tokens, self._most_tokens)
            plan = self.plan = self._plan_for(generation, people, id_tokens)
            context, generation = plan.apply(context, generation)
            measures = dict(plan.context)
        engine = self._engine
        if engine is None or not serves(self._plan_loaded, measures):
            self.unload()
            engine = self._engine = self._create_engine(context, on_event=tell)
            self.context, self._plan_loaded = context, measures
        self._most_people = max(people, self._most_people)
        self._most_tokens = max(id_tokens, self._most_tokens)
        return engine, generation

    def cancel(self) -> None:
        """Stop what the engine makes now, if it does."""
        engine = self._engine
        if engine is not None:
            engine.cancel()

    def unload(self) -> None:
        """Free the engine, if there is one."""
        engine, self._engine = self._engine, None
        self.context, self._most_people, self._most_tokens = self._given, 0, 0
        if engine is not None:
            engine.close()

    def _plan_for(self, generation: GenerationOptions, people: int, id_tokens: int) -> Plan:
        vram = self._vram or "auto"
        if self._available is None:
            # What is free is asked once: later, the engine itself takes some of it.
            self._ram = computer_memory()
            try:
                self._available = devices()
            except NativeLibraryError:
                if vram == "auto":
                    raise
        return plan_memory(
            self._given,
            generation,
            vram=vram,
            people=people,
            id_tokens=id_tokens,
            this_computer=True,
            available=self._available,
            ram=self._ram,
        )


def serves(loaded: Mapping[str, Any], needed: Mapping[str, Any]) -> bool:
    """Whether an engine loaded with some measures also fits where others are needed.

    Every measure makes it smaller; so all that is needed has to be there, and segments
    (`max_vram`, in GiB) no larger.
    """
    for name, value in needed.items():
        if name not in loaded:
            return False
        if loaded[name] != value and not (name == "max_vram" and loaded[name] < value):
            return False
    return True

"""Faces in a process of its own: `python -m pulid_sdcpp.server.face_process`.

The networks are native code, and take 300 MB; here they end no server and free their memory when
nobody asks. It also looks while the engine works. It ends with its parent: then stdin does.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from ...extraction.face_looker import FaceLooker, LookedAt
from ...identity.face_choice import FaceChoice
from ..engine.asked_process import answer_questions
from ..engine.process_streams import own_streams

__all__ = ["LookRequest", "run_face_process"]


@dataclass(frozen=True)
class LookRequest:
    """A picture to be looked at, as `FaceLooker` does.

    Attributes:
        picture: A file's bytes, or its path.
        detector, recognisers: Files of networks.
        choice: Of a face, or None.
    """

    picture: bytes | str = field(repr=False)
    detector: str
    recognisers: tuple[str, ...] = ()
    choice: FaceChoice | None = None


def run_face_process() -> None:
    """Serve stdin and stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides what ends
    lookers: dict[tuple[str, tuple[str, ...]], FaceLooker] = {}

    def look(request: LookRequest) -> LookedAt:
        networks = (request.detector, request.recognisers)
        if networks not in lookers:
            lookers.clear()  # two kinds of networks are not needed at once
            lookers[networks] = FaceLooker(*networks)
        return lookers[networks].look(request.picture, request.choice)

    answer_questions(*own_streams(), look)


if __name__ == "__main__":
    run_face_process()

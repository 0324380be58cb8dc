"""Faces in a process of its own: `python -m pulid_sdcpp.server.face_process`.

The networks are native code, and take 300 MB; here they end no server and free their memory when
nobody asks. It also looks while the engine works. Requests are read from stdin and answers written
to stdout, pickled: both ends are this program. It ends with its parent: then stdin does.
"""

from __future__ import annotations

import pickle
import signal
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ..extraction.face_looker import FaceLooker
from ..identity.face_choice import FaceChoice
from .engine_errors import error_event
from .process_streams import own_streams

__all__ = ["LookRequest", "run_face_process", "serve_looks"]


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


def serve_looks(source: BinaryIO, out: BinaryIO) -> None:
    """Answer each LookRequest with a LookedAt or an ErrorEvent, until `source` ends."""
    lookers: dict[tuple[str, tuple[str, ...]], FaceLooker] = {}
    while True:
        try:
            request: LookRequest = pickle.load(source)
        except EOFError:
            return
        answer: Any
        try:
            networks = (request.detector, request.recognisers)
            if networks not in lookers:
                lookers = {networks: FaceLooker(*networks)}  # the former ones are freed
            answer = lookers[networks].look(request.picture, request.choice)
        except Exception as error:
            answer = error_event("", error)
        pickle.dump(answer, out)
        out.flush()


def run_face_process() -> None:
    """Serve stdin and stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides what ends
    serve_looks(*own_streams())


if __name__ == "__main__":
    run_face_process()

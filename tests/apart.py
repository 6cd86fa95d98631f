"""What tests let ``run_apart`` call in a real process; it imports next to nothing, so that they take no seconds."""

from __future__ import annotations

import os
import signal

from peftsum.exceptions import AdapterError


def kill_oneself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(what: str) -> None:
    raise AdapterError(f"{what} is no adapter", hint="name another")

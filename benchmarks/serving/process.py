"""A real ``peftsum serve`` with so many adapters in memory, and what the system and its metrics say of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]


def copy_adapters(count: int, folder: Path) -> list[str]:
    """Copy a committed adapter so often, and return the names: each takes its own place, and writes what the others do.

    So that counts differ in nothing but how many adapters a batch mixes.
    """
    names = [f"copy-{number:02d}" for number in range(count)]
    for name in names:
        shutil.copytree(ROOT / "adapters" / "tiny-summary", folder / name)
    return names


@dataclass
class Server:
    """A server at work."""

    process: subprocess.Popen[str]
    address: str
    listening_s: float
    """From the start of the process until it listened, its adapters loaded."""
    started: float
    """``perf_counter`` at its start."""

    def rss_bytes(self) -> int:
        """Return the resident set."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def get(self, path: str) -> httpx2.Response:
        """Ask it."""
        return httpx2.get(f"{self.address}{path}", timeout=60)

    def metrics(self) -> dict[str, float]:
        """Return its metrics that have no label."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        return {s.name: s.value for family in families for s in family.samples if not s.labels}

    def base(self) -> dict[str, Any]:
        """Return what it says of the base and its adapters."""
        found: dict[str, Any] = self.get("/v1/adapters").json()["base"]
        return found


@contextmanager
def running(folder: Path, names: Sequence[str], options: Sequence[str] = ()) -> Iterator[Server]:
    """Start ``peftsum serve`` with these adapters loaded, and end it by SIGTERM, to which it must answer with 0."""
    command = [sys.executable, "-m", "peftsum", "serve", str(folder), "--base", "builtin:tiny", "--port", "0", "--json"]
    command += [part for name in names for part in ("--load", name)] + list(options)
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or lines[-1].rstrip() != "}":
            lines.append(process.stdout.readline())
            if not lines[-1]:
                sys.exit("the server did not start")
        address = json.loads("".join(lines))["address"]
        try:
            yield Server(process, address, time.perf_counter() - started, started)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(120)
    if code:
        sys.exit(f"the server ended with {code}")

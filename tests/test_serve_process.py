"""``peftsum serve`` as a process: its address, its key, clients that go, and its end."""

from __future__ import annotations

import importlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from commands import run
from forking import Forker
from prometheus_client.parser import text_string_to_metric_families
from random_adapters import KINDS, write_adapters

from peftsum.exceptions import UsageError
from peftsum.server.run import KEY_VARIABLE, is_loopback, read_key

DIALOGUE = "Ann: Lunch at 1?\nBob: Yes, at Joe's."
LONG = {"adapter": "wide", "dialogue": DIALOGUE, "settings": {"max_new_tokens": 200, "explain": False}}


@pytest.fixture(scope="module")
def folder(byte_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("process")
    write_adapters(byte_base, made, {"wide": KINDS["wide"]})
    return made


@dataclass
class Process:
    """A running server."""

    pid: int
    socket: str
    codes: list[int]
    thread: threading.Thread

    def client(self, **options: Any) -> httpx2.Client:
        """Return a client at its socket."""
        return httpx2.Client(
            transport=httpx2.HTTPTransport(uds=self.socket), base_url="http://localhost", timeout=60, **options
        )

    def metric(self, name: str) -> float:
        """Return a metric without labels."""
        with self.client() as client:
            families = text_string_to_metric_families(client.get("/metrics").text)
        return next(s.value for family in families for s in family.samples if s.name == name)

    def end(self) -> int:
        """Wait for its end and return its exit code."""
        self.thread.join(60)
        return self.codes[0]


@contextmanager
def serving(forks: Forker, base: Path, folder: Path, place: Path, *options: str) -> Iterator[Process]:
    """Run ``peftsum serve`` in a fork at a Unix socket in ``place``."""
    socket, codes = str(place / "s"), []
    arguments = ["serve", str(folder), "--base", str(base), "--uds", socket, "--json", *options]
    thread = threading.Thread(target=lambda: codes.extend(forks.run(place, arguments)))
    thread.start()
    output = place / "output-0"
    until(lambda: (output.is_file() and '"pid"' in output.read_text() and "}" in output.read_text()) or bool(codes))
    assert not codes, (place / "errors-0").read_text()
    process = Process(json.loads(output.read_text())["pid"], socket, codes, thread)
    try:
        yield process
    finally:
        if not codes:
            os.kill(process.pid, signal.SIGKILL)
        thread.join(60)


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_sigterm_while_busy_answers_all_that_was_accepted(
    forks: Forker, byte_base: Path, folder: Path, tmp_path: Path
) -> None:
    statuses: list[int] = []

    def ask() -> None:
        with process.client() as client:
            statuses.append(client.post("/v1/summaries", json=LONG).status_code)

    with serving(forks, byte_base, folder, tmp_path, "--batch", "2", "--load", "wide") as process:
        with process.client() as gone, pytest.raises(httpx2.ReadTimeout):
            gone.post("/v1/summaries", json=LONG | {"settings": {"max_new_tokens": 256}}, timeout=0.05)
        until(lambda: process.metric("peftsum_given_up_requests_total") == 1)  # a client that goes frees its row
        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        until(lambda: process.metric("peftsum_queue_summaries") + process.metric("peftsum_running_summaries") >= 10)
        with process.client() as client:
            assert client.get("/healthz").json()["status"] == "ok"
            os.kill(process.pid, signal.SIGTERM)
            late = client.post("/v1/summaries", json=LONG)
        assert late.status_code == 503
        assert int(late.headers["retry-after"]) >= 1
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * 12
        assert process.end() == 0
    said = (tmp_path / "errors-0").read_text()
    assert "stopping" in said
    assert "Traceback" not in said
    assert "Joe" not in said


def test_a_second_ctrl_c_ends_at_once(forks: Forker, byte_base: Path, folder: Path, tmp_path: Path) -> None:
    with serving(forks, byte_base, folder, tmp_path, "--batch", "1") as process:
        many = LONG | {"dialogues": [{"dialogue": DIALOGUE}] * 60}
        del many["dialogue"]
        thread = threading.Thread(target=lambda: _ignore(process, many))
        thread.start()
        until(lambda: process.metric("peftsum_queue_summaries") > 30)
        os.kill(process.pid, signal.SIGINT)
        until(lambda: "stopping" in (tmp_path / "errors-0").read_text())
        assert not process.codes
        os.kill(process.pid, signal.SIGINT)
        assert process.end() == 130
        thread.join(60)
    assert "Traceback" not in (tmp_path / "errors-0").read_text()


def _ignore(process: Process, body: dict[str, Any]) -> None:
    try:
        with process.client() as client:
            client.post("/v1/summaries", json=body)
    except httpx2.HTTPError:
        pass


# What is refused before it starts -------------------------------------------------------------------------------------


def test_an_address_that_others_reach_needs_a_key(
    capsys: pytest.CaptureFixture[str], folder: Path, byte_base: Path
) -> None:
    done = run(capsys, "serve", folder, "--base", byte_base, "--host", "0.0.0.0")
    done.assert_failed(2, "0.0.0.0", "api key")


@pytest.mark.parametrize("options", [["none"], ["--load", "wode"], ["--base", "builtin:tinny"]])
def test_what_is_not_there_is_told(options: list[str], capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    place = [] if options[0] == "none" else [folder]
    base = [] if "--base" in options else ["--base", "builtin:tiny"]
    run(capsys, "serve", *place, *base, *options).assert_failed(2, options[-1])


def test_a_missing_extra_is_told_with_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("peftsum.cli.serve")
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "uvicorn" else name)
    run(capsys, "serve").assert_failed(2, "uvicorn", "pip install")


def test_keys_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_key(None) is None
    monkeypatch.setenv(KEY_VARIABLE, "0123456789abcdef")
    assert read_key(None) == b"0123456789abcdef"
    assert KEY_VARIABLE not in os.environ
    (tmp_path / "key").write_text("abcdefghijklmnop\n")
    assert read_key(tmp_path / "key") == b"abcdefghijklmnop"
    for bad in ("short", "two words of a key", "ünïcödé-kéy-lông", ""):
        (tmp_path / "key").write_text(bad)
        with pytest.raises(UsageError, match="no key") as refused:
            read_key(tmp_path / "key")
        assert not bad or bad not in str(refused.value)
    with pytest.raises(UsageError, match="cannot read"):
        read_key(tmp_path / "none")


def test_what_can_be_reached_from_elsewhere_is_known() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.2", "example.org", ""]))

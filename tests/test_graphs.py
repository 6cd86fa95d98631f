"""Recorded steps write what steps run as usual write. On a CPU a list of operations stands in for a CUDA graph."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from recorded_operations import Operations, record
from test_decoding import SETTINGS, _eager_to_end, dialogues, ids, reference

from peftsum.bank import LayerFactors
from peftsum.decoding import decode_ids, graphs, loop, state
from peftsum.decoding.graphs import StepShape
from peftsum.decoding.joining import Lane, LastingPlan, Newcomer, Seats
from peftsum.model import load_base
from peftsum.recipe import Generation, Model

Made = list[Operations]


@pytest.fixture(scope="module")
def model(byte_base: Path) -> Any:
    """A random T5 that often ends a summary."""
    return _eager_to_end(load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu").model)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Record on the CPU, and give all recordings."""
    found: Made = []

    def recording(work: Callable[[], None]) -> Operations:
        found.append(record(work))
        return found[-1]

    monkeypatch.setattr(state, "recorder", lambda device: None if device in graphs._failed else recording)
    monkeypatch.setattr(graphs, "_failed", set())
    monkeypatch.setattr(graphs, "LEAST_KEYS", 8)
    monkeypatch.setattr(graphs, "SOURCE_TOKENS", 16)
    return found


@pytest.mark.parametrize("many", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("name", ["greedy", "greedy-rules", "two", "four-early"])
def test_replayed_steps_write_what_generate_writes(
    name: str, many: bool, model: Any, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MANY_TOKENS", 0 if many else 10**9)
    generation = Generation(max_new_tokens=14, **SETTINGS[name])
    sources = dialogues(24, 7)
    expected = reference(model, sources, generation)
    assert ids(decode_ids(model, sources, generation, batch_tokens=300)) == expected
    assert len(made) > 3  # of several shapes
    assert sum(operations.replays for operations in made) > 2 * len(made)  # once each to check it, then in earnest


def test_recordings_notice_adapters_that_move(model: Any, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks go to other memory for the second adapter, and not for the third: steps of the same shapes read theirs."""

    @torch.inference_mode()
    def written() -> list[list[int]]:
        plan = LastingPlan(model)
        seats = Seats(plan, 4)
        lane = Lane(plan, seats, Generation(max_new_tokens=40, min_new_tokens=25), 2, 60, 40)
        found: dict[int, list[int]] = {}
        for number, rank in enumerate((2, 7, 5)):
            seat = seats.take(str(rank), lambda rank=rank: _factors(plan, rank))
            assert seat is not None
            sources = dialogues(2, number)
            lane.admit([Newcomer(2 * number + i, source, seat, 40) for i, source in enumerate(sources)])
            while len(lane):
                found |= {member: decoded.ids for member, decoded in lane.step()}
        return [found[i] for i in range(6)]

    recorded = written()
    assert made
    monkeypatch.setattr(state, "recorder", lambda device: None)
    assert recorded == written()


def _factors(plan: LastingPlan, rank: int) -> dict[str, LayerFactors]:
    torch.manual_seed(rank)
    return {
        name: LayerFactors(torch.randn(rank, weight.shape[1]) * 0.3, torch.randn(rank, weight.shape[0]) * 0.3)
        for projection, names in plan.named
        for name, weight in zip(names, [part.module.weight for part in projection.parts], strict=True)
    }


def test_few_recordings_are_kept_at_once(model: Any, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shape that comes again after its recording went is recorded again."""
    sources, generation = dialogues(60, 8), Generation(max_new_tokens=14)
    found, counts = [], []
    for most in (64, 1):
        monkeypatch.setattr(graphs, "MOST_KEPT", most)
        made.clear()
        found.append(ids(decode_ids(model, sources, generation, batch_tokens=300)))
        counts.append(len(made))
    assert counts[1] > counts[0] > 1
    assert found == 2 * [reference(model, sources, generation)]


def test_without_memory_for_recordings_a_call_runs_as_usual_and_the_next_one_tries_again(
    model: Any, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def recording(work: Callable[[], None]) -> Operations:
        tried.append(work)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "RESHAPE_RATIO", 0)  # caches that are made anew try again, too
    monkeypatch.setattr(state, "recorder", lambda device: recording)
    sources, generation = dialogues(12, 9), Generation(max_new_tokens=14)
    for count in (1, 2):
        found = ids(decode_ids(model, sources, generation, batch_tokens=300))
        assert found == reference(model, sources, generation)
        assert len(tried) == count
    assert not graphs._failed


def test_caches_and_recordings_are_free_at_the_end_of_a_call(
    model: Any, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the garbage collector, which comes late and knows nothing of a GPU's memory."""
    states = []
    original = state.DecoderState.__init__

    def noted(self: state.DecoderState, *args: Any) -> None:
        states.append(weakref.ref(self))
        original(self, *args)

    monkeypatch.setattr(state.DecoderState, "__init__", noted)
    gc.disable()
    try:
        decode_ids(model, dialogues(24, 8), Generation(max_new_tokens=14), batch_tokens=300)
        assert made
        assert [reference() for reference in states] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize("fault", ["refused", "wrong"])
def test_where_recording_fails_steps_run_as_usual_and_one_warning_says_so(
    fault: str, model: Any, made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def recording(work: Callable[[], None]) -> Operations:
        tried.append(work)
        if fault == "refused":
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        return Operations()  # which does nothing

    monkeypatch.setattr(state, "recorder", lambda device: recording)
    sources, generation = dialogues(12, 9), Generation(max_new_tokens=14)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert ids(decode_ids(model, sources, generation, batch_tokens=300)) == reference(
                model, sources, generation
            )
    assert len(tried) == 1
    (message,) = [r.getMessage() for r in caplog.records if "CUDA graphs" in r.getMessage()]
    assert ("not permitted" if fault == "refused" else "differs by 1 of") in message


def test_what_asks_the_device_cannot_be_recorded() -> None:
    x = torch.ones(3)
    for work in (lambda: float(x.sum()), lambda: x.nonzero(), lambda: torch.tensor([1, 2])):
        with pytest.raises(RuntimeError, match="capturing"):
            record(work)  # type: ignore[arg-type]


def test_rounded_shapes_are_few_and_hold_the_step() -> None:
    shapes = {StepShape(3, k, s, masked=False).rounded(100, 500) for k in range(1, 101) for s in range(1, 501)}
    assert {s.keys for s in shapes} == {16, 32, 64, 100}
    assert {s.source for s in shapes} == {128, 256, 384, 500}
    for keys, source in ((1, 1), (17, 129), (100, 500)):
        shape = StepShape(3, keys, source, masked=False).rounded(100, 500)
        assert shape.keys >= keys
        assert shape.source >= source


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["greedy", "greedy-rules", "two", "four-early"])
def test_on_a_gpu_cuda_graphs_write_what_steps_run_as_usual_write(
    name: str, byte_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    base = load_base(Model(base=str(byte_base), precision="fp32"), frozen=True, device="cpu")
    model = _eager_to_end(base.model).to("cuda")
    made: list[object] = []
    original = graphs.CudaRecorder.__call__

    def counted(self: graphs.CudaRecorder, work: Callable[[], None]) -> graphs.Recording:
        made.append(work)
        return original(self, work)

    monkeypatch.setattr(graphs.CudaRecorder, "__call__", counted)
    generation = Generation(max_new_tokens=14, **SETTINGS[name])
    sources = dialogues(24, 7)
    recorded = ids(decode_ids(model, sources, generation, batch_tokens=300))
    assert made
    assert not graphs._failed
    monkeypatch.setattr(state, "recorder", lambda device: None)
    assert ids(decode_ids(model, sources, generation, batch_tokens=300)) == recorded

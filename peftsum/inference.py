"""What summaries cost in each arrangement: the adapter beside its base or merged, in full precision or in 8 bits.

    costs = inference_costs("runs/tiny-lora", Path("runs/tiny-lora"), dialogues, cost=Cost())

Each arrangement is loaded in a process of its own, so that its memory is its own, writes one batch unmeasured, and then
the same summaries again and again until the window is long enough and there are passes enough to tell their spread.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from peftsum.artifacts import read_record, write_record
from peftsum.cost.estimate import ProcessUse, core_watts, estimate_cores, estimate_ram
from peftsum.cost.inference import ARRANGEMENTS, SHORT_WINDOW_S, Arrangement, InferenceCost
from peftsum.cost.machine import Machine, describe_machine
from peftsum.cost.meter import describe
from peftsum.cost.meters import measure
from peftsum.cost.section import Cost
from peftsum.exceptions import DataError
from peftsum.generate import Summarizer
from peftsum.merge import merge_into_full_precision
from peftsum.model import default_device
from peftsum.processes import run_apart
from peftsum.prompts import Prompt
from peftsum.recipe import Generation
from peftsum.section import Record
from peftsum.targets import Target, resolve_target, weights_identity

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

INFERENCE_FILE = "inference.json"
SAMPLE = 32  # dialogues, where the user gives no other number
PASSES = 3  # at least
WINDOW_S = 2 * SHORT_WINDOW_S  # at least: twice what would be flagged
WARM_UP = 4  # dialogues


@dataclass(frozen=True)
class Asked:
    """What is to be summarised, and how."""

    target: str
    dialogues: tuple[str, ...]
    prompt: Prompt
    generation: Generation
    max_source_tokens: int
    cost: Cost


class InferenceRecord(Record):
    """``inference.json`` of a run: the costs, and what they hold for."""

    identity: str
    """Of the weights, the dialogues, the prompt, the settings and the machine."""
    machine: Machine
    costs: list[InferenceCost]


def inference_costs(asked: Asked, folder: Path) -> list[InferenceCost]:
    """Return the cost of each arrangement, measured here or found in the folder where it was.

    Args:
        asked: target, dialogues and settings.
        folder: of the run, where ``inference.json`` is kept.

    Raises:
        Everything that :func:`peftsum.evaluate` raises of the target. An arrangement that this device or method cannot
        take has a reason instead of readings.
    """
    target, machine = resolve_target(asked.target), describe_machine()
    identity = _identity(asked, target, machine)
    path = folder / INFERENCE_FILE
    if path.is_file():
        try:
            found = read_record(path, InferenceRecord)
            if found.identity == identity:
                return found.costs
        except DataError as error:
            logger.warning("%s; measuring again", error)
    costs = []
    for arrangement in arrangements(target):
        logger.info("%s: what summaries cost, %s", target.name, ARRANGEMENTS[arrangement])
        title = f"{target.name}, {ARRANGEMENTS[arrangement]}"
        costs.append(_cannot(target, arrangement) or run_apart(title, measure_arrangement, asked, arrangement))
    write_record(path, InferenceRecord(identity=identity, machine=machine, costs=costs))
    return costs


def arrangements(target: Target) -> list[Arrangement]:
    """Return the ways to hold a target: a whole model, or an adapter beside or in its base, each in 8 bits as well."""
    if target.adapter is None:
        return ["plain", "plain_int8"]
    four: list[Arrangement] = ["unmerged_nf4", "merged_nf4"] if target.model.quantize == "nf4" else []
    return ["unmerged", "merged", "unmerged_int8", "merged_int8", *four]


def _identity(asked: Asked, target: Target, machine: Machine) -> str:
    parts = {
        "weights": weights_identity(target),
        "dialogues": asked.dialogues,
        "prompt": asked.prompt.model_dump(mode="json"),
        "generation": asked.generation.model_dump(mode="json"),
        "tokens": asked.max_source_tokens,
        "energy": [asked.cost.energy, asked.cost.cpu_watts_per_core],
        "machine": machine.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _cannot(target: Target, arrangement: Arrangement) -> InferenceCost | None:
    """Return the reason why an arrangement is impossible whatever the device, or None."""
    method = target.record.recipe.method if target.record else None
    if arrangement.startswith("merged") and method is not None and not method.mergeable:
        return InferenceCost(arrangement=arrangement, reason=f"{method.variant} cannot be merged")
    return None


def measure_arrangement(asked: Asked, arrangement: Arrangement) -> InferenceCost:
    """Load one arrangement and measure it. Runs in a process of its own.

    A quantized one that cannot be loaded or run here has the reason instead; others raise.
    """
    if not arrangement.endswith(("int8", "nf4")):
        return _measured(asked, arrangement)
    try:
        return _measured(asked, arrangement)
    except Exception as error:  # whatever the quantizing library raises: a comparison is not lost by it
        logger.debug("%s cannot be measured", arrangement, exc_info=True)
        return InferenceCost(arrangement=arrangement, reason=f"it cannot be run here: {describe(error)[:200]}")


def _measured(asked: Asked, arrangement: Arrangement) -> InferenceCost:
    summarizer = _arranged(resolve_target(asked.target), arrangement)

    def summarize(dialogues: Sequence[str]) -> None:
        summarizer.summarize(
            dialogues,
            prompt=asked.prompt,
            generation=asked.generation,
            max_source_tokens=asked.max_source_tokens,
        )

    summarize(asked.dialogues[:WARM_UP])  # the first batch loads kernels and fills caches
    begins = [ProcessUse.now()]
    with measure(asked.cost, default_device()) as measurement:
        while len(begins) <= PASSES or begins[-1].clock_s - begins[0].clock_s < WINDOW_S:
            summarize(asked.dialogues)  # texts come back, so a GPU has done its work by then
            begins.append(ProcessUse.now())
    passes = list(pairwise(begins))
    core = core_watts(asked.cost.cpu_watts_per_core)
    energies = [
        None if None in parts else sum(filter(None, parts))
        for parts in (
            (estimate_cores(begin, end, core, "a pass").value, estimate_ram(begin, end, "a pass").value)
            for begin, end in passes
        )
    ]
    estimated = measurement.readings.energy_j.estimated and None not in energies
    return InferenceCost(
        arrangement=arrangement,
        summaries=len(passes) * len(asked.dialogues),
        pass_s=tuple(end.clock_s - begin.clock_s for begin, end in passes),
        pass_j=tuple(energy for energy in energies if energy is not None) if estimated else (),
        readings=measurement.readings,
        weights_bytes=weight_bytes(summarizer.model),
    )


def _arranged(target: Target, arrangement: Arrangement) -> Summarizer:
    quantize: Literal["none", "int8", "nf4"] = (
        "int8" if arrangement.endswith("int8") else "nf4" if arrangement.endswith("nf4") else "none"
    )
    base, precision = target.model.base, target.model.precision
    if arrangement.startswith("merged"):
        assert target.adapter is not None
        with tempfile.TemporaryDirectory(prefix="peftsum-") as folder:
            run_apart("merging", merge_into_full_precision, base, target.adapter, Path(folder) / "merged", None)
            return Summarizer(str(Path(folder) / "merged"), quantize=quantize, precision=precision)
    adapters = [] if target.adapter is None else [target.adapter]
    return Summarizer(base, adapters, quantize=quantize, precision=precision)


def weight_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of a model's tensors, each once: parameters, buffers, and bitsandbytes' scales beside them."""
    tensors = [*model.parameters(), *model.buffers()]
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        tensors += [t for t in (getattr(parameter, "SCB", None), getattr(state, "absmax", None)) if t is not None]
    return sum({t.data_ptr(): t.nelement() * t.element_size() for t in tensors}.values())

"""Adapters added and subtracted in weight space: averages, sums and differences, as one adapter.

    combine(["adapters/a", "adapters/b"], "adapters/mean")                    # the average
    combine(["adapters/a", "adapters/b"], "adapters/c", weights=[1.0, -0.5])  # a less half of b
    combine(["runs/full"], "adapters/small", rank=16)                         # a full fine-tune, at rank 16

The update of each layer is the weighted sum of the parts' updates s·BA, not of their factors: an average of A's times
an average of B's is another matrix. The sum is held exactly by the factors side by side, whose rank is the sum of
ranks; a smaller rank takes the nearest matrix of it (Eckart and Young 1936), and what that leaves out is reported.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.adapters import save_factors
from peftsum.artifacts import AdapterRecord, PartRecord, folder_bytes
from peftsum.bank import Cut, LayerFactors, add_updates
from peftsum.exceptions import AdapterError, UsageError
from peftsum.merge import free_folder
from peftsum.methods import Lora
from peftsum.model import base_revision, count_parameters, load_base
from peftsum.recipe import Model
from peftsum.section import Record
from peftsum.targets import Target, check_same_base, resolve_target, weights_identity
from peftsum.updates import update_of_adapter, update_of_model
from peftsum.version import __version__

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)

MOST_RANK = 1024  # that a recipe can say


class Combination(Record):
    """What was made of which parts, and how near it is to their sum."""

    out: str
    base: str
    parts: list[PartRecord]
    layers: int
    """Linear layers that have an update."""
    rank: int
    """The largest of any layer."""
    exact: bool
    """Whether the factors hold the sum itself, to rounding."""
    relative_error: float
    """Frobenius norm of what the rank leaves out, all layers together, over that of the sum; 0 where it is exact."""
    worst_layer: str | None
    """Where the rank leaves out most, or None."""
    worst_error: float
    """The relative error there."""
    outside: float | None
    """Of a full fine-tune: norm of its change of embeddings, norms and output layer, which no adapter here holds, over
    that of its whole change. None where all parts are adapters."""
    weight_bytes: int


def combine(
    adapters: Sequence[str | Path],
    out: str | Path,
    *,
    weights: Sequence[float] | None = None,
    rank: int | None = None,
    base: str | None = None,
) -> Combination:
    """Write the weighted sum of adapters, or of full fine-tunes of the same base, as one adapter.

    Prompt, context and generation settings are the first one's.

    Args:
        adapters: adapter folders, runs, or folders of fully tuned models.
        out: the folder to write; it must not exist, or be empty.
        weights: a number each, negative ones too; None is the mean.
        rank: most rank a layer; None holds the sum exactly, which a full fine-tune is too large for.
        base: instead of the base that the first adapter names.

    Raises:
        AdapterError: a part is damaged, of another base, or no plain low-rank update (DoRA, IA3, …).
        UsageError: weights and adapters differ in number, all weights are 0, ``out`` is taken, or ``rank`` is missing.
    """
    shares = _checked_weights(adapters, weights)
    if rank is not None and not 1 <= rank <= MOST_RANK:
        raise UsageError(f"there is no rank of {rank}", hint=f"take 1 to {MOST_RANK}")
    targets = [_resolved(part, base) for part in adapters]
    if rank is None and (whole := next((t.name for t in targets if t.adapter is None), None)):
        raise UsageError(f"{whole} is a full fine-tune, whose change has full rank", hint="pass --rank 16, say")
    model = _common_base(targets, base)
    if any(target.prompt != targets[0].prompt for target in targets):
        logger.warning("the parts were trained with unlike prompts; the sum keeps that of %s", targets[0].name)
    out = free_folder(out)
    net = load_base(model, frozen=True, device="cpu").model
    updates, outside = [], None
    for target in targets:
        if target.adapter is not None:
            updates.append(update_of_adapter(target.adapter, net))
        else:
            update, share = update_of_model(target.model, net)
            updates.append(update)
            outside = max(outside or 0.0, share)
    factors, cuts = add_updates(updates, shares, rank)
    largest = max(f.rank for f in factors.values())
    if largest > MOST_RANK:
        raise UsageError(f"the sum has rank {largest}, and a recipe ends at {MOST_RANK}", hint="pass a smaller --rank")
    parts = [_part(target, share) for target, share in zip(targets, shares, strict=True)]
    record = _record(targets, out.name, model, _method(targets, factors), parts, factors, net)
    save_factors(out, factors, model, record)
    return Combination(
        out=str(out),
        base=model.base,
        parts=parts,
        layers=len(factors),
        rank=largest,
        outside=outside,
        weight_bytes=folder_bytes(out),
        **_errors(factors, cuts),
    )


def _checked_weights(adapters: Sequence[str | Path], weights: Sequence[float] | None) -> list[float]:
    if not adapters:
        raise UsageError("no adapter is named", hint="name one or more")
    if weights is None:
        return [1 / len(adapters)] * len(adapters)
    if len(weights) != len(adapters):
        raise UsageError(f"{len(weights)} weights for {len(adapters)} adapters", hint="give one each, in their order")
    if not all(map(math.isfinite, weights)) or not any(weights):
        raise UsageError("the weights are all 0, or not numbers", hint="for example --weights 0.5 0.5")
    return list(weights)


def _resolved(part: str | Path, base: str | None) -> Target:
    """Return what is known of a part; a tuned model keeps its folder as its base."""
    target = resolve_target(part)
    if target.adapter is None and target.record is None and base is None:
        raise UsageError(f"{part} does not say which base it was tuned from", hint="pass --base, or name an adapter")
    return target


def _common_base(targets: Sequence[Target], base: str | None) -> Model:
    """Return the base that all parts were trained on, in full precision.

    Raises:
        AdapterError: they were trained on several.
    """
    first = targets[0]
    own = first.record.recipe.model if first.record else first.model
    model = Model(base=base or own.base, revision=None if base else own.revision, precision="fp32")
    for target in targets:
        if target.adapter is not None:
            check_same_base(target.adapter, model.base)
        elif target.record is not None and target.record.base_revision != base_revision(model):
            named = target.record.recipe.model.base
            raise AdapterError(
                f"{target.name} was tuned from {named}, revision {target.record.base_revision}, not from {model.base}",
                hint="combine what was trained on one base",
            )
    return model


def _method(targets: Sequence[Target], factors: Mapping[str, LayerFactors]) -> Lora:
    """Return the method that the combined adapter is of; its scale is 1, since the factors hold all of it."""
    rank = max(f.rank for f in factors.values())
    kinds = [t.record.recipe.method if t.record else None for t in targets]
    said = [kind.targets for kind in kinds if isinstance(kind, Lora)]
    if any(kind is not None and not kind.frozen_base for kind in kinds):
        said.append("all-linear")
    same = said[0] if said and all(s == said[0] for s in said) and None not in kinds else None
    return Lora(rank=rank, alpha=float(rank), targets=same or sorted(factors))


def _part(target: Target, weight: float) -> PartRecord:
    return PartRecord(name=target.name, weight=weight, weights=weights_identity(target))


def _record(
    targets: Sequence[Target],
    name: str,
    model: Model,
    method: Lora,
    parts: Sequence[PartRecord],
    factors: Mapping[str, LayerFactors],
    net: nn.Module,
) -> AdapterRecord | None:
    """Return the record of the sum: the first part's recipe with this method; None where the first part has none."""
    first = targets[0].record
    if first is None:
        return None
    update = {"name": name, "model": model.model_copy(update={"precision": first.recipe.model.precision})}
    data = sorted({t.record.data_fingerprint if t.record else "unknown" for t in targets})
    added = sum(f.down.numel() + f.up.numel() for f in factors.values())
    return AdapterRecord(
        peftsum_version=__version__,
        recipe=first.recipe.model_copy(update={**update, "method": method}),
        base_revision=first.base_revision,
        data_fingerprint=data[0] if len(data) == 1 else hashlib.sha256(" ".join(data).encode()).hexdigest()[:16],
        trainable_params=added,
        total_params=count_parameters(net)[1] + added,
        parts=list(parts),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _errors(factors: Mapping[str, LayerFactors], cuts: Mapping[str, Cut]) -> dict[str, Any]:
    """Return what the rank left out, of all layers together and of the worst one."""
    left_out = sum(cut.left_out for cut in cuts.values())
    kept = sum(float(((f.up @ f.up.t()) * (f.down @ f.down.t())).sum()) for f in factors.values())
    worst = max(cuts, key=lambda name: cuts[name].error, default=None)
    return {
        "exact": not cuts,
        "relative_error": (left_out / (left_out + kept)) ** 0.5 if left_out else 0.0,
        "worst_layer": worst,
        "worst_error": cuts[worst].error if worst is not None else 0.0,
    }

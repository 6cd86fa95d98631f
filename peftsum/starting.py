"""Where an adapter's training starts from: another adapter, or what a full fine-tune changed, cut to a rank."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.adapters import ADAPTER_WEIGHTS, is_adapter, read_adapter_record
from peftsum.artifacts import RUN_FILE, RunRecord, is_run, read_record
from peftsum.bank import LayerFactors, add_updates
from peftsum.exceptions import RecipeError
from peftsum.model import base_revision, content_hash, load_base, local_folder
from peftsum.recipe import Model, Recipe
from peftsum.teaching import teacher_revision, tuned_model
from peftsum.updates import update_of_adapter, update_of_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)


def start_adapter(model: PreTrainedModel, recipe: Recipe) -> None:
    """Put what ``train.start_from`` names into the adapter of a model, in place; without it nothing is done.

    An update of more rank than the adapter is cut to the nearest one of its rank. One of less leaves the rest of the
    adapter as it was: no change yet, and free to learn. Layers that the start lacks begin as they were, too.

    Args:
        model: the base with a LoRA adapter attached that has not been trained.
        recipe: whose adapter it is.

    Raises:
        RecipeError: the start is of another base, or changes layers that the adapter does not have.
        AdapterError: it is damaged, or no plain low-rank update.
    """
    if recipe.train.start_from is None:
        return
    layers = _adapted(model)
    update = _update(recipe, layers)
    if missing := sorted(update.keys() - layers.keys()):
        raise RecipeError(
            f"train.start_from: {recipe.train.start_from} changes {len(missing)} layers that are no target of this "
            f"method, for example {missing[0]}",
            hint="take the targets that it was trained with, or all-linear",
        )
    for name, factors in update.items():
        _fill(layers[name], factors)


def leans_on(recipe: Recipe) -> dict[str, str]:
    """Return what identifies the weights, beside the base's, that a training begins from or is taught by."""
    found = {"teacher": teacher_revision(recipe)}
    if recipe.train.start_from is not None:
        adapter, tuned = _start(recipe)
        found["start"] = content_hash([adapter / ADAPTER_WEIGHTS]) if adapter else base_revision(tuned or recipe.model)
    return {name: revision for name, revision in found.items() if revision is not None}


def _start(recipe: Recipe) -> tuple[Path | None, Model | None]:
    """Return the adapter or, in its place, the tuned model that ``train.start_from`` names."""
    place = str(recipe.train.start_from)
    path = Path(place)
    adapter = _adapter_of_run(path) if is_run(path) else path if is_adapter(path) else None
    return adapter, None if adapter is not None else tuned_model(place, "train.start_from")


def _update(recipe: Recipe, layers: Collection[str]) -> Mapping[str, LayerFactors]:
    """Return what the adapter begins with: of an adapter all of it, of a full fine-tune what these layers can hold."""
    adapter, tuned = _start(recipe)
    place = str(recipe.train.start_from)
    folder = adapter or local_folder(tuned.base if tuned else place)
    record = read_adapter_record(folder) if folder is not None else None
    if record is not None and record.base_revision != base_revision(recipe.model):
        raise RecipeError(
            f"train.start_from: {place} was trained on {record.recipe.model.base}, revision {record.base_revision}, "
            f"not on {recipe.model.base} as it is now",
            hint="start from what was trained on this base",
        )
    section = recipe.model.model_copy(update={"quantize": "none", "precision": "fp32"})
    net = load_base(section, frozen=True, device="cpu").model
    if adapter is not None:
        update = update_of_adapter(adapter, net)
    else:
        assert tuned is not None
        update, _ = update_of_model(tuned, net, layers)
    found, cuts = add_updates([update], [1.0], recipe.method.rank)  # type: ignore[union-attr]  # held by the recipe
    if cuts:
        kept = 1 - sum(cut.left_out for cut in cuts.values()) / max(1e-30, sum(cut.whole for cut in cuts.values()))
        logger.info("started from %s: its rank holds %.0f %% of that change, squared", place, 100 * kept)
    return found


def _adapter_of_run(run: Path) -> Path | None:
    """Return the adapter that a run made, or None where it is a full fine-tune."""
    made = read_record(run / RUN_FILE, RunRecord).adapter_dir
    return Path(made) if made is not None else None


def _adapted(model: PreTrainedModel) -> dict[str, Any]:
    """Return the layers with an adapter, by the name that each has in the bare base."""
    prefix = "base_model.model."
    return {name.removeprefix(prefix): m for name, m in model.named_modules() if hasattr(m, "lora_A")}


def _fill(layer: Any, factors: LayerFactors) -> None:
    """Write factors into the first rows of an adapter; the rest of B stays 0, so that the whole is the update."""
    import torch

    down, up, scale = layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.scaling["default"]
    rank = factors.rank
    with torch.no_grad():
        down[:rank] = factors.down.to(down)
        up[:, :rank] = (factors.up.t() / scale).to(up)

"""The teacher of a distillation: where it is, whether it fits the student, and the model itself."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from peftsum.adapters import is_adapter, read_adapter_record
from peftsum.artifacts import is_run
from peftsum.exceptions import RecipeError
from peftsum.model import Base, base_revision, load_base, load_tokenizer, local_folder
from peftsum.objective import Distill
from peftsum.recipe import Model, Recipe

if TYPE_CHECKING:
    from peftsum.training_model import Teacher

logger = logging.getLogger(__name__)


def tuned_model(place: str, key: str) -> Model:
    """Return where a fully tuned model is that a recipe names by its run, its folder or its Hub id.

    Args:
        place: as the recipe has it.
        key: of the recipe, for the error.

    Raises:
        RecipeError: it is an adapter, or a run that made one or is not done.
        ModelError: nothing is there.
    """
    path = Path(place)
    if is_adapter(path) or (is_run(path) and not (path / "model").is_dir()):
        raise RecipeError(
            f"{key}: {place} is no full fine-tune", hint="name the finished run of one, or `peftsum merge` an adapter"
        )
    model = Model(base=str(path / "model") if is_run(path) else place)
    local_folder(model.base)  # raises where a path names nothing
    return model


def check_teacher(recipe: Recipe) -> None:
    """Refuse, before weights load, a teacher that does not fit the student.

    Raises:
        RecipeError: its vocabulary is another one.
        ModelError, HubError: it cannot be loaded.
    """
    objective = recipe.train.objective
    if not isinstance(objective, Distill):
        return
    model = tuned_model(objective.teacher, "train.objective.teacher")
    if load_tokenizer(model).get_vocab() != load_tokenizer(recipe.model).get_vocab():
        raise RecipeError(
            f"train.objective.teacher: {objective.teacher} has another vocabulary than {recipe.model.base}",
            hint="a teacher of the same family is needed, best a full fine-tune of the same base",
        )
    folder = local_folder(model.base)
    record = read_adapter_record(folder) if folder is not None else None
    if record is not None and record.recipe.prompt != recipe.prompt:
        logger.warning("the teacher %s was trained with another prompt than this recipe has", objective.teacher)


def teacher_revision(recipe: Recipe) -> str | None:
    """Return what identifies the teacher's weights, or None without a teacher."""
    objective = recipe.train.objective
    if not isinstance(objective, Distill):
        return None
    return base_revision(tuned_model(objective.teacher, "train.objective.teacher"))


def open_teacher(recipe: Recipe, base: Base, device: str) -> Teacher | None:
    """Return the teacher of a recipe, loaded, or None where it has none."""
    objective = recipe.train.objective
    if not isinstance(objective, Distill):
        return None
    from peftsum.training_model import Teacher

    model = tuned_model(objective.teacher, "train.objective.teacher")
    section = model.model_copy(update={"precision": recipe.model.precision, "attention": recipe.model.attention})
    loaded = load_base(section, frozen=True, device=device, dropout=0.0)
    pad = base.tokenizer.pad_token_id
    kind = device.partition(":")[0]  # the engine asks for "cuda", whichever of them it is
    return Teacher(loaded.model, recipe.train.engine, kind, pad, objective.weight, objective.temperature)

"""What a user can name to get summaries from: an adapter, a model folder, a Hub id, ``builtin:tiny`` or a run."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from peftsum.adapters import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    adapter_base,
    is_adapter,
    is_made_by,
    read_adapter_record,
)
from peftsum.artifacts import ADAPTER_RECORD, MODEL_CONFIG, RUN_FILE, AdapterRecord, RunRecord, is_run, read_record
from peftsum.exceptions import AdapterError, ModelError, UsageError
from peftsum.model import base_revision, content_hash, local_folder
from peftsum.prompts import Prompt
from peftsum.recipe import Data, Generation, Model

logger = logging.getLogger(__name__)

UNKNOWN_BASE_HINT = "pass --base with the base it was trained on"


@dataclass(frozen=True)
class Target:
    """A base, perhaps an adapter on it, and the settings that belong to them."""

    name: str
    """The last part of the path, for columns and files."""
    model: Model
    adapter: Path | None
    prompt: Prompt
    generation: Generation
    max_source_tokens: int
    record: AdapterRecord | None


def resolve_target(text: str | Path, base: str | None = None) -> Target:
    """Find out what was named.

    Args:
        text: adapter folder, model folder, run folder, Hub id or ``builtin:tiny``.
        base: the base to take instead of the one an adapter names.

    Raises:
        AdapterError, ModelError, DataError, UsageError: nothing usable is there.
    """
    path = Path(text)
    if is_run(path):
        return _of_run(path, base)
    if is_adapter(path):
        return _of_adapter(path, base)
    if base is not None:
        raise UsageError(
            f"{text} is no adapter, so --base {base} does not apply", hint="leave --base out, or name an adapter folder"
        )
    folder = local_folder(str(text))  # raises where a path names nothing
    record = read_adapter_record(folder) if folder is not None else None
    quantized = record.recipe.model.quantize if record else "none"
    model = Model(base=str(text), quantize=quantized, precision=record.recipe.model.precision if record else "auto")
    return _target(path.resolve().name if folder else path.name, model, None, record)


def warn_unredacted(target: Target, redact: Collection[str]) -> None:
    """Warn where a model that learned from redacted dialogues is about to read others."""
    trained = target.record.recipe.data.redact if target.record else []
    if missing := [kind for kind in trained if kind not in redact]:
        logger.warning(
            "%s was trained on dialogues without %s, and is given them as they are; pass --redact %s",
            *(target.name, ", ".join(missing), ",".join(trained)),
        )


def weights_identity(target: Target) -> str:
    """Return what changes whenever the weights do."""
    return content_hash([target.adapter / ADAPTER_WEIGHTS]) if target.adapter else base_revision(target.model)


def _of_run(path: Path, base: str | None) -> Target:
    run = read_record(path / RUN_FILE, RunRecord)
    if run.status != "done":
        raise UsageError(
            f"{path} is not finished (it is {run.status})", hint=f"peftsum train RECIPE --run-dir {path} --resume"
        )
    if run.adapter_dir is None:
        if not (path / "model" / MODEL_CONFIG).is_file():
            raise ModelError(f"the model of {path} is no longer in it", hint="train its recipe again")
        target = resolve_target(path / "model")
    else:
        adapter = Path(run.adapter_dir)
        if not is_adapter(adapter):
            raise AdapterError(f"the adapter of {path} is no longer at {adapter}", hint="train its recipe again")
        if not is_made_by(adapter, run):
            raise AdapterError(
                f"the adapter at {adapter} is of another training than {path}", hint="name the adapter, or train again"
            )
        target = _of_adapter(adapter, base)
    return replace(target, name=path.resolve().name)


def _of_adapter(path: Path, base: str | None) -> Target:
    record = read_adapter_record(path)
    named = adapter_base(path)
    if base is not None:
        check_same_base(path, base)
    wanted = base or named
    if wanted is None:
        raise AdapterError(
            f"{path / ADAPTER_CONFIG} names no base, and there is no {ADAPTER_RECORD}", hint=UNKNOWN_BASE_HINT
        )
    if Path(wanted).is_absolute() and not Path(wanted).exists():
        raise AdapterError(f"the base of {path}, {wanted}, is not on this machine", hint=UNKNOWN_BASE_HINT)
    model = record.recipe.model.model_copy(update={"base": wanted}) if record else Model(base=wanted)
    return _target(path.resolve().name, model, path, record)


def check_same_base(adapter: Path, base: str) -> None:
    """Refuse an adapter that was trained on another base, by name and, where both are local, by content.

    Raises:
        AdapterError: the names differ, and the contents do too or cannot be compared.
    """
    record = read_adapter_record(adapter)
    named = adapter_base(adapter)
    folder = local_folder(base)
    if record is None and (named is None or Path(named).is_absolute() or _same_content(named, folder)):
        return  # plain PEFT, and no name or a path on some machine: the shapes decide on loading
    if record is not None and folder is not None and base_revision(Model(base=base)) == record.base_revision:
        return
    if named != base:
        raise AdapterError(f"{adapter} was trained on {named}, not {base}", hint=f"pass --base {named}")
    if record is not None and folder is not None:
        raise AdapterError(
            f"{adapter} was trained on {named} of revision {record.base_revision}, and {base} is another one now",
            hint="train the adapter again on this base",
        )


def _same_content(named: str, folder: Path | None) -> bool:
    """Tell whether a base that plain PEFT named by its path is the folder, byte for byte."""
    if folder is None or not (Path(named) / MODEL_CONFIG).is_file():
        return False
    return base_revision(Model(base=named)) == base_revision(Model(base=str(folder)))


def _target(name: str, model: Model, adapter: Path | None, record: AdapterRecord | None) -> Target:
    recipe = record.recipe if record else None
    return Target(
        name=name,
        model=model,
        adapter=adapter,
        prompt=recipe.prompt if recipe else Prompt(),
        generation=recipe.generation if recipe else Generation(),
        max_source_tokens=(recipe.data if recipe else Data()).max_source_tokens,
        record=record,
    )

"""Adapter folders in the PEFT format, and folders of fully tuned models: save, verify, list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.artifacts import (
    ADAPTER_RECORD,
    AdapterRecord,
    RunRecord,
    folder_bytes,
    read_record,
    write_folder,
    write_record,
)
from peftsum.bank.factors import DOWN, PREFIX, UP, LayerFactors
from peftsum.cost.readings import Readings
from peftsum.exceptions import AdapterError, PeftsumError
from peftsum.model import quiet_load
from peftsum.model_card import model_card
from peftsum.recipe import Model, Recipe
from peftsum.section import Record

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def save_adapter(
    model: PreTrainedModel,
    path: Path,
    record: AdapterRecord,
    costs: Readings | None,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write an adapter folder: PEFT's two files, ``peftsum.json`` and a model card.

    Args:
        model: a ``PeftModel`` whose adapter is named "default".
        path: the folder; an older one is replaced in one step.
        record: what goes into ``peftsum.json``.
        costs: training costs for the card.
        weights: by parameter name, where the model's own are sharded.
    """
    given = {} if weights is None else {"state_dict": weights}

    def fill(folder: Path) -> None:
        # save_embedding_layers=False: peft would ask the Hub whether the vocabulary changed, even offline
        model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False, **given)
        config = _adapter_config(folder)
        config["base_model_name_or_path"] = record.recipe.model.base  # peft writes the path on this machine
        config["revision"] = record.recipe.model.revision
        (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        write_record(folder / ADAPTER_RECORD, record)
        _write_card(folder, model_card(path.name, record, costs))

    write_folder(path, fill)


def save_factors(path: Path, factors: Mapping[str, LayerFactors], model: Model, record: AdapterRecord | None) -> None:
    """Write an adapter folder from the factors of each layer, whatever their ranks.

    Args:
        path: the folder; it must not exist, or be empty.
        factors: by layer, scaling folded in.
        model: the base they are for.
        record: what goes into ``peftsum.json``; None writes peft's two files alone.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    ranks = {name: f.rank for name, f in factors.items()}
    most = max(ranks.values())
    smaller = {name: rank for name, rank in ranks.items() if rank != most}
    config = LoraConfig(
        task_type="SEQ_2_SEQ_LM",
        r=most,
        lora_alpha=most,  # a scale of 1
        rank_pattern=smaller,
        alpha_pattern=smaller,
        target_modules=sorted(factors),
        base_model_name_or_path=model.base,
        revision=model.revision,
        inference_mode=True,
    )
    tensors = {f"{PREFIX}{name}{DOWN}": f.down.contiguous() for name, f in factors.items()}
    tensors |= {f"{PREFIX}{name}{UP}": f.up.t().contiguous() for name, f in factors.items()}

    def fill(folder: Path) -> None:
        config.save_pretrained(str(folder))
        save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        if record is not None:
            write_record(folder / ADAPTER_RECORD, record)
            _write_card(folder, model_card(path.name, record, None))

    write_folder(path, fill)


def save_full_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    record: AdapterRecord | None,
    costs: Readings | None = None,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write a plain transformers folder, with ``peftsum.json`` and a model card where there is a record.

    Args:
        model: fully tuned, or with an adapter merged into it.
        tokenizer: of its base.
        path: the folder; an older one is replaced in one step.
        record: of the training that made the weights.
        costs: training costs for the card.
        weights: by parameter name, where the model's own are sharded.
    """
    given = {} if weights is None else {"state_dict": weights}

    def fill(folder: Path) -> None:
        with quiet_load():  # it would draw a bar a file
            model.save_pretrained(str(folder), **given)
            tokenizer.save_pretrained(str(folder))
        if record is not None:
            write_record(folder / ADAPTER_RECORD, record)
            _write_card(folder, model_card(path.name, record, costs, whole=True))

    write_folder(path, fill)


def update_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe that differs in nothing that shapes weights into the record of an adapter or model."""
    record = read_adapter_record(path)
    if record is not None:
        write_record(path / ADAPTER_RECORD, record.model_copy(update={"recipe": recipe}))


def _write_card(folder: Path, text: str) -> None:
    (folder / "README.md").write_text(text, encoding="utf-8")


def is_adapter(path: Path) -> bool:
    """Tell whether a folder is in the PEFT format."""
    return (path / ADAPTER_CONFIG).is_file()


def read_adapter_record(path: Path) -> AdapterRecord | None:
    """Return the adapter's or model's ``peftsum.json``, or None where plain PEFT made the folder."""
    if not (path / ADAPTER_RECORD).is_file():
        return None
    return read_record(path / ADAPTER_RECORD, AdapterRecord)


def is_made_by(path: Path, run: RunRecord) -> bool:
    """Tell whether an adapter folder is of a run's recipe and data, and not of another training under the same name."""
    try:
        record = read_adapter_record(path) if is_adapter(path) else None
    except PeftsumError:
        return False
    if record is None or record.parts:
        return False
    wanted = (run.fingerprint, run.data_fingerprint, run.base_revision)
    return (record.recipe.fingerprint, record.data_fingerprint, record.base_revision) == wanted


def adapter_base(path: Path) -> str | None:
    """Return the name of the base that an adapter says it was trained on."""
    record = read_adapter_record(path)
    if record is not None:
        return record.recipe.model.base
    name = _adapter_config(path).get("base_model_name_or_path")
    return str(name) if name else None


def check_adapter(path: Path) -> dict[str, torch.Tensor]:
    """Verify an adapter folder and return its weights.

    Raises:
        AdapterError: no adapter is there, a file is missing, or the weights are cut short or not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_adapter_folder(path)
    weights = path / ADAPTER_WEIGHTS
    if not weights.is_file():
        raise AdapterError(f"{path} has no {ADAPTER_WEIGHTS}", hint="copy the adapter again, or train it again")
    try:
        tensors: dict[str, torch.Tensor] = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise AdapterError(
            f"{weights} is damaged ({error})", hint="it may be cut short: copy it again, or train it again"
        ) from error
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise AdapterError(
                f"{weights}: {name} has values that are not finite", hint="train it again with a lower rate"
            )
    return tensors


def check_adapter_folder(path: Path) -> None:
    """Verify that a folder is there and is an adapter's, by its configuration alone.

    Raises:
        AdapterError: it is not.
    """
    if not path.is_dir():
        raise AdapterError(f"no adapter at {path}", hint="`peftsum adapters` lists what is there")
    if not is_adapter(path):
        raise AdapterError(
            f"{path} is no adapter: it has no {ADAPTER_CONFIG}", hint="name a folder that `peftsum train` or peft wrote"
        )
    _adapter_config(path)


def _adapter_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads((path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise AdapterError(
            f"{path / ADAPTER_CONFIG} is damaged", hint="copy the adapter again, or train it again"
        ) from error
    if not isinstance(config, dict):
        raise AdapterError(
            f"{path / ADAPTER_CONFIG} is no JSON object", hint="copy the adapter again, or train it again"
        )
    return config


class AdapterListing(Record):
    """One adapter folder as `peftsum adapters` shows it."""

    name: str
    path: str
    method: str
    base: str | None
    weight_bytes: int
    problem: str | None
    """What is wrong with it, or None."""


def list_adapters(folder: Path) -> list[AdapterListing]:
    """Return the adapters in a folder, or the folder itself where it is one, each verified.

    Raises:
        AdapterError: the folder is not there.
    """
    if not folder.is_dir():
        raise AdapterError(f"no folder {folder}", hint="`peftsum train` writes adapters to adapters/NAME")
    paths = [folder] if is_adapter(folder) else sorted(path for path in folder.iterdir() if is_adapter(path))
    return [_listing(path) for path in paths]


def _variant(config: dict[str, Any]) -> str:
    """Return what the method of an adapter without a record of ours is called, by peft's own settings."""
    named = [name for name in ("dora", "rslora") if config.get(f"use_{name}")]
    return "+".join(named) or str(config.get("peft_type", "?")).lower()


def _listing(path: Path) -> AdapterListing:
    method, base, problem = "?", None, None
    try:
        record = read_adapter_record(path)
        base = adapter_base(path)
        method = record.recipe.method.label() if record else _variant(_adapter_config(path))
        check_adapter(path)
    except PeftsumError as error:
        problem = error.message
    return AdapterListing(
        name=path.name, path=str(path), method=method, base=base, weight_bytes=folder_bytes(path), problem=problem
    )

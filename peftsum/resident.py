"""The adapters on one base: LoRA in a bank's stacks, the others on the model in peft's own way."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.adapters import ADAPTER_CONFIG, check_adapter
from peftsum.bank import AdapterBank, LayerFactors, not_stackable, read_factors
from peftsum.decoding import Decoded, decode_ids, why_not
from peftsum.exceptions import AdapterError, UsageError
from peftsum.imports import quick_imports
from peftsum.model import Base, quiet_load
from peftsum.recipe import Generation

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)


class ResidentAdapters:
    """Adapters by name, and the model that answers with one of them or with many at once.

    Args:
        base: what they sit on.
        adapter_bytes: most memory of the bank; None keeps all.
    """

    def __init__(self, base: Base, adapter_bytes: int | None = None) -> None:
        self._base = base
        self._model: PreTrainedModel = base.model.eval()
        self.bank = AdapterBank(self._model.device, adapter_bytes)
        self._folders: dict[str, Path] = {}
        self._kind: str | None = None
        self._own_way: dict[str, str] = {}
        """Adapters that cannot be stacked with others and run peft's own way, and why."""
        self._told: set[str] = set()
        """Those of which the log has said so."""
        self._inner: dict[str, str] = {}
        """Name to what peft calls the adapter: torch allows no dots there, nor the names of a dictionary's methods."""
        self._loaded = 0

    @property
    def model(self) -> PreTrainedModel:
        """The model itself: a ``PeftModel`` once an adapter is here, with all of them attached by this call."""
        for name in self._folders:
            self._attach_loaded(name)
        return self._model

    def add(self, name: str, path: Path, tensors: dict[str, torch.Tensor]) -> None:
        """Take in an adapter, wholly or not at all.

        Args:
            name: that it has here from now on.
            path: its folder.
            tensors: its weights, as :func:`peftsum.adapters.check_adapter` read them.

        Raises:
            AdapterError: it does not fit the base.
            UsageError: it is of another kind than those here.
        """
        self._loaded += 1
        inner = f"adapter_{self._loaded:05d}"  # no such name is a part of another, which confuses peft's look-ups
        config = self._checked_config(path)
        reason = not_stackable(config) or why_not(self._base.model)
        if reason is None:
            self._take_in(path, inner, config, tensors)
        else:
            self._attach(path, inner, set(tensors))
            self._own_way[name] = reason
        self._folders[name], self._inner[name] = path, inner
        self._kind = config.peft_type.value.lower()

    def remove(self, name: str) -> None:
        """Drop an adapter and its memory."""
        del self._folders[name]
        self._own_way.pop(name, None)
        self._told.discard(name)
        inner = self._inner.pop(name)
        self.bank.remove(inner)
        self._detach(inner)
        self._kind = self._kind if self._folders else None

    @property
    def bare(self) -> PreTrainedModel:
        """The base's own model, whatever peft has put around it."""
        return self._base.model

    def runs_apart(self, name: str | None) -> bool:
        """Tell whether an adapter runs peft's own way, and so in no batch with others."""
        return name in self._own_way

    def factors(self, name: str) -> dict[str, LayerFactors]:
        """Return an adapter's factors by layer, views into the bank, read again if it had left."""
        inner = self._resident(name)
        assert inner is not None, "it has a name"
        return self.bank.layers_of(inner)

    def resident_bytes(self, name: str) -> int:
        """Return the bytes of an adapter's factors in the bank, 0 where it left."""
        inner = self._inner[name]
        if inner not in self.bank:
            return 0
        return sum(f.down.nbytes + f.up.nbytes for f in self.bank.layers_of(inner, used=False).values())

    def decode(
        self, sources: Sequence[Sequence[int]], adapters: Sequence[str | None], generation: Generation, title: str
    ) -> list[Decoded]:
        """Return a summary for each source by its adapter: those in the bank at once, the others one after another."""
        found = [Decoded([])] * len(sources)
        together = why_not(self._base.model, generation) is None
        alone = {name for name in adapters if not together or name in self._own_way}
        if len(set(adapters)) > 1:
            self._tell(name for name in alone if name is not None)
        turns: list[list[int]] = [[i for i, name in enumerate(adapters) if name == one] for one in alone]
        mixed = [i for i, name in enumerate(adapters) if name not in alone]
        for rows in turns:
            with self.active(adapters[rows[0]]) as model:
                part = decode_ids(model, [sources[i] for i in rows], generation, title=title)
            for i, decoded in zip(rows, part, strict=True):
                found[i] = decoded
        for rows in self._fitting(mixed, adapters):
            factors, slots = self.bank.stacked([self._resident(adapters[i]) for i in rows])
            part = decode_ids(
                self._base.model, [sources[i] for i in rows], generation, title=title, factors=factors, slots=slots
            )
            for i, decoded in zip(rows, part, strict=True):
                found[i] = decoded
        return found

    def _tell(self, names: Iterable[str]) -> None:
        """Say once of each adapter that a mixed call waits for it to take its turn."""
        for name in sorted(set(names) & self._own_way.keys() - self._told):
            self._told.add(name)
            reason = self._own_way[name]
            logger.info("%s cannot share a batch with other adapters, and runs peft's own way: %s", name, reason)

    @contextmanager
    def active(self, name: str | None) -> Iterator[PreTrainedModel]:
        """Give the model with this adapter, or for None as the bare base."""
        if name is not None:
            self._attach_loaded(name)
            self._model.set_adapter(self._inner[name])
            yield self._model
            return
        with self._model.disable_adapter() if hasattr(self._model, "peft_config") else nullcontext():
            yield self._model

    def _attach(self, path: Path, inner: str, expected: set[str]) -> None:
        """Add an adapter to the model, wholly or not at all."""
        with quick_imports():
            from peft import PeftModel, get_peft_model

        with quiet_load():
            config = read_adapter_config(path)
            try:
                if not isinstance(self._model, PeftModel):
                    self._model = get_peft_model(self._base.model, config, adapter_name=inner)
                self._model.load_adapter(str(path), adapter_name=inner)
                self._check_all_taken(path, inner, expected)
            except (RuntimeError, ValueError, KeyError, TypeError) as error:
                self._detach(inner)
                if isinstance(error, AdapterError):
                    raise
                raise _unfitting(path, self._base.name, str(error).splitlines()[0][:200]) from error
        self._model.eval()

    def _checked_config(self, path: Path) -> Any:
        """Return peft's configuration of an adapter, which must be of the kind of those loaded."""
        config = read_adapter_config(path)
        kind = config.peft_type.value.lower()
        if self._kind is not None and kind != self._kind:
            raise UsageError(
                f"{path} is of kind {kind}, those loaded are {self._kind}", hint="load it in a Summarizer of its own"
            )
        return config

    def _take_in(
        self, path: Path, inner: str, config: Any, tensors: dict[str, torch.Tensor], keep: Sequence[str] = ()
    ) -> None:
        """Add an adapter to the bank; those that leave for it are read again when they are asked for."""
        net: Any = self._base.model
        try:
            factors = read_factors(config, tensors, net, net.decoder.final_layer_norm.weight.dtype)
        except AdapterError as error:
            raise _unfitting(path, self._base.name, error.message) from error
        left = self.bank.add(inner, factors, keep)
        if left:
            logger.debug("%d adapters left the bank for %s", len(left), path)

    def _fitting(self, rows: list[int], adapters: Sequence[str | None]) -> list[list[int]]:
        """Make the adapters of some rows resident; where they do not fit together, their rows take turns."""
        wanted = list(dict.fromkeys(name for name in (adapters[i] for i in rows) if name is not None))
        try:
            for name in wanted:
                self._resident(name, [self._inner[other] for other in wanted])
        except UsageError:
            return [[i for i in rows if adapters[i] == one] for one in dict.fromkeys(adapters[i] for i in rows)]
        return [rows] if rows else []

    def _resident(self, name: str | None, keep: Sequence[str] = ()) -> str | None:
        """Return what the bank calls an adapter, once it has it."""
        if name is None:
            return None
        inner, path = self._inner[name], self._folders[name]
        if inner not in self.bank:
            self._take_in(path, inner, self._checked_config(path), check_adapter(path), keep)
        return inner

    def _attach_loaded(self, name: str) -> None:
        """Give peft's model an adapter that was in the bank alone."""
        path, inner = self._folders[name], self._inner[name]
        if inner not in getattr(self._model, "peft_config", {}):
            self._attach(path, inner, set(check_adapter(path)))

    def _detach(self, inner: str) -> None:
        """Take an adapter out of the model; the last one leaves the base as it was."""
        from peft import PeftModel

        if not isinstance(self._model, PeftModel):
            return
        with quiet_load():
            if set(self._model.peft_config) <= {inner}:
                self._model = self._model.unload()
            elif inner in self._model.peft_config:
                self._model.delete_adapter(inner)

    def _check_all_taken(self, path: Path, inner: str, expected: set[str]) -> None:
        """Refuse a file whose tensors did not all find their place: peft itself only warns."""
        from peft import get_peft_model_state_dict

        taken = set(get_peft_model_state_dict(self._model, adapter_name=inner, save_embedding_layers=False))
        if taken != expected:
            raise _unfitting(path, self._base.name, f"{len(taken ^ expected)} of its tensors have no counterpart")


def read_adapter_config(path: Path) -> Any:
    """Return peft's configuration of an adapter folder.

    Raises:
        AdapterError: peft cannot read it.
    """
    from peft import PeftConfig

    try:
        config = PeftConfig.from_pretrained(str(path))
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"peft cannot read {path / ADAPTER_CONFIG}: {str(error)[:200]}", hint="was it made by a newer peft?"
        ) from error
    config.inference_mode = True
    return config


def _unfitting(path: Path, base: str, text: str) -> AdapterError:
    return AdapterError(f"{path} does not fit {base}: {text}", hint="was it trained on another base?")

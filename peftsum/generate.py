"""``Summarizer``: one base in memory, several adapters on it, swapped without reloading."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peftsum.adapters import ADAPTER_CONFIG, check_adapter, check_adapter_folder
from peftsum.artifacts import is_run
from peftsum.bank import AdapterBank, not_stackable, read_factors
from peftsum.batching import Encoded
from peftsum.decoding import Decoded, decode_ids, texts_of, why_not
from peftsum.exceptions import AdapterError, UsageError
from peftsum.likelihood import token_log_likelihoods
from peftsum.long_dialogues import Written, encode_truncated, write_summaries
from peftsum.model import Base, default_device, load_base, quiet_load
from peftsum.prompts import Prompt
from peftsum.recipe import Data, Generation
from peftsum.registry import nearest
from peftsum.targets import Target, check_same_base, resolve_target

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

BASE = "__base__"  # the bare base, by peft's own word for it


class Summarizer:
    r"""One base with any number of adapters; each keeps the prompt and generation settings it was trained with.

    Args:
        base: ``builtin:tiny``, a model folder or a Hub id. None takes the base of the first adapter.
        adapters: adapter folders to load at once; more can be loaded later.
        quantize: hold the base in 8 or 4 bits; None takes what the first adapter was trained on.
        precision: arithmetic; None takes the recipe's.
        device: "cpu", "cuda", …; None takes a GPU where there is one.
        adapter_bytes: most memory for LoRA adapters that are held in stacks; beyond it the least recently used ones
            leave, and are read again when asked for. None keeps all.

    Raises:
        AdapterError: an adapter is missing, damaged, or was trained on another base.
        ModelError, HubError: the base cannot be loaded.

    Example:
        >>> summarizer = Summarizer(adapters=["adapters/tiny-summary", "adapters/tiny-topic"])
        >>> summarizer.summarize(["Ann: Lunch at one?\nBob: Yes, at Joe's."], adapter="tiny-topic")
        ['meeting for lunch']
    """

    def __init__(
        self,
        base: str | None = None,
        adapters: Sequence[str | Path] = (),
        *,
        quantize: Literal["none", "int8", "nf4"] | None = None,
        precision: Literal["auto", "bf16", "fp32"] | None = None,
        device: str | None = None,
        adapter_bytes: int | None = None,
    ) -> None:
        folders = [_adapter_folder(adapter) for adapter in adapters]
        first = resolve_target(folders[0], base) if folders else resolve_target(base or "builtin:tiny")
        changes = {"quantize": quantize, "precision": precision}
        self._model_section = first.model.model_copy(update={k: v for k, v in changes.items() if v is not None})
        self._base_target = first if first.adapter is None else None
        for folder in folders:
            check_same_base(folder, self._model_section.base)
        self._base: Base = load_base(self._model_section, frozen=True, device=device or default_device())
        self._model: PreTrainedModel = self._base.model.eval()
        self._targets: dict[str, Target] = {}
        self._bank = AdapterBank(self._model.device, adapter_bytes)
        self._kind: str | None = None
        self._own_way: set[str] = set()
        """Names of adapters that cannot be stacked with others, and run peft's own way."""
        self._inner: dict[str, str] = {}
        """Name to what peft calls the adapter: torch allows no dots there, nor the names of a dictionary's methods."""
        self._loaded = 0
        for adapter in adapters:
            self.load(adapter)

    @property
    def base(self) -> str:
        """The base's name."""
        return self._model_section.base

    @property
    def model(self) -> PreTrainedModel:
        """The model itself: a ``PeftModel`` once an adapter is loaded, with all of them attached by this call."""
        for name in self._targets:
            self._attach_loaded(name)
        return self._model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base's tokenizer."""
        return self._base.tokenizer

    @property
    def adapters(self) -> list[str]:
        """Names of the loaded adapters, in the order they were loaded."""
        return list(self._targets)

    def load(self, adapter: str | Path, name: str | None = None) -> str:
        """Load one more adapter beside the others and return the name it has here.

        Args:
            adapter: its folder, or a run that made one.
            name: None takes the folder's name, numbered if that is taken.

        Raises:
            AdapterError: it is missing, damaged or of another base; what was loaded before stays as it was.
            UsageError: the name is taken, or the adapter is of another kind than those loaded.
        """
        path = _adapter_folder(adapter)
        tensors = check_adapter(path)
        check_same_base(path, self._model_section.base)
        name = name or self._free_name(path.resolve().name)
        if name in self._targets or name == BASE:
            raise UsageError(f"the name {name!r} is taken", hint="load it under another name")
        target = resolve_target(path, self._model_section.base)
        self._loaded += 1
        inner = f"adapter_{self._loaded:05d}"  # no such name is a part of another, which confuses peft's look-ups
        config = self._checked_config(path)
        reason = not_stackable(config) or why_not(self._base.model)
        if reason is None:
            self._take_in(path, inner, config, tensors)
        else:
            logger.info("%s cannot share a batch with other adapters, and runs peft's own way: %s", path.name, reason)
            self._attach(path, inner, set(tensors))
            self._own_way.add(name)
        self._targets[name], self._inner[name] = replace(target, adapter=path), inner
        self._kind = config.peft_type.value.lower()
        return name

    def unload(self, name: str) -> None:
        """Drop an adapter and its memory."""
        self._known(name)
        del self._targets[name]
        self._own_way.discard(name)
        inner = self._inner.pop(name)
        self._bank.remove(inner)
        self._detach(inner)
        self._kind = self._kind if self._targets else None

    def target(self, name: str | None = None) -> Target | None:
        """Return what is known of an adapter, or of the base for None."""
        return self._targets[self._known(name)] if name is not None else self._base_target

    def encode(
        self,
        dialogues: Sequence[str],
        adapter: str | None = None,
        prompt: Prompt | None = None,
        max_source_tokens: int | None = None,
    ) -> list[list[int]]:
        """Return the token ids of dialogues in the adapter's prompt; a cut one is warned of."""
        prompt, limit = self._prompt_and_limit(self.target(adapter), prompt, max_source_tokens)
        return encode_truncated(self._base.tokenizer, prompt, dialogues, limit)[0]

    def summarize(
        self,
        dialogues: Sequence[str],
        adapter: str | Sequence[str] | None = None,
        *,
        prompt: Prompt | None = None,
        generation: Generation | None = None,
        max_source_tokens: int | None = None,
        title: str = "",
    ) -> list[str]:
        """Return a summary for each dialogue, in order.

        LoRA adapters of unlike ranks and layers answer in one batch; others take turns.

        Args:
            dialogues: texts, a turn a line.
            adapter: a loaded adapter's name, or one a dialogue; None takes the only one, or the bare base when none is
                loaded.
            prompt: instead of the adapter's own.
            generation: instead of the adapter's own.
            max_source_tokens: most tokens of a prompt with its dialogue, instead of the adapter's own; what is longer
                is cut, or read in parts, as ``generation.strategy`` says.
            title: shown with a progress bar when given.
        """
        if adapter is None or isinstance(adapter, str):
            options = {"prompt": prompt, "generation": generation, "max_source_tokens": max_source_tokens}
            return [written.text for written in self.write(dialogues, adapter, **options, title=title)]  # type: ignore[arg-type]
        return self._mixed(dialogues, list(adapter), prompt, generation, max_source_tokens, title)

    def write(
        self,
        dialogues: Sequence[str],
        adapter: str | None = None,
        *,
        prompt: Prompt | None = None,
        generation: Generation | None = None,
        max_source_tokens: int | None = None,
        title: str = "",
    ) -> list[Written]:
        """Return what :meth:`summarize` does, each with what of its dialogue was read, and in how many parts."""
        if isinstance(dialogues, str):
            raise UsageError("summarize takes a list of dialogues, not one text", hint="put it in a list: [dialogue]")
        adapter = self.chosen(adapter)
        target = self.target(adapter)
        settings = generation or (target.generation if target else Generation())
        prompt, limit = self._prompt_and_limit(target, prompt, max_source_tokens)

        def answer(sources: Sequence[list[int]], title: str) -> list[str]:
            return texts_of(self._base.tokenizer, self._decode(sources, [adapter] * len(sources), settings, title))

        return write_summaries(dialogues, self._base.tokenizer, prompt, limit, settings, answer, title=title)

    def _mixed(
        self,
        dialogues: Sequence[str],
        names: Sequence[str],
        prompt: Prompt | None,
        generation: Generation | None,
        max_source_tokens: int | None,
        title: str,
    ) -> list[str]:
        """Return a summary for each dialogue by its own adapter; those of equal settings share batches."""
        if isinstance(dialogues, str):
            raise UsageError("summarize takes a list of dialogues, not one text", hint="put it in a list: [dialogue]")
        if len(names) != len(dialogues):
            raise UsageError(f"{len(names)} adapters for {len(dialogues)} dialogues", hint="name one a dialogue")
        found = [""] * len(dialogues)
        rows_of: dict[Generation, dict[str | None, list[int]]] = {}
        for i, name in enumerate(names):
            target = self.target(self.chosen(name))
            settings = generation or (target.generation if target else Generation())
            rows_of.setdefault(settings, {}).setdefault(self.chosen(name), []).append(i)
        for settings, members in rows_of.items():
            if settings.strategy == "staged":  # parts of stages share batches within an adapter
                parts: list[tuple[str | None, list[int]]] = list(members.items())
            else:
                parts = []
                whose = [name for name, rows in members.items() for _ in rows]
                sources = [
                    ids
                    for name, rows in members.items()
                    for ids in self.encode([dialogues[i] for i in rows], name, prompt, max_source_tokens)
                ]
                texts = texts_of(self._base.tokenizer, self._decode(sources, whose, settings, title))
                for i, text in zip([i for rows in members.values() for i in rows], texts, strict=True):
                    found[i] = text
            for whole, rows in parts:
                written = self.write(
                    [dialogues[i] for i in rows],
                    whole or BASE,
                    prompt=prompt,
                    generation=settings,
                    max_source_tokens=max_source_tokens,
                    title=title,
                )
                for i, one in zip(rows, written, strict=True):
                    found[i] = one.text
        return found

    def log_likelihoods(self, written: Sequence[Written], adapter: str | None = None) -> list[float]:
        """Return how likely the model finds each summary behind the prompt it was written from: nats a token, mean."""
        adapter = self.chosen(adapter)
        targets = [self._base.tokenizer(text_target=w.text, verbose=False)["input_ids"] for w in written]
        encoded = [Encoded(w.source, target) for w, target in zip(written, targets, strict=True)]
        with self._active(adapter):
            return token_log_likelihoods(self._model, self._base.tokenizer.pad_token_id, encoded)

    @staticmethod
    def _prompt_and_limit(target: Target | None, prompt: Prompt | None, limit: int | None) -> tuple[Prompt, int]:
        limit = limit or (target.max_source_tokens if target else Data().max_source_tokens)
        return prompt or (target.prompt if target else Prompt()), limit

    def _decode(
        self, sources: Sequence[Sequence[int]], adapters: Sequence[str | None], generation: Generation, title: str
    ) -> list[Decoded]:
        """Return a summary for each source by its adapter: those in the bank at once, the others one after another."""
        found = [Decoded([])] * len(sources)
        together = why_not(self._base.model, generation) is None
        alone = {name for name in adapters if not together or name in self._own_way}
        turns: list[list[int]] = [[i for i, name in enumerate(adapters) if name == one] for one in alone]
        mixed = [i for i, name in enumerate(adapters) if name not in alone]
        for rows in turns:
            with self._active(adapters[rows[0]]):
                part = decode_ids(self._model, [sources[i] for i in rows], generation, title=title)
            for i, decoded in zip(rows, part, strict=True):
                found[i] = decoded
        for rows in self._fitting(mixed, adapters):
            factors, slots = self._bank.stacked([self._resident(adapters[i]) for i in rows])
            part = decode_ids(
                self._base.model, [sources[i] for i in rows], generation, title=title, factors=factors, slots=slots
            )
            for i, decoded in zip(rows, part, strict=True):
                found[i] = decoded
        return found

    def _active(self, adapter: str | None) -> Any:
        if adapter is not None:
            self._attach_loaded(adapter)
            self._model.set_adapter(self._inner[adapter])
            return nullcontext()
        return self._model.disable_adapter() if hasattr(self._model, "peft_config") else nullcontext()

    def chosen(self, adapter: str | None) -> str | None:
        """Return the name of the adapter that answers where ``adapter`` is asked for; None is the bare base.

        Raises:
            AdapterError: no adapter of that name is loaded.
            UsageError: several are, and none is named.
        """
        if adapter == BASE:
            return None
        if adapter is None and len(self._targets) > 1:
            raise UsageError(
                f"several adapters are loaded: {', '.join(self._targets)}", hint=f"say which: adapter=NAME, or {BASE}"
            )
        if adapter is None:
            return next(iter(self._targets), None)
        return self._known(adapter)

    def _known(self, name: str) -> str:
        if name not in self._targets:
            guess = nearest(name, self._targets)
            raise AdapterError(
                f"no adapter {name!r} is loaded",
                hint=f"did you mean {guess!r}?" if guess else f"loaded: {', '.join(self._targets) or 'none'}",
            )
        return name

    def _free_name(self, name: str) -> str:
        number, free = 1, name
        while free in self._targets:
            number += 1
            free = f"{name}-{number}"
        return free

    def _attach(self, path: Path, inner: str, expected: set[str]) -> None:
        """Add an adapter to the model, wholly or not at all."""
        from peft import PeftConfig, PeftModel, get_peft_model

        with quiet_load():
            config = _read_config(PeftConfig, path)
            try:
                if not isinstance(self._model, PeftModel):
                    self._model = get_peft_model(self._base.model, config, adapter_name=inner)
                self._model.load_adapter(str(path), adapter_name=inner)
                self._check_all_taken(path, inner, expected)
            except (RuntimeError, ValueError, KeyError, TypeError) as error:
                self._detach(inner)
                if isinstance(error, AdapterError):
                    raise
                raise _unfitting(path, self.base, str(error).splitlines()[0][:200]) from error
        self._model.eval()

    def _checked_config(self, path: Path) -> Any:
        """Return peft's configuration of an adapter, which must be of the kind of those loaded."""
        from peft import PeftConfig

        config = _read_config(PeftConfig, path)
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
            raise _unfitting(path, self.base, error.message) from error
        left = self._bank.add(inner, factors, keep)
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
        inner, path = self._inner[name], self._targets[name].adapter
        if inner not in self._bank:
            assert path is not None, "what was loaded has a folder"
            self._take_in(path, inner, self._checked_config(path), check_adapter(path), keep)
        return inner

    def _attach_loaded(self, name: str) -> None:
        """Give peft's model an adapter that was in the bank alone."""
        path, inner = self._targets[name].adapter, self._inner[name]
        if path is not None and inner not in getattr(self._model, "peft_config", {}):
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
            raise _unfitting(path, self.base, f"{len(taken ^ expected)} of its tensors have no counterpart")


def _adapter_folder(adapter: str | Path) -> Path:
    """Return the folder of an adapter, or of the one that a run made.

    Raises:
        AdapterError: it is not there, or what is there is no adapter.
    """
    path = Path(adapter)
    if is_run(path):
        made = resolve_target(path).adapter
        if made is None:
            raise AdapterError(f"{path} is a full fine-tune and has no adapter", hint=f"pass it as the base: {path}")
        return made
    check_adapter_folder(path)
    return path


def _read_config(kind: Any, path: Path) -> Any:
    try:
        config = kind.from_pretrained(str(path))
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"peft cannot read {path / ADAPTER_CONFIG}: {str(error)[:200]}", hint="was it made by a newer peft?"
        ) from error
    config.inference_mode = True
    return config


def _unfitting(path: Path, base: str, text: str) -> AdapterError:
    return AdapterError(f"{path} does not fit {base}: {text}", hint="was it trained on another base?")

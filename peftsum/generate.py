"""``Summarizer``: one base in memory, several adapters on it, swapped without reloading."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peftsum.adapters import ADAPTER_CONFIG, check_adapter, check_adapter_folder
from peftsum.artifacts import is_run
from peftsum.batching import Encoded
from peftsum.decoding import decode
from peftsum.exceptions import AdapterError, UsageError
from peftsum.likelihood import token_log_likelihoods
from peftsum.long_dialogues import Written, encode_truncated, write_summaries
from peftsum.model import Base, default_device, load_base, quiet_load
from peftsum.prompts import Prompt
from peftsum.recipe import Data, Generation
from peftsum.registry import nearest
from peftsum.targets import Target, check_same_base, resolve_target

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BASE = "__base__"  # the bare base, by peft's own word for it


class Summarizer:
    r"""One base with any number of adapters; each keeps the prompt and generation settings it was trained with.

    Args:
        base: ``builtin:tiny``, a model folder or a Hub id. None takes the base of the first adapter.
        adapters: adapter folders to load at once; more can be loaded later.
        quantize: hold the base in 8 or 4 bits; None takes what the first adapter was trained on.
        precision: arithmetic; None takes the recipe's.
        device: "cpu", "cuda", …; None takes a GPU where there is one.

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
        """The model itself: a ``PeftModel`` once an adapter is loaded."""
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
        expected = set(check_adapter(path))
        check_same_base(path, self._model_section.base)
        name = name or self._free_name(path.resolve().name)
        if name in self._targets or name == BASE:
            raise UsageError(f"the name {name!r} is taken", hint="load it under another name")
        target = resolve_target(path, self._model_section.base)
        self._loaded += 1
        inner = f"adapter_{self._loaded:05d}"  # no such name is a part of another, which confuses peft's look-ups
        self._attach(path, inner, expected)
        self._targets[name], self._inner[name] = target, inner
        return name

    def unload(self, name: str) -> None:
        """Drop an adapter and its memory."""
        self._known(name)
        del self._targets[name]
        self._detach(self._inner.pop(name))

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
        adapter: str | None = None,
        *,
        prompt: Prompt | None = None,
        generation: Generation | None = None,
        max_source_tokens: int | None = None,
        title: str = "",
    ) -> list[str]:
        """Return a summary for each dialogue, in order.

        Args:
            dialogues: texts, a turn a line.
            adapter: a loaded adapter's name; None takes the only one, or the bare base when none is loaded.
            prompt: instead of the adapter's own.
            generation: instead of the adapter's own.
            max_source_tokens: most tokens of a prompt with its dialogue, instead of the adapter's own; what is longer
                is cut, or read in parts, as ``generation.strategy`` says.
            title: shown with a progress bar when given.
        """
        options = {"prompt": prompt, "generation": generation, "max_source_tokens": max_source_tokens}
        return [written.text for written in self.write(dialogues, adapter, **options, title=title)]  # type: ignore[arg-type]

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
            with self._active(adapter):
                return decode(self._model, self._base.tokenizer, sources, settings, title=title)

        return write_summaries(dialogues, self._base.tokenizer, prompt, limit, settings, answer, title=title)

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

    def _active(self, adapter: str | None) -> Any:
        if adapter is not None:
            self._model.set_adapter(self._inner[adapter])
            return nullcontext()
        return self._model.disable_adapter() if self._targets else nullcontext()

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
            if isinstance(self._model, PeftModel) and config.peft_type != self._model.peft_type:
                kinds = f"{config.peft_type.value.lower()}, those loaded are {self._model.peft_type.value.lower()}"
                raise UsageError(f"{path} is of kind {kinds}", hint="load it in a Summarizer of its own")
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

"""``Summarizer``: one base in memory, several adapters on it, swapped without reloading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from peftsum.adapters import check_adapter, check_adapter_folder
from peftsum.artifacts import is_run
from peftsum.batching import Encoded
from peftsum.decoding import texts_of
from peftsum.exceptions import AdapterError, UsageError
from peftsum.likelihood import token_log_likelihoods
from peftsum.long_dialogues import Written, encode_truncated, write_summaries
from peftsum.model import Base, default_device, load_base
from peftsum.prompts import Prompt
from peftsum.recipe import Data, Generation
from peftsum.registry import nearest
from peftsum.resident import ResidentAdapters
from peftsum.speakers import speaker_view
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
        self._resident = ResidentAdapters(self._base, adapter_bytes)
        self._targets: dict[str, Target] = {}
        for adapter in adapters:
            self.load(adapter)

    @property
    def base(self) -> str:
        """The base's name."""
        return self._model_section.base

    @property
    def revision(self) -> str:
        """Content hash of a local base, commit of one from the Hub."""
        return self._base.revision

    @property
    def model(self) -> PreTrainedModel:
        """The model itself: a ``PeftModel`` once an adapter is loaded, with all of them attached by this call."""
        return self._resident.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base's tokenizer."""
        return self._base.tokenizer

    @property
    def resident(self) -> ResidentAdapters:
        """The adapters in memory, for callers that decode themselves."""
        return self._resident

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
        self._resident.add(name, path, tensors)
        self._targets[name] = replace(target, adapter=path)
        return name

    def unload(self, name: str) -> None:
        """Drop an adapter and its memory."""
        self._known(name)
        del self._targets[name]
        self._resident.remove(name)

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
        read = [speaker_view(dialogue, prompt.speakers).dialogue for dialogue in dialogues]
        return encode_truncated(self._base.tokenizer, prompt, read, limit)[0]

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
        _refuse_one_text(dialogues)
        adapter = self.chosen(adapter)
        target = self.target(adapter)
        settings = generation or (target.generation if target else Generation())
        prompt, limit = self._prompt_and_limit(target, prompt, max_source_tokens)

        def answer(sources: Sequence[list[int]], title: str) -> list[str]:
            return texts_of(
                self._base.tokenizer, self._resident.decode(sources, [adapter] * len(sources), settings, title)
            )

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
        _refuse_one_text(dialogues)
        if len(names) != len(dialogues):
            raise UsageError(f"{len(names)} adapters for {len(dialogues)} dialogues", hint="name one a dialogue")
        found = [""] * len(dialogues)
        chosen = [self.chosen(name) for name in names]
        rows_of: dict[Generation, list[int]] = {}
        for i, name in enumerate(chosen):
            target = self.target(name)
            rows_of.setdefault(generation or (target.generation if target else Generation()), []).append(i)
        for settings, rows in rows_of.items():
            sources: dict[int, list[int]] = {}
            for name in dict.fromkeys(chosen[i] for i in rows):
                own = [i for i in rows if chosen[i] == name]
                texts = [dialogues[i] for i in own]
                if settings.strategy == "staged":  # the parts of its stages share batches, within an adapter
                    whole = {"prompt": prompt, "generation": settings, "max_source_tokens": max_source_tokens}
                    for i, written in zip(own, self.write(texts, name or BASE, **whole, title=title), strict=True):  # type: ignore[arg-type]
                        found[i] = written.text
                else:
                    sources |= zip(own, self.encode(texts, name, prompt, max_source_tokens), strict=True)
            decoded = self._resident.decode([*sources.values()], [chosen[i] for i in sources], settings, title)
            for i, text in zip(sources, texts_of(self._base.tokenizer, decoded), strict=True):
                own_prompt, _ = self._prompt_and_limit(self.target(chosen[i]), prompt, max_source_tokens)
                found[i] = speaker_view(dialogues[i], own_prompt.speakers).restore(text)
        return found

    def log_likelihoods(self, written: Sequence[Written], adapter: str | None = None) -> list[float]:
        """Return how likely the model finds each summary behind the prompt it was written from: nats a token, mean."""
        adapter = self.chosen(adapter)
        targets = [self._base.tokenizer(text_target=w.as_written, verbose=False)["input_ids"] for w in written]
        encoded = [Encoded(w.source, target) for w, target in zip(written, targets, strict=True)]
        with self._resident.active(adapter) as model:
            return token_log_likelihoods(model, self._base.tokenizer.pad_token_id, encoded)

    @staticmethod
    def _prompt_and_limit(target: Target | None, prompt: Prompt | None, limit: int | None) -> tuple[Prompt, int]:
        limit = limit or (target.max_source_tokens if target else Data().max_source_tokens)
        return prompt or (target.prompt if target else Prompt()), limit

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


def _refuse_one_text(dialogues: Sequence[str]) -> None:
    if isinstance(dialogues, str):
        raise UsageError("summarize takes a list of dialogues, not one text", hint="put it in a list: [dialogue]")

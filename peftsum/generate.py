"""``Summarizer``: one base in memory, several adapters on it, swapped without reloading."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peftsum.adapters import check_adapter
from peftsum.batching import encode_source
from peftsum.decoding import decode
from peftsum.exceptions import AdapterError, UsageError
from peftsum.model import Base, default_device, load_base, quiet_load
from peftsum.prompts import Prompt
from peftsum.recipe import Generation
from peftsum.registry import nearest
from peftsum.targets import Target, check_same_base, resolve_target

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


class Summarizer:
    """One base with any number of adapters; each keeps the prompt and generation settings it was trained with.

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
        >>> summarizer.summarize(["Ann: Lunch at one?\\nBob: Yes, at Joe's."], adapter="tiny-topic")
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
        first = resolve_target(adapters[0], base) if adapters else resolve_target(base or "builtin:tiny")
        changes = {"quantize": quantize, "precision": precision}
        self._model_section = first.model.model_copy(update={k: v for k, v in changes.items() if v is not None})
        self._base_target = first if first.adapter is None else None
        for adapter in adapters:
            check_same_base(Path(adapter), self._model_section.base)
        self._base: Base = load_base(self._model_section, frozen=True, device=device or default_device())
        self._model: PreTrainedModel = self._base.model.eval()
        self._targets: dict[str, Target] = {}
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
            adapter: its folder.
            name: None takes the folder's name, numbered if that is taken.
        """
        path = Path(adapter)
        expected = check_adapter(path)
        check_same_base(path, self._model_section.base)
        name = name or self._free_name(path.name)
        inner = name.replace(".", "_")  # torch allows no dots in module names
        try:
            with quiet_load():
                self._attach(path, inner)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            text = str(error).splitlines()[0][:200]
            raise AdapterError(
                f"{path} does not fit {self.base}: {text}", hint="was it trained on another base?"
            ) from error
        self._check_all_taken(path, inner, set(expected))
        self._targets[name] = resolve_target(path, self._model_section.base)
        return name

    def unload(self, name: str) -> None:
        """Drop an adapter and its memory."""
        self._known(name)
        del self._targets[name]
        self._model.delete_adapter(name.replace(".", "_"))

    def target(self, name: str | None = None) -> Target | None:
        """Return what is known of an adapter, or of the base for None."""
        return self._targets[self._known(name)] if name is not None else self._base_target

    def encode(
        self, dialogues: Sequence[str], adapter: str | None = None, prompt: Prompt | None = None
    ) -> list[list[int]]:
        """Return the token ids of dialogues in the adapter's prompt; a cut one is warned of."""
        target = self.target(adapter)
        prompt = prompt or (target.prompt if target else Prompt())
        limit = target.max_source_tokens if target else 512
        encoded = [encode_source(self._base.tokenizer, prompt, dialogue, limit) for dialogue in dialogues]
        cut = sum(was_cut for _, was_cut in encoded)
        if cut:
            logger.warning("%d of %d dialogues are longer than %d tokens; their end was cut", cut, len(encoded), limit)
        return [ids for ids, _ in encoded]

    def summarize(
        self,
        dialogues: Sequence[str],
        adapter: str | None = None,
        *,
        prompt: Prompt | None = None,
        generation: Generation | None = None,
        title: str = "",
    ) -> list[str]:
        """Return a summary for each dialogue, in order.

        Args:
            dialogues: texts, a turn a line.
            adapter: a loaded adapter's name; None takes the only one, or the bare base when none is loaded.
            prompt: instead of the adapter's own.
            generation: instead of the adapter's own.
            title: shown with a progress bar when given.
        """
        if isinstance(dialogues, str):
            raise UsageError("summarize takes a list of dialogues, not one text", hint="put it in a list: [dialogue]")
        adapter = self._chosen(adapter)
        target = self.target(adapter)
        generation = generation or (target.generation if target else Generation())
        sources = self.encode(dialogues, adapter, prompt)
        with self._active(adapter):
            return decode(self._model, self._base.tokenizer, sources, generation, title=title)

    def _active(self, adapter: str | None) -> Any:
        if adapter is not None:
            self._model.set_adapter(adapter.replace(".", "_"))
            return nullcontext()
        return self._model.disable_adapter() if self._targets else nullcontext()

    def _chosen(self, adapter: str | None) -> str | None:
        if adapter == "__base__":
            return None
        if adapter is None and len(self._targets) > 1:
            raise UsageError(
                f"several adapters are loaded: {', '.join(self._targets)}", hint="say which: adapter=NAME, or __base__"
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

    def _attach(self, path: Path, inner: str) -> None:
        from peft import PeftModel

        if isinstance(self._model, PeftModel):
            self._model.load_adapter(str(path), adapter_name=inner)
        else:
            self._model = PeftModel.from_pretrained(self._base.model, str(path), adapter_name=inner)
        self._model.eval()

    def _check_all_taken(self, path: Path, inner: str, expected: set[str]) -> None:
        """Refuse a file whose tensors did not all find their place: peft itself only warns."""
        from peft import get_peft_model_state_dict

        taken = set(get_peft_model_state_dict(self._model, adapter_name=inner, save_embedding_layers=False))
        if taken != expected:
            self._model.delete_adapter(inner)
            raise AdapterError(
                f"{path} does not fit {self.base}: {len(taken ^ expected)} of its tensors have no counterpart",
                hint="was it trained on another base?",
            )

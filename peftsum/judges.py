"""The optional detectors that a model runs: the model at hand on exchanged speakers, and a local entailment model.

Nobody has labelled what they find for the model that a user brings, so their rates are not shown in a report;
``benchmarks/error_detectors.py --judge`` checks one on labelled summaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from peftsum.batching import Encoded
from peftsum.exceptions import HubError, ModelError
from peftsum.generate import Summarizer
from peftsum.hub import go_offline_if_unreachable
from peftsum.likelihood import token_log_likelihoods
from peftsum.metrics.errors import Finding
from peftsum.metrics.errors.exchange import exchanged
from peftsum.metrics.errors.readings import DialogueReading
from peftsum.metrics.words import sentences
from peftsum.model import default_device
from peftsum.progress import task
from peftsum.speakers import speaker_view
from peftsum.targets import resolve_target

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ENTAILED = 0.5  # a sentence is borne out where some part of the dialogue entails it with this probability
WINDOW_TURNS = 6  # an entailment model is trained on premises of a few sentences
WINDOW_STEP = 3


class Judge(Protocol):
    """What finds one kind of error with a model."""

    error: str

    def judge(self, dialogues: Sequence[str], summaries: Sequence[str]) -> list[Finding]:
        """Return what it says of each summary."""
        ...


class ExchangeJudge:
    """Flags a summary that the model finds likelier with two speakers exchanged.

    Args:
        target: adapter, run, model folder, Hub id or ``builtin:tiny``: best one tuned on dialogues of the same kind,
            and not the one that wrote the summaries, which finds its own likeliest.
    """

    error = "error_exchanged_speakers"

    def __init__(self, target: str | Path) -> None:
        resolved = resolve_target(target)
        adapters = [resolved.adapter] if resolved.adapter is not None else []
        self._summarizer = Summarizer(resolved.model.base, adapters)
        self._prompt = resolved.prompt
        self._limit = resolved.max_source_tokens

    def margins(self, dialogues: Sequence[str], summaries: Sequence[str]) -> list[tuple[float, tuple[str, str]] | None]:
        """Return how much likelier the likeliest exchange is, in nats a token, with the pair; None without one."""
        sources = self._summarizer.encode(dialogues, prompt=self._prompt, max_source_tokens=self._limit)
        tokenizer = self._summarizer.tokenizer
        encoded: list[Encoded] = []
        asked: list[tuple[int, tuple[str, str] | None]] = []
        for row, (dialogue, summary, source) in enumerate(zip(dialogues, summaries, sources, strict=True)):
            others = exchanged(summary, DialogueReading(dialogue))
            view = speaker_view(dialogue, self._prompt.speakers)
            for pair, text in [(None, summary), *others] if others else []:
                ids = tokenizer(text_target=view.write(text), verbose=False)["input_ids"]
                encoded.append(Encoded(source, ids))
                asked.append((row, pair))
        found = token_log_likelihoods(
            self._summarizer.model, tokenizer.pad_token_id, encoded, title="likelihood of exchanged speakers"
        )
        plain = {row: value for (row, pair), value in zip(asked, found, strict=True) if pair is None}
        best: list[tuple[float, tuple[str, str]] | None] = [None] * len(summaries)
        for (row, pair), value in zip(asked, found, strict=True):
            if pair is not None:
                margin = (value - plain[row], pair)
                best[row] = max(best[row] or margin, margin)
        return best

    def judge(self, dialogues: Sequence[str], summaries: Sequence[str]) -> list[Finding]:
        """Return what the model says of each summary; the words are the names it would exchange."""
        findings = []
        for dialogue, margin in zip(dialogues, self.margins(dialogues, summaries), strict=True):
            flagged = margin is not None and margin[0] > 0
            words = list(margin[1]) if margin is not None and flagged else []
            turns = [t.turn.index for t in DialogueReading(dialogue).turns if t.turn.speaker in words]
            findings.append(Finding(error=self.error, flagged=flagged, probability=None, words=words, turns=turns))
        return findings


class EntailmentJudge:
    """Flags a summary with a sentence that no part of the dialogue entails, by a model of natural language inference.

    Args:
        model: folder or Hub id of a sequence classifier with a label for entailment, for example DeBERTa tuned on MNLI.

    Raises:
        ModelError: it cannot be loaded, or none of its labels is entailment.
        HubError: a Hub id, and the Hub cannot be reached.
    """

    error = "error_not_entailed"

    def __init__(self, model: str | Path) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        go_offline_if_unreachable()
        try:
            self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(model))
            self._model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(str(model)).eval()
        except (OSError, ValueError) as error:
            if "connect" in str(error).lower():
                raise HubError(
                    f"cannot reach the Hub for {model}",
                    hint="check the network or HF_ENDPOINT, or name the folder of an entailment model",
                ) from error
            raise ModelError(
                f"cannot load {model} as an entailment model ({str(error).splitlines()[0][:200]})",
                hint="name the folder or Hub id of a sequence classifier trained on natural language inference",
            ) from error
        labels: dict[int, str] = self._model.config.id2label
        entailment = [number for number, name in labels.items() if name.lower().startswith("entail")]
        if not entailment:
            raise ModelError(
                f"{model} has no label for entailment; it has: {', '.join(map(str, labels.values()))}",
                hint="name a model trained on natural language inference (MNLI and the like)",
            )
        self._label = int(entailment[0])
        self._model.to(default_device())

    def judge(self, dialogues: Sequence[str], summaries: Sequence[str]) -> list[Finding]:
        """Return what the model says of each summary; the words are the first sentence that nothing entails."""
        findings = []
        with task("entailment", len(summaries)) as progress:
            for dialogue, summary in zip(dialogues, summaries, strict=True):
                findings.append(self._judge_one(dialogue, summary))
                progress.advance()
        return findings

    def _judge_one(self, dialogue: str, summary: str) -> Finding:
        turns = DialogueReading(dialogue).turns
        starts = range(0, max(1, len(turns) - WINDOW_STEP), WINDOW_STEP)
        windows = [turns[start : start + WINDOW_TURNS] for start in starts]
        premises = ["\n".join(f"{t.turn.speaker or 'Somebody'}: {t.turn.text}" for t in window) for window in windows]
        least, worst, nearest = 1.0, "", 0
        for sentence in sentences(summary):
            chances = self._chances(premises, sentence)
            top = max(range(len(chances)), key=chances.__getitem__)
            if chances[top] < least:
                least, worst, nearest = chances[top], sentence, top
        flagged = least < ENTAILED
        return Finding(
            error=self.error,
            flagged=flagged,
            probability=1 - least if worst else 0.0,
            words=worst.split() if flagged else [],
            turns=[t.turn.index for t in windows[nearest]] if flagged else [],
        )

    def _chances(self, premises: Sequence[str], sentence: str) -> list[float]:
        import torch

        inputs: Any = self._tokenizer(
            list(premises), [sentence] * len(premises), truncation="only_first", padding=True, return_tensors="pt"
        ).to(self._model.device)
        with torch.inference_mode():
            logits = self._model(**inputs).logits
        chances: list[float] = logits.float().softmax(-1)[:, self._label].tolist()
        return chances

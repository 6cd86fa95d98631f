"""From a summary that is wanted to the rows it needs, and from finished rows to the summary with its proof."""

from __future__ import annotations

from functools import lru_cache
from statistics import fmean

from peftsum.answers import Answer, GeneratedBy, ReadFor, answer, explained, generated_by
from peftsum.confidence import CalibrationRecord, calibration_for, confidence_of
from peftsum.decoding import Decoded, texts_of, why_not
from peftsum.generate import BASE, Summarizer
from peftsum.long_dialogues import Written, writing
from peftsum.prompts import Prompt
from peftsum.recipe import Data, Generation
from peftsum.server.lanes import Lanes
from peftsum.server.schemas import Summary
from peftsum.server.work import Row, Work


class Scribe:
    """Knows the prompts, settings and calibrations of the adapters; called by the thread that owns the model.

    Args:
        summarizer: the base with its adapters.
        lanes: the rows in progress.
    """

    def __init__(self, summarizer: Summarizer, lanes: Lanes) -> None:
        self._summarizer, self._lanes = summarizer, lanes
        self._author = lru_cache(maxsize=256)(self._read_author)
        self._calibration = lru_cache(maxsize=256)(self._read_calibration)

    def begin(self, work: Work) -> list[Row] | None:
        """Return the rows that a summary needs first; None where it cannot share a batch."""
        name = work.ask.adapter
        work.generation = self._generation(work)
        model = self._summarizer.resident
        if work.generation.do_sample or model.runs_apart(name) or why_not(model.bare, work.generation):
            return None
        prompt, limit = self._prompt_and_limit(name)
        self._lanes.longest_source = max(self._lanes.longest_source, limit)
        work.steps = writing([work.ask.dialogue], self._summarizer.tokenizer, prompt, limit, work.generation)
        sources, _ = next(work.steps)
        return self._rows(work, sources)

    def advance(self, row: Row, decoded: Decoded) -> list[Row] | Summary:
        """Take in a finished row: return the rows its summary needs next, or the summary."""
        work = row.work
        work.written[row.index] = decoded
        found = [each for each in work.written if each is not None]
        if len(found) < len(work.written):
            return []
        assert work.steps is not None, "it has begun"
        try:
            sources, _ = work.steps.send(texts_of(self._summarizer.tokenizer, found))
        except StopIteration as end:
            return self._told(row, decoded, end.value[0])
        return self._rows(work, sources)

    def write_apart(self, work: Work) -> Summary:
        """Return a summary that cannot share a batch, as ``peftsum summarize`` writes it."""
        name = work.ask.adapter if work.ask.adapter is not None else BASE
        hiding = None if work.ask.redactor is None else [work.ask.redactor]
        (found,) = answer(self._summarizer, [work.ask.dialogue], name, generation=work.generation, redactors=hiding)
        return _summary(work.ask.identity, found, explain=work.ask.explain)

    def forget(self) -> None:
        """Forget what was read of adapters' folders, since one came or went."""
        self._author.cache_clear()
        self._calibration.cache_clear()

    def _rows(self, work: Work, sources: list[list[int]]) -> list[Row]:
        work.written = [None] * len(sources)
        return [Row(work, i, source, work.generation) for i, source in enumerate(sources)]

    def _told(self, row: Row, decoded: Decoded, written: Written) -> Summary:
        work = row.work
        author, redactor = self._author(work.ask.adapter), work.ask.redactor
        if not work.ask.explain:
            read = ReadFor(**{name: getattr(written, name) for name in ReadFor.model_fields})
            return Summary(
                id=work.ask.identity,
                adapter=author.adapter,
                summary=written.text if redactor is None else redactor.mask(written.text)[0],
                generated_by=author,
                read=read,
                redacted=None if redactor is None else dict(redactor.counts),
            )
        record, reason = self._calibration(work.ask.adapter, work.generation)
        confidence = confidence_of(written, self._likelihood(row, decoded, written), record, reason)
        found = explained(work.ask.dialogue, written, confidence, author, redactor)
        return _summary(work.ask.identity, found, explain=True)

    def _likelihood(self, row: Row, decoded: Decoded, written: Written) -> float:
        """Return how likely the text is, nats a token; known from writing it where its tokens are the same."""
        target = self._summarizer.tokenizer(text_target=written.as_written, verbose=False)["input_ids"]
        if target == decoded.ids and written.source == row.source and decoded.log_likelihoods:
            return fmean(decoded.log_likelihoods)
        return self._lanes.likelihood(row, written.source, target)

    def _generation(self, work: Work) -> Generation:
        target = self._summarizer.target(work.ask.adapter)
        own = target.generation if target else Generation()
        most = work.ask.settings.get("max_new_tokens", own.max_new_tokens)
        shortest = {"min_new_tokens": min(own.min_new_tokens, most)}  # the adapter's own gives way to what is asked
        return Generation.model_validate(own.model_dump() | work.ask.settings | shortest)

    def _prompt_and_limit(self, name: str | None) -> tuple[Prompt, int]:
        target = self._summarizer.target(name)
        if target is None:
            return Prompt(), Data().max_source_tokens
        return target.prompt, target.max_source_tokens

    def _read_author(self, name: str | None) -> GeneratedBy:
        return generated_by(self._summarizer.base, name, self._summarizer.target(name))

    def _read_calibration(
        self, name: str | None, generation: Generation
    ) -> tuple[CalibrationRecord | None, str | None]:
        return calibration_for(self._summarizer.target(name), self._prompt_and_limit(name)[0], generation)


def _summary(identity: str, answer: Answer, *, explain: bool) -> Summary:
    shown = set(Answer.model_fields) - (set() if explain else {"confidence", "flags", "sources"})
    return Summary(id=identity, **{name: getattr(answer, name) for name in shown})

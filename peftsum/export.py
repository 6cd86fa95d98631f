"""An adapter as a CTranslate2 folder, for 8-bit arithmetic on a CPU or a small GPU, with what that changed measured.

CTranslate2 knows no adapters, so the adapter is merged into the full-precision base first. The folder holds what
CTranslate2 reads, the tokenizer, and ``peftsum.json`` with prompt and generation settings.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peftsum.adapters import read_adapter_record
from peftsum.artifacts import ADAPTER_RECORD, write_folder, write_record
from peftsum.data import load_split
from peftsum.exceptions import ModelError, UsageError
from peftsum.generate import Summarizer
from peftsum.long_dialogues import Written
from peftsum.merge import SAMPLE, check_mergeable, free_folder, merge_into_full_precision
from peftsum.metrics import score_texts
from peftsum.model import local_folder, quiet_load
from peftsum.recipe import Data, Generation
from peftsum.section import Record
from peftsum.speakers import speaker_view
from peftsum.targets import Target, resolve_target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Compute = Literal["int8", "int8_bfloat16", "int8_float32", "int16", "bfloat16", "float32"]
"""CTranslate2's names. No float16, in which T5 overflows."""

BATCH_TOKENS = 8192


class ExportDrift(Record):
    """What conversion changed, measured on a sample of dialogues against the model in full precision."""

    out: str
    target: str
    compute: str
    """How CTranslate2 keeps and multiplies the weights."""
    model_bytes: int
    """Size of ``model.bin``."""
    sample: int
    """Dialogues compared."""
    data: str
    mean_log_likelihood_difference: float
    """Nats a token, absolute, both models reading the original's summaries."""
    max_log_likelihood_difference: float
    equal_summaries: float
    """Share of the dialogues whose summaries are the same text."""
    rouge_l_original: float
    """ROUGE-L F of the full-precision model's summaries on the sample, a fraction."""
    rouge_l_exported: float


def export_ctranslate2(
    target: str | Path,
    out: str | Path,
    *,
    compute: Compute = "int8",
    data: str | Data = "builtin:dialogues",
    split: str = "test",
    sample: int = SAMPLE,
    base: str | None = None,
) -> ExportDrift:
    """Write a CTranslate2 folder of an adapter or a model, and measure what it changed.

    Args:
        target: adapter, run, or folder of a fully tuned or merged model.
        out: the folder to write; it must not exist, or be empty.
        compute: how the weights are kept.
        data: dialogues the drift is measured on.
        split: which split of it.
        sample: how many.
        base: instead of the base that an adapter names.

    Raises:
        UsageError: CTranslate2 is not installed, ``out`` is taken, the sample is empty, or the target samples.
        AdapterError: missing, damaged, of another base, or of a method that cannot be merged.
        ModelError: the installed CTranslate2 cannot convert this model.
    """
    if importlib.util.find_spec("ctranslate2") is None:
        raise UsageError("CTranslate2 is not installed", hint="pip install 'peftsum[export]'")
    if sample < 1:
        raise UsageError("the drift needs a dialogue or more to be measured on", hint="pass a sample of 1 or more")
    resolved = resolve_target(target, base)
    if resolved.generation.do_sample:
        raise UsageError(f"{target} samples its summaries, which cannot be compared", hint="set do_sample: false")
    out = free_folder(out)
    section = data if isinstance(data, Data) else Data(source=data)
    examples = load_split(section, split).examples[:sample]
    with tempfile.TemporaryDirectory() as folder:
        plain = _plain_folder(resolved, Path(folder) / "merged")
        original = Summarizer(str(plain), quantize="none", precision="fp32", device="cpu")
        convert(plain, out, compute, original.tokenizer)
    settings: dict[str, Any] = {
        "prompt": resolved.prompt,
        "generation": resolved.generation,
        "max_source_tokens": resolved.max_source_tokens,
    }
    written = original.write([e.dialogue for e in examples], **settings)
    translator = _Translator(out, original.tokenizer)
    texts = translator.summarize([w.source for w in written], resolved.generation)
    views = [speaker_view(e.dialogue, resolved.prompt.speakers) for e in examples]
    texts = [view.restore(text) for view, text in zip(views, texts, strict=True)]
    before, after = original.log_likelihoods(written), translator.log_likelihoods(written)
    differences = [abs(a - b) for a, b in zip(before, after, strict=True)]
    references = [e.references for e in examples]
    return ExportDrift(
        out=str(out),
        target=str(target),
        compute=compute,
        model_bytes=(out / "model.bin").stat().st_size,
        sample=len(examples),
        data=f"{section.source} ({split})",
        mean_log_likelihood_difference=sum(differences) / len(differences),
        max_log_likelihood_difference=max(differences),
        equal_summaries=sum(a == w.text for a, w in zip(texts, written, strict=True)) / len(texts),
        rouge_l_original=score_texts([w.text for w in written], references, resamples=1).rougeL.f,
        rouge_l_exported=score_texts(texts, references, resamples=1).rougeL.f,
    )


def _plain_folder(target: Target, merged: Path) -> Path:
    """Return a transformers folder of the target in full precision."""
    if target.adapter is not None:
        check_mergeable(target)
        merge_into_full_precision(target.model.base, target.adapter, merged, target.record)
        return merged
    folder = local_folder(target.model.base)
    if folder is None:
        raise UsageError(f"{target.model.base} is on the Hub", hint="name an adapter, or a folder that holds the model")
    return folder


def convert(plain: Path, out: Path, compute: Compute, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write the CTranslate2 folder of a transformers folder, with its tokenizer and the record of its adapter.

    Raises:
        ModelError: the installed CTranslate2 cannot convert this model.
    """
    from ctranslate2.converters import TransformersConverter

    class Converter(TransformersConverter):  # type: ignore[misc]  # it ships no types
        def load_model(self, *arguments: Any, **options: Any) -> Any:
            """Say in the key that CTranslate2 reads whether the decoder's output is scaled.

            transformers 5 sets ``tie_word_embeddings`` on every T5, and keeps in ``scale_decoder_outputs`` what that
            meant. Read as it stands, Flan-T5's logits would be divided by the root of its width: the likeliest token
            stays the same, beams and likelihoods do not.
            """
            model = super().load_model(*arguments, **options)
            model.config.tie_word_embeddings = bool(getattr(model.config, "scale_decoder_outputs", False))
            return model

    def fill(folder: Path) -> None:
        try:
            with quiet_load():
                Converter(str(plain)).convert(str(folder), quantization=compute, force=True)
        except (ValueError, AttributeError, KeyError, TypeError, RuntimeError) as error:
            import ctranslate2
            import transformers

            raise ModelError(
                f"CTranslate2 {ctranslate2.__version__} cannot convert this model of transformers "
                f"{transformers.__version__}: {str(error).splitlines()[0][:200]}",
                hint="use the folder that `peftsum merge` writes without --format, or other versions of the two",
            ) from error
        tokenizer.save_pretrained(str(folder))
        record = read_adapter_record(plain)
        if record is not None:
            write_record(folder / ADAPTER_RECORD, record)

    write_folder(out, fill)


class _Translator:
    """A converted model that answers as a :class:`Summarizer` does."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        import ctranslate2

        self._translator = ctranslate2.Translator(str(folder), device="cpu")
        self._tokenizer = tokenizer

    def summarize(self, sources: Sequence[Sequence[int]], generation: Generation) -> list[str]:
        """Return a summary for each prompt, given as token ids."""
        results = self._translator.translate_batch(
            [self._tokenizer.convert_ids_to_tokens(list(ids)) for ids in sources],
            max_batch_size=BATCH_TOKENS,
            batch_type="tokens",
            beam_size=generation.num_beams,
            max_decoding_length=generation.max_new_tokens,
            min_decoding_length=generation.min_new_tokens,
            no_repeat_ngram_size=generation.no_repeat_ngram_size,
            repetition_penalty=generation.repetition_penalty,
            length_penalty=generation.length_penalty,
            max_input_length=0,  # its own default would cut without a word
        )
        ids = [self._tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]
        return [text.strip() for text in self._tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def log_likelihoods(self, written: Sequence[Written]) -> list[float]:
        """Return the mean log-probability of a token of each text, its end included, in nats."""
        to_tokens, tokenizer = self._tokenizer.convert_ids_to_tokens, self._tokenizer
        ids = [tokenizer(text_target=w.as_written, verbose=False)["input_ids"] for w in written]
        targets = [each[:-1] for each in ids]  # it adds the end
        results = self._translator.score_batch(
            [to_tokens(w.source) for w in written],
            [to_tokens(each) for each in targets],
            max_batch_size=BATCH_TOKENS,
            batch_type="tokens",
            max_input_length=0,
        )
        return [sum(result.log_probs) / len(result.log_probs) for result in results]

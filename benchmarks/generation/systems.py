"""The competitors: each takes the same dialogues and gives the same token ids."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from generation.workload import MAX_NEW, Workload
from peftsum.bank import AdapterBank, read_factors
from peftsum.batching import collate_sources, length_sorted_batches
from peftsum.decoding import DECODE_TOKENS, decode_ids
from peftsum.export import Compute, convert
from peftsum.model import load_base, load_tokenizer
from peftsum.recipe import Generation, Model

COMMON_BATCH = 8
Ids = list[list[int]]
System = Callable[[Workload], Ids]
SETTINGS = Generation(max_new_tokens=MAX_NEW)


class EndAt:
    """transformers' hook on scores: row i ends with its ``ends[i]``-th token, and not before."""

    def __init__(self, ends: Sequence[int], eos: int, device: torch.device) -> None:
        self._ends, self._eos = torch.tensor(ends, device=device), eos

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores, changed in place."""
        last = self._ends == input_ids.shape[1]
        scores[:, self._eos] = float("-inf")
        scores[last] = float("-inf")
        scores[last, self._eos] = 0
        return scores


def _generate(model: Any, workload: Workload, batches: Sequence[Sequence[int]], adapters: list[str] | None) -> Ids:
    from transformers import LogitsProcessorList

    found: dict[int, list[int]] = {}
    for batch in batches:
        padded = collate_sources([workload.sources[i] for i in batch], model.config.pad_token_id)
        inputs = {name: tensor.to(model.device) for name, tensor in padded.items()}
        ends = [workload.ends[i] for i in batch]
        options: dict[str, Any] = {"adapter_names": [adapters[i] for i in batch]} if adapters else {}
        rules = LogitsProcessorList([EndAt(ends, model.config.eos_token_id, model.device)])
        output = model.generate(**inputs, max_new_tokens=MAX_NEW, do_sample=False, logits_processor=rules, **options)
        found |= {i: row[1 : 1 + end].tolist() for i, row, end in zip(batch, output, ends, strict=True)}
    return [found[i] for i in range(len(workload.sources))]


def common(base: str, adapter: Path, device: torch.device) -> System:
    """``generate()`` as most people call it: peft's model unmerged, batches of 8 as the file has them."""
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM

    net = AutoModelForSeq2SeqLM.from_pretrained(_folder(base))
    model = PeftModel.from_pretrained(net, str(adapter)).to(device).eval()

    def run(workload: Workload) -> Ids:
        count = len(workload.sources)
        with torch.inference_mode():
            batches = [range(i, min(i + COMMON_BATCH, count)) for i in range(0, count, COMMON_BATCH)]
            return _generate(model, workload, batches, None)

    return run


def best(base: str, adapter: Path, device: torch.device, attention: str, dtype: torch.dtype = torch.float32) -> System:
    """``generate()`` as well as it can be called: merged, sorted by length, batches under a token budget."""
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM

    net = AutoModelForSeq2SeqLM.from_pretrained(_folder(base), attn_implementation=attention)
    model = PeftModel.from_pretrained(net, str(adapter)).merge_and_unload().to(device, dtype).eval()

    def run(workload: Workload) -> Ids:
        with torch.inference_mode():
            batches = list(length_sorted_batches([len(s) for s in workload.sources], DECODE_TOKENS))
            return _generate(model, workload, batches, None)

    return run


def by_ctranslate2(base: str, adapter: Path, compute: Compute, folder: Path, device: torch.device) -> System:
    """CTranslate2 on the merged adapter; it has one length for all, so summaries of a workload must be equally long."""
    import ctranslate2
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM

    plain, out, tokenizer = folder / "merged", folder / compute, load_tokenizer(Model())
    if not plain.exists():
        tokenizer.save_pretrained(str(plain))  # the converter takes the vocabulary from it
        net = AutoModelForSeq2SeqLM.from_pretrained(_folder(base))
        PeftModel.from_pretrained(net, str(adapter)).merge_and_unload().save_pretrained(str(plain))
    convert(plain, out, compute, tokenizer)
    threads = torch.get_num_threads()
    options = {"device": device.type, "device_index": device.index or 0, "compute_type": compute}
    translator = ctranslate2.Translator(str(out), intra_threads=threads, **options)

    def run(workload: Workload) -> Ids:
        (length,) = set(workload.ends)
        results = translator.translate_batch(
            [tokenizer.convert_ids_to_tokens(source) for source in workload.sources],
            max_batch_size=DECODE_TOKENS,  # it sorts by length itself
            batch_type="tokens",
            beam_size=1,
            min_decoding_length=length - 1,
            max_decoding_length=length - 1,
            max_input_length=0,
        )
        eos = tokenizer.eos_token_id
        return [[*tokenizer.convert_tokens_to_ids(result.hypotheses[0]), eos] for result in results]

    return run


def mixed_by_peft(base: str, adapters: Sequence[Path], device: torch.device) -> System:
    """``generate(adapter_names=…)``: peft's own mixing, batches of 8 as the file has them."""
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM

    net = AutoModelForSeq2SeqLM.from_pretrained(_folder(base))
    model = PeftModel.from_pretrained(net, str(adapters[0]), adapter_name=adapters[0].name)
    for path in adapters[1:]:
        model.load_adapter(str(path), adapter_name=path.name)
    model.to(device).eval()

    def run(workload: Workload) -> Ids:
        count = len(workload.sources)
        names = [adapters[i % len(adapters)].name for i in range(count)]
        with torch.inference_mode():
            batches = [range(i, min(i + COMMON_BATCH, count)) for i in range(0, count, COMMON_BATCH)]
            return _generate(model, workload, batches, names)

    return run


def score_gap(base: str, adapter: Path, source: list[int], one: list[int], other: list[int]) -> float:
    """Return how far apart the scores of the first words are in which two summaries differ, in fp64.

    Args:
        base: of the adapter.
        adapter: that both were written by.
        source: the dialogue as token ids.
        one: a summary as token ids.
        other: another.
    """
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM

    at = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    net = AutoModelForSeq2SeqLM.from_pretrained(_folder(base))
    model = PeftModel.from_pretrained(net, str(adapter)).merge_and_unload().double().eval()
    written = torch.tensor([[model.config.decoder_start_token_id, *one[:at]]])
    with torch.inference_mode():
        scores = model(input_ids=torch.tensor([source]), decoder_input_ids=written).logits[0, -1]
    return float((scores[one[at]] - scores[other[at]]).abs())


class Ours:
    """peftsum's loop on a bank with all adapters in it.

    Args:
        base: of the adapters.
        adapters: folders.
        device: where it runs.
    """

    def __init__(self, base: str, adapters: Sequence[Path], device: torch.device) -> None:
        from peft import PeftConfig

        from peftsum.adapters import check_adapter

        self._model: Any = load_base(Model(base=base, precision="fp32"), frozen=True, device=str(device)).model.eval()
        self._device, self.bank = device, AdapterBank(device)
        self.file_bytes = 0
        self._factors = {}
        for path in adapters:
            tensors = check_adapter(path)
            self.file_bytes += sum(t.nbytes for t in tensors.values())
            config = PeftConfig.from_pretrained(str(path))
            self._factors[path.name] = read_factors(config, tensors, self._model)
            self.bank.add(path.name, self._factors[path.name])

    def one(self, workload: Workload) -> Ids:
        """Summarize by the first adapter."""
        return self._run(workload, [sorted(self.bank.names)[0]] * len(workload.sources))

    def mixed(self, workload: Workload) -> Ids:
        """Summarize by all adapters, the next one for each row."""
        names = sorted(self.bank.names)
        return self._run(workload, [names[i % len(names)] for i in range(len(workload.sources))])

    def _run(self, workload: Workload, names: list[str]) -> Ids:
        factors, slots = self.bank.stacked(names)
        found = decode_ids(self._model, workload.sources, SETTINGS, factors=factors, slots=slots, ends=workload.ends)
        return [d.ids for d in found]

    def memory(self, counts: Sequence[int]) -> dict[str, float]:
        """Return a bank's bytes over those of its adapters' weights, with so many adapters in it."""
        one = self.file_bytes / len(self._factors)
        found, names = {}, list(self._factors)
        for count in counts:
            bank = AdapterBank(self._device)
            for number in range(count):
                bank.add(f"{number}", self._factors[names[number % len(names)]])
            found[f"bank_of_{count}"] = bank.nbytes / (count * one)
        return found

    def swap_ms(self) -> list[float]:
        """Return how long choosing another resident adapter takes, in milliseconds, again and again."""
        taken = []
        for i in range(200):
            name = f"adapter-{i % len(self.bank)}"
            started = time.perf_counter()
            self.bank.stacked([name])
            taken.append((time.perf_counter() - started) * 1e3)
        return taken


def _folder(base: str) -> str:
    from peftsum.model import local_folder

    return str(local_folder(base) or base)

"""The recipe: every choice of a training in one frozen object, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from peftsum.cost.section import Cost
from peftsum.engine.settings import Engine
from peftsum.exceptions import UsageError
from peftsum.methods import Full, Lora, Method
from peftsum.metrics.selection import selectable_scores
from peftsum.objective import Objective, Plain
from peftsum.prompts import Prompt
from peftsum.redaction.kinds import Kind, parse_kinds
from peftsum.registry import nearest
from peftsum.section import Section

FULL_LEARNING_RATE = 1e-4  # usual for Flan-T5 with AdamW; Adafactor recipes set their own
SEEDS = 2**32  # numpy takes no others
LR_RATIO = 10.0  # LoRA learns best near 10x the full-tuning rate (Schulman et al. 2025)


class Model(Section):
    """The base and how it is held in memory."""

    base: str = "builtin:tiny"
    """A Hub id such as `google/flan-t5-base`, a local folder, or `builtin:tiny`."""
    revision: str | None = None
    """The Hub revision (branch, tag or commit); none means the newest."""
    quantize: Literal["none", "int8", "nf4"] = "none"
    """8-bit or 4-bit weights through bitsandbytes, for a frozen base. Saves memory from Flan-T5-large up; costs
    speed."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic: bf16 where the machine has it, else fp32. Never fp16, in which T5 overflows."""
    attention: Literal["auto", "shared", "eager", "sdpa"] = "auto"
    """Attention kernel. `auto` is `shared`: bias and mask are made once for all layers (SDPA's kernel on a GPU);
    `eager` and `sdpa` are transformers' own."""


class Data(Section):
    """Where dialogues and summaries come from."""

    source: str = "builtin:dialogues"
    """A Hub id, a .jsonl/.json/.csv/.parquet file, a folder with one such file a split, or `builtin:dialogues`."""
    fields: dict[Literal["id", "dialogue", "summary", "topic"], str] = Field(default_factory=dict)
    """Columns under other names, for example `{dialogue: transcript, summary: note}`."""
    on_bad_row: Literal["error", "skip"] = "error"
    """A row without dialogue or summary: stop and name it, or skip it, counted and reported."""
    max_source_tokens: int = Field(512, ge=16)
    """Prompt and dialogue are cut to this many tokens (the dialogue's end is cut, the prompt stays); cuts are
    counted."""
    max_target_tokens: int = Field(128, ge=4)
    """Summaries are cut to this many tokens in training; cuts are counted."""
    limit_train: int | None = Field(None, gt=0)
    """Train on this many dialogues only, drawn with the seed."""
    limit_validation: int | None = Field(None, gt=0)
    """Validate on this many dialogues only, drawn with the seed."""
    redact: list[Kind] = Field(default_factory=list)
    """Kinds of personal values that placeholders stand for, in dialogues and summaries alike, before anything else
    reads them: phone, email, address, card, iban, identity, birth, name; `all` is every kind but name."""

    @field_validator("redact", mode="before")
    @classmethod
    def _spelt_out(cls, kinds: object) -> object:
        if not isinstance(kinds, (str, list, tuple)) or not all(isinstance(kind, str) for kind in kinds):
            return kinds
        try:
            return list(parse_kinds(kinds)) if kinds else []
        except UsageError as error:
            raise ValueError(f"{error.message}; {error.hint}") from error


class Train(Section):
    """The optimisation."""

    epochs: float = Field(1.0, gt=0)
    """Passes over the training dialogues; parts of one are fine."""
    max_steps: int | None = Field(None, gt=0)
    """Stop after this many optimizer steps, whatever the epochs say."""
    learning_rate: float | None = Field(None, gt=0, validate_default=True)
    """Peak rate. None takes 1e-4 for full tuning and ten times that for adapters."""
    lora_plus: float = Field(1.0, gt=0)
    """With `method.kind: lora`: how many times the rate of A the rate of B is, which begins at 0 (LoRA+, Hayou et al.
    2024)."""
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    """AdamW, or Adafactor, which keeps no second copy of the weights and is what T5 was trained with."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """The rate after the warm-up: down to 0 in a line or a cosine, or unchanged."""
    warmup_ratio: float = Field(0.05, ge=0, lt=1)
    """Share of the steps over which the rate rises from 0."""
    batch_tokens: int = Field(2048, ge=32)
    """Token budget of a batch: source and target positions, padding, where there is any, included."""
    accumulate: int = Field(1, gt=0)
    """Batches whose gradients are summed before an optimizer step."""
    max_grad_norm: float | None = Field(1.0, gt=0)
    """Gradients are scaled down to this norm; None turns clipping off."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: about 0.6 times the memory, 0.76 times the speed."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Dropout of the base. None: 0 under a frozen base, where it buys little and costs a third of a step on a CPU;
    the base's own under full tuning."""
    eval_every: int | None = Field(None, gt=0)
    """Optimizer steps between validations; None: four times in the run."""
    eval_examples: int = Field(64, ge=0)
    """Validation dialogues for loss and ROUGE during training, drawn with the seed; 0 turns validation off."""
    select_by: str = "loss"
    """What the kept weights are best in, on those dialogues: `loss`, a ROUGE (`rougeL`), or the rate of an error
    (`heuristic_length`). Of equal ones those of the lower loss are kept."""
    patience: int | None = Field(None, gt=0)
    """Stop after this many validations without a better one, by the same score."""
    checkpoint_every: int | None = Field(None, gt=0)
    """Optimizer steps between checkpoints; None: at every validation."""
    keep_checkpoints: int = Field(2, gt=0)
    """Newest checkpoints kept."""
    trackers: list[str] = Field(default_factory=list)
    """Experiment trackers by accelerate's names (tensorboard, wandb, …); metrics.jsonl is always written."""
    seed: int = Field(13, ge=0, lt=SEEDS)
    """Seed of data order, initialisation and dropout."""
    objective: Objective = Plain()
    """What is minimised: `{kind: plain}`, the cross-entropy against the references, or `{kind: distill, teacher: RUN}`,
    with what a fully tuned model expects beside it, which did not help where it was measured
    (docs/better-training.md)."""
    start_from: str | None = None
    """With `method.kind: lora`: begin from an adapter, or from the run of a full fine-tune, whose change is cut to the
    adapter's rank, instead of from no change."""
    engine: Engine = Engine()
    """How a step is computed; all parts are on where they were measured to pay."""

    @field_validator("select_by")
    @classmethod
    def _known_score(cls, score: str) -> str:
        known = selectable_scores()
        if score not in known:
            guess = nearest(score, known)
            advice = f"did you mean {guess}? " if guess else ""
            raise ValueError(f"no such score; {advice}known: {', '.join(known)}")
        return score


class Generation(Section):
    """How a summary is decoded."""

    max_new_tokens: int = Field(64, gt=0)
    """Longest summary in tokens. transformers' own default would stop at 20."""
    min_new_tokens: int = Field(0, ge=0)
    """Shortest summary in tokens."""
    num_beams: int = Field(1, gt=0)
    """Beams; 1 is greedy."""
    do_sample: bool = False
    """Sample instead of taking the likeliest token."""
    temperature: float = Field(1.0, gt=0)
    """Sampling temperature; only with `do_sample`."""
    top_k: int = Field(50, ge=0)
    """Sample from the k likeliest tokens; only with `do_sample`."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the smallest set with this probability; only with `do_sample`."""
    no_repeat_ngram_size: int = Field(0, ge=0)
    """No n-gram of this size twice in a summary; 0 is off."""
    repetition_penalty: float = Field(1.0, gt=0)
    """Penalty on tokens already written; 1 is off."""
    length_penalty: float = 1.0
    """Exponent on the length in beam scores."""
    early_stopping: bool | Literal["never"] = False
    """When a beam search ends: once no running beam looks able to win (false), once there are as many summaries as
    beams (true), or once none can win at any length (`never`)."""
    seed: int = Field(13, ge=0, lt=SEEDS)
    """Seed of sampling."""
    strategy: Literal["truncate", "staged"] = "truncate"
    """A dialogue longer than `data.max_source_tokens`: cut off its end and say so, or read it in parts, at turns, and
    summarise their summaries."""
    overlap_turns: int = Field(2, ge=0)
    """Turns at the end of a part that the next one repeats; only with `staged`."""
    joined_tokens: int = Field(256, ge=0)
    """Summaries of parts stand one after the other once they have no more tokens than this together; longer ones are
    summarised in turn. 0 goes on until one is left; only with `staged`."""

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(
                f"`min_new_tokens` ({self.min_new_tokens}) is more than `max_new_tokens` ({self.max_new_tokens})"
            )
        sampling = {"temperature", "top_k", "top_p"}
        changed = [n for n in sampling if getattr(self, n) != type(self).model_fields[n].default]
        if changed and not self.do_sample:
            raise ValueError("`temperature`, `top_k` and `top_p` act only with `do_sample: true`")
        return self


def with_strategy(generation: Generation, strategy: Literal["truncate", "staged"] | None) -> Generation:
    """Return settings with another strategy for long dialogues; the same for None."""
    return generation if strategy is None else generation.model_copy(update={"strategy": strategy})


class Recipe(Section):
    """One training, wholly described."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the run folder and of the adapter folder."""
    model: Model = Model()
    data: Data = Data()
    prompt: Prompt = Prompt()
    method: Method
    train: Train = Train()
    generation: Generation = Generation()
    cost: Cost = Cost()

    @field_validator("name")
    @classmethod
    def _no_parent(cls, name: str) -> str:
        if ".." in name:
            raise ValueError("a name is a folder name, without '..'")
        return name

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.model.quantize != "none" and isinstance(self.method, Full):
            raise ValueError(
                f"model.quantize: {self.model.quantize} cannot go with method.kind: full, since quantized weights "
                "cannot be trained; take quantize: none, or method.kind: lora"
            )
        if self.model.quantize != "none" and self.model.precision == "fp32" and self.model.quantize == "nf4":
            raise ValueError("model.quantize: nf4 computes in bf16; take precision: auto or bf16")
        if self.train.start_from is not None and (not isinstance(self.method, Lora) or self.method.dora):
            raise ValueError("train.start_from needs method.kind: lora without dora, whose update is a plain product")
        if self.train.lora_plus != 1.0 and not isinstance(self.method, Lora):
            raise ValueError("train.lora_plus needs method.kind: lora, whose B it is the rate of")
        if isinstance(self.method, Lora) and self.method.dora and self.model.quantize == "nf4":
            raise ValueError("method.dora with model.quantize: nf4 dequantizes in every step; take lora, or int8")
        return self

    @property
    def learning_rate(self) -> float:
        """The peak rate, with the method's default filled in."""
        if self.train.learning_rate is not None:
            return self.train.learning_rate
        return FULL_LEARNING_RATE * (LR_RATIO if self.method.frozen_base else 1.0)

    @property
    def dropout(self) -> float | None:
        """Dropout to set in every layer, or None for the base's own."""
        if self.train.dropout is None and self.method.frozen_base:
            return 0.0
        return self.train.dropout

    @property
    def fingerprint(self) -> str:
        """Hash of everything that changes the trained weights; name, generation and cost do not."""
        shaping = self.model_dump(mode="json", include={"model", "data", "prompt", "method", "train"})
        for harmless in ("trackers", "checkpoint_every", "keep_checkpoints"):
            shaping["train"].pop(harmless)
        # Runs of before there were these keys, or of before one was renamed, stay current.
        if not self.data.redact:
            shaping["data"].pop("redact")
        if self.prompt.speakers == "as_written":
            shaping["prompt"].pop("speakers")
        if self.train.objective == Plain():
            shaping["train"].pop("objective")
        if self.train.start_from is None:
            shaping["train"].pop("start_from")
        if self.train.lora_plus == 1.0:
            shaping["train"].pop("lora_plus")
        shaping["train"]["best_by"] = shaping["train"].pop("select_by")
        return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:16]

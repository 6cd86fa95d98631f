"""The competitors: transformers' Seq2SeqTrainer with peft, as most run it and as well as it can be set up here."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)

from peftsum.methods.lora import TARGET_SETS
from peftsum.model import local_folder, quantization
from peftsum.recipe import FULL_LEARNING_RATE, LR_RATIO
from training.jobs import Job, Trained, TrainerSettings
from training.shapes import ALPHA, METHODS, RANK
from training.workload import Workload

IGNORED = -100
WARM_UP = 0.05  # of the steps, as peftsum's default


class CountingCollator:
    """A collator that notes what it made: real lengths and padded positions of every batch."""

    def __init__(self, collator: DataCollatorForSeq2Seq) -> None:
        self.collator = collator
        self.lengths: list[list[tuple[int, int]]] = []
        self.positions: list[int] = []

    def __call__(self, features: list[dict[str, Any]]) -> Any:
        """Return the padded batch."""
        self.lengths.append([(len(f["input_ids"]), len(f["labels"])) for f in features])
        batch = self.collator(features)
        self.positions.append(batch["input_ids"].numel() + batch["labels"].numel())
        return batch


def load(job: Job, settings: TrainerSettings, device: str) -> Any:
    """Return the base with its adapter, set up for training."""
    tuning = METHODS[job.method]
    changed = {} if settings.dropout is None else {"dropout_rate": settings.dropout}
    model = AutoModelForSeq2SeqLM.from_pretrained(
        str(local_folder(job.base)),
        # frozen weights in bf16 save their conversion in every step; trained ones stay fp32 under autocast
        dtype=torch.bfloat16 if settings.bf16 and tuning.frozen else torch.float32,
        attn_implementation=settings.attention,
        **quantization(tuning.quantize, device),  # type: ignore[arg-type]
        **changed,
    )
    if tuning.quantize != "none":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=settings.checkpointing)
    if tuning.targets is None:
        return model
    config = LoraConfig(
        task_type="SEQ_2_SEQ_LM",
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=settings.lora_dropout,
        target_modules=TARGET_SETS[tuning.targets],
    )
    return get_peft_model(model, config)


def train(job: Job, settings: TrainerSettings, workload: Workload, device: str) -> tuple[Trained, Any]:
    """Train on ``job.examples`` dialogues; return what was done, and the model."""
    model = load(job, settings, device)
    tokenizer = AutoTokenizer.from_pretrained(str(local_folder(job.base)))
    steps = -(-job.examples // settings.batch_size)
    log_every = max(1, steps // 3)
    rate = FULL_LEARNING_RATE * (LR_RATIO if METHODS[job.method].frozen else 1.0)
    collator = CountingCollator(DataCollatorForSeq2Seq(tokenizer, model=model, label_pad_token_id=IGNORED))
    arguments = Seq2SeqTrainingArguments(
        output_dir=job.out,
        per_device_train_batch_size=settings.batch_size,
        train_sampling_strategy="group_by_length" if settings.grouped else "random",
        bf16=settings.bf16,
        learning_rate=rate,
        warmup_steps=round(WARM_UP * steps),
        max_steps=steps,
        logging_steps=log_every,
        seed=job.seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=device == "cpu",
    )
    trainer = Seq2SeqTrainer(
        model=model,
        args=arguments,
        train_dataset=[{"input_ids": s, "attention_mask": [1] * len(s), "labels": t} for s, t in workload.train],
        data_collator=collator,
        processing_class=tokenizer,
    )
    trainer.train()
    logged = [(row["step"], row["loss"]) for row in trainer.state.log_history if "loss" in row]
    ends = [0, *(step for step, _ in logged)]
    trained = Trained(
        steps=collator.lengths[:steps],  # the loader reads one batch ahead
        positions=collator.positions[:steps],
        loss=logged[-1][1] if logged else None,
        loss_steps=[(a + 1, b) for a, b in pairwise(ends)][-1] if logged else None,
        arithmetic="bf16" if settings.bf16 else "fp32",
        settings={**asdict(settings), "learning_rate": rate, "optimizer": str(arguments.optim)},
        saved=f"{job.out}/saved",
    )
    return trained, model

"""The arms: a recipe, what it changes, and where it starts from another arm, which."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from better.contrast import contrasted
from better.oversampling import write_oversampled
from better.views import restore, write_view
from peftsum import evaluate, load_recipe, score, train
from peftsum.artifacts import write_record
from peftsum.evaluate import Evaluation, Scored

ROOT = Path(__file__).resolve().parents[2]
FULL, LORA = "recipes/tiny/full.yaml", "recipes/tiny/lora.yaml"
EVALUATION = "evaluation.json"
HEAD = "method.targets=[q, k, v, o, wi_0, wi_1, wo, lm_head]"


@dataclass(frozen=True)
class Setting:
    """What all arms have in common."""

    out: Path
    data: str
    split: str
    steps: int
    teacher_steps: int
    teacher_seed: int = 13

    def folder(self, arm: str, seed: int) -> Path:
        """Return the run of an arm."""
        place = "" if self.data == "builtin:dialogues" else f"{Path(self.data).name}-"
        return self.out / f"{place}{self.steps}-{arm}-{seed}"

    @property
    def of_teacher(self) -> Setting:
        """The setting that the teacher is trained in."""
        return replace(self, steps=self.teacher_steps)


@dataclass(frozen=True)
class Arm:
    """One way to train; ``{teacher}`` in a change stands for the run of a full fine-tune, the same for all seeds."""

    recipe: str
    changes: Sequence[str] = ()
    about: str = ""
    view: str | None = None
    """How the dialogues are rewritten, see ``views.py``."""
    after_teacher: bool = False
    """Trained for the teacher's steps and as many more as the others: what one who has a teacher could do instead."""
    contrast: tuple[float, float] | None = None
    """Weight and margin of the term for wrong summaries, see ``contrast.py``."""
    weighed_by: str | None = None
    """An arm whose run of the same seed says which training dialogues stand twice, see ``oversampling.py``."""
    standard: bool = False
    """In the table unless arms are named."""


ARMS = {
    "full": Arm(FULL, about="full fine-tune at 1e-3", standard=True),
    "full-2e-3": Arm(FULL, ["train.learning_rate=2e-3"], "full fine-tune at 2e-3"),
    "full-5e-4": Arm(FULL, ["train.learning_rate=5e-4"], "full fine-tune at 5e-4"),
    "full-more": Arm(FULL, about="full fine-tune at 1e-3, the teacher's steps more", after_teacher=True),
    "plain-1.5e-3": Arm(LORA, about="LoRA r16 at 1.5e-3, the recipe"),
    "plain": Arm(LORA, ["train.learning_rate=3e-3"], "LoRA r16 at 3e-3", standard=True),
    "plain-6e-3": Arm(LORA, ["train.learning_rate=6e-3"], "LoRA r16 at 6e-3"),
    "distill": Arm(
        LORA,
        ["train.learning_rate=3e-3", "train.objective={{kind: distill, teacher: {teacher}}}"],
        "LoRA r16 taught by full",
    ),
    "start": Arm(LORA, ["train.learning_rate=1.5e-3", "train.start_from={teacher}"], "LoRA r16 from full"),
    "start-distill": Arm(
        LORA,
        [
            "train.learning_rate=1.5e-3",
            "train.start_from={teacher}",
            "train.objective={{kind: distill, teacher: {teacher}}}",
        ],
        "LoRA r16 from full and taught by it",
    ),
    "head": Arm(
        LORA,
        ["train.learning_rate=3e-3", HEAD],
        "LoRA r16, output layer too",
    ),
    "normalised": Arm(LORA, ["train.learning_rate=3e-3"], "LoRA r16, speakers normalised", view="normalised"),
    "speakers": Arm(
        LORA,
        ["train.learning_rate=3e-3", "prompt.speakers=normalised"],
        "LoRA r16, prompt.speakers: normalised",
        standard=True,
    ),
    "speakers-full": Arm(FULL, ["prompt.speakers=normalised"], "full fine-tune at 1e-3, prompt.speakers: normalised"),
    "speakers-head-plus": Arm(
        LORA,
        [
            "train.learning_rate=1.5e-3",
            "train.lora_plus=4",
            "method.rank=64",
            "method.alpha=64",
            HEAD,
            "prompt.speakers=normalised",
        ],
        "LoRA+ r64, 1.5e-3, B 4 times, output layer too, prompt.speakers: normalised",
        standard=True,
    ),
    "speakers-head-256": Arm(
        LORA,
        [
            "train.learning_rate=1e-3",
            "method.rank=256",
            "method.alpha=256",
            HEAD,
            "prompt.speakers=normalised",
        ],
        "LoRA r256, alpha 256, 1e-3, output layer too, prompt.speakers: normalised",
    ),
    "speakers-head-plus-contrast": Arm(
        LORA,
        [
            "train.learning_rate=1.5e-3",
            "train.lora_plus=4",
            "method.rank=64",
            "method.alpha=64",
            HEAD,
            "prompt.speakers=normalised",
        ],
        "LoRA+ r64, 1.5e-3, B 4 times, output layer too, prompt.speakers: normalised, contrastive",
        contrast=(1.0, 3.0),
    ),
    "marked": Arm(LORA, ["train.learning_rate=3e-3"], "LoRA r16, turns numbered", view="marked"),
    "swapped": Arm(LORA, ["train.learning_rate=3e-3"], "LoRA r16, speakers exchanged at random", view="swapped"),
    "rank-64": Arm(LORA, ["train.learning_rate=3e-3", "method.rank=64", "method.alpha=64"], "LoRA r64, alpha 64, 3e-3"),
    "start-64": Arm(
        LORA,
        [
            "train.learning_rate=1.5e-3",
            "train.start_from={teacher}",
            "method.rank=64",
            "method.alpha=64",
            HEAD,
        ],
        "LoRA r64 from full, output layer too",
    ),
    "start-64-contrast": Arm(
        LORA,
        [
            "train.learning_rate=1.5e-3",
            "train.start_from={teacher}",
            "method.rank=64",
            "method.alpha=64",
            HEAD,
        ],
        "LoRA r64 from full, output layer too, contrastive",
        contrast=(1.0, 3.0),
    ),
    "start-256": Arm(
        LORA,
        [
            "train.learning_rate=1e-3",
            "train.start_from={teacher}",
            "method.rank=256",
            "method.alpha=256",
            HEAD,
        ],
        "LoRA r256 from full, output layer too",
    ),
    "rslora-64": Arm(
        LORA,
        ["train.learning_rate=1.5e-3", "method.rank=64", "method.alpha=16", "method.rslora=true"],
        "rsLoRA r64, 1.5e-3",
    ),
    "contrast": Arm(LORA, ["train.learning_rate=3e-3"], "LoRA r16, contrastive", contrast=(1.0, 3.0)),
    "contrast-strong": Arm(
        LORA,
        ["train.learning_rate=3e-3"],
        "LoRA r16, contrastive, weight 3, margin 5",
        contrast=(3.0, 5.0),
    ),
    "oversampled": Arm(
        LORA, ["train.learning_rate=3e-3"], "LoRA r16, what plain gets most wrong twice", weighed_by="plain"
    ),
    "plus-4": Arm(LORA, ["train.learning_rate=1.5e-3", "train.lora_plus=4"], "LoRA+ r16, 1.5e-3, B 4 times"),
    "plus-16": Arm(LORA, ["train.learning_rate=1e-3", "train.lora_plus=16"], "LoRA+ r16, 1e-3, B 16 times"),
    "plus-16-low": Arm(LORA, ["train.learning_rate=4e-4", "train.lora_plus=16"], "LoRA+ r16, 4e-4, B 16 times"),
    "rank-256": Arm(LORA, ["train.learning_rate=1.5e-3", "method.rank=256", "method.alpha=256"], "LoRA r256, 1.5e-3"),
    "head-64": Arm(
        LORA,
        ["train.learning_rate=3e-3", "method.rank=64", "method.alpha=64", HEAD],
        "LoRA r64, alpha 64, 3e-3, output layer too",
    ),
    "head-256": Arm(
        LORA,
        ["train.learning_rate=1.5e-3", "method.rank=256", "method.alpha=256", HEAD],
        "LoRA r256, alpha 256, 1.5e-3, output layer too",
    ),
    "head-64-5e-3": Arm(
        LORA,
        ["train.learning_rate=5e-3", "method.rank=64", "method.alpha=64", HEAD],
        "LoRA r64, alpha 64, 5e-3, output layer too",
    ),
    "head-128": Arm(
        LORA,
        ["train.learning_rate=3e-3", "method.rank=128", "method.alpha=128", HEAD],
        "LoRA r128, alpha 128, 3e-3, output layer too",
    ),
    "head-256-3e-3": Arm(
        LORA,
        ["train.learning_rate=3e-3", "method.rank=256", "method.alpha=256", HEAD],
        "LoRA r256, alpha 256, 3e-3, output layer too",
    ),
    "head-plus-1e-3": Arm(
        LORA,
        ["train.learning_rate=1e-3", "train.lora_plus=4", "method.rank=64", "method.alpha=64", HEAD],
        "LoRA+ r64, 1e-3, B 4 times, output layer too",
    ),
    "head-256-1e-3": Arm(
        LORA,
        ["train.learning_rate=1e-3", "method.rank=256", "method.alpha=256", HEAD],
        "LoRA r256, alpha 256, 1e-3, output layer too",
    ),
    "head-plus-128": Arm(
        LORA,
        ["train.learning_rate=1.5e-3", "train.lora_plus=4", "method.rank=128", "method.alpha=128", HEAD],
        "LoRA+ r128, 1.5e-3, B 4 times, output layer too",
    ),
    "head-plus-2.5e-3": Arm(
        LORA,
        ["train.learning_rate=2.5e-3", "train.lora_plus=4", "method.rank=64", "method.alpha=64", HEAD],
        "LoRA+ r64, 2.5e-3, B 4 times, output layer too",
    ),
    "head-plus-16": Arm(
        LORA,
        ["train.learning_rate=8e-4", "train.lora_plus=16", "method.rank=64", "method.alpha=64", HEAD],
        "LoRA+ r64, 8e-4, B 16 times, output layer too",
    ),
    "head-plus": Arm(
        LORA,
        ["train.learning_rate=1.5e-3", "train.lora_plus=4", "method.rank=64", "method.alpha=64", HEAD],
        "LoRA+ r64, 1.5e-3, B 4 times, output layer too",
        standard=True,
    ),
}


def run_arm(name: str, seed: int, setting: Setting) -> Evaluation:
    """Train and score an arm, unless that is done already."""
    folder = setting.folder(name, seed)
    if (folder / EVALUATION).is_file():
        return Evaluation.model_validate_json((folder / EVALUATION).read_bytes())
    arm = ARMS[name]
    teacher = setting.of_teacher.folder("full", setting.teacher_seed)
    if any("{teacher}" in change for change in arm.changes) and not (teacher / EVALUATION).is_file():
        print(f"{name} needs the teacher first …", file=sys.stderr)
        run_arm("full", setting.teacher_seed, setting.of_teacher)
    steps = setting.steps + (setting.teacher_steps if arm.after_teacher else 0)
    changes = [
        f"name={folder.name}",
        f"data.source={setting.data}",
        f"train.max_steps={steps}",
        "train.epochs=16",
        "train.eval_examples=64",
        f"train.eval_every={steps}",
        f"train.checkpoint_every={max(1, steps // 4)}",
        f"train.seed={seed}",
        *(change.format(teacher=teacher) for change in arm.changes),
    ]
    data = setting.data
    if arm.view is not None:
        data = str(write_view(arm.view, setting.data, setting.out / "data" / f"{Path(setting.data).name}-{arm.view}"))
        changes.append(f"data.source={data}")
    if arm.weighed_by is not None:
        run_arm(arm.weighed_by, seed, setting)
        weighed = setting.out / "data" / f"{Path(setting.data).name}-weighed-{seed}"
        changes.append(f"data.source={write_oversampled(setting.data, setting.folder(arm.weighed_by, seed), weighed)}")
    recipe = load_recipe(ROOT / arm.recipe, changes)
    with contrasted(recipe, *arm.contrast) if arm.contrast else nullcontext():
        train(recipe, folder, setting.out / "adapters" / folder.name, resume=None)
    evaluation = evaluate(folder, data, setting.split)
    if arm.view is None:
        return evaluation
    predictions = restore(arm.view, setting.data, setting.split, folder)
    scored = score(predictions, setting.data, setting.split)
    evaluation = evaluation.model_copy(update={n: getattr(scored, n) for n in Scored.model_fields})
    write_record(folder / EVALUATION, evaluation)
    return evaluation

"""The arms: a recipe, what it changes, and where it starts from another arm, which."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from better.views import restore, write_view
from peftsum import evaluate, load_recipe, score, train
from peftsum.artifacts import write_record
from peftsum.evaluate import Evaluation, Scored

ROOT = Path(__file__).resolve().parents[2]
FULL, LORA = "recipes/tiny/full.yaml", "recipes/tiny/lora.yaml"
EVALUATION = "evaluation.json"


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
    standard: bool = False
    """In the table unless arms are named."""


ARMS = {
    "full": Arm(FULL, about="full fine-tune at 1e-3", standard=True),
    "full-2e-3": Arm(FULL, ["train.learning_rate=2e-3"], "full fine-tune at 2e-3"),
    "full-5e-4": Arm(FULL, ["train.learning_rate=5e-4"], "full fine-tune at 5e-4"),
    "plain-1.5e-3": Arm(LORA, about="LoRA r16 at 1.5e-3, the recipe"),
    "plain": Arm(LORA, ["train.learning_rate=3e-3"], "LoRA r16 at 3e-3", standard=True),
    "plain-6e-3": Arm(LORA, ["train.learning_rate=6e-3"], "LoRA r16 at 6e-3"),
    "distill": Arm(
        LORA,
        ["train.learning_rate=3e-3", "train.objective={{kind: distill, teacher: {teacher}}}"],
        "LoRA r16 taught by full",
        standard=True,
    ),
    "start": Arm(
        LORA, ["train.learning_rate=1.5e-3", "train.start_from={teacher}"], "LoRA r16 from full", standard=True
    ),
    "start-distill": Arm(
        LORA,
        [
            "train.learning_rate=1.5e-3",
            "train.start_from={teacher}",
            "train.objective={{kind: distill, teacher: {teacher}}}",
        ],
        "LoRA r16 from full and taught by it",
        standard=True,
    ),
    "head": Arm(
        LORA,
        ["train.learning_rate=3e-3", "method.targets=[q, k, v, o, wi_0, wi_1, wo, lm_head]"],
        "LoRA r16, output layer too",
    ),
    "normalised": Arm(LORA, ["train.learning_rate=3e-3"], "LoRA r16, speakers normalised", view="normalised"),
    "marked": Arm(LORA, ["train.learning_rate=3e-3"], "LoRA r16, turns numbered", view="marked"),
    "swapped": Arm(LORA, ["train.learning_rate=3e-3"], "LoRA r16, speakers exchanged at random", view="swapped"),
    "rank-64": Arm(LORA, ["train.learning_rate=3e-3", "method.rank=64", "method.alpha=64"], "LoRA r64, alpha 64, 3e-3"),
    "rslora-64": Arm(
        LORA,
        ["train.learning_rate=1.5e-3", "method.rank=64", "method.alpha=16", "method.rslora=true"],
        "rsLoRA r64, 1.5e-3",
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
    changes = [
        f"name={folder.name}",
        f"data.source={setting.data}",
        f"train.max_steps={setting.steps}",
        "train.epochs=8",
        "train.eval_examples=64",
        f"train.eval_every={setting.steps}",
        f"train.checkpoint_every={max(1, setting.steps // 4)}",
        f"train.seed={seed}",
        *(change.format(teacher=teacher) for change in arm.changes),
    ]
    data = setting.data
    if arm.view is not None:
        data = str(write_view(arm.view, setting.data, setting.out / "data" / f"{Path(setting.data).name}-{arm.view}"))
        changes.append(f"data.source={data}")
    train(load_recipe(ROOT / arm.recipe, changes), folder, setting.out / "adapters" / folder.name, resume=None)
    evaluation = evaluate(folder, data, setting.split)
    if arm.view is None:
        return evaluation
    predictions = restore(arm.view, setting.data, setting.split, folder)
    scored = score(predictions, setting.data, setting.split)
    evaluation = evaluation.model_copy(update={n: getattr(scored, n) for n in Scored.model_fields})
    write_record(folder / EVALUATION, evaluation)
    return evaluation

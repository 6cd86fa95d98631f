"""A sweep: arrangements or ranges over any recipe key, shared by any number of workers through Optuna's storage.

    result = sweep("recipes/sweeps/arrangements.yaml", "runs/arrangements")

A worker takes trials until none is left, waits for those of others, and takes up what a killed one left. The result
says how sure its order is: by paired tests over the dialogues, and by how often resampled dialogues keep the first.
"""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from peftsum.comparison import Comparison, System
from peftsum.exceptions import MisfitError, RecipeError, TrainingError, UsageError
from peftsum.section import Record
from peftsum.sweep_file import Span, Sweep
from peftsum.sweep_study import (
    FAILURE,
    FIGURES,
    LABEL,
    SURPLUS,
    SYSTEM,
    TRAIN_LOSS,
    counted,
    frozen,
    has_state,
    lower_is_better,
    open_study,
    put_back,
    require_optuna,
    retried,
    storage_trouble,
    take_up_stale,
)
from peftsum.sweep_trial import TrialPrunedError, run_trial

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)

STALE_AFTER_S = 120
POLL_S = 1.0
OF_ONE_TRIAL = (TrainingError, RecipeError, MisfitError)  # the others may well do


class Trial(Record):
    """One trial as the result has it."""

    number: int
    label: str
    arrangement: str | None
    """None in a search."""
    parameters: dict[str, bool | int | float | str | None]
    state: str
    """``complete``, ``pruned`` or ``failed``."""
    failure: str | None = None
    value: float | None = None
    """What it is judged by; None where it did not end."""
    train_loss: float | None = None
    """Of the last logged steps, nats a target token."""
    validation: dict[str, float] = Field(default_factory=dict)
    """Figures of the kept weights on the validation dialogues of the training."""
    attempts: int = 1
    """How often it was begun: more than once where a worker was killed."""


class SweepResult(Record):
    """What a sweep found."""

    name: str
    folder: str
    """Where this worker kept its trials."""
    judge: str
    lower_is_better: bool
    trials: list[Trial]
    """The best first; then those that did not end."""
    comparison: Comparison | None
    """Of the trials that ended; None where none did."""


def sweep(
    file: str | Path,
    out: str | Path | None = None,
    *,
    storage: str | None = None,
    overrides: Sequence[str] = (),
    split: str = "validation",
    limit: int | None = None,
    stale_after_s: int = STALE_AFTER_S,
    ignore_forecast: bool = False,
) -> SweepResult:
    """Work on a sweep until all its trials are done, by this worker or by others on the same storage.

    Args:
        file: the sweep's file.
        out: folder of the trials; default ``runs/<name>-sweep``. Workers on one disk share it.
        storage: Optuna's storage address; None is an SQLite file in ``out``.
        overrides: ``a.b=c`` settings for all trials.
        split: what trials are scored on; never choose by the test split.
        limit: its first dialogues only.
        stale_after_s: seconds without a sign of life after which a worker's trial is taken up by another.
        ignore_forecast: train even where the forecast says that the memory cannot suffice; else such a trial fails.

    Raises:
        UsageError: Optuna is missing, or the storage holds another sweep of this name.
        RecipeError: the file or a recipe in it is wrong; before anything is trained.
        StorageError: the storage cannot be used.
        TrainingInterrupted: Ctrl-C; the trial goes back to the queue.
    """
    require_optuna()
    plan = Sweep(file, overrides)
    folder = Path(out) if out is not None else Path("runs") / f"{plan.file.name}-sweep"
    url = storage or f"sqlite:///{folder / 'sweep.db'}"
    if storage is None:
        folder.mkdir(parents=True, exist_ok=True)
    with storage_trouble(url):
        fingerprint = f"{plan.fingerprint} {split} {limit}"
        study = open_study(plan.file, fingerprint, _queue(plan), url, stale_after_s)
        _Worker(plan, study, folder / "trials", split, limit, ignore_forecast).work()
        return _result(plan, study, split, folder)


def _queue(plan: Sweep) -> list[dict[str, Any]]:
    return [{"trial": label} for label in plan.labels]


@dataclass(frozen=True)
class _Worker:
    """Takes trials of a study until none is left."""

    plan: Sweep
    study: optuna.Study
    folder: Path
    split: str
    limit: int | None
    ignore_forecast: bool

    @property
    def total(self) -> int:
        return self.plan.file.trials or len(self.plan.labels)

    def work(self) -> None:
        """Return once every trial is done, here or elsewhere."""
        waited = False
        while True:
            take_up_stale(self.study)
            trials = counted(self.study)
            if has_state(trials, "WAITING") or len(trials) < self.total:
                self.study.optimize(self._objective, n_trials=1, catch=OF_ONE_TRIAL)
            elif has_state(trials, "RUNNING"):
                if not waited:
                    logger.info("waiting for the trials of other workers")
                waited = True
                time.sleep(POLL_S)
            else:
                return

    def _objective(self, trial: optuna.Trial) -> float:
        import optuna

        if self._is_surplus(trial):
            trial.set_user_attr(SURPLUS, True)
            raise optuna.TrialPruned("another worker was faster")
        try:
            label, recipe = self._recipe(trial)
            done = sum(t.state.is_finished() for t in counted(self.study))
            logger.info("[%d/%d] %s", done + 1, self.total, label)
            place = (self.folder, self.split, self.limit)
            return run_trial(trial, recipe, label, self.plan.file.judge, *place, ignore_forecast=self.ignore_forecast)
        except TrialPrunedError as error:
            raise optuna.TrialPruned(error.message) from error
        except OF_ONE_TRIAL as error:
            trial.set_user_attr(FAILURE, error.message)
            logger.warning(
                "%s: %s; %s", trial.user_attrs.get(LABEL, f"trial {trial.number}"), error.message, error.hint
            )
            raise
        except (Exception, KeyboardInterrupt):
            put_back(self.study, trial)
            raise

    def _is_surplus(self, trial: optuna.Trial) -> bool:
        """Tell whether two workers saw the same last place and this one came second."""
        if self.plan.labels:
            return "fixed_params" not in frozen(self.study, trial).system_attrs
        earlier = [other for other in counted(self.study) if other.number < trial.number]
        return len(earlier) >= self.total

    def _recipe(self, trial: optuna.Trial) -> tuple[str, Any]:
        if self.plan.labels:
            label = trial.suggest_categorical("trial", list(self.plan.labels))
            arrangement, seed = self.plan.labels[label]
            return label, self.plan.recipe(arrangement, seed, {})
        values = {key: _suggested(trial, key, choice) for key, choice in self.plan.file.ranges.items()}
        recipe = self.plan.recipe(None, None, values)
        first = [*retried(frozen(self.study, trial)), trial.number][0]
        return f"trial-{first}", recipe


def _suggested(trial: optuna.Trial, key: str, choice: Span | tuple[Any, ...]) -> Any:
    if not isinstance(choice, Span):
        return trial.suggest_categorical(key, choice)
    if isinstance(choice.low, int) and isinstance(choice.high, int):
        return trial.suggest_int(key, choice.low, choice.high, log=choice.log)
    return trial.suggest_float(key, choice.low, choice.high, log=choice.log)


def _result(plan: Sweep, study: optuna.Study, split: str, folder: Path) -> SweepResult:
    judge = plan.file.judge
    lower = lower_is_better(judge)
    found = [_trial(plan, trial) for trial in counted(study)]
    worst = float("inf") if lower else float("-inf")
    found.sort(key=lambda t: (worst if t.value is None else t.value) * (1 if lower else -1))
    by_number = {trial.number: trial for trial in counted(study)}
    systems = [System.model_validate(by_number[t.number].user_attrs[SYSTEM]) for t in found if t.state == "complete"]
    return SweepResult(
        name=plan.file.name,
        folder=str(folder),
        judge=judge,
        lower_is_better=lower,
        trials=found,
        comparison=_comparison(plan, systems, split) if systems else None,
    )


def _trial(plan: Sweep, trial: optuna.trial.FrozenTrial) -> Trial:
    label = trial.user_attrs.get(LABEL) or trial.params.get("trial", f"trial-{trial.number}")
    arrangement, seed = plan.labels.get(label, (None, None))
    parameters = dict(trial.params)
    if arrangement is not None:
        parameters = {**plan.file.set, **plan.file.arrangements[arrangement].set}
        parameters |= {} if seed is None else {"train.seed": seed}
    state = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(trial.state.name, "failed")
    return Trial(
        number=trial.number,
        label=label,
        arrangement=arrangement,
        parameters=parameters,
        state=state,
        failure=trial.user_attrs.get(FAILURE),
        value=trial.value if state == "complete" else None,
        train_loss=trial.user_attrs.get(TRAIN_LOSS),
        validation=trial.user_attrs.get(FIGURES, {}),
        attempts=1 + len(retried(trial)),
    )


def _comparison(plan: Sweep, systems: list[System], split: str) -> Comparison:
    from peftsum.compare import machine_lines
    from peftsum.cost.machine import describe_machine

    source = plan.recipes[0].data.source
    sizes = {system.scores.n for system in systems}
    if len(sizes) > 1:
        raise UsageError("the trials were scored on different data", hint="keep data.source out of the sweep")
    return Comparison(
        title=f"Sweep {plan.file.name}: {source}, {split} split",
        data=source,
        split=split,
        n=sizes.pop(),
        machine=machine_lines(describe_machine()),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        systems=systems,
        commands=[shlex.join(["peftsum", *sys.argv[1:]])] if Path(sys.argv[0]).stem in {"peftsum", "__main__"} else [],
    )

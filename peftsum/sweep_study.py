"""A sweep's study in Optuna's own storage: opening it, sharing it among workers, taking up what a killed one left."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from peftsum.exceptions import StorageError, UsageError
from peftsum.metrics.selection import ERROR_PREFIXES, LOSS
from peftsum.sweep_file import SweepFile

if TYPE_CHECKING:
    import optuna

FAILURE, SURPLUS, SYSTEM, LABEL, TRAIN_LOSS, FIGURES = "failure", "surplus", "system", "label", "train_loss", "figures"
READY, FINGERPRINT = "ready", "fingerprint"
FILLING_S = 30.0  # longest that filling a queue takes; a creator that is slower than this has died
SQLITE_WAIT_S = 60  # for a lock that another worker holds
BEATS = 3  # heartbeats in the time after which a silent worker counts as dead


def require_optuna() -> None:
    """Refuse to go on without Optuna."""
    try:
        import optuna
    except ImportError as error:
        raise UsageError("`peftsum sweep` needs Optuna", hint="pip install 'peftsum[sweeps]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@contextmanager
def storage_trouble(url: str) -> Iterator[None]:
    """Turn what a database raises into an error with a remedy; a password in the address is not repeated."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, ImportError) as error:
        try:
            shown = make_url(url).render_as_string(hide_password=True)
        except ArgumentError:
            shown = url
        told = str(error).splitlines()[0][:200]
        raise StorageError(
            f"the storage {shown} cannot be used: {told}",
            hint="an address is sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/DB with its driver installed",
        ) from error


def open_study(
    file: SweepFile, fingerprint: str, queue: Sequence[dict[str, Any]], url: str, stale_after_s: int
) -> optuna.Study:
    """Create the study with its queue of trials, or join it where another worker has.

    Args:
        file: the sweep.
        fingerprint: of the file and its recipes.
        queue: parameters of the planned trials.
        url: Optuna's storage address.
        stale_after_s: seconds without a sign of life after which a worker's trial is taken up by another.

    Raises:
        UsageError: the storage holds another sweep of this name.
        StorageError: the storage cannot be opened.
    """
    import optuna

    storage = _storage(url, stale_after_s)
    options: dict[str, Any] = {"storage": storage, "sampler": _sampler(file), "pruner": _pruner(file)}
    try:
        direction: Literal["minimize", "maximize"] = "minimize" if lower_is_better(file.judge) else "maximize"
        study = optuna.create_study(study_name=file.name, direction=direction, **options)
        study.set_user_attr(FINGERPRINT, fingerprint)
        created = True
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=file.name, **options)
        created = False
    deadline = time.monotonic() + FILLING_S
    while not created and READY not in study.user_attrs and time.monotonic() < deadline:
        time.sleep(0.1)
    if study.user_attrs.get(FINGERPRINT, fingerprint) != fingerprint:
        raise UsageError(
            f"the storage holds another sweep called {file.name}, of other settings, recipes or overrides",
            hint="give this one a `name:` of its own, or another --out or --storage",
        )
    if READY not in study.user_attrs:
        for parameters in queue:
            study.enqueue_trial(parameters, skip_if_exists=True)
        study.set_user_attr(READY, True)
    return study


def _storage(url: str, stale_after_s: int) -> Any:
    import optuna

    options = {"connect_args": {"timeout": SQLITE_WAIT_S}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            url,
            engine_kwargs=options,
            heartbeat_interval=max(1, stale_after_s // BEATS),
            grace_period=stale_after_s,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
        )


def _sampler(file: SweepFile) -> Any:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if file.sampler == "random" or not file.ranges:
            return optuna.samplers.RandomSampler()  # unseeded: workers of one seed would all try the same points
        return optuna.samplers.TPESampler(constant_liar=True)  # parallel workers keep off each other's points


def _pruner(file: SweepFile) -> Any:
    import optuna

    kinds = {"none": optuna.pruners.NopPruner, "median": optuna.pruners.MedianPruner}
    return kinds.get(file.pruner, optuna.pruners.HyperbandPruner)()


def lower_is_better(judge: str) -> bool:
    """Tell whether less is better: of the loss, and of error rates."""
    return judge == LOSS or judge.startswith(ERROR_PREFIXES)


def take_up_stale(study: optuna.Study) -> None:
    """Put the trials of workers that gave no sign of life back into the queue."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


def put_back(study: optuna.Study, trial: optuna.Trial) -> None:
    """Queue a trial again that this worker could not finish."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        again = optuna.storages.RetryHeartbeatStaleTrialCallback()
        again(study, frozen(study, trial))  # what Optuna itself does with a stale trial


def frozen(study: optuna.Study, trial: optuna.Trial) -> optuna.trial.FrozenTrial:
    """Return a running trial as the storage has it."""
    return study.get_trials(deepcopy=False)[trial.number]


def retried(trial: optuna.trial.FrozenTrial) -> list[int]:
    """Return the numbers of the earlier attempts at a trial, the first one first."""
    history: list[int] = trial.system_attrs.get("retry_history", [])
    return history


def counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that stand for a planned one: not those that were begun once more, nor any beyond the plan."""
    from optuna.trial import TrialState

    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if SURPLUS not in trial.user_attrs and (trial.state != TrialState.FAIL or FAILURE in trial.user_attrs)
    ]


def has_state(trials: Sequence[optuna.trial.FrozenTrial], *names: str) -> bool:
    """Tell whether any trial is in one of these states, by name."""
    return any(trial.state.name in names for trial in trials)

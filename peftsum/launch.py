"""Starting a training as several processes of this machine, by torchrun."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Sequence

from peftsum.exceptions import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED, TrainingError
from peftsum.ranks import WANTED, check_gpus, launched

STEP_S = 600  # a process that was asked to stop finishes its step and saves; this is the longest it may take
EXIT_SAID = (EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED)  # with these a process has said what is wrong
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run ``peftsum ARGUMENTS`` as several processes and return the exit code of the one that failed first, or 0.

    Args:
        arguments: of the command line, without ``--nproc``.
        processes: how many, all on this machine.

    Raises:
        UsageError: there are GPUs, and fewer than processes.
        TrainingError: a process was killed.
        KeyboardInterrupt: Ctrl-C, before the processes could say that they have saved and stopped.
    """
    check_gpus(processes)
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    os.environ[WANTED] = str(processes)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // processes)))
    options = ["--standalone", f"--nproc-per-node={processes}", f"--shutdown-timeout={STEP_S}", "--module"]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    logging.disable(logging.CRITICAL)  # torchrun reports its children's failures at length; they report their own
    try:
        run(parse_args([*options, "peftsum", *arguments]))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode in EXIT_SAID:
            return int(failure.exitcode)
        raise TrainingError(
            f"process {rank} of {processes} was killed by signal {-failure.exitcode}"
            if failure.exitcode < 0
            else f"process {rank} of {processes} failed with exit code {failure.exitcode}",
            hint="a lack of memory does this: lower train.batch_tokens; go on with --resume",
        ) from error
    except SignalException as stopped:  # torchrun has handed it on and waited for the end of all
        return 128 + int(stopped.sigval)
    finally:
        logging.disable(logging.NOTSET)
        del os.environ[WANTED]
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


def end_with_the_launcher() -> None:
    """Let this process be killed when `peftsum train --nproc` is, so that no half of a training runs on unseen."""
    if launched() and WANTED in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

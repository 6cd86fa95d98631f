"""The command line: parse, call one function, print. Stdout is data, stderr is everything else."""

from __future__ import annotations

import sys

import click

from peftsum.cli.adapters import adapters
from peftsum.cli.calibrate import calibrate
from peftsum.cli.compare import compare
from peftsum.cli.data import data
from peftsum.cli.doctor import doctor
from peftsum.cli.evaluate import evaluate
from peftsum.cli.init import init
from peftsum.cli.merge import merge
from peftsum.cli.output import quiet_libraries, report_error
from peftsum.cli.plan import plan
from peftsum.cli.prompts import prompts
from peftsum.cli.score import score
from peftsum.cli.serve import serve
from peftsum.cli.summarize import summarize
from peftsum.cli.sweep import sweep
from peftsum.cli.train import train
from peftsum.exceptions import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED, PeftsumError, StorageError
from peftsum.imports import quick_exit
from peftsum.ranks import PeerLostError, is_connected, is_first_here, is_main, leave, wait_to_be_ended
from peftsum.version import __version__

EPILOG = """
Example:

\b
    peftsum train recipes/tiny/lora.yaml
    peftsum summarize dialogue.txt --adapter adapters/tiny-lora

Exit codes: 0 done, 1 failed, 2 bad usage, recipe or data, 3 it does not fit into memory, 130 interrupted.
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="peftsum")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Find the cheapest fine-tune of Flan-T5 for dialogue summaries that is good enough."""
    context.obj = {"debug": debug}


for command in (
    *(train, plan, evaluate, score, summarize, calibrate, merge, compare, prompts, sweep),
    *(adapters, data, doctor, init, serve),
):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: an expected failure prints two lines, what is wrong and what to do."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]  # so that it may stand behind the command too
    quiet_libraries()
    quick_exit()
    try:
        code = cli.main(arguments, prog_name="peftsum", standalone_mode=False)
        leave()
        sys.exit(code if isinstance(code, int) else 0)  # click returns the code of `context.exit`
    except PeftsumError as error:
        if debug:
            raise
        _report(error)
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError:
        report_error("no command is given", f"one of {', '.join(cli.commands)}; peftsum --help says what each does")
        sys.exit(EXIT_BAD_INPUT)
    except click.ClickException as error:
        # What click's parser finds, as an option without its value, does not say of which command.
        named = " ".join(["peftsum", *(word for word in arguments[:1] if word in cli.commands)])
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else named
        report_error(" ".join(error.format_message().split()), f"{command} --help shows how it is used")
        sys.exit(EXIT_BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        if is_main():
            report_error("interrupted", "what was written before is whole; run the command again")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader, such as `head`, has gone; Python would complain at exit
        sys.exit(EXIT_FAILED)
    except OSError as error:
        if debug:
            raise
        failure = StorageError(
            f"{error.strerror or error}: {error.filename or ''}".rstrip(": "),
            hint="check disk and permissions; --debug shows where",
        )
        report_error(failure.message, failure.hint)
        sys.exit(failure.exit_code)
    except (MemoryError, RuntimeError) as error:
        if debug or not _is_lack_of_memory(error):
            raise
        report_error("the memory is not enough", "lower train.batch_tokens, or set train.gradient_checkpointing: true")
        sys.exit(EXIT_FAILED)


def _report(error: PeftsumError) -> None:
    """Print the two lines of an error; of several processes that share a training, one prints them."""
    if isinstance(error, PeerLostError):
        wait_to_be_ended()
    if error.everywhere:
        if is_main():
            report_error(error.message, error.hint)
        leave()
        return
    if not (is_first_here() or is_connected()):
        wait_to_be_ended()  # the first one here most likely fails alike, and says so
    report_error(error.message, error.hint)


def _is_lack_of_memory(error: BaseException) -> bool:
    """Tell whether Python, torch on a GPU or torch on a CPU could not allocate; torch is not imported for it."""
    named = type(error).__name__ in {"MemoryError", "OutOfMemoryError"}
    return named or "can't allocate memory" in str(error)

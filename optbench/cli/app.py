"""`optbench`: the sub-commands put together, and every way to end as one line and an exit status."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn, cast

import typer
from typer.main import get_command

from optbench import __version__
from optbench.errors import EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, OptbenchError

from .bench import bench
from .check import check
from .compare import compare
from .diff import diff
from .env import env
from .listing import listing
from .report import report
from .selftest import selftest
from .show import show
from .terminal import forgive_encoding

# typer exports no name for the base of its complaints about a command line.
_UsageProblem = cast(type[Exception], typer.BadParameter.__bases__[0])
_STATUSES = (
    "Exit status: 0 every judged law holds; 1 a judged law broke, or a regression; 2 wrong usage; 3 nothing could run; "
    "4 optbench itself failed; 130 interrupted."
)

app = typer.Typer(
    name="optbench",
    help="Is an implementation of torch.optim right, and how fast is it?",
    epilog=_STATUSES,
    # Without rich: its import alone would take most of the 0.4 s that --help may take.
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"optbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Is an implementation of torch.optim right, and how fast is it?"""


_COMMANDS: dict[str, Callable[..., None]] = {
    "compare": compare,
    "check": check,
    "bench": bench,
    "list": listing,
    "show": show,
    "diff": diff,
    "report": report,
    "selftest": selftest,
    "env": env,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit status.

    Args:
        arguments: without the program's name; None: this process's.
    """
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line; every failure is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        forgive_encoding(stream)
    try:
        status = int(get_command(app).main(arguments, prog_name="optbench", standalone_mode=False) or EXIT_OK)
    except OptbenchError as error:
        _say(str(error))
        return error.exit_status
    except _UsageProblem as error:
        return _wrong_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        status = EXIT_INTERRUPTED
    except Exception as error:
        return _internal(error, arguments)
    # typer makes this status of Ctrl-C, and says nothing.
    if status == EXIT_INTERRUPTED:
        _say("interrupted.")
    return status


def _wrong_usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "optbench"
    text = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    # A call without arguments shows the help, which is an answer rather than a complaint.
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
        return EXIT_USAGE
    _say(f"{text.rstrip('.')}. Try `{command} --help`.")
    return EXIT_USAGE


def _internal(error: Exception, arguments: Sequence[str]) -> int:
    if os.environ.get("OPTBENCH_TRACEBACK") == "1":
        traceback.print_exception(error)
    where = _keep(error, arguments)
    said = " ".join(str(error).split())
    _say(f"a bug of optbench: {type(error).__name__}: {said}; its traceback is in {where}.")
    return EXIT_INTERNAL


def _keep(error: Exception, arguments: Sequence[str]) -> Path:
    text = f"optbench {__version__} {' '.join(arguments)}\n\n" + "".join(traceback.format_exception(error))
    name = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    for folder in (Path(".optbench"), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(exist_ok=True)
            path = folder / name
            path.write_text(text, encoding="utf-8")
            return path
        except OSError:
            continue
    return Path(os.devnull)


def _say(text: str) -> None:
    print(f"optbench: {text}", file=sys.stderr)

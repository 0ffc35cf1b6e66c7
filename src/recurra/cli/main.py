"""The command `recurra`: its verbs, its exit codes, and what a person reads when something goes wrong."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

import recurra
from recurra.cli import backtest, check, demo, doctor, evaluate, info, inspect, predict, report, train
from recurra.cli.terminal import complain, print_error, silence
from recurra.errors import Interrupted, RecurraError

app = typer.Typer(
    name="recurra",
    help="Recurrent neural networks on your own data: trained, judged against baselines, ready to use.",
    epilog="Start with: recurra check DATA, or recurra demo. Exit codes: 0 done, 1 failed, 2 wrong usage, "
    "3 a problem in the data, 130 interrupted but saved.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _stoppable(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The same verb; Ctrl-C in it is said in words."""

    @functools.wraps(verb)
    def run(*positional: Any, **named: Any) -> Any:
        try:
            return verb(*positional, **named)
        except KeyboardInterrupt as error:
            raise Interrupted("stopped before the end; nothing was saved") from error

    return run


for module in (check, train, evaluate, backtest, predict, report, info, inspect, doctor, demo):
    name = module.__name__.rpartition(".")[2]
    app.command(name)(_stoppable(getattr(module, name)))


def _version(asked: bool) -> None:
    if asked:
        print(recurra.__version__)
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Recurrent neural networks on your own data: trained, judged against baselines, ready to use."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; no traceback reaches a person unless asked for."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    code = _run(arguments or ["--help"])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
    return code


def _run(arguments: list[str]) -> int:
    try:
        result = app(arguments, prog_name="recurra", standalone_mode=False, obj=arguments)
        return result if isinstance(result, int) else 0
    except SystemExit:
        return 0  # the reader of a pipe has gone: its choice, not a failure
    except RecurraError as error:
        if os.environ.get("RECURRA_DEBUG"):
            traceback.print_exc()
        print_error(error)
        return error.exit_code
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "recurra"
        complain([f"Error: {error.format_message()}", f"  {command} --help lists what there is"])
        return 2
    except Exception as error:
        _explain_unexpected(error)
        return 1


def _explain_unexpected(error: Exception) -> None:
    if os.environ.get("RECURRA_DEBUG"):
        traceback.print_exc()
    file = getattr(error, "traceback_file", None)
    where = f"The traceback is in {file}." if file else "RECURRA_DEBUG=1 before the command shows the traceback."
    complain(
        [
            f"Error: something went wrong that Recurra did not foresee ({type(error).__name__}: {error})",
            f"  This is a fault of Recurra, not of your data. {where} Please report it with the command you ran.",
        ]
    )

# SPDX-License-Identifier: Apache-2.0
"""The `ringbed` command: puts the verbs together, prints errors, chooses the exit code."""

import errno
import logging
import os
import re
import signal
import sys
import traceback
import types
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import orchestrator
from orchestrator.cli import (
    baseline,
    bisect,
    bundle,
    clean,
    compare,
    doctor,
    image,
    logs,
    nightly,
    output,
    perf,
    plan,
    power,
    profile,
    report,
    reproduce,
    run,
    schema,
    status,
    test,
    top,
    verify,
    vm,
)
from orchestrator.cli.options import NoInstall, Quiet, Verbose
from orchestrator.errors import ExitCode, HostError, Interrupted, RingbedError, UsageError

logger = logging.getLogger(__name__)

PROGRAM = "./ringbed"

app = typer.Typer(
    name="ringbed",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Boot virtual machines with real NIC models, measure network stacks in them, "
    "and read the report.",
    epilog="Start with: **./ringbed run quickstart**",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ringbed {orchestrator.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    verbose: Verbose = 0,
    quiet: Quiet = False,
    _no_install: NoInstall = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    output.set_up(verbosity=verbose, quiet=quiet)


run.register(app)
plan.register(app)
status.register(app)
logs.register(app)
report.register(app)
compare.register(app)
perf.register(app)
profile.register(app)
nightly.register(app)
bisect.register(app)
power.register(app)
verify.register(app)
bundle.register(app)
reproduce.register(app)
doctor.register(app)
clean.register(app)
schema.register(app)
test.register(app)
top.register(app)
app.add_typer(baseline.app, name="baseline")
app.add_typer(image.app, name="image")
app.add_typer(vm.app, name="vm")


# SIGHUP: the terminal was closed. Guests must not stay because their window went away.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _on_signal(number: int, _frame: types.FrameType | None) -> None:
    # Once is enough: a second Ctrl-C must not cut the clean-up short.
    for name in _SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


_EVERYWHERE = re.compile(r"-(v+|q|v+q|qv+)|--verbose|--quiet|--no-install")


def hoisted(arguments: Sequence[str]) -> list[str]:
    """The command line with options that hold for every verb moved before the verb.

    What follows "--", or a machine to run a command in, belongs to that command.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    first = next(
        (i for i, word in enumerate(arguments[:end]) if not _EVERYWHERE.fullmatch(word)), end
    )
    if list(arguments[first : first + 2]) == ["vm", "ssh"]:
        end = first
    front = [word for word in arguments[:end] if _EVERYWHERE.fullmatch(word)]
    rest = [word for word in arguments[:end] if not _EVERYWHERE.fullmatch(word)]
    return [*front, *rest, *arguments[end:]]


def invoke(arguments: Sequence[str]) -> ExitCode | int:
    """Run a command line; errors are printed, and the exit code is returned."""
    try:
        code = carry_out(hoisted(arguments)) or ExitCode.OK
        sys.stdout.flush()
        return code
    except RingbedError as error:
        output.show_error(error)
        return error.exit_code
    except Interrupted as request:
        output.err.print(request.message)
        return request.exit_code
    except typer.Exit as wanted:
        return wanted.exit_code
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except typer.TyperException as error:
        _show_usage(error)
        return ExitCode.USAGE
    except BrokenPipeError:
        # The reader of our output went away (`ringbed status | head`): nothing to complain of, but
        # no verdict either, as a shell tells it of any other program. What is still buffered has
        # nowhere to go when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        logger.debug("the host refused", exc_info=True)
        output.show_error(_host_error(error))
        return ExitCode.NOT_MEASURED
    except Exception:
        # A fault of ringbed itself. Python's own status 1 would say "not reproduced".
        traceback.print_exc()
        output.err.print("this is a fault of ringbed; please report it with the lines above")
        return ExitCode.NOT_MEASURED


def carry_out(words: Sequence[str]) -> Any:
    """Find the verb and do it; errors are the caller's."""
    command = typer.main.get_command(app)
    _tidy_help(command)
    try:
        return command.main(list(words), prog_name=PROGRAM, standalone_mode=False)
    except SystemExit as end:
        # How the library under typer ends on a closed pipe: with status 1, which means something.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        raise


def _tidy_help(command: Any) -> None:
    """Help without types that say nothing (<bool>, <str>), and usage without braces."""
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            name = parameter.display_name_raw
            shown = name if parameter.required else f"[{name}]"
            parameter.get_usage_pieces = lambda _, shown=shown: [shown]
        if parameter.param_type_name == "argument" or parameter.is_flag:
            parameter.display_type_rich = lambda *_, **__: None
    get_help_option = command.get_help_option

    def help_option(context: Any) -> Any:
        option = get_help_option(context)
        option.display_type_rich = lambda *_, **__: None
        return option

    command.get_help_option = help_option
    for inner in getattr(command, "commands", {}).values():
        _tidy_help(inner)


def _host_error(error: OSError) -> HostError:
    """What the host refused: no space, no permission, no file."""
    file = f": {error.filename}" if error.filename else ""
    hint = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "./ringbed clean --caches makes room; or use --runs-dir and RINGBED_CACHE"
    return HostError(f"{error.strerror or error}{file}", hint=hint)


def _show_usage(error: typer.TyperException) -> None:
    from pydantic import ValidationError

    from orchestrator.spec.validation import said

    if isinstance(error, typer.BadParameter) and isinstance(error.__cause__, ValidationError):
        error.message = said(error.__cause__)
    message = error.format_message()
    if not message:
        # Called without arguments: the help has been printed, there is nothing to add.
        return
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else PROGRAM
    output.show_error(UsageError(message, hint=f"{command} --help"))


def entry() -> None:
    """Run the command line; ends the process with one of the exit codes of `ExitCode`."""
    for name in _SIGNALS:
        # nohup asks to live on without the terminal.
        if name is not signal.SIGHUP or signal.getsignal(name) is not signal.SIG_IGN:
            signal.signal(name, _on_signal)
    output.set_up(verbosity=0, quiet=False)
    sys.exit(int(invoke(sys.argv[1:])))

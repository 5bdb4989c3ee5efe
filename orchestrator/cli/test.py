# SPDX-License-Identifier: Apache-2.0
"""`ringbed test`: linters, unit tests of Python and C, and on request tests with real guests."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from orchestrator import paths, process
from orchestrator.cli import output, sources
from orchestrator.cli.options import Archive, Locked, example
from orchestrator.errors import CommandError, ExitCode, RingbedError, UsageError

# What the long proofs of the TCP/IP library take: docs/testing.md.
SEEDS, SIZE = 10_000, "10g"
# As pyproject.toml declares them to pytest.
Mark = Literal["bisect", "browser", "bundle", "daemon", "dataplane", "fresh", "slow", "slurm", "vm"]

Form = Literal["coverage", "seeds", "gigabytes", "goodput"]
Proof = Literal[
    "all", "churn", "clients", "connections", "flood", "interop", "link", "locks", "pools"
]
Net = Annotated[
    Form | None,
    typer.Option(
        metavar="FORM",
        show_default=False,
        help="Only a long proof of the TCP/IP library: 'coverage' of its tests, 10,000 'seeds' "
        "of random links, 10 'gigabytes' with this host's TCP, 'goodput' beside it "
        "(docs/testing.md).",
    ),
]
Dpos = Annotated[
    Proof | None,
    typer.Option(
        metavar="PROOF",
        show_default=False,
        help="Only a long proof of the dataplane, over a veth of this host: 'churn', 'clients', "
        "'connections', 'flood', 'interop', 'link', 'locks', 'pools', or 'all' (docs/testing.md).",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that is checked. argv is made late: it may need a tree that is built first."""

    name: str
    argv: Callable[[], Sequence[str | os.PathLike[str]]]
    timeout: float = 600
    shows: bool = False
    """Print the last lines of output even when all is well: a test runner's own summary."""
    live: bool = False
    """Print every line as it comes: for what takes minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    check: Check
    passed: bool
    seconds: float
    output: str


def _python(*arguments: str) -> Callable[[], Sequence[str]]:
    return lambda: [sys.executable, *arguments]


def _pytest(*arguments: str) -> Callable[[], Sequence[str]]:
    return _python("-m", "pytest", "-q", "--durations=3", "--color=no", *arguments)


def _in_build_tree(*argv: str | os.PathLike[str]) -> Callable[[], Sequence[str]]:
    def command() -> Sequence[str]:
        from orchestrator.host import trees

        return trees.ensure_tree("build").command(argv, cwd=paths.project())

    return command


def _lint() -> list[Check]:
    files = sources.all_files()
    c_files, shell_files = sources.c_files(files), sources.shell_files(files)
    # The longer first. What Python there is ruff finds by itself, and mypy from pyproject.toml.
    return [
        Check(name="mypy", argv=_python("-m", "mypy")),
        Check(name="clang-tidy", argv=_c_check("tidy"), timeout=1800),
        Check(name="ansible-lint", argv=_ansible_lint),
        Check(name="ruff", argv=_python("-m", "ruff", "check")),
        Check(name="ruff format", argv=_python("-m", "ruff", "format", "--check")),
        Check(name="clang-format", argv=_in_build_tree("clang-format", "-n", "-Werror", *c_files)),
        Check(name="shellcheck", argv=_in_build_tree("shellcheck", "-x", *shell_files)),
    ]


def _ansible_lint() -> Sequence[str]:
    program = Path(sys.executable).with_name("ansible-lint")
    return [str(program), "--offline", "-q", "playbooks"]


def _unit() -> list[Check]:
    # In two halves, since two checks run at a time and these are by far the longest.
    files = sorted(str(path) for path in paths.project("tests/unit").glob("test_*.py"))
    return [
        *(
            Check(name=f"Python unit tests {half + 1}/2", argv=_pytest(*files[half::2]), shows=True)
            for half in range(2)
        ),
        Check(name="C unit tests", argv=_c_check("test"), timeout=900, shows=True),
        Check(name="C unit tests of accounting", argv=_c_check("accounting"), shows=True),
        Check(name="fuzz targets", argv=_c_check("fuzz"), timeout=900),
    ]


def _long_fuzz(seconds: int, asked: Sequence[str]) -> list[Check]:
    from orchestrator.host import cchecks

    targets = cchecks.fuzz_targets()
    for name in asked:
        if name not in targets:
            hint = f"one of {', '.join(targets)}"
            raise UsageError(f"there is no fuzz target {name!r}", hint=hint)

    def command() -> Sequence[str]:
        return cchecks.long_fuzz_command(seconds, asked or targets)

    # One core may have to take all targets in turn.
    return [Check(name="fuzz targets", argv=command, timeout=900 + 20 * seconds, live=True)]


def _net(form: Form) -> list[Check]:
    """A long proof of the TCP/IP library."""

    def command() -> Sequence[str]:
        from orchestrator.host import cchecks

        match form:
            case "coverage":
                return cchecks.coverage_command()
            case "seeds":
                return cchecks.seeds_command(SEEDS)
            case "gigabytes":
                return cchecks.tap_command(SIZE)
            case "goodput":
                return cchecks.goodput_command()

    return [Check(name=f"TCP/IP library: {form}", argv=command, timeout=8 * 3600, live=True)]


def _dpos(proof: Proof) -> list[Check]:
    """A long proof of the dataplane on this host."""

    def command() -> Sequence[str]:
        from orchestrator.host import cchecks

        return cchecks.dpos_command("" if proof == "all" else proof)

    return [Check(name=f"dataplane: {proof}", argv=command, timeout=4 * 3600, live=True)]


def _c_check(name: Literal["test", "accounting", "tidy", "fuzz"]) -> Callable[[], Sequence[str]]:
    def command() -> Sequence[str]:
        from orchestrator.host import cchecks

        commands = {
            "test": cchecks.test_command,
            "accounting": cchecks.accounting_command,
            "tidy": cchecks.tidy_command,
            "fuzz": cchecks.fuzz_command,
        }
        return commands[name]()

    return command


def _guests() -> list[Check]:
    return [
        Check(
            name="tests with real guests",
            argv=_pytest("-v", "-m", "vm or browser or slow", "tests/vm"),
            timeout=3600,
            live=True,
        )
    ]


def _marked(marker: Mark) -> list[Check]:
    """Tests of one kind. With -s: they show the output of what they drive."""
    argv = _pytest("-v", "-s", "-m", marker, "tests/vm", "tests/setup")
    # Each test has a deadline of its own; six proofs of the dataplane have hours.
    hours = 26 if marker == "dataplane" else 2
    return [Check(name=f"tests marked {marker}", argv=argv, timeout=hours * 3600, live=True)]


def _run(check: Check, logs: Path) -> Verdict:
    begin = time.monotonic()
    log = logs / f"{check.name.replace(' ', '-')}.log"
    try:
        done = process.stream(
            check.argv(),
            timeout=check.timeout,
            log=log,
            cwd=paths.project(),
            env=_clean_env(),
            on_line=_print_line if check.live else None,
        )
        passed, text = True, done.stdout
    except CommandError:
        passed, text = False, log.read_text(encoding="utf-8", errors="replace")
    except RingbedError as error:
        passed, text = False, str(error)
    seconds = time.monotonic() - begin
    return Verdict(check=check, passed=passed, seconds=seconds, output=text)


def _print_line(line: str) -> None:
    print(line, flush=True)


def _clean_env() -> dict[str, str]:
    # Caches of the tools go where the tests' own do, not into the checkout.
    cache = paths.cache("checks")
    return {
        "RUFF_CACHE_DIR": str(cache / "ruff"),
        "MYPY_CACHE_DIR": str(cache / "mypy"),
        "ANSIBLE_HOME": str(cache / "ansible"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_COLOR": "1",
    }


def _show(verdict: Verdict) -> None:
    mark = ("ok    ", "green") if verdict.passed else ("FAILED", "bold red")
    took = (f"  {output.seconds(verdict.seconds)}", "dim")
    output.out.print(Text.assemble(mark, f" {verdict.check.name}", took))
    if verdict.check.live:
        return
    if not verdict.passed:
        print(process.tail(verdict.output, 60), flush=True)
    elif verdict.check.shows:
        print(process.tail(verdict.output, 8), flush=True)


def _run_all(checks: Sequence[Check]) -> list[Verdict]:
    logs = Path(tempfile.mkdtemp(prefix="ringbed-test-"))
    verdicts = []
    pool = ThreadPoolExecutor(max_workers=max(1, min(2, os.cpu_count() or 1)))
    futures: list[Future[Verdict]] = []
    try:
        for check in checks:
            futures.append(pool.submit(_run, check, logs))
        for future in futures:
            verdict = future.result()
            _show(verdict)
            verdicts.append(verdict)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        # Again until all have left: one may just have been about to start its child.
        while not all(future.done() for future in futures):
            process.end_children()
            time.sleep(0.05)
        raise
    finally:
        pool.shutdown()
        if all(verdict.passed for verdict in verdicts):
            shutil.rmtree(logs)  # else somebody is told to read them
    return verdicts


def test(
    vm: Annotated[bool, typer.Option("--vm", help="Also tests that boot real guests.")] = False,
    only_vm: Annotated[
        bool, typer.Option("--only-vm", help="Nothing but the tests with real guests.")
    ] = False,
    lint: Annotated[bool, typer.Option("--lint", help="Only the linters.")] = False,
    fuzz: Annotated[
        int,
        typer.Option(
            "--fuzz",
            metavar="SECONDS",
            min=0,
            show_default=False,
            help="Only the fuzz targets of C, each for so long.",
        ),
    ] = 0,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET", show_default=False, help="With --fuzz: only this one; repeatable."
        ),
    ] = None,
    net: Net = None,
    dpos: Dpos = None,
    marked: Annotated[
        Mark | None,
        typer.Option(
            metavar="MARKER",
            show_default=False,
            help="Only the tests with this marker. Some run only so: 'bisect', 'bundle', 'daemon', "
            "'dataplane', 'fresh' and 'slurm' (docs/testing.md).",
        ),
    ] = None,
    locked: Locked = False,
    archive: Archive = "",
) -> None:
    """Run the linters and the unit tests of Python and C; with --vm real guests too."""
    named = [one is not None for one in (net, dpos, marked)]
    if sum((vm or only_vm, lint, fuzz > 0, *named)) > 1:
        names = "--vm, --only-vm, --lint, --fuzz, --net, --dpos and --marked"
        raise UsageError(f"only one of {names} can be given")
    if target and not fuzz:
        raise UsageError("--target says what --fuzz SECONDS is for", hint="--fuzz 600")
    if locked:
        os.environ["RINGBED_LOCKED"] = "1"
    if archive:
        os.environ["RINGBED_ARCHIVE"] = archive
    begin = time.monotonic()
    verdicts: list[Verdict] = []
    by_name = _long_fuzz(fuzz, target or ()) if fuzz else _by_name(net, dpos, marked)
    if by_name:
        verdicts += _run_all(by_name)
    elif not only_vm:
        verdicts += _run_all(([] if lint else _unit()) + _lint())
    if (vm or only_vm) and all(verdict.passed for verdict in verdicts):
        verdicts += _run_all(_guests())
    _conclude(verdicts, time.monotonic() - begin)


def _by_name(net: Form | None, dpos: Proof | None, marked: Mark | None) -> list[Check]:
    """What runs alone, if something was asked for that does."""
    if net:
        return _net(net)
    if dpos:
        return _dpos(dpos)
    return _marked(marked) if marked else []


def _conclude(verdicts: Sequence[Verdict], seconds: float) -> None:
    failed = [verdict.check.name for verdict in verdicts if not verdict.passed]
    if failed:
        output.out.print(Text(f"{len(failed)} of {len(verdicts)} checks failed: ", "bold red"))
        output.out.print(f"  {', '.join(failed)}")
        raise typer.Exit(ExitCode.NOT_MET)
    took = output.seconds(seconds)
    output.out.print(Text(f"all {len(verdicts)} checks passed in {took}", "bold green"))


def register(app: typer.Typer) -> None:
    app.command(epilog=example("test --vm"))(test)

# SPDX-License-Identifier: Apache-2.0
"""The checks of dataplane/ and accounting/ as commands in the build tree: unit tests, clang-tidy,
short fuzzing, costs by instruction count.

Each of dataplane/ has a build directory of its own in the cache, kept so that only what changed is
done again.
They are for one checkout each, as what a user edits; results of runs never come from them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator import paths
from orchestrator.host.trees import Bind, ensure_tree

_SOURCE = Path("/src")
_BUILD = Path("/build")
# Where clang-tidy looks for it when it has found none below _SOURCE.
_TIDY_CONFIG = Path("/.clang-tidy")
_SANITIZED = "-Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false"
_FUZZ_OPTIONS = f"-Dtests=disabled -Dfuzz=enabled {_SANITIZED}"


def test_command() -> list[str]:
    """The argv that compiles the C unit tests with sanitizers and runs them."""
    return _command(
        "tests",
        options=f"-Dtests=enabled {_SANITIZED}",
        # More at a time than there are cores: the longest mostly wait for a load to be over.
        script="meson test --print-errorlogs --no-suite perf --num-processes 4",
    )


def accounting_command() -> list[str]:
    """The argv that compiles each unit test of accounting/ with sanitizers and runs it. They need
    nothing of QEMU's."""
    flags = "-O1 -g -std=c17 -Wall -Wextra -Wshadow -Werror"
    flags += " -fsanitize=address,undefined -fno-sanitize-recover=all"
    one = f'gcc {flags} -o /tmp/test "$test" && /tmp/test'
    script = f"for test in {_SOURCE}/test_*.c; do {one} || exit; done"
    shown = [Bind(source=paths.project("accounting"), target=_SOURCE)]
    return ensure_tree("build").command(["sh", "-c", script], binds=shown)


def fuzz_command() -> list[str]:
    """The argv that compiles every fuzz target with libFuzzer and lets each make a fixed number of
    runs from its seeds."""
    return _command(
        "fuzz",
        options=_FUZZ_OPTIONS,
        script="meson test --print-errorlogs --suite fuzz",
        compiler="clang",
    )


def fuzz_targets() -> list[str]:
    """The names of all: each has a folder of seeds."""
    return sorted(path.name for path in paths.project("dataplane", "fuzz", "seeds").iterdir())


def long_fuzz_command(seconds: int, targets: Sequence[str]) -> list[str]:
    """The argv that fuzzes each of these targets for so long, as many at a time as there are cores.
    The inputs that it finds interesting are kept in the build directory for the next time."""
    one = f"{_SOURCE}/fuzz/fuzz.sh fuzz/fuzz_@ {_SOURCE}/fuzz/seeds/@ {seconds}"
    return _command(
        "fuzz",
        options=_FUZZ_OPTIONS,
        script=f'ninja && printf "%s\\n" {" ".join(targets)} | xargs -P "$(nproc)" -I @ {one}',
        compiler="clang",
        # The same sanitizer settings as under meson test.
        env={
            name: "halt_on_error=1:abort_on_error=1" for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")
        },
    )


def tidy_command() -> list[str]:
    """The argv that runs clang-tidy over every C file that has changed since it was clean."""
    return _command(
        "tidy",
        options="-Dtests=enabled -Dfuzz=enabled",
        script=f"ninja --quiet build.ninja && {_SOURCE}/tests/tidy.sh {_SOURCE} {_TIDY_CONFIG}",
        compiler="clang",
        binds=[Bind(source=paths.project(".clang-tidy"), target=_TIDY_CONFIG)],
    )


def bench_command(arguments: Sequence[str]) -> list[str]:
    """The argv that compiles bench_net as a release and counts the instructions of its turns.

    Ends with the program's own last line, and the lines of dataplane/bench/counted.py.
    """
    words = " ".join(arguments)
    count = "valgrind --tool=callgrind --callgrind-out-file=counts --toggle-collect=bench_turn"
    return _command(
        "bench",
        options="-Dtests=enabled -Dbuildtype=release -Db_ndebug=true",
        script=f"ninja --quiet bench/bench_net && {count} bench/bench_net {words} 2>&1 && "
        f"python3 {_SOURCE}/bench/counted.py counts",
    )


def coverage_command() -> list[str]:
    """The argv that says how much of dataplane/net its tests execute, and fails below the bar."""
    return _command(
        "coverage",
        options="-Dtests=enabled -Dbuildtype=debug -Db_coverage=true",
        script="find . -name '*.gcda' -delete; ninja --quiet && "
        "meson test --suite net --num-processes 2 && "
        f"python3 {_SOURCE}/tests/coverage.py net/libnet.a.p {_SOURCE}/net 90",
    )


def seeds_command(count: int) -> list[str]:
    """The argv that sends byte streams over so many random links, and over as many more on which
    the connections move between instances. Without sanitizers, which take five times as long."""
    programs = "tests/net/net_streams", "tests/net/net_moving"
    runs = " && ".join(f"wait ${name}" for name in ("first", "second"))
    first, second = (f"NET_SEEDS={count} {program}" for program in programs)
    return _command(
        "seeds",
        options="-Dtests=enabled -Dbuildtype=debugoptimized",
        script=f"ninja --quiet {' '.join(programs)} || exit; "
        f"{first} & first=$!; {second} & second=$!; {runs}",
    )


def tap_command(size: str) -> list[str]:
    """The argv that exchanges so many bytes in each direction with the host's own TCP, through
    links with faults, and fails unless every idle gap is explained."""
    return _tap(f"long --bytes {size}")


def goodput_command() -> list[str]:
    """The argv that compares the goodput of CUBIC, at two losses, with that of the host's own, and
    fails below the bar."""
    return _tap("goodput")


def _tap(form: str) -> list[str]:
    return _command(
        "tap",
        options="-Dtests=enabled -Dbuildtype=debugoptimized",
        script="ninja --quiet tests/net/tap/net-tap && "
        f"python3 {_SOURCE}/tests/net/tap/tap.py tests/net/tap/net-tap {form}",
    )


def dpos_command(proof: str) -> list[str]:
    """The argv that shows what is claimed of dpos at full size, on devices of a network namespace;
    an empty proof: all. See dataplane/tests/dpos: proofs.py, clients.py, locks.py."""
    plain = [f"tests/dpos/{name}-plain" for name in ("rb-echo", "rb-http", "rb-kv", "rbload")]
    programs = ["dpos/dpos", "tests/net/tap/net-tap", *plain]
    named = [f"--program={Path(path).name.removesuffix('-plain')}={path}" for path in programs]
    tests = f"python3 -B {_SOURCE}/tests/dpos"
    scripts = {
        "clients": f"{tests}/clients.py {' '.join(named)}",
        "locks": f"{tests}/locks.py dpos/dpos",
    }
    proofs = f"{tests}/proofs.py --long {' '.join(named)} {proof}"
    chosen = [scripts.get(proof, proofs)] if proof else [proofs, *scripts.values()]
    return _command(
        "dpos",
        options="-Dtests=enabled -Dbuildtype=release -Db_ndebug=true",
        script=" && ".join((f"ninja --quiet {' '.join(programs)}", *chosen)),
    )


def _command(
    name: str,
    *,
    options: str,
    script: str,
    compiler: str = "gcc",
    binds: Sequence[Bind] = (),
    env: Mapping[str, str] | None = None,
) -> list[str]:
    tree = ensure_tree("build")
    # meson and ninja go by times of change: a directory must not serve the sources of two places.
    made_from = "\0".join([tree.hash, options, str(paths.PROJECT)])
    key = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    build = paths.cache("build", f"{name}-{key}")
    build.mkdir(parents=True, exist_ok=True)
    setup = f"[ -f build.ninja ] || meson setup . {_SOURCE} {options} || exit"
    shown = [
        Bind(source=paths.project("dataplane"), target=_SOURCE),
        Bind(source=build, target=_BUILD, writable=True),
        *binds,
    ]
    # Two that run at once would write the same objects.
    guarded = ["flock", str(_BUILD), "sh", "-c", f"{setup}; {script}"]
    return tree.command(guarded, binds=shown, cwd=_BUILD, env={"CC": compiler, **(env or {})})

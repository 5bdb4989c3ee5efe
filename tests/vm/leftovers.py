# SPDX-License-Identifier: Apache-2.0
"""Everything that ringbed may not leave behind, and a place in which that can be counted.

`Places` are directories that one test alone uses. The path of their root is in the environment of
every process that ringbed starts there, in the names of its sockets and its mounts, and above its
temporary files: what bears it has been left by that test's ringbed, whoever else is at work.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator import paths

# Found before a fixture hides it: trees, images and programs are shared, nothing else is.
CACHE = paths.cache()
SHARED = (
    *("apt", "build", "images", "libvirt-capabilities", "packages", "probe", "sources", "trees"),
    "venv",
)
POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(paths.PROJECT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "RINGBED_STATE": str(self.state),
            "RINGBED_CACHE": str(self.cache),
            "RINGBED_DATA": str(self.data),
            "RINGBED_RUNS": str(self.runs),
            "TMPDIR": str(self.temporary),
            "COLUMNS": "200",
        }

    def leftovers(self) -> list[str]:
        """A line for each thing found; empty when no ringbed runs here and all have cleaned up."""
        found = [f"process {self._words(pid)}" for pid in self.processes()]
        mark = f"{self.root}/"
        for table in ("/proc/net/unix", "/proc/self/mounts"):
            lines = Path(table).read_text(encoding="utf-8").splitlines()
            found += [f"{table}: {line}" for line in lines if mark in line]
        kept = {self.state / "ports"}
        for place in (self.state, self.state / "ports", self.temporary):
            with suppress(FileNotFoundError):
                found += [str(path) for path in place.iterdir() if path not in kept]
        # A snapshot in the making has a name that begins with a dot.
        found += [str(path) for path in self.cache.glob("snapshots/.*")]
        found += [str(path) for path in self.cache.iterdir() if path.name not in EXPECTED]
        return found

    def processes(self) -> list[int]:
        """All processes of this place, by their command line or their environment."""
        mark = os.fsencode(self.root) + b"/"
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if mark in text and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
        return found

    def running(self, program: str, word: str = "") -> list[int]:
        """The processes of this place that run a program of that name, with that word among their
        arguments."""

        def runs_it(pid: int) -> bool:
            words = self._words(pid).split(" ")
            # The second word is the program where the first one is an interpreter.
            return any(Path(name).name == program for name in words[:2]) and any(
                word in argument for argument in words
            )

        return [pid for pid in self.processes() if runs_it(pid)]

    def guests(self) -> list[int]:
        """QEMU's processes that hold guests."""
        return self.running("qemu-system-x86_64", "guest=")

    def clean_within(self, seconds: float = 5.0) -> bool:
        """Whether nothing is left, given a moment: the kernel closes sockets after processes."""
        end = time.monotonic() + seconds
        while self.leftovers():
            if time.monotonic() > end:
                return False
            time.sleep(POLL_S)
        return True

    @staticmethod
    def _words(pid: int) -> str:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return b" ".join(words).decode("utf-8", "replace")
        return ""


EXPECTED = {*SHARED, "snapshots", "logs", "checks", "matplotlib"}


@contextmanager
def new_places() -> Iterator[Places]:
    """New places, with a short name because sockets are made there. At the end whatever still
    runs there is killed, so that one failing test does not disturb the others."""
    with TemporaryDirectory(prefix="rbf", dir="/tmp", ignore_cleanup_errors=True) as name:
        places = Places(root=Path(name))
        places.root.chmod(0o711)
        for directory in (places.cache, places.data, places.runs, places.temporary):
            directory.mkdir()
        for shared in SHARED:
            (CACHE / shared).mkdir(parents=True, exist_ok=True)
            (places.cache / shared).symlink_to(CACHE / shared)
        try:
            yield places
        finally:
            for pid in places.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)


def argv(*words: str) -> list[str]:
    """The command line, without the launcher: the tests run in the tools tree already."""
    return [sys.executable, "-m", "orchestrator", *words]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    code: int
    out: str
    err: str


class Command:
    """A ringbed that was started; its output goes to files, so that it never waits for a reader."""

    def __init__(self, places: Places, number: int, words: Sequence[str]) -> None:
        self._out = places.root / f"{number}.out"
        self._err = places.root / f"{number}.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=places.environment(),
                cwd=paths.PROJECT,
            )

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def wait(self, seconds: float) -> Done:
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running after {seconds:g} s:\n{self.err}") from None
        return Done(code=code, out=self._out.read_text(encoding="utf-8"), err=self.err)

    def until[Found](self, look: Callable[[], Found], what: str, seconds: float = 90.0) -> Found:
        """What `look` finds first. It must happen while the command runs."""
        end = time.monotonic() + seconds
        while not (found := look()):
            ended = self.process.poll()
            assert ended is None, f"ended with {ended} before: {what}\n{self.err}"
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}\n{self.err}"
            time.sleep(POLL_S)
        return found


class Ringbed:
    """The command line, in places of a test's own. program: what the words are given to; else the
    package itself, without the launcher."""

    def __init__(self, places: Places, program: Sequence[str] = ()) -> None:
        self.places = places
        self._program = list(program) or argv()
        self._number = 0

    def start(self, *words: str) -> Command:
        self._number += 1
        return Command(self.places, self._number, [*self._program, *words])

    def __call__(self, *words: str, seconds: float = 120.0) -> Done:
        return self.start(*words).wait(seconds)

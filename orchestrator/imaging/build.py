# SPDX-License-Identifier: Apache-2.0
"""Builds one image into a directory: tree, provisioning, kernel, initrd, root file system.

The tree is made by images/tree.sh in a user namespace of its own; nothing is mounted on the host
and nothing needs root. The playbooks run in that same namespace, therefore as a program that
tree.sh calls, not as a call from here.
"""

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator import errors, paths, process
from orchestrator.errors import BuildError, CommandError, ProvisionError, RingbedError
from orchestrator.imaging import initrd, kernel, model, rootfs
from orchestrator.imaging.declaration import Declaration
from orchestrator.log import step

TREE_TIMEOUT_S = 3600.0
QUICK_TIMEOUT_S = 60.0

type Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees:
    """How images/tree.sh is called. archive: a mirror to use instead of the host's, or empty."""

    locked: bool
    archive: str

    def command(self, *words: str) -> list[str]:
        options = ["--locked"] if self.locked else []
        if self.archive:
            options += ["--archive", self.archive]
        return [str(paths.project("images", "tree.sh")), *options, *words]

    def lock_lines(self, name: str) -> str:
        """The packages in effect: those of the lock file, unless the archive has lost some."""
        return self._quick("packages", name).stdout

    def epoch(self, name: str) -> int:
        """The time that is the newest in an image: when its packages were made."""
        text = paths.project("images", f"{name}.lock").read_text(encoding="utf-8")
        found = re.search(r"^# epoch: (\d+)$", text, re.MULTILINE)
        if found is None:
            raise BuildError(
                f"images/{name}.lock names no epoch", hint=f"./ringbed image lock {name}"
            )
        return int(found[1])

    def _quick(self, *words: str) -> process.Completed:
        return _told(lambda: process.run(self.command(*words), timeout=QUICK_TIMEOUT_S))


def build_image(
    declaration: Declaration,
    work: Path,
    *,
    trees: Trees,
    progress: Progress,
) -> tuple[str, dict[str, str]]:
    """Write kernel, initrd and root file system into `work`, which exists and is empty.

    Returns the kernel release and the package versions.
    """
    epoch = trees.epoch(declaration.name)
    tree, normal = work / "tree.tar", work / "normal.tar"
    with step(f"build the tree of {declaration.name}"):
        _make_tree(declaration, tree, trees=trees, progress=progress)
    with step("compose kernel, initrd and root file system"):
        progress(f"{declaration.name}: composing the root file system")
        contents = rootfs.read_tree(tree)
        (work / model.KERNEL).write_bytes(kernel.extract_vmlinux(contents.kernel))
        (work / model.INITRD).write_bytes(_make_initrd(declaration, tree, contents, epoch))
        rootfs.normalise(tree, normal, epoch=epoch)
        tree.unlink()
        rootfs.make_ext4(
            normal,
            work / model.ROOT,
            contents=contents,
            label=declaration.name,
            slack_mib=declaration.slack_mib,
            epoch=epoch,
        )
        normal.unlink()
    return contents.kernel_release, rootfs.package_versions(contents.dpkg_status)


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def lock(name: str, *, trees: Trees, progress: Progress, log: Path) -> None:
    """Resolve the packages of a declaration afresh and write its lock file."""
    _stream(trees.command("lock", name), log=log, progress=progress)


def _make_tree(declaration: Declaration, tree: Path, *, trees: Trees, progress: Progress) -> None:
    work = tree.parent
    failure, request = work / "failure.json", work / "request.json"
    # The logs outlive a failed build, whose directory is removed.
    logs = paths.cache("logs")
    logs.mkdir(parents=True, exist_ok=True)
    log, playbook_log = logs / f"{declaration.name}.log", logs / f"{declaration.name}-playbook.log"
    for file in (log, playbook_log):
        file.unlink(missing_ok=True)
    request.write_text(
        json.dumps(
            {
                "variables": dict(declaration.variables),
                "log": str(playbook_log),
                "failure": str(failure),
            }
        ),
        encoding="utf-8",
    )
    command = trees.command("tar", declaration.name, str(tree), _hook(request))
    try:
        _stream(command, log=log, progress=progress)
    except RingbedError:
        if failure.exists():
            raise _provision_failure(failure) from None
        raise
    request.unlink()


def _hook(request: Path) -> str:
    """The shell command that mmdebstrap calls with the tree as $1."""
    words = [
        "env",
        f"PYTHONPATH={paths.PROJECT}",
        "PYTHONDONTWRITEBYTECODE=1",
        sys.executable,
        "-m",
        "orchestrator.provision",
        str(request),
    ]
    return f'{shlex.join(words)} "$1"'


def _provision_failure(file: Path) -> RingbedError:
    failure = json.loads(file.read_text(encoding="utf-8"))
    kind = getattr(errors, failure["kind"], ProvisionError)
    error: RingbedError = kind(
        f"the image could not be provisioned: {failure['message']}",
        details=failure["details"],
        hint=failure["hint"],
    )
    return error


def _stream(command: list[str], *, log: Path, progress: Progress) -> None:
    _told(lambda: process.stream(command, timeout=TREE_TIMEOUT_S, log=log, on_line=progress))


def _told(call: Callable[[], process.Completed]) -> process.Completed:
    """tree.sh's exit codes are ours: 2 for a wrong declaration, 3 for archive, disk or build.

    Its last `error:` line is the message, and the `hint:` that follows it is the hint.
    """
    try:
        return call()
    except CommandError as error:
        lines = error.output.splitlines()
        message = next((line for line in reversed(lines) if line.startswith("error: ")), "")
        hint = next((line for line in reversed(lines) if line.startswith("  hint: ")), "")
        if not message:
            raise
        kind = errors.UsageError if error.returncode == 2 else BuildError
        raise kind(
            message.removeprefix("error: "),
            details="\n".join(line for line in lines if line not in (message, hint)),
            hint=hint.removeprefix("  hint: "),
        ) from error


def _make_initrd(
    declaration: Declaration, tree: Path, contents: rootfs.Contents, epoch: int
) -> bytes:
    order = initrd.module_order(
        initrd.parse_modules_dep(contents.modules_dep),
        contents.modules_builtin.split(),
        declaration.modules,
    )
    modules = rootfs.read_modules(tree, contents.kernel_release, [path for _, path in order])
    entries = initrd.compose(
        busybox=contents.busybox,
        init=paths.project("images", "guest", "initrd-init").read_bytes(),
        modules=[(group, path, modules[path]) for group, path in order],
    )
    return initrd.cpio(entries, epoch=epoch)

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
from pathlib import Path

from orchestrator import errors, paths
from orchestrator.errors import BuildError, ProvisionError, RingbedError
from orchestrator.host import trees
from orchestrator.imaging import initrd, kernel, model, rootfs
from orchestrator.imaging.declaration import Declaration
from orchestrator.log import step

type Progress = Callable[[str], None]


def build_image(
    declaration: Declaration,
    work: Path,
    *,
    locked: bool,
    archive: str,
    progress: Progress,
) -> tuple[str, dict[str, str]]:
    """Write kernel, initrd and root file system into `work`, which exists and is empty.

    Returns the kernel release and the package versions.
    """
    epoch = packages_epoch(declaration.name)
    tree, normal = work / "tree.tar", work / "normal.tar"
    _make_tree(declaration, tree, locked=locked, archive=archive, progress=progress)
    with step("composing kernel, initrd and root file system"):
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


def packages_epoch(name: str) -> int:
    """The time that is the newest in an image: when its packages were locked."""
    text = paths.project("images", f"{name}.lock").read_text(encoding="utf-8")
    found = re.search(r"^# epoch: (\d+)$", text, re.MULTILINE)
    if found is None:
        raise BuildError(f"images/{name}.lock names no epoch", hint=f"./ringbed image lock {name}")
    return int(found[1])


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _make_tree(
    declaration: Declaration, tree: Path, *, locked: bool, archive: str, progress: Progress
) -> None:
    work = tree.parent
    failure, request = work / "failure.json", work / "request.json"
    # The log outlives a failed build, whose directory is removed.
    log = paths.cache("logs", f"{declaration.name}-playbook.log")
    log.unlink(missing_ok=True)
    document = {
        "variables": dict(declaration.variables),
        "log": str(log),
        "failure": str(failure),
    }
    request.write_text(json.dumps(document), encoding="utf-8")
    try:
        trees.build_tar(
            declaration.name,
            tree,
            [_hook(request)],
            locked=locked,
            archive=archive,
            on_line=progress,
        )
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
        # The build sandbox's own, so that a killed build leaves nothing, and short enough for the
        # sockets that Ansible makes.
        "TMPDIR=/dev/shm",
        "PYTHONDONTWRITEBYTECODE=1",
        sys.executable,
        # Or a checkout that the user stands in would come before the one that builds.
        "-P",
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

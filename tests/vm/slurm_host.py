# SPDX-License-Identifier: Apache-2.0
"""A cluster of one node: Debian's Slurm, on this machine, found and left by nobody else.

The tree `slurm` is laid over the host's /usr as the launcher does it with `tools`, so that for
what runs in it (Slurm's daemons, jobs, and the ./ringbed that submits them) it is a Debian host
that has Slurm. Configuration, state, key, sockets and ports are the test's own.
"""

import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from leftovers import Places

from orchestrator import paths, process
from orchestrator.host import trees
from orchestrator.host.ports import lease_port

PROGRAM_S = 60.0
READY_S = 60.0
# Symbolic links that installation scripts would have made.
LINKS = {
    "bin/awk": "mawk",
    "sbin/slurmctld": "slurmctld-wlm",
    "sbin/slurmd": "slurmd-wlm",
    "sbin/slurmstepd": "slurmstepd-wlm",
}
# What images/enter-tree.sh covers, or lays over.
MOUNT_POINTS = (
    "usr/lib/host",
    "usr/lib/modules",
    "usr/local/share/ca-certificates",
    "etc/alternatives",
)
CONFIGURATION = """\
ClusterName=ringbed
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=10
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 Port={node} CPUs={cpus} RealMemory=4096 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=60 State=UP
"""


def tree() -> Path:
    """The tree, unpacked once for each content of its lock."""
    place = trees.tree_path("slurm")
    if place.is_dir():
        return place
    script = paths.project("images", "tree.sh")
    process.run([script, "fetch", "slurm"], timeout=600, env={"RINGBED_CACHE": str(paths.cache())})
    fresh = place.with_name(f".build-{place.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    for package in trees.locked_packages("slurm"):
        file = paths.cache("packages", f"{package.sha256}.deb")
        process.run(["dpkg-deb", "--extract", file, fresh], timeout=PROGRAM_S)
    for name, target in LINKS.items():
        fresh.joinpath("usr", name).symlink_to(target)
    for name in MOUNT_POINTS:
        fresh.joinpath(name).mkdir(parents=True, exist_ok=True)
    process.run(["ldconfig", "-r", fresh], timeout=PROGRAM_S)
    fresh.rename(place)
    return place


class Cluster:
    """A running one. Commands are given as words; what they print is returned."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.root = places.root / "slurm"
        self._tree = tree()

    def program(self, *words: str) -> list[str]:
        """The words that run something on the host that has Slurm."""
        # Not the tools tree that the tests run in: the launcher is to find its own.
        forget = [f"--unset=RINGBED_{name}" for name in ("TOOLS", "VENV")]
        settings = [f"SLURM_CONF={self.root}/slurm.conf"]
        enter = ["/bin/bash", str(paths.project("images", "enter-tree.sh")), str(self._tree)]
        return ["env", *forget, *settings, *enter, *words]

    def __call__(self, *words: str) -> str:
        return process.run(self.program(*words), timeout=PROGRAM_S, env=self.settings()).stdout

    def settings(self) -> dict[str, str]:
        """What the environment of its programs has besides this process's own."""
        ours = self.places.environment().items()
        return {name: value for name, value in ours if os.environ.get(name) != value}

    def jobs(self, *states: str) -> list[str]:
        """The ids of jobs in any of these states."""
        wanted = ",".join(states) or "all"
        return self("squeue", "--noheader", "--format=%i", f"--states={wanted}").split()

    def recover(self) -> None:
        """Take the node back into service. One that has come back by itself cannot be resumed."""
        if "idle" not in self._nodes():
            resume = ("scontrol", "update", "NodeName=ALL", "State=RESUME")
            process.run(self.program(*resume), timeout=PROGRAM_S, env=self.settings(), check=False)
        self._await_ready()

    @contextmanager
    def running(self) -> Iterator["Cluster"]:
        self.root.mkdir()
        for name in ("state", "spool"):
            (self.root / name).mkdir()
        key = self.root / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        with ExitStack() as stack:
            ports = [stack.enter_context(lease_port()) for _ in range(2)]
            text = CONFIGURATION.format(
                host=socket.gethostname().split(".")[0],
                root=self.root,
                controller=ports[0].port,
                node=ports[1].port,
                cpus=os.cpu_count(),
            )
            (self.root / "slurm.conf").write_text(text, encoding="utf-8")
            (self.root / "cgroup.conf").write_text("CgroupPlugin=disabled\n", encoding="utf-8")
            for words in self._daemons():
                log = self.root / f"{words[0]}.log"
                command = self.program(*words)
                stack.enter_context(process.background(command, log=log, env=self.settings()))
            self._await_ready()
            yield self

    def _daemons(self) -> Sequence[tuple[str, ...]]:
        root = self.root
        munge = [f"--{name}-file={root}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        return (
            ("munged", "--foreground", "--force", f"--socket={root}/munge.socket", *munge),
            ("slurmctld", "-D", "-i", "-f", f"{root}/slurm.conf"),
            ("slurmd", "-D", "-f", f"{root}/slurm.conf"),
        )

    def _await_ready(self) -> None:
        end = time.monotonic() + READY_S
        while "idle" not in (said := self._nodes()):
            logs = "\n".join(path.read_text() for path in sorted(self.root.glob("*.log")))
            assert time.monotonic() < end, f"{said}\n{logs}"
            time.sleep(0.2)

    def _nodes(self) -> str:
        words = self.program("sinfo", "--noheader", "--format=%T")
        done = process.run(words, timeout=PROGRAM_S, env=self.settings(), check=False)
        return done.stdout + done.stderr

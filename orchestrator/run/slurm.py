# SPDX-License-Identifier: Apache-2.0
"""The executor of a Slurm cluster: each trial on the virtual clock is a job of its own.

submitit writes the batch script, carries functions and results, and runs on the node; ringbed says
how Slurm's commands are called from inside a tree and how a node enters that tree.
"""

import logging
import os
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

from orchestrator import paths, process
from orchestrator.errors import HostError, MachineError, UsageError
from orchestrator.host import probe
from orchestrator.host.slurm import GONE, JobState, Slurm
from orchestrator.log import step
from orchestrator.run import job as jobs
from orchestrator.run.execute import GuestBench
from orchestrator.run.executor import MakeBenches, Site
from orchestrator.run.job import Answer, Bed
from orchestrator.run.placement import HOUSE_BYTES
from orchestrator.run.plan import Plan, Trial
from orchestrator.run.supplies import QEMU_OVERHEAD_BYTES
from orchestrator.spec.topology import Topology
from orchestrator.vm.model import MIB

logger = logging.getLogger(__name__)

POLL_S = 0.5
# For a result to appear in a shared directory after its job has ended.
RESULT_S = 30.0
# Slurm gives a cancelled job 30 s (KillWait) before it kills it.
CANCEL_S = 60.0
# Before the limit, so that a job can still say that it reached it; of a short one, a quarter.
LIMIT_NOTICE_S = 60
# Of the job's own Python.
JOB_BYTES = 512 * MIB
_FAILURES = (FailedJobError, FailedSubmissionError, UncompletedJobError)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmExecutor:
    """slots: jobs that are submitted at the same time."""

    slots: int
    slurm: Slurm

    def describe(self) -> str:
        settings = self.slurm.settings
        where = f"partition {settings.partition}" if settings.partition else "default partition"
        jobs_ = "1 job" if self.slots == 1 else f"{self.slots} jobs"
        return f"slurm, {jobs_} at a time, {where}, {settings.time_minutes} min each"

    def check_plan(self, plan: Plan) -> list[str]:
        if plan.clock != "virtual":
            raise UsageError(
                "--executor slurm carries out trials on the virtual clock only: "
                "on the wall clock, trials of one run must share one host",
                hint="--set clock=virtual, or submit the whole run as one job (docs/scale-out.md)",
            )
        logger.info("%s", self.slurm.check())
        return []

    def check_host(self, plan: Plan, facts: probe.Facts) -> list[str]:
        """This host only waits; that a node has room is for Slurm to see."""
        return []

    @contextmanager
    def open(self, site: Site) -> Iterator[MakeBenches]:
        with _Jobs(self.slurm, site.directory.resolve() / "jobs").opened() as queue:

            def benches(
                topology: Topology, count: int, traces: Mapping[str, str]
            ) -> list[GuestBench]:
                made: list[GuestBench] = []
                for slot in range(1, count + 1):
                    bed = Bed(
                        topology=topology,
                        supplies=site.supplies,
                        directory=site.machines.resolve(),
                        slot=slot,
                        traces=traces,
                    )
                    made.append(SlurmBench(queue, bed, site.came_up))
                return made

            yield benches


class SlurmBench:
    """Sends trials to the cluster, one at a time."""

    def __init__(self, queue: "_Jobs", bed: Bed, came_up: Callable[[GuestBench], None]) -> None:
        self.topology = bed.topology
        self._queue = queue
        self._bed = bed
        self._came_up = came_up
        self._given_up = threading.Event()
        self._guests: Mapping[str, dict[str, Any]] = {}

    def up(self) -> None:
        """The first bench has the snapshot made, by a job. Raises MachineError."""
        if self._bed.slot > 1:
            return
        with step("guest, in a job"):
            self._guests = self._answer("guest", jobs.prepare, self._bed).guests
        self._came_up(self)

    def execute(self, trial: Trial, into: Path) -> None:
        self._answer(trial.id, jobs.run_trial, self._bed, trial, into.resolve())

    def renew(self) -> None:
        """Nothing is to be done: every trial has a job of its own."""

    def give_up(self) -> None:
        self._given_up.set()

    def close(self) -> None:
        """Nothing outlives a job."""

    def describe(self) -> dict[str, dict[str, Any]]:
        return dict(self._guests)

    def _answer(self, name: str, work: Callable[..., Answer], *arguments: Any) -> Answer:
        answer = self._queue.run(name, self._given_up, _memory(self.topology), work, *arguments)
        if answer.failure is not None:
            raise answer.failure.error()
        return answer


class _Jobs:
    """The jobs of a run, from their submission to their end. directory: what submitit writes
    goes there: scripts, functions, results, and all that jobs print. All jobs bear the name of
    the run."""

    def __init__(self, slurm: Slurm, directory: Path) -> None:
        self._slurm = slurm
        self._run = directory.parent.name
        self._submitter = _Submitter(slurm, directory)
        self._lock = threading.Lock()

    @contextmanager
    def opened(self) -> Iterator["_Jobs"]:
        """No job of this run outlives the context."""
        try:
            yield self
        finally:
            with process.deferred_signals():
                self._end_all()

    def run(
        self,
        name: str,
        given_up: threading.Event,
        memory_bytes: int,
        work: Callable[..., Answer],
        *arguments: Any,
    ) -> Answer:
        """What `work` answers in a job. Raises MachineError when the job comes to nothing,
        HostError when Slurm does not take it."""
        job = self._submit(name, memory_bytes, work, arguments)
        begin = time.monotonic()
        try:
            answer = self._await(job, given_up)
        except BaseException:
            self._slurm.cancel(job.job_id)
            raise
        seconds = time.monotonic() - begin
        logger.info("%s: job %s on %s, %.1f s", name, job.job_id, answer.node, seconds)
        return answer

    def _submit(
        self, name: str, memory_bytes: int, work: Callable[..., Answer], arguments: tuple[Any, ...]
    ) -> Any:
        # Whoever interrupts between sbatch's deed and our knowing of it would leave a job.
        with self._lock, process.deferred_signals():
            self._submitter.update_parameters(
                job_name=f"ringbed-{self._run}",
                comment=name,
                mem=f"{-(-memory_bytes // MIB)}M",
            )
            try:
                job = self._submitter.submit(work, *arguments)
            except _FAILURES as error:
                raise HostError(
                    "Slurm does not take the job",
                    details=str(error),
                    hint="sbatch's words are above; docs/scale-out.md says how to give it options",
                ) from error
            self._slurm.watch(job.job_id)
        logger.info("%s: job %s submitted", name, job.job_id)
        return job

    def _await(self, job: Any, given_up: threading.Event) -> Answer:
        last = ""
        while not job.paths.result_pickle.exists():
            if given_up.is_set():
                raise MachineError("the run ends")
            state = self._slurm.state(job.job_id)
            if state is not None and not state.alive:
                return self._late_result(job, state)
            shown = "" if state is None else f"{state.state} {state.reason}"
            if shown != last:
                logger.info("job %s: %s", job.job_id, shown)
            last = shown
            time.sleep(POLL_S)
        return _result(job)

    def _late_result(self, job: Any, state: JobState) -> Answer:
        """The result of a job that is over. Files of other hosts may take a moment to be seen."""
        end = time.monotonic() + (RESULT_S if state.state in ("COMPLETED", GONE.state) else POLL_S)
        while time.monotonic() < end:
            # Looking into a directory makes NFS ask for what is new in it.
            os.listdir(job.paths.folder)
            if job.paths.result_pickle.exists():
                return _result(job)
            time.sleep(POLL_S)
        raise _failed(job, state.ending())

    def _end_all(self) -> None:
        end = time.monotonic() + CANCEL_S
        self._slurm.cancel(*self._slurm.alive())
        while left := self._slurm.alive():
            if time.monotonic() > end:
                logger.warning("Slurm has not ended the jobs %s; see squeue", ", ".join(left))
                return
            time.sleep(POLL_S)


class _Submitter(submitit.SlurmExecutor):
    """submitit with Slurm's commands outside of the tree, and Python inside of it."""

    def __init__(self, slurm: Slurm, directory: Path) -> None:
        super().__init__(directory, max_num_timeout=0, python=_python_on_node())
        self._slurm = slurm
        settings = slurm.settings
        # A job that Slurm began anew would write into files that its first life left.
        options = {"no-requeue": True, **settings.sbatch}
        self.update_parameters(
            time=settings.time_minutes,
            cpus_per_task=1,
            signal_delay_s=min(LIMIT_NOTICE_S, 15 * settings.time_minutes),
            additional_parameters=options,
            **({"partition": settings.partition} if settings.partition else {}),
        )

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        # In a session of its own: Ctrl-C is for ringbed, which knows what to do with the job.
        return ["setsid", "--wait", *self._slurm.command("sbatch"), str(submission_file_path)]

    @classmethod
    def affinity(cls) -> int:
        """submitit asks whether there is an srun: `Slurm.check` has asked better."""
        return 2


def _python_on_node() -> str:
    """The shell's words that start ringbed's Python on a node. What a batch job inherits differs
    from cluster to cluster; a runtime directory of the submitting host never holds on a node."""
    names = ("RINGBED_CACHE", "RINGBED_DATA", "RINGBED_STATE", "RINGBED_TOOLS", "RINGBED_VENV")
    places = {name: os.environ[name] for name in names if name in os.environ}
    tree, venv = places.get("RINGBED_TOOLS"), places.get("RINGBED_VENV")
    if tree is None or venv is None:
        raise HostError("ringbed does not run in its tools tree", hint="start it as ./ringbed")
    places |= {"PYTHONPATH": str(paths.PROJECT), "PYTHONNOUSERSITE": "1"}
    # Slurm may give notice of the limit up to a minute early, when Python is not there yet.
    words = ["env", f"--ignore-signal={jobs.LIMIT_SIGNAL.name.removeprefix('SIG')}"]
    words += ["-u", "XDG_RUNTIME_DIR", *(f"{name}={it}" for name, it in places.items())]
    words += ["/bin/bash", str(paths.project("images", "enter-tree.sh")), tree]
    return shlex.join([*words, f"{venv}/bin/python", "-P"])


def _memory(topology: Topology) -> int:
    return topology.demand.memory_bytes + HOUSE_BYTES + QEMU_OVERHEAD_BYTES + JOB_BYTES


def _result(job: Any) -> Answer:
    try:
        return cast(Answer, job.result())
    except _FAILURES as error:
        raise _failed(job, "it failed") from error


def _failed(job: Any, why: str) -> MachineError:
    said = [path for path in (job.paths.stderr, job.paths.stdout) if path.exists()]
    text = "\n".join(process.tail(path.read_text("utf-8", "replace"), 15) for path in said)
    return MachineError(
        f"Slurm's job {job.job_id} has no result: {why}",
        details=text,
        hint=f"all that it said is in {job.paths.folder}; cache and runs must be on a file system "
        "that all nodes share",
    )

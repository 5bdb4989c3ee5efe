# SPDX-License-Identifier: Apache-2.0
"""The raw files of a run as values.

A trial's directory holds `trial.json` (what was asked and how it ended) and, by its kind,
`load.json` (the load generator), `server.json` (the application's own statistics),
`syscalls.json`, `napi.json` and `locality.json` (kernel accounting), `dpos.json` (the dataplane's
counters), `instructions.json` (virtual clock) or `crosscheck.json` (a second generator).
What cannot be read is kept as a fault with its reason: a trial is never dropped.

Times are whole nanoseconds, rates are requests per second, unless a name says otherwise.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.analysis import dataplane, fields
from orchestrator.analysis.fields import Fields, RawError
from orchestrator.analysis.histogram import PRECISION_MAX, Histogram, bucket_index
from orchestrator.analysis.instructions import Instructions, read_instructions
from orchestrator.analysis.workload import Workload, read_workload

KINDS = ("measure", "accounting", "crosscheck")
STATUSES = ("ok", "failed", "interrupted")
CLOCKS = ("wall", "virtual")
NOT_RUN = "not run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """trial.json: what was asked of one trial, and how it ended.

    offered_rps is NaN in a closed loop. machines maps a role (client, server) to a machine's name,
    axes the keys of the matrix to the values of this trial, as the experiment writes them.
    """

    id: str
    index: int
    kind: str
    variant: str
    stack: str
    app: str
    workload: Workload
    offered_rps: float
    repetition: int
    seed: int
    warmup_ns: int
    duration_ns: int
    clock: str
    status: str
    reason: str
    machines: Mapping[str, str]
    axes: Mapping[str, str]

    @property
    def subject(self) -> str:
        """The variant, with the values of those axes that change it or its machines."""
        own = [
            f"{key.rpartition('.')[2]}={value}"
            for key, value in self.axes.items()
            if key not in ("load", "variant") and not key.startswith("workload.")
        ]
        return " ".join([self.variant, *own]) if self.variant else ""

    @property
    def workload_label(self) -> str:
        """Everything that makes curves comparable: the workload and those axes that change it."""
        further = [
            f"{key.removeprefix('workload.')} {value}"
            for key, value in self.axes.items()
            if key.startswith("workload.") and key not in self.workload.in_label
        ]
        return ", ".join([self.workload.label, *further])


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """load.json: what the load generator saw. scheduled: requests due in the measured window,
    completed: those of them that were answered, whenever; answered: replies that came in the
    window, to whichever request (as many, from a generator that does not tell them apart)."""

    offered_rps: float
    achieved_rps: float
    duration_ns: int
    scheduled: int
    sent: int
    completed: int
    answered: int
    bytes_sent: int
    bytes_received: int
    valid: bool
    reasons: tuple[str, ...]
    adherence: float
    max_lateness_ns: int
    errors: Mapping[str, int]
    latency: Histogram
    per_operation: Mapping[str, Histogram]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerThread:
    """One thread of the application; cpu is -1 when it is bound to none, cpu_ns is the processor
    time it used."""

    index: int
    cpu: int
    accepted: int
    requests: int
    syscalls: int
    polls: int
    events: int
    cpu_ns: int

    @property
    def label(self) -> str:
        return f"cpu {self.cpu}" if self.cpu >= 0 else f"thread {self.index}, any cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """server.json: the application's own statistics over its whole life."""

    app: str
    backend: str
    threads: tuple[ServerThread, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Syscalls:
    """syscalls.json: system calls of the server process in a window, counted by the kernel."""

    by_syscall: Mapping[str, int]
    total: int
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Napi:
    """napi.json: NAPI polls of the server's data NIC in a window, and packets they took in."""

    polls: int
    packets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Locality:
    """locality.json: how often the server's threads read from connections in a window, and how
    often of that on the CPU that took the connection's segments in."""

    reads: int
    local: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Crosscheck:
    """crosscheck.json: what a second, independent generator saw on the same point.

    percentiles maps a name such as "p99" to nanoseconds; a generator reports only some.
    """

    generator: str
    achieved_rps: float
    mean_ns: float
    percentiles: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class Record:
    """One trial with everything that could be read, and a fault for each thing that could not."""

    trial: Trial
    directory: Path
    load: Load | None = None
    server: Server | None = None
    syscalls: Syscalls | None = None
    napi: Napi | None = None
    locality: Locality | None = None
    dpos: dataplane.Counters | None = None
    instructions: Instructions | None = None
    crosscheck: Crosscheck | None = None
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why the trial's load measurement may not be used; empty when it may."""
        reasons = []
        if self.trial.status != "ok":
            reasons.append(self.trial.reason or self.trial.status)
        for name in ("trial", "load"):
            if name in self.faults:
                reasons.append(self.faults[name])
        if self.load is not None and not self.load.valid:
            reasons.extend(self.load.reasons or ("the load generator voided the point",))
        return "; ".join(dict.fromkeys(reasons))


def read_trial(data: Fields) -> Trial:
    """What trial.json, or an entry of the manifest's list of trials, says. Raises RawError."""
    kind, status, clock = data.text("kind"), data.text("status", NOT_RUN), data.text("clock")
    for key, value, known in (("kind", kind, KINDS), ("clock", clock, CLOCKS)):
        if value not in known:
            raise data.error(key, f"is {value!r}, not one of {', '.join(known)}")
    if status not in (*STATUSES, NOT_RUN):
        raise data.error("status", f"is {status!r}, not one of {', '.join(STATUSES)}")
    offered = data.number("offered_rps") if data.has("offered_rps") else float("nan")
    return Trial(
        id=data.text("id"),
        index=data.integer("index"),
        kind=kind,
        variant=data.text("variant"),
        stack=data.text("stack"),
        app=data.text("app"),
        workload=read_workload(data.child("workload")),
        offered_rps=offered,
        repetition=data.integer("repetition"),
        seed=data.integer("seed"),
        warmup_ns=data.integer("warmup_ns"),
        duration_ns=data.integer("duration_ns"),
        clock=clock,
        status=status,
        reason=data.text("reason", ""),
        machines=data.texts("machines"),
        axes={**({"load": repr(offered)} if offered == offered else {}), **data.texts("axes")},
    )


def read_histogram(data: Fields) -> Histogram:
    """A HIST object; its buckets must add up. Raises RawError."""
    precision = data.integer("precision_bits")
    if not 1 <= precision <= PRECISION_MAX:
        raise data.error("precision_bits", f"is {precision}, not 1 to {PRECISION_MAX}")
    buckets = data.get("buckets")
    try:
        table = np.array(buckets, dtype=np.int64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        raise data.error("buckets", "is not a list of [index, count]") from None
    indices, counts = table[:, 0], table[:, 1]
    if (np.diff(indices) <= 0).any() or (indices < 0).any() or (counts < 0).any():
        raise data.error("buckets", "indices must ascend and counts must not be negative")
    filled = counts > 0
    indices, counts = indices[filled], counts[filled]
    count = data.integer("count")
    if int(counts.sum()) != count:
        raise data.error("count", f"is {count}, but the buckets hold {int(counts.sum())}")
    if count == 0:
        return Histogram(precision, indices, counts, 0, 0, 0)
    low, high = data.integer("min"), data.integer("max")
    if low > high or bucket_index(np.array([high]), precision)[0] < indices[-1]:
        raise data.error("max", f"{high} does not fit the buckets")
    return Histogram(precision, indices, counts, low, high, data.integer("sum"))


def read_load(path: Path) -> Load:
    """load.json. Raises RawError."""
    data = fields.load(path)
    data.schema(1)
    adherence = data.child("adherence")
    operations: dict[str, Histogram] = {}
    if data.has("per_operation"):
        child = data.child("per_operation")
        operations = {name: read_histogram(child.child(name)) for name in sorted(child.data)}
    reasons = data.get("reasons")
    if not isinstance(reasons, list):
        raise data.error("reasons", "is not a list")
    return Load(
        offered_rps=data.number("offered_rps", float("nan")),
        achieved_rps=data.number("achieved_rps"),
        duration_ns=data.integer("duration_ns"),
        scheduled=data.integer("scheduled"),
        sent=data.integer("sent"),
        completed=data.integer("completed"),
        answered=data.integer(
            "completed_in_window" if data.has("completed_in_window") else "completed"
        ),
        bytes_sent=data.integer("bytes_sent"),
        bytes_received=data.integer("bytes_received"),
        valid=data.boolean("valid"),
        reasons=tuple(str(reason) for reason in reasons),
        adherence=adherence.number("share"),
        max_lateness_ns=adherence.integer("max_lateness_ns"),
        errors=data.counts("errors"),
        latency=read_histogram(data.child("latency")),
        per_operation=operations,
    )


def read_server(path: Path) -> Server:
    """server.json. Raises RawError."""
    data = fields.load(path)
    data.schema(1)
    threads = tuple(
        ServerThread(
            index=thread.integer("index"),
            cpu=thread.signed("cpu"),
            accepted=thread.integer("accepted"),
            requests=thread.integer("requests"),
            syscalls=sum(thread.counts("syscalls").values()),
            polls=thread.integer("polls"),
            events=thread.integer("events"),
            cpu_ns=thread.integer("cpu_ns"),
        )
        for thread in data.children("threads")
    )
    return Server(app=data.text("app"), backend=data.text("backend"), threads=threads)


def read_syscalls(path: Path) -> Syscalls:
    """syscalls.json. Raises RawError."""
    data = fields.load(path)
    by_syscall, total = data.counts("by_syscall"), data.integer("total")
    if sum(by_syscall.values()) != total:
        raise data.error("total", f"is {total}, but the calls add up to {sum(by_syscall.values())}")
    requests = data.integer("requests")
    if requests == 0:
        raise data.error("requests", "is 0: nothing was served while calls were counted")
    return Syscalls(by_syscall=by_syscall, total=total, requests=requests)


def read_napi(path: Path) -> Napi:
    """napi.json. Raises RawError."""
    data = fields.load(path)
    polls = data.integer("polls")
    if polls == 0:
        raise data.error("polls", "is 0: the NIC was never polled while polls were counted")
    return Napi(polls=polls, packets=data.integer("packets"))


def read_locality(path: Path) -> Locality:
    """locality.json. Raises RawError."""
    data = fields.load(path)
    reads, local = data.integer("reads"), data.number("local")
    if dropped := data.integer("dropped"):
        raise data.error("dropped", f"the kernel's table was full and dropped {dropped} counts")
    if not 0 < reads or not 0 <= local <= reads:
        raise data.error("local", f"is {local:g} of {reads} reads")
    return Locality(reads=reads, local=local)


def read_crosscheck(path: Path) -> Crosscheck:
    """crosscheck.json. Raises RawError."""
    data = fields.load(path)
    data.schema(1)
    latency = data.child("latency_ns")
    return Crosscheck(
        generator=data.text("generator"),
        achieved_rps=data.number("achieved_rps"),
        mean_ns=latency.number("mean", float("nan")),
        percentiles={name: latency.number(name) for name in latency.data if name != "mean"},
    )


def read_record(directory: Path, planned: Mapping[str, Any] | None = None) -> Record:
    """A trial's directory; `planned` is its entry in the manifest, used when trial.json is bad."""
    faults: dict[str, str] = {}
    try:
        trial = read_trial(fields.load(directory / "trial.json"))
        if trial.status == NOT_RUN:
            raise RawError("trial.json: status: is missing")
    except RawError as error:
        faults["trial"] = error.message
        trial = _asked(directory.name, planned)
    record = Record(trial=trial, directory=directory, faults=faults)
    _read_parts(record)
    return record


def _read_parts(record: Record) -> None:
    """Read what the trial's kind promises, and whatever else lies there.

    A variant that a second generator drives leaves crosscheck.json in place of load.json.
    """
    kind, ran = record.trial.kind, record.trial.status == "ok"
    if kind == "measure" and (record.directory / "crosscheck.json").exists():
        record.trial = dataclasses.replace(record.trial, kind="crosscheck")
        kind = "crosscheck"
    required = {
        "load": kind == "measure",
        "server": False,
        "syscalls": kind == "accounting",
        "napi": False,
        "locality": False,
        "dpos": False,
        "instructions": kind == "measure" and record.trial.clock == "virtual",
        "crosscheck": kind == "crosscheck",
    }
    readers = {
        "load": read_load,
        "server": read_server,
        "syscalls": read_syscalls,
        "napi": read_napi,
        "locality": read_locality,
        "dpos": dataplane.read_file,
        "instructions": read_instructions,
        "crosscheck": read_crosscheck,
    }
    for name, needed in required.items():
        path = record.directory / f"{name}.json"
        if not path.exists() and not (needed and ran):
            continue
        try:
            setattr(record, name, readers[name](path))
        except RawError as error:
            record.faults[name] = error.message


def _asked(trial_id: str, planned: Mapping[str, Any] | None) -> Trial:
    if planned is not None:
        try:
            return read_trial(Fields("manifest.json", {**planned, "status": "failed"}))
        except RawError:
            pass  # The entry is as bad as the file it stands in for: the fault is kept either way.
    nothing = Workload(
        protocol="",
        mode="",
        arrival="",
        connections=0,
        threads=0,
        message_bytes=0,
        depth=1,
        rpcs_per_connection=0,
    )
    return Trial(
        id=trial_id,
        index=0,
        kind="measure",
        variant="",
        stack="",
        app="",
        workload=nothing,
        offered_rps=float("nan"),
        repetition=0,
        seed=0,
        warmup_ns=0,
        duration_ns=0,
        clock="wall",
        status="failed",
        reason="",
        machines={},
        axes={},
    )


def read_run(run_dir: Path, manifest: Mapping[str, Any]) -> list[Record]:
    """Every trial of a run: those with a directory, and those only planned. Ordered by index."""
    planned = {
        str(entry["id"]): entry
        for entry in manifest.get("trials") or ()
        if isinstance(entry, dict) and "id" in entry
    }
    root = run_dir / "trials"
    directories = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    records = [read_record(path, planned.get(path.name)) for path in directories]
    seen = {record.trial.id for record in records} | {path.name for path in directories}
    for trial_id, entry in planned.items():
        if trial_id not in seen:
            records.append(_not_run(run_dir, trial_id, entry))
    return sorted(records, key=lambda record: (record.trial.index, record.trial.id))


def _not_run(run_dir: Path, trial_id: str, entry: Mapping[str, Any]) -> Record:
    faults: dict[str, str] = {}
    try:
        trial = read_trial(Fields("manifest.json", {**entry, "status": NOT_RUN}))
    except RawError as error:
        faults["trial"] = error.message
        trial = _asked(trial_id, None)
    return Record(trial=trial, directory=run_dir / "trials" / trial_id, faults=faults)

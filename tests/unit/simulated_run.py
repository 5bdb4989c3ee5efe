# SPDX-License-Identifier: Apache-2.0
"""Run directories for tests, in the real raw format, from a small queueing simulation.

Nothing here measures anything: the numbers only have the shape of measurements, so that tables,
statistics and reports can be tested without a guest.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.analysis.histogram import Histogram, from_values

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A variant: capacity is in requests/s; shares are of accepted connections per thread."""

    name: str
    app: str
    protocol: str
    capacity: float
    floor_ns: int
    shares: tuple[int, ...] = (8, 8)
    service: tuple[str, int] | None = None
    client_limit: float = 1e9


QUICKSTART = (
    Simulated(
        name="linux-echo-single",
        app="echo",
        protocol="echo",
        capacity=5200,
        floor_ns=420_000,
        shares=(13, 3),
    ),
    Simulated(
        name="linux-echo-reuseport",
        app="echo",
        protocol="echo",
        capacity=6400,
        floor_ns=400_000,
        shares=(9, 7),
    ),
    Simulated(
        name="linux-memcached",
        app="memcached",
        protocol="memcached-text",
        capacity=4300,
        floor_ns=510_000,
        client_limit=6500,
    ),
)
LOADS = (500.0, 1500.0, 3000.0, 4500.0, 7000.0)


def hist(histogram: Histogram) -> dict[str, Any]:
    """A histogram as the load generator writes it."""
    buckets = [[int(i), int(c)] for i, c in zip(histogram.indices, histogram.counts, strict=True)]
    names = ("50", "90", "99", "99.9", "99.99")
    percentiles = (
        {name: int(histogram.quantile(float(name) / 100)) for name in names}
        if histogram.count
        else dict.fromkeys(names, 0)
    )
    return {
        "unit": "ns",
        "precision_bits": histogram.precision_bits,
        "count": histogram.count,
        "min": histogram.minimum,
        "max": histogram.maximum,
        "mean": histogram.mean if histogram.count else 0.0,
        "sum": histogram.total,
        "buckets": buckets,
        "percentiles": percentiles,
    }


def latencies(variant: Simulated, offered: float, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """One second of a single queue with exponential service (Lindley's recursion)."""
    random = np.random.default_rng(seed)
    count = max(int(random.poisson(offered)), 1)
    gaps = random.exponential(SECOND / offered, count)
    service = random.exponential(SECOND / variant.capacity, count)
    steps = np.cumsum(service[:-1] - gaps[1:])
    walk = np.concatenate([[0.0], steps])
    waiting = walk - np.minimum.accumulate(walk)
    jitter = random.lognormal(0.0, 0.35, count) * variant.floor_ns
    return (waiting + service + jitter).astype(np.int64)


def load_json(
    variant: Simulated, offered: float, seed: int, workload: Mapping[str, Any]
) -> dict[str, Any]:
    values = latencies(variant, offered, seed)
    answered = values[: max(int(min(len(values), variant.capacity * 1.02)), 1)]
    late = 0 if offered <= variant.client_limit else len(values) // 9
    share = 1.0 - late / len(values)
    valid = share >= 0.99
    latency = hist(from_values(answered))
    data = {
        **workload,
        "schema": 1,
        "seed": seed,
        "offered_rps": offered,
        "warmup_ns": 300_000_000,
        "duration_ns": SECOND,
        "scheduled": len(values),
        "sent": len(values),
        "completed": len(answered),
        "achieved_rps": float(len(answered)),
        "bytes_sent": 64 * len(values),
        "bytes_received": 64 * len(answered),
        "adherence": {
            "late_after_ns": 1_000_000,
            "on_time": len(values) - late,
            "late": late,
            "share": share,
            "max_lateness_ns": 180_000 if valid else 42_000_000,
            "histogram": hist(from_values(np.full(len(values), 20_000))),
        },
        "valid": valid,
        "reasons": []
        if valid
        else [f"schedule adherence {share:.1%} is below 99.0%: the client was too slow"],
        "errors": dict.fromkeys(("connect", "reset", "timeout", "protocol", "short", "other"), 0),
        "latency": latency,
        "series": [],
    }
    if variant.protocol.startswith("memcached"):
        cut = max(len(answered) // 30, 1)
        data["per_operation"] = {
            "get": hist(from_values(answered[cut:])),
            "set": hist(from_values(answered[:cut])),
        }
    return data


def server_json(variant: Simulated, requests: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    threads = []
    total = sum(variant.shares)
    for index, share in enumerate(variant.shares):
        served = int(requests * share / total * random.uniform(0.95, 1.05))
        threads.append(
            {
                "index": index,
                "cpu": index,
                "accepted": share,
                "closed": share,
                "requests": served,
                "bytes_in": 64 * served,
                "bytes_out": 64 * served,
                "syscalls": {"epoll_wait": served // 2, "read": served, "writev": served},
                "polls": max(served // 2, 1),
                "events": served,
                "cpu_ns": 140_000 * served,
            }
        )
    return {"schema": 1, "app": variant.app, "backend": "epoll", "threads": threads}


class RunBuilder:
    """Writes trials one after another; `finish` writes manifest and journal."""

    def __init__(self, root: Path, clock: str = "wall") -> None:
        self.root = root
        self.clock = clock
        self.entries: list[dict[str, Any]] = []

    def trial(
        self, variant: Simulated, offered: float, repetition: int, kind: str = "measure"
    ) -> Path:
        index = len(self.entries)
        workload: dict[str, Any] = {
            "protocol": variant.protocol,
            "mode": "open",
            "arrival": "poisson",
            "connections": sum(variant.shares),
            "threads": 1,
            "message_bytes": 0 if variant.app == "memcached" else 64,
            "depth": 1,
            "rpcs_per_connection": 0,
        }
        if variant.service:
            distribution, mean = variant.service
            workload["service_time"] = {"distribution": distribution, "mean_ns": mean}
        asked = {
            "id": f"{index:02x}7d{index * 2654435761 % 2**32:08x}",
            "index": index,
            "kind": kind,
            "variant": variant.name,
            "stack": "linux",
            "app": variant.app,
            "workload": workload,
            "offered_rps": offered,
            "repetition": repetition,
            "seed": 1000 + index,
            "warmup_ns": 300_000_000,
            "duration_ns": SECOND,
            "clock": self.clock,
            "machines": {"client": "client", "server": "server"},
        }
        self.entries.append(asked)
        directory = self.root / "trials" / str(asked["id"])
        directory.mkdir(parents=True)
        self._write(directory, "trial", {**asked, "status": "ok", "reason": ""})
        load = load_json(variant, offered, 1000 + index, workload)
        if kind == "crosscheck":
            self._write(directory, "crosscheck", crosscheck_json(variant, offered))
            return directory
        self._write(directory, "load", load)
        if variant.app != "memcached":
            self._write(directory, "server", server_json(variant, load["completed"], index))
        if kind == "accounting":
            self._account(directory, load["completed"])
        return directory

    def _account(self, directory: Path, requests: int) -> None:
        calls = {
            "epoll_wait": requests * 6 // 10,
            "read": requests * 11 // 10,
            "sendmsg": requests,
            "futex": requests // 50,
        }
        self._write(
            directory,
            "syscalls",
            {"by_syscall": calls, "total": sum(calls.values()), "requests": requests},
        )
        napi = {"polls": requests // 2, "packets": requests * 13 // 10, "by_queue": []}
        self._write(directory, "napi", napi)

    def _write(self, directory: Path, name: str, data: Mapping[str, Any]) -> None:
        (directory / f"{name}.json").write_text(json.dumps(data))

    def finish(self, **extra: Any) -> Path:
        manifest = {**MANIFEST, "run": self.root.name, "trials": self.entries, **extra}
        (self.root / "manifest.json").write_text(json.dumps(manifest))
        lines = [{"time": 1.0, "event": "run-start"}]
        (self.root / "journal.jsonl").write_text("\n".join(json.dumps(one) for one in lines) + "\n")
        return self.root


def crosscheck_json(variant: Simulated, offered: float) -> dict[str, Any]:
    values = from_values(latencies(variant, offered, 77))
    return {
        "schema": 1,
        "generator": "other 1.0",
        "achieved_rps": offered * 0.99,
        "latency_ns": {"mean": values.mean, "p50": values.quantile(0.5)},
    }


MANIFEST: dict[str, Any] = {
    "format": 1,
    "name": "simulated",
    "title": "Simulated: three variants, test data only",
    "command": "./ringbed run simulated",
    "started": "2026-01-01T10:00:00Z",
    "ended": "2026-01-01T10:02:31Z",
    "outcome": "ok",
    "clock": "wall",
    "seed": 7,
    "repetitions": 3,
    "ringbed": {
        "version": "0.1.0",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": True,
    },
    "inputs": {"image": "9f2c1ab4", "dataplane": "ab12cd34"},
    "accelerator": {"kind": "tcg", "reason": "/dev/kvm is present, but the probe guest hung"},
    "host": {"cpu": "Example CPU @ 2.50GHz", "cores": 2, "kernel": "6.1.0", "memory_mib": 24576},
    "image": {
        "name": "guest",
        "hash": "9f2c1ab4",
        "kernel_release": "6.12.48+deb13-amd64",
        "packages": {"memcached": "1.6.38-1"},
    },
    "tools": {"packages": ["qemu-system-x86 1:10.0.13"], "python": "3.13.5"},
    "machines": {
        f"t1/{name}": {
            "role": name,
            "qemu_argv": ["qemu-system-x86_64", "-m", "768", "-append", "root=/dev/vda quiet"],
            "domain_xml": f"<domain type='qemu'>\n  <name>{name}</name>\n</domain>",
            "boot": {"how": "cold", "seconds": 7.5},
            "readback": {"nr_hugepages": "0"},
        }
        for name in ("client", "server")
    },
    "experiment": {
        "name": "simulated",
        "title": "Simulated",
        "slo": {"metric": "latency_p99", "limit": "20ms"},
        "variants": {
            "linux-echo-single": {},
            "linux-echo-reuseport": {},
            "linux-memcached": {"title": "Linux memcached"},
        },
        "claims": [
            {
                "text": "One listen socket per core serves at least as much as a shared one",
                "expression": "linux-echo-reuseport.achieved_rps > linux-echo-single.achieved_rps",
                "source": "a test",
            },
            {
                "text": "Memcached makes fewer than two system calls per request",
                "expression": "linux-memcached.syscalls_per_request < 2",
                "source": "a test",
            },
            {
                "text": "Half the instructions per request",
                "expression": "linux-memcached.achieved_rps > 1",
                "source": "a test",
                "clock": "virtual",
            },
        ],
    },
}


def quickstart(root: Path, repetitions: int = 3) -> Path:
    """45 load trials with voided points, accounting and a cross-check, and two broken trials."""
    run = RunBuilder(root)
    paths = [
        run.trial(variant, offered, repetition)
        for repetition in range(repetitions)
        for variant in QUICKSTART
        for offered in LOADS
    ]
    (paths[3] / "load.json").write_text((paths[3] / "load.json").read_text()[:700])
    failed = json.loads((paths[20] / "trial.json").read_text())
    failed |= {"status": "failed", "reason": "the server died: Segmentation fault"}
    (paths[20] / "trial.json").write_text(json.dumps(failed))
    (paths[20] / "load.json").unlink()
    for variant in QUICKSTART:
        run.trial(variant, LOADS[1], 0, kind="accounting")
    run.trial(QUICKSTART[2], LOADS[1], 0, kind="crosscheck")
    return run.finish()


SPIN_LOADS = (200.0, 600.0, 1000.0, 1400.0)


def spin(root: Path, loads: Sequence[float] = SPIN_LOADS) -> Path:
    """A service-time sweep, for the reference line."""
    run = RunBuilder(root)
    variants = [
        Simulated(
            name=f"linux-spin-{listen}",
            app="spin",
            protocol="spin",
            capacity=capacity,
            floor_ns=300_000,
            service=("exponential", 1_000_000),
        )
        for listen, capacity in (("single", 1500.0), ("reuseport", 1300.0))
    ]
    for repetition in range(3):
        for variant in variants:
            for offered in loads:
                run.trial(variant, offered, repetition)
    return run.finish()


def closed_loop(
    root: Path, variants: Sequence[Simulated], counts: Sequence[int], *, accounting: int = 0
) -> Path:
    """A closed loop over a number of connections, in the order of `counts`; accounting: for which
    number each variant has a trial of its own, if any."""
    run = RunBuilder(root)
    for repetition in range(3):
        for count in counts:
            for variant in variants:
                _close(run, run.trial(variant, 300.0 * count**0.6, repetition), count)
    for variant in variants if accounting else ():
        _close(run, run.trial(variant, 300.0, 0, kind="accounting"), accounting)
    return run.finish()


def _close(run: RunBuilder, directory: Path, count: int) -> None:
    """Make a trial one of a closed loop."""
    trial = json.loads((directory / "trial.json").read_text())
    del trial["offered_rps"]
    trial["workload"] |= {"mode": "closed", "arrival": "closed", "connections": count}
    trial["axes"] = {"workload.connections": str(count)}
    (directory / "trial.json").write_text(json.dumps(trial))
    run.entries[-1] = {key: trial[key] for key in trial if key not in ("status", "reason")}


def connections(root: Path) -> Path:
    """A closed loop over a number of connections, two variants."""
    return closed_loop(root, QUICKSTART[:2], (1, 4, 16, 64))

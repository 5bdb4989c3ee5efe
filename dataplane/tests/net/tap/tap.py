# SPDX-License-Identifier: Apache-2.0
"""The TCP/IP library against this machine's own TCP, through a link with faults.

    tap.py NET_TAP short               a few MB of every kind; the form of the test suite
    tap.py NET_TAP long [--bytes 10g]  so many bytes in each direction, at losses of 0 to 5 %
                                       with reordering, duplication, 10 ms +- 5 ms of delay
    tap.py NET_TAP goodput             CUBIC of the library and of Linux over the same link

NET_TAP is the program net-tap of a build. The headers of all frames are captured, and every idle
gap has an explanation (gaps.py). The result is one JSON object on standard output; the exit status
is 0, 1 (something was lost, wrong or stuck, a gap without an explanation, or a goodput below the
bar), or 77 (there can be no network namespace here). Root is not needed where users may make user
namespaces.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gaps
import netns

Json = dict[str, object]

_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_ADDRESSES = ("10.0.0.{}/24", "fd00::{}/64")
_START_S, _STOP_S = 20.0, 30.0
_HEADERS_MAX = 128  # Ethernet, IPv6, TCP with all options: 114 bytes
# Of one run of the long form, in each direction: its traces take 200 MB of disk, and analysing them
# a gigabyte of memory.
_RUN_BYTES_MAX = 256 << 20
_ATTEMPTS, _PORT_STRIDE = 3, 5000  # at a case; between their ports


@dataclass(frozen=True, kw_only=True)
class Link:
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_us: int = 0
    jitter_us: int = 0
    rate_bps: int = 0

    def options(self) -> list[str]:
        return [
            f"--loss={self.loss}",
            f"--duplicate={self.duplicate}",
            f"--reorder={self.reorder}",
            f"--delay={self.delay_us}us",
            f"--jitter={self.jitter_us}us",
            f"--rate={self.rate_bps}",
        ]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run: so many bytes from the library and to it, over some connections."""

    ip6: bool
    library_listens: bool
    from_library: int
    to_library: int
    connections: int
    link: Link
    seed: int
    port: int  # its own: connections of an earlier run may be in TIME-WAIT
    congestion: str = "cubic"

    def shared(self) -> list[str]:
        return [
            f"--connections={self.connections}",
            f"--seed={self.seed}",
            f"--port={self.port}",
            f"--ip6={'yes' if self.ip6 else 'no'}",
            f"--congestion={self.congestion}",
        ]


class Fault(Exception):
    pass


@contextlib.contextmanager
def _started(
    words: list[str], namespace: int | None = None, trace: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A role, in another namespace if given; ended at the latest with the block."""
    environment = dict(os.environ)
    environment.pop("RB_NET_TRACE", None)
    if trace is not None:
        environment |= {"RB_NET_TRACE": str(trace), "RB_NET_TRACE_BYTES": str(_HEADERS_MAX)}
    here = netns.current()
    try:
        if namespace is not None:
            os.setns(namespace, os.CLONE_NEWNET)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    finally:
        os.setns(here, os.CLONE_NEWNET)
        os.close(here)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _await_listening(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if process.stdout.readline().strip() != "listening":
        raise Fault("who should listen has ended")


def _result(process: subprocess.Popen[str], timeout_s: float | None = None) -> Json:
    text, _ = process.communicate(timeout=timeout_s)
    result: Json = json.loads(text) if text else {"fault": "it has died"}
    result["exit"] = process.returncode
    return result


def _device(name: str, peer: str, number: int, namespace: int | None = None) -> None:
    """`name` has the addresses of host `number`, its peer goes to net-tap."""
    here = netns.current()
    if namespace is not None:
        os.setns(namespace, os.CLONE_NEWNET)
    try:
        netns.add_veth(name, peer, here)
        for text in _ADDRESSES:
            netns.add_address(name, text.format(number))
        netns.set_up(name)
    finally:
        os.setns(here, os.CLONE_NEWNET)
        os.close(here)
    netns.set_up(peer)


def run_case(program: str, case: Case, trace: Path | None) -> Json:
    library = [program, "--role=library", "--device=lib0", f"--send={case.from_library}"]
    library += [
        f"--receive={case.to_library}",
        "--linger=200ms",
        *case.shared(),
        *case.link.options(),
    ]
    kernel = [program, "--role=linux", f"--send={case.to_library}"]
    kernel += [f"--receive={case.from_library}", *case.shared()]
    if case.library_listens:
        address = "fd00::1" if case.ip6 else "10.0.0.1"
        first, second = [*library, "--listen"], [*kernel, f"--to={address}"]
    else:
        first, second = [*kernel, "--listen"], library
    with _started(first, trace=trace) as one:
        _await_listening(one)
        with _started(second, trace=trace) as other:
            results = [_result(other), _result(one)]
    if case.library_listens:
        results.reverse()
    return {"case": _plain(case), "library": results[0], "linux": results[1]}


def _plain(case: Case) -> Json:
    return {**vars_of(case), "link": vars_of(case.link)}


def vars_of(value: Case | Link) -> Json:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _faults(result: Json) -> list[str]:
    found = []
    for side in ("library", "linux"):
        part = result[side]
        assert isinstance(part, dict)
        if part["exit"] != 0:
            found.append(f"{side}: {part.get('fault', 'exit status ' + str(part['exit']))}")
    return found


def _trace_directory(keep: str | None) -> contextlib.AbstractContextManager[str]:
    if keep is None:
        return tempfile.TemporaryDirectory(prefix="net-tap-")
    Path(keep).mkdir(parents=True, exist_ok=True)
    return contextlib.nullcontext(keep)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be said of one run."""

    faults: list[str]  # lost, wrong or stuck
    unexplained: list[str]  # idle gaps
    reasons: Counter[str]  # of all idle gaps


def _run_traced(program: str, case: Case, directory: Path) -> tuple[Json, Verdict]:
    result = run_case(program, case, directory)
    faults = _faults(result)
    library, linux = result["library"], result["linux"]
    assert isinstance(library, dict) and isinstance(linux, dict)
    table = gaps.explain(directory / "tap-0.pcap", directory / "tap-1.pcap", library, linux)
    result["gaps"] = table
    if not faults and table["connections"] != case.connections:
        faults.append(f"the traces have {table['connections']} of {case.connections} connections")
    left = gaps.unexplained(table)
    return result, Verdict(faults=faults, unexplained=left, reasons=gaps.reasons(table))


Judge = Callable[[Verdict], tuple[list[str], list[str]]]  # faults; what another attempt may mend


def judge_short(verdict: Verdict) -> tuple[list[str], list[str]]:
    """The short form runs beside other tests. How late that makes the two roles is known and
    allowed for (late.h), but not how late it makes the kernel's own TCP, whose timers and packets
    wait for the same processors. A gap of the library's making comes back in each attempt."""
    return verdict.faults, verdict.unexplained


def judge_long(verdict: Verdict) -> tuple[list[str], list[str]]:
    """Losses and back-off explain every gap; a run that was disturbed is no proof and is done
    again."""
    late = verdict.reasons["late"]
    disturbed = [f"net-tap ran late, and that alone explains {late} idle gaps"] if late else []
    return verdict.faults + verdict.unexplained, disturbed


def run_cases(program: str, cases: list[Case], keep: str | None, judge: Judge) -> int:
    """Runs all, stops at the first fault, or when no attempt at a case was without disturbance. A
    run's traces are removed when it was judged, unless they are to be kept."""
    _device("tap0", "lib0", 2)
    results: list[Json] = []
    faults: list[str] = []
    for number, case in enumerate(cases):
        for attempt in range(_ATTEMPTS):
            again = dataclasses.replace(case, port=case.port + attempt * _PORT_STRIDE)
            place = None if keep is None else f"{keep}/{number}" + f".{attempt}" * (attempt > 0)
            with _trace_directory(place) as directory:
                result, verdict = _run_traced(program, again, Path(directory))
            results.append(result)
            faults, disturbed = judge(verdict)
            said = faults or disturbed or f"ok, idle gaps: {dict(verdict.reasons) or 'none'}"
            print(f"{number + 1}/{len(cases)} {again}: {said}", file=sys.stderr)
            if faults or not disturbed:
                break
        faults = faults or disturbed
        if faults:
            break
    json.dump({"faults": faults, "runs": results}, sys.stdout, indent=1)
    print()
    return 1 if faults else 0


_SHORT_LINK = Link(loss=0.01, duplicate=0.01, reorder=0.01, delay_us=1000, jitter_us=500)
_SHORT_HARD = dataclasses.replace(_SHORT_LINK, loss=0.05)


def short_cases() -> list[Case]:
    quiet = [
        Case(
            ip6=ip6,
            library_listens=listens,
            from_library=500_000,
            to_library=500_000,
            connections=2,
            link=Link(),
            seed=1,
            port=1000 + 2 * ip6 + listens,
        )
        for ip6 in (False, True)
        for listens in (False, True)
    ]
    faulty = [
        Case(
            ip6=ip6,
            library_listens=ip6,
            from_library=250_000,
            to_library=250_000,
            connections=4,
            link=_SHORT_LINK,
            seed=2,
            port=2000 + ip6,
        )
        for ip6 in (False, True)
    ]
    # Short connections, which lose their last segments: timeouts, and so gaps to be explained.
    hard = [
        dataclasses.replace(
            case, connections=16, from_library=20_000, to_library=20_000, link=_SHORT_HARD
        )
        for case in faulty
    ]
    hard = [dataclasses.replace(case, seed=3, port=case.port + 1000) for case in hard]
    return quiet + faulty + hard


def long_cases(total: int, connections: int, seed: int) -> list[Case]:
    """Each loss rate with both families; as many bytes of each as the loss permits."""
    losses = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05)
    weights = (60.0, 20.0, 8.0, 6.0, 4.0, 2.0)
    cases: list[Case] = []
    for number, (loss, weight) in enumerate(zip(losses, weights, strict=True)):
        share = int(total * weight / sum(weights) / 2)
        runs = -(-share // _RUN_BYTES_MAX)
        # Without losses only the windows limit what is under way, and many of them more than this
        # machine keeps up with.
        count = connections if loss else min(connections, 8)
        each = share // runs // count + 1
        link = Link(loss=loss, duplicate=0.01, reorder=0.01, delay_us=10_000, jitter_us=5_000)
        for ip6 in (False, True) * runs:
            cases.append(
                Case(
                    ip6=ip6,
                    library_listens=(number % 2 == 0) != ip6,
                    from_library=each,
                    to_library=each,
                    connections=count,
                    link=link,
                    seed=seed + len(cases),
                    port=1000 + len(cases),
                )
            )
    return cases


@contextlib.contextmanager
def _bridge(program: str, link: Link, seed: int, report: Json) -> Iterator[None]:
    """Joins lib0 and lib1; `report` gets what the link has done."""
    words = [program, "--role=bridge", "--device=lib0", "--other-device=lib1", f"--seed={seed}"]
    with _started([*words, *link.options()]) as process:
        yield
        process.terminate()
        report |= _result(process, _STOP_S)


def _goodput(receiver: Json) -> float:
    # the second half: in the first, slow start runs far ahead of what the losses permit later
    received, took = receiver["second_half_bytes"], receiver["second_half_ns"]
    assert isinstance(received, int) and isinstance(took, int)
    return received * 8e9 / took if took else 0.0


def _linux_goodput(program: str, case: Case, namespace: int) -> Json:
    link: Json = {}
    with _bridge(program, case.link, case.seed, link):
        sink = [program, "--role=linux", "--listen", f"--receive={case.from_library}"]
        source = [program, "--role=linux", "--to=10.0.0.2", f"--send={case.from_library}"]
        with _started([*sink, *case.shared()]) as one:
            _await_listening(one)
            with _started([*source, *case.shared()], namespace) as other:
                results = {"linux_source": _result(other), "linux": _result(one)}
    return {**results, "link": link}


def _crossed(result: Json, total: int) -> bool:
    """Have all bytes come over the link, and not another way?"""
    link = result["link"]
    assert isinstance(link, dict)
    frames: list[int] = [link[way]["sent"] for way in ("to_0", "to_1")]
    return max(frames) * _MSS_MOST >= total


def _forget_paths(namespace: int | None) -> None:
    """Linux would begin each connection with what it has learnt from the one before."""
    here = netns.current()
    try:
        if namespace is not None:
            os.setns(namespace, os.CLONE_NEWNET)
        Path("/proc/sys/net/ipv4/tcp_no_metrics_save").write_text("1")
    finally:
        os.setns(here, os.CLONE_NEWNET)
        os.close(here)


# Of the library as a share of Linux's, the median of the seeds. Only less is a failure: more means
# that the library had less to repair or was quicker to, over the same losses.
_GOODPUT_LEAST = 0.8
# Of the time that data flow, what any of the processes may run late: more, and the figures are the
# machine's.
_LATE_MOST = 0.02
# Of Ethernet without jumbo frames.
_MSS_MOST = 1460


def _late_share(result: Json) -> float:
    """Of the process that was late the most."""
    parts = [part for part in result.values() if isinstance(part, dict) and "late" in part]
    late_ns: list[int] = [sum(one["length_ns"] for one in part["late"]) for part in parts]
    sink = result["linux"]
    assert isinstance(sink, dict)
    flowing_ns: int = sink["receiving_ns"]
    return max(late_ns) / max(flowing_ns, 1)


def _compare_goodput(
    program: str, loss: float, total: int, seeds: int, first_port: int, other: int
) -> tuple[Json, list[str]]:
    """Medians over the seeds, and what is wrong; ends with the first run that is."""
    rates: dict[str, list[float]] = {"library": [], "linux": []}
    faults: list[str] = []
    for seed in range(1, seeds + 1):
        case = Case(
            ip6=False,
            library_listens=False,
            from_library=total,
            to_library=0,
            connections=1,
            link=Link(loss=loss, delay_us=10_000),
            seed=seed,
            port=first_port + seed,
        )
        for name, found in rates.items():
            if name == "library":
                result = run_case(program, case, None)
            else:
                result = _linux_goodput(program, case, other)
            sink = result["linux"]
            assert isinstance(sink, dict)
            if sink["exit"] != 0:
                faults.append(f"loss {loss}, seed {seed}, {name}: {sink.get('fault')}")
            elif name == "linux" and not _crossed(result, total):
                faults.append(f"loss {loss}, seed {seed}: Linux has not used the link")
            found.append(_goodput(sink))
            late = _late_share(result)
            if late > _LATE_MOST:
                text = "this machine is too busy to compare anything"
                faults.append(f"late for {late:.0%} of the time: {text}")
            rate = f"{found[-1] / 1e6:.2f} Mbit/s, late for {late:.1%} of the time"
            print(f"loss {loss}, seed {seed}, {name}: {rate}", file=sys.stderr)
            if faults:
                return {}, faults
    library, linux = (statistics.median(found) for found in rates.values())
    ratio = library / linux if linux else 0.0
    verdict = f"loss {loss}: {library / 1e6:.2f} Mbit/s, Linux {linux / 1e6:.2f}, ratio {ratio:.2f}"
    print(verdict, file=sys.stderr)
    if ratio < _GOODPUT_LEAST:
        faults.append(f"{verdict}: less than {_GOODPUT_LEAST}")
    return {"loss": loss, "library_bps": library, "linux_bps": linux, "ratio": ratio}, faults


def run_goodput(program: str, seconds: float, seeds: int) -> int:
    """One connection, 20 ms there and back, no limit but the losses."""
    other = netns.make()
    _device("tap0", "lib0", 2)
    _device("tap1", "lib1", 3, other)
    for namespace in (None, other):
        _forget_paths(namespace)
    figures: list[Json] = []
    faults: list[str] = []
    for number, (loss, expected_bps) in enumerate(((0.001, 20e6), (0.01, 7e6))):
        total = int(expected_bps * seconds / 8)
        port = 1000 + number * seeds
        figure, found = _compare_goodput(program, loss, total, seeds, port, other)
        figures.append(figure)
        faults += found
    results = {"faults": faults, "round_trip_ms": 20, "seeds": seeds, "goodput": figures}
    json.dump(results, sys.stdout, indent=1)
    print()
    return 1 if faults else 0


def _size(text: str) -> int:
    unit = _UNITS.get(text[-1:].lower())
    return int(text[:-1]) * unit if unit else int(text)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("program", help="net-tap")
    forms = parser.add_subparsers(dest="form", required=True)
    short = forms.add_parser("short")
    long = forms.add_parser("long")
    for form in (short, long):
        form.add_argument("--keep-traces", metavar="DIRECTORY", help="pcap files, a folder per run")
    long.add_argument(
        "--bytes", type=_size, default=10 << 30, help="in each direction (default 10g)"
    )
    long.add_argument("--connections", type=int, default=64, help="at the same time (default 64)")
    long.add_argument("--seed", type=int, default=1)
    goodput = forms.add_parser("goodput")
    goodput.add_argument(
        "--seconds", type=float, default=40.0, help="of each run, about (default 40)"
    )
    goodput.add_argument("--seeds", type=int, default=5, help="runs of each (default 5)")
    arguments = parser.parse_args()
    netns.enter_or_skip()
    if arguments.form == "short":
        return run_cases(arguments.program, short_cases(), arguments.keep_traces, judge_short)
    if arguments.form == "long":
        cases = long_cases(arguments.bytes, arguments.connections, arguments.seed)
        return run_cases(arguments.program, cases, arguments.keep_traces, judge_long)
    return run_goodput(arguments.program, arguments.seconds, arguments.seeds)


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""What a request costs the dataplane, as tables and as a section of docs/performance.md."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.analysis.costs import ROUND_TRIP_BAR_US, Costs, Figure
from orchestrator.analysis.stages import DRIVER_IN, DRIVER_OUT, STAGES, Breakdown
from orchestrator.report import formats
from orchestrator.report.claims import markdown_table

HEADERS = [
    "what",
    "instructions>",
    "compared>",
    "bar>",
    "verdict",
    "requests per turn>",
    "idle>",
    "floors>",
    "Linux>",
]
STAGE_HEADERS = ["stage", "instructions per request>", "share>", "what it is"]

_TEXT = """\
## The dataplane

In guests, on the virtual clock: `./ringbed perf --dataplane --page docs/performance.md` runs
[ix-cost](../experiments/ix-cost), profiles one of its trials, and writes this section. This one is
of commit `{commit}`, `{device}`, one core.

Instructions are the server's for one request, application included: those of all turns of its loop
that found something to do, with timers and acknowledgements. Idle turns are not in them: "idle" is
their share of what the core executed. The load comes from a dataplane, too. TCP timestamps and
window scaling are on. Requests per turn are the mean of the turns that found
something to do. "Floors" is the multiple of a frame that is only returned (stack `l2`), behind the
same NIC and in turns as full. "Linux" is the same load on kernel sockets, one thread.

{table}

{notes}
The bars are the project's own, for a virtual function of the igb. A multiple is of the echo with 32
connections, acknowledgements included, which the bar would leave out.

### Where they go

The echo with 32 connections, every instruction counted (`orchestrator/analysis/stages.py` says
which functions are which stage):

{stages}

A frame that is only taken and sent back (stack `l2`, {floor_batch} frames per turn) costs {floor}
instructions: the floor, which [l2](../experiments/l2) has for other turns and NICs. The driver's
share of the request above is {driver}, {driver_ratio} of that; the whole request is {ratio} floors.

### Round trip

One connection, 64 bytes, median, from dataplane to dataplane: {round_trip}, against a bar of
{round_trip_bar}: {round_trip_verdict}. From Linux to Linux, with NICs that hold no interrupt back
(`rx-usecs 0`), in the same run: {linux_round_trip}, {round_trip_ratio} times as long. Both ends
take turns on the one clock of the virtual machine, and one that polls without finding anything
takes its turns, too.
"""


def row(figure: Figure) -> list[str]:
    """Cells under HEADERS."""
    case = figure.case
    bar = "–" if case.bar is None else f"≤ {case.bar:g} ×" if case.of else f"≤ {case.bar:,.0f}"
    verdict = {None: "reported", True: "met", False: "missed"}[figure.met]
    if figure.why:
        verdict = "not measured"
    return [
        case.what,
        _number(figure.value),
        f"{figure.against:.3f} × {case.of}" if case.of and not figure.why else "–",
        bar,
        verdict,
        _number(figure.batch, 1),
        formats.share(figure.idle),
        _number(figure.value / figure.floor, 2),
        _number(figure.beside),
    ]


def stage_rows(found: Breakdown) -> list[list[str]]:
    """Cells under STAGE_HEADERS, the sum last. Stages without an instruction are left out."""
    rows = [
        [
            stage.name,
            _number(found.per_request(stage), 1),
            formats.share(found.per_request(stage) / found.total),
            stage.text,
        ]
        for stage in STAGES
        if found.instructions.get(stage)
    ]
    return [*rows, ["all", _number(found.total, 1), formats.share(1.0), ""]]


def section(costs: Costs, stages: Breakdown, manifest: Mapping[str, Any]) -> str:
    """manifest: of the run."""
    source = manifest["ringbed"]
    driver = stages.per_request(DRIVER_IN) + stages.per_request(DRIVER_OUT)
    met = costs.round_trip_us <= ROUND_TRIP_BAR_US
    return _TEXT.format(
        commit=str(source["commit"])[:10] + (" with changes" if source["dirty"] else ""),
        device=_device(manifest),
        table=_table(HEADERS, [row(figure) for figure in costs.figures]),
        notes="".join(f"- Not measured: {one.case.what}: {one.why}.\n" for one in _lost(costs)),
        stages=_table(STAGE_HEADERS, stage_rows(stages)),
        floor_batch=_number(costs.floor_batch, 1),
        floor=_number(costs.floor, 1),
        driver=_number(driver, 1),
        driver_ratio=f"{driver / costs.floor:.2f} times",
        ratio=f"{stages.total / costs.floor:.2f}",
        round_trip=formats.time_us(costs.round_trip_us),
        round_trip_bar=formats.time_us(ROUND_TRIP_BAR_US),
        round_trip_verdict="met" if met else "missed",
        linux_round_trip=formats.time_us(costs.linux_round_trip_us),
        round_trip_ratio=f"{costs.linux_round_trip_us / costs.round_trip_us:.1f}",
    )


def floor_and_round_trip(costs: Costs) -> str:
    """What the tables do not have, as lines."""
    ratio = costs.linux_round_trip_us / costs.round_trip_us
    return (
        f"floor: {_number(costs.floor, 1)} instructions a frame, "
        f"{_number(costs.floor_batch, 1)} frames a turn\n"
        f"round trip: {formats.time_us(costs.round_trip_us)}; "
        f"Linux: {formats.time_us(costs.linux_round_trip_us)}, {_number(ratio, 1)} times as long\n"
    )


def as_data(costs: Costs, stages: Breakdown) -> dict[str, Any]:
    """All of it, for programs; null: there is no such value."""
    return {
        "figures": [
            {
                "name": one.case.name,
                "what": one.case.what,
                "instructions": _or_none(one.value),
                "compared": _or_none(one.against),
                "bar": one.case.bar,
                "met": one.met,
                "why": one.why,
                "requests_per_turn": _or_none(one.batch),
                "idle_share": _or_none(one.idle),
                "floor": _or_none(one.floor),
                "linux": _or_none(one.beside),
            }
            for one in costs.figures
        ],
        "floor": _or_none(costs.floor),
        "floor_frames_per_turn": _or_none(costs.floor_batch),
        "round_trip_us": _or_none(costs.round_trip_us),
        "linux_round_trip_us": _or_none(costs.linux_round_trip_us),
        "stages": {stage.name: stages.per_request(stage) for stage in STAGES},
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _lost(costs: Costs) -> list[Figure]:
    return [figure for figure in costs.figures if figure.why]


def _device(manifest: Mapping[str, Any]) -> str:
    """The NICs of the link that load takes, as the experiment names them."""
    ends = manifest["experiment"]["links"][0]["ends"]
    return " to ".join(str(end["nic"]) for end in ends)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(markdown_table([head.removesuffix(">") for head in headers], rows))


def _number(value: float, digits: int = 0) -> str:
    return "–" if math.isnan(value) else f"{value:,.{digits}f}"

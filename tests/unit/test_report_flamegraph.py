# SPDX-License-Identifier: Apache-2.0
"""Flame graphs: widths are instructions, and nothing is lost in drawing."""

import xml.etree.ElementTree as ET

from orchestrator.analysis.profile import Frame
from orchestrator.analysis.symbols import KERNEL, UNKNOWN, Function
from orchestrator.report.flamegraph import MARGIN, ROW, WIDTH, fit, flamegraph, kind_of

SVG = "{http://www.w3.org/2000/svg}"
MAIN = Frame(Function("main", "rb-echo"), 0)
SEND = Frame(Function("tcp_sendmsg", KERNEL), 1)
POLL = Frame(Function("igb_poll", "[igb]"), 1)
ODD = Frame(Function("operator<&>", "libx.so.1"), 0)
STACKS = [
    ((MAIN,), 100),
    ((MAIN, SEND), 600),
    ((MAIN, ODD), 200),
    ((POLL,), 99_999_100),
]


def draw(stacks: list[tuple[tuple[Frame, ...], int]]) -> dict[str, ET.Element]:
    text = flamegraph(stacks, title="a <title>", subtitle="b", requests=10)
    root = ET.fromstring(text)
    return {bar.attrib["data-n"]: bar for bar in root.iter(f"{SVG}g") if "data-n" in bar.attrib}


def box(bar: ET.Element) -> tuple[float, float, float]:
    rect = bar.find(f"{SVG}rect")
    assert rect is not None
    return float(rect.attrib["x"]), float(rect.attrib["y"]), float(rect.attrib["width"])


def test_frames_are_as_wide_as_what_they_executed_and_hang_below_their_callers() -> None:
    bars = draw(STACKS[:3])
    inner = WIDTH - 2 * MARGIN
    assert box(bars["all"]) == (0, 0, inner)
    assert box(bars["main"]) == (0, ROW, inner)
    assert box(bars["operator<&>"]) == (0, 2 * ROW, round(inner * 200 / 900, 2))
    assert box(bars["tcp_sendmsg"])[0] == round(inner * 200 / 900, 2)
    assert box(bars["tcp_sendmsg"])[2] == round(inner * 600 / 900, 2)


def test_titles_tell_all_of_a_frame() -> None:
    title = draw(STACKS[:3])["main"].findtext(f"{SVG}title")
    assert title == (
        "main (rb-echo)\n900 instructions, 100.00%\n90.00 per request\n100 in the function itself"
    )


def test_what_is_too_narrow_to_see_is_left_out() -> None:
    assert set(draw(STACKS)) == {"all", "igb_poll"}


def test_the_graph_needs_nothing_else() -> None:
    text = flamegraph(STACKS, title="a", subtitle="b", requests=0)
    assert "http" not in text.replace("http://www.w3.org/", "")
    assert flamegraph(STACKS, title="a", subtitle="b", requests=0) == text


def test_colours_tell_where_code_is_from() -> None:
    unknown = Frame(Function(UNKNOWN, UNKNOWN), 0)
    dataplane = Frame(Function("poll", "rb-dpos"), 2)
    kinds = [kind_of(one) for one in (MAIN, ODD, SEND, POLL, dataplane, unknown)]
    assert kinds == ["user", "library", "kernel", "module", "ring0", "unknown"]


def test_names_are_cut_to_the_room_there_is() -> None:
    assert fit("tcp_sendmsg", 200) == "tcp_sendmsg"
    assert fit("tcp_sendmsg", 50) == "tcp_s…"
    assert fit("tcp_sendmsg", 20) == ""

# SPDX-License-Identifier: Apache-2.0
"""The analysis of idle gaps, with traces made by hand."""

from __future__ import annotations

import struct
import tempfile
import unittest
from pathlib import Path

import gaps
import wire

_LIBRARY, _LINUX = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
_RTT_S = 0.01


class Trace:
    """A connection from the library to Linux, as both ends have seen it."""

    def __init__(self, *, syns_lost: int = 0) -> None:
        self._ends: tuple[list[tuple[float, bytes]], ...] = ([], [])
        self._number = 0
        for again in range(syns_lost):
            self.say(1.0 - syns_lost + again, "S", 0, lost=True)
        self.say(1.0, "S", 0)
        self.say(1.0 + _RTT_S, "S.", 0, ack=1, linux=True)
        self.say(1.0 + 2 * _RTT_S, ".", 1, ack=1)

    def say(
        self,
        time: float,
        flags: str,
        seq: int,
        size: int = 0,
        *,
        ack: int = 0,
        linux: bool = False,
        lost: bool = False,
        late: float = 0.0,
        echo: int = 0,
    ) -> int:
        """Returns its timestamp."""
        self._number += 1  # no two frames are the same
        own, other = (_LINUX, _LIBRARY) if linux else (_LIBRARY, _LINUX)
        segment = wire.Segment(
            source=own,
            target=other,
            source_port=80 if linux else 20000,
            target_port=20000 if linux else 80,
            seq=seq + (7000 if linux else (1 << 32) - 20),
            ack=ack + ((1 << 32) - 20 if linux else 7000),
            flags=sum(wire.FLAGS[name] for name in flags),
            window=60000,
            options=wire.timestamps(self._number, echo),
            payload=b"x" * size,
        )
        frame = bytes(12) + b"\x08\x00" + wire.build(segment)
        self._ends[linux].append((time, frame))
        if not lost:
            self._ends[not linux].append((time + _RTT_S / 2 + late, frame))
        return self._number

    def table(self, library: gaps.Json | None = None, linux: gaps.Json | None = None) -> gaps.Json:
        with tempfile.TemporaryDirectory() as directory:
            paths = []
            for number, frames in enumerate(self._ends):
                path = Path(directory) / f"tap-{number}.pcap"
                data = struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
                for time, frame in sorted(frames):
                    ns = round(time * 1e9)
                    kept = frame[:128]  # all headers
                    data += struct.pack("<IIII", ns // 10**9, ns % 10**9, len(kept), len(frame))
                    data += kept
                path.write_bytes(data)
                paths.append(path)
            return gaps.explain(paths[0], paths[1], library or {}, linux or {})

    def reasons(self) -> list[tuple[object, object]]:
        table = self.table()
        rows = table["gaps"]
        assert isinstance(rows, list)
        return [(row["reason"], row["explained"]) for row in rows]


class Gaps(unittest.TestCase):
    def finish(self, trace: Trace, time: float, seq: int) -> None:
        trace.say(time, "F.", seq, ack=1)
        trace.say(time + 0.01, "F.", 1, ack=seq + 1, linux=True)
        trace.say(time + 0.02, ".", seq + 1, ack=2)

    def test_no_gap(self) -> None:
        trace = Trace()
        trace.say(1.03, ".", 1, 100, ack=1)
        trace.say(1.04, ".", 1, ack=101, linux=True)
        self.finish(trace, 1.05, 101)
        self.assertEqual(trace.reasons(), [])
        self.assertEqual(trace.table()["connections"], 1)

    def test_data_lost(self) -> None:
        trace = Trace()
        trace.say(1.03, ".", 1, 100, ack=1, lost=True)
        trace.say(1.26, ".", 1, 100, ack=1, lost=True)
        trace.say(1.72, ".", 1, 100, ack=1)
        trace.say(1.73, ".", 1, ack=101, linux=True)
        self.finish(trace, 1.74, 101)
        # Linux has nothing under way, and has not sent its FIN: only the library is looked at
        own = [one for one in trace.reasons() if one[0] != "nothing"]
        self.assertEqual(own, [("data lost", True), ("data lost", True)])

    def test_too_long_for_the_back_off(self) -> None:
        trace = Trace()
        trace.say(1.03, ".", 1, 100, ack=1, lost=True)
        trace.say(4.00, ".", 1, 100, ack=1)
        trace.say(4.01, ".", 1, ack=101, linux=True)
        self.finish(trace, 4.02, 101)
        self.assertIn(("data lost", False), trace.reasons())

    def test_a_timeout_as_long_as_timestamps_make_it(self) -> None:
        for echoes in (False, True):
            trace = Trace()
            first = trace.say(1.03, ".", 1, 100, ack=1, lost=True)
            trace.say(1.26, ".", 1, 100, ack=1, lost=True)
            trace.say(1.72, ".", 1, 100, ack=1)
            # as after a SYN that was sent again: the echo is that of the first one
            trace.say(1.73, ".", 1, ack=101, linux=True, echo=first if echoes else 0)
            trace.say(1.74, ".", 101, 100, ack=1, lost=True)
            trace.say(3.24, ".", 101, 100, ack=1)
            trace.say(3.25, ".", 1, ack=201, linux=True)
            self.finish(trace, 3.26, 201)
            own = [one for one in trace.reasons() if one[0] != "nothing"]
            self.assertEqual(own[-1], ("data lost", echoes))

    def test_the_timeout_after_a_lost_syn(self) -> None:
        for lost in (0, 1):
            trace = Trace(syns_lost=lost)
            trace.say(1.03, ".", 1, 100, ack=1, lost=True)
            trace.say(4.03, ".", 1, 100, ack=1)
            trace.say(4.04, ".", 1, ack=101, linux=True)
            self.finish(trace, 4.05, 101)
            self.assertIn(("data lost", bool(lost)), trace.reasons())

    def test_acknowledgement_lost(self) -> None:
        trace = Trace()
        trace.say(1.03, ".", 1, 100, ack=1)
        trace.say(1.04, ".", 1, ack=101, linux=True, lost=True)
        trace.say(1.26, ".", 1, 100, ack=1)
        trace.say(1.27, ".", 1, ack=101, linux=True)
        self.finish(trace, 1.28, 101)
        self.assertIn(("ack lost", True), trace.reasons())

    def test_old_timestamp(self) -> None:
        trace = Trace()
        trace.say(1.03, ".", 101, 100, ack=1, late=0.02)  # overtaken by what was sent later
        trace.say(1.04, ".", 1, 100, ack=1)
        trace.say(1.05, ".", 1, ack=101, linux=True)
        trace.say(1.30, ".", 101, 100, ack=1)
        trace.say(1.31, ".", 1, ack=201, linux=True)
        self.finish(trace, 1.32, 201)
        self.assertIn(("old timestamp", True), trace.reasons())

    def test_nothing(self) -> None:
        trace = Trace()
        trace.say(1.03, ".", 1, 100, ack=1)  # arrives, and nobody answers
        trace.say(1.26, ".", 1, 100, ack=1)
        trace.say(1.27, ".", 1, ack=101, linux=True)
        self.finish(trace, 1.28, 101)
        self.assertIn(("nothing", False), trace.reasons())
        self.assertTrue(gaps.unexplained(trace.table()))

    def test_a_role_was_late(self) -> None:
        trace = Trace()
        trace.say(1.03, ".", 1, 100, ack=1)
        trace.say(1.53, ".", 1, ack=101, linux=True)  # answers half a second late
        self.finish(trace, 1.54, 101)
        self.assertIn(("nothing", False), trace.reasons())
        late: gaps.Json = {"late": [{"at_ns": 1_040_000_000, "length_ns": 490_000_000}]}
        table = trace.table(library=late)
        self.assertEqual(gaps.unexplained(table), [])
        self.assertEqual(set(gaps.reasons(table)), {"late"})
        # Linux's role has the machine's clock: here 100 s ahead
        late = {"late": [{"at_ns": 101_040_000_000, "length_ns": 490_000_000}]}
        self.assertTrue(gaps.unexplained(trace.table(linux=late)))
        start: gaps.Json = {"start_ns": 100_000_000_000}
        self.assertEqual(gaps.unexplained(trace.table(library=start, linux=late)), [])

    def test_late_more_often_than_noted(self) -> None:
        trace = Trace()
        trace.say(1.03, ".", 1, 100, ack=1)
        trace.say(1.53, ".", 1, ack=101, linux=True)
        self.finish(trace, 1.54, 101)
        faults = gaps.unexplained(trace.table(library={"late": [], "late_count": 3}))
        self.assertIn("3 more times", faults[-1])


if __name__ == "__main__":
    unittest.main()

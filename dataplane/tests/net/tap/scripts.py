# SPDX-License-Identifier: Apache-2.0
"""The scripts of the differential test: functions `script_NAME` that play a peer (differ.Peer).

After each step, application call or segment, all answers are taken. The peer's own numbers are
relative: its SYN is 0, its first byte 1; the host's likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import wire

if TYPE_CHECKING:
    from differ import Peer

    Script = Callable[[Peer], None]

NOBODY = 4999  # a port where nobody listens

_ALL = wire.mss(1460) + wire.sack_ok() + wire.wscale(7)


def all_scripts() -> dict[str, Script]:
    prefix = "script_"
    return {
        name.removeprefix(prefix).replace("_", " "): value
        for name, value in globals().items()
        if name.startswith(prefix)
    }


def _open(peer: Peer, options: bytes = wire.mss(1460) + wire.sack_ok()) -> None:
    peer.send("S", options=options)
    peer.send(".", 1)
    peer.accept()


def script_handshake_with_all_options(peer: Peer) -> None:
    peer.ts = 1000
    _open(peer, _ALL)
    peer.send("P.", 1, 10)
    peer.write(10)


def script_handshake_without_options(peer: Peer) -> None:
    _open(peer, b"")
    peer.write(1000)


def script_small_mss(peer: Peer) -> None:
    _open(peer, wire.mss(500))
    peer.write(1200)
    peer.send(".", 1)


def script_odd_options(peer: Peer) -> None:
    """An unknown one, and one that says to be longer than the header."""
    _open(peer, wire.mss(1000) + b"\xfd\x04ab" + wire.sack_ok())
    peer.send(".", 1, options=b"\xfd\x20ab")
    peer.send("P.", 1, 10, options=b"\x05\x01\x00\x00")


def script_option_of_length_zero_in_a_syn(peer: Peer) -> None:
    peer.send("S", options=b"\x02\x00\x05\xb4")


def script_data_and_acknowledgements(peer: Peer) -> None:
    _open(peer)
    peer.send("P.", 1, 100)
    peer.send("P.", 101, 100)
    peer.read()
    peer.write(100)
    peer.send(".", 201)


def script_out_of_order(peer: Peer) -> None:
    _open(peer)
    peer.send(".", 101, 100)
    peer.send(".", 301, 100)
    peer.send(".", 501, 100)
    peer.read()
    peer.send(".", 1, 100)
    peer.send(".", 201, 100)
    peer.read()
    peer.send(".", 401, 100)
    peer.read()


def script_overlaps(peer: Peer) -> None:
    _open(peer)
    peer.send(".", 1, 100)
    peer.send(".", 51, 100)
    peer.send(".", 301, 100)
    peer.send(".", 251, 100)
    peer.send(".", 351, 100)
    peer.send(".", 101, 400)
    peer.read()


def script_duplicate(peer: Peer) -> None:
    _open(peer)
    peer.send(".", 1, 100)
    peer.send(".", 1, 100)
    peer.read()


def script_without_sack(peer: Peer) -> None:
    _open(peer, wire.mss(1460))
    peer.send(".", 101, 100)
    peer.send(".", 1, 100)


def script_rst_at_the_edge(peer: Peer) -> None:
    _open(peer)
    peer.send("R", 1)
    peer.read()
    peer.write(1)


def script_rst_in_the_window(peer: Peer) -> None:
    _open(peer)
    peer.send("R", 100)
    peer.read()


def script_rst_outside_the_window(peer: Peer) -> None:
    _open(peer)
    peer.send("R", 2_000_000)
    peer.send("R", -100)
    peer.read()


def script_rst_after_data(peer: Peer) -> None:
    _open(peer)
    peer.send("P.", 1, 10)
    peer.send("R.", 11)
    peer.read()
    peer.read()


def script_syn_in_the_window(peer: Peer) -> None:
    _open(peer)
    peer.send("S", 100)
    peer.read()


def script_syn_outside_the_window(peer: Peer) -> None:
    _open(peer)
    peer.send("S", 2_000_000)
    peer.read()


def script_syn_again(peer: Peer) -> None:
    peer.send("S", options=wire.mss(1460))
    peer.send("S", options=wire.mss(1460))
    peer.send(".", 1)
    peer.accept()


def script_rst_in_syn_received(peer: Peer) -> None:
    peer.send("S", options=wire.mss(1460))
    peer.send("R", 1)
    peer.send(".", 1, ack=1)
    peer.accept()


def script_wrong_ack_in_syn_received(peer: Peer) -> None:
    peer.send("S", options=wire.mss(1460))
    peer.send(".", 1, ack=1000)
    peer.send(".", 1, ack=1)
    peer.accept()


def script_data_with_the_handshake(peer: Peer) -> None:
    peer.send("S", options=wire.mss(1460))
    peer.send("P.", 1, 50)
    peer.accept()
    peer.read()


def script_nobody_listens(peer: Peer) -> None:
    peer.send("S", port=NOBODY)
    peer.send(".", 7, ack=77, port=NOBODY)
    peer.send("F", 7, port=NOBODY)
    peer.send("R", 7, port=NOBODY)


def script_listener_gets_others(peer: Peer) -> None:
    peer.send(".", 1, ack=1)
    peer.send("S.", 1, ack=1)
    peer.send("F", 1)
    peer.send("-", 1)
    peer.send("R", 1)


def script_zero_window(peer: Peer) -> None:
    _open(peer)
    peer.send(".", 1, window=0)
    peer.write(100)
    peer.send(".", 1, window=1000)
    peer.send(".", 1)


def script_beyond_the_window(peer: Peer) -> None:
    _open(peer)
    peer.send(".", 1_000_001, 100)
    peer.read()


def script_below_the_window(peer: Peer) -> None:
    _open(peer)
    peer.send(".", 1, 100)
    peer.send(".", -99, 50)
    peer.read()


def script_keep_alive_probe(peer: Peer) -> None:
    _open(peer)
    peer.send(".", 0)
    peer.send(".", 0, 1)


def script_old_ack(peer: Peer) -> None:
    _open(peer)
    peer.write(100)
    peer.send(".", 1, ack=101)
    peer.send(".", 1, ack=51)
    peer.send("P.", 1, 10, ack=51)
    peer.read()


def script_ack_of_what_was_not_sent(peer: Peer) -> None:
    _open(peer)
    peer.send(".", 1, ack=1001)
    peer.read()


def script_data_with_an_ack_too_far(peer: Peer) -> None:
    _open(peer)
    peer.send("P.", 1, 10, ack=1001)
    peer.read()


def script_without_ack(peer: Peer) -> None:
    _open(peer)
    peer.send("P", 1, 10)
    peer.read()


def script_peer_closes_first(peer: Peer) -> None:
    _open(peer)
    peer.send("F.", 1)
    peer.read()
    peer.write(10)
    peer.close()
    peer.send(".", 2)


def script_host_closes_first(peer: Peer) -> None:
    _open(peer)
    peer.shutdown()
    peer.send(".", 1)
    peer.send("P.", 1, 10)
    peer.read()
    peer.send("F.", 11)
    peer.read()
    peer.send("F.", 11)


def script_both_close(peer: Peer) -> None:
    _open(peer)
    peer.shutdown()
    peer.send("F.", 1, ack=1)
    peer.send(".", 2)
    peer.read()


def script_fin_out_of_order(peer: Peer) -> None:
    _open(peer)
    peer.send("F.", 101, 100)
    peer.read()
    peer.send(".", 1, 100)
    peer.read()
    peer.read()


def script_data_after_a_fin(peer: Peer) -> None:
    _open(peer)
    peer.send("F.", 1, 10)
    peer.send("P.", 12, 10)
    peer.read()
    peer.read()


def script_data_after_close(peer: Peer) -> None:
    _open(peer)
    peer.close()
    peer.send(".", 1)
    peer.send("P.", 1, 10)


def script_close_with_unread_data(peer: Peer) -> None:
    _open(peer)
    peer.send("P.", 1, 10)
    peer.close()


def script_fin_and_syn(peer: Peer) -> None:
    peer.send("SF", options=wire.mss(1460))


def script_old_timestamp(peer: Peer) -> None:
    peer.ts = 1000
    _open(peer, _ALL)
    peer.ts = 500
    peer.send("P.", 1, 10)
    peer.ts = 1001
    peer.send("P.", 1, 10)
    peer.read()


def script_no_timestamp_where_agreed(peer: Peer) -> None:
    peer.ts = 1000
    _open(peer, _ALL)
    peer.ts = None
    peer.send("P.", 1, 10)
    peer.read()


def script_time_wait_and_a_new_syn(peer: Peer) -> None:
    _open(peer)
    peer.shutdown()
    peer.send("F.", 1)
    peer.send("S", 5_000_000, options=wire.mss(1460))


def script_syn_in_time_wait_below(peer: Peer) -> None:
    _open(peer)
    peer.shutdown()
    peer.send("F.", 1)
    peer.send("S", 1, options=wire.mss(1460))

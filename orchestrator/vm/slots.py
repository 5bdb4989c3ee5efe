# SPDX-License-Identifier: Apache-2.0
"""Leases of a host's cores and memory, so that several ringbeds do not promise them twice.

The ledger is on the host whose cores they are: a file for each lease, which says how much, and is
locked as long as the lease lasts. A process on that host holds the lock. It ends with whoever
asked, however that ends, or with the ssh connection, and the kernel drops the lock; a file that
nobody holds is void. Ringbeds of different users do not see each other's leases.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from orchestrator import process
from orchestrator.errors import HostError
from orchestrator.vm.remote import HINT, RemoteHost, is_remote

ASK_S = 60.0
POLL_S = 0.05
LEASED = "ringbed: leased"
FULL = "ringbed: full"
_SCRIPT = f"""
set -eu
umask 077
base=/var/tmp/ringbed-$(id -u); mkdir -p -m 711 "$base"; [ -O "$base" ]
slots=${{RINGBED_SLOTS:-$base/slots}}; mkdir -p "$slots"
exec 9>"$slots/ledger"
flock 9
cores=0 mib=0
for lease in "$slots"/*.lease; do
    [ -e "$lease" ] || continue
    if flock -n "$lease" true; then rm -f "$lease"; continue; fi
    read -r c m <"$lease"
    cores=$((cores + c)) mib=$((mib + m))
done
if [ $((cores + $1)) -gt "$3" ] || [ $((mib + $2)) -gt "$4" ]; then
    echo "{FULL}: $cores of $3 cores and $mib of $4 MiB are leased"
    exit
fi
lease=$(mktemp "$slots/XXXXXXXX.lease")
echo "$1 $2" >"$lease"
exec 8<"$lease"
flock 8
exec 9>&-
echo "{LEASED}"
exec sleep infinity
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Of a host: cores, and memory in MiB."""

    cores: int
    mib: int

    def fits(self, other: "Amount") -> bool:
        return self.cores <= other.cores and self.mib <= other.mib


class SlotLease:
    """Cores and memory of a host, until close(). Made by `lease_slot`."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def close(self) -> None:
        """Give them back. Calling it again does nothing."""
        self._stack.close()


def lease_slot(connect: str, wanted: Amount, whole: Amount, log: Path) -> SlotLease | None:
    """Lease a part of the host behind a libvirt connection; None when too much of it is leased.

    whole: what the host has. log: receives what the host says. Raises HostError when it cannot
    be asked. The lease ends with the thread that asks.
    """
    numbers = (str(wanted.cores), str(wanted.mib), str(whole.cores), str(whole.mib))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with ExitStack() as stack:
        child = stack.enter_context(
            process.background(_words(connect, numbers), log=log, bound=True)
        )
        end = time.monotonic() + ASK_S
        while True:
            # Asked first, so that what an ended child said has all been read.
            ended = child.poll() is not None or time.monotonic() > end
            said = log.read_text("utf-8", "replace").splitlines()
            if LEASED in said:
                return SlotLease(stack.pop_all())
            if any(line.startswith(FULL) for line in said):
                return None
            if ended:
                raise HostError(
                    f"no slot can be leased through {connect}",
                    details="\n".join(said[-5:]),
                    hint=HINT if is_remote(connect) else "",
                )
            time.sleep(POLL_S)


def _words(connect: str, numbers: tuple[str, ...]) -> list[str]:
    if not is_remote(connect):
        return ["sh", "-c", _SCRIPT, "sh", *numbers]
    # With a terminal, so that the other side ends with the connection.
    return RemoteHost.of(connect).command(f"set -- {' '.join(numbers)}\n{_SCRIPT}", terminal=True)

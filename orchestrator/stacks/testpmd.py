# SPDX-License-Identifier: Apache-2.0
"""DPDK's testpmd as an echo server: the least that a stack which bypasses the kernel can do.

It takes the NIC from Linux, polls it, swaps addresses and ports of every UDP datagram (5tswap) and
sends it back. There is no ARP in it, so the client is told the server's hardware address.
"""

from collections.abc import Mapping

from pydantic import Field

from orchestrator.spec.registry import Application, pollers
from orchestrator.stacks import device
from orchestrator.stacks.base import BIN, SERVER_PORT, Endpoint, Options, Served, Site
from orchestrator.steps.model import Collect, Start, Stop, WaitFor

SERVER = "server"
# Of 2 MiB, for packet buffers, rings and what DPDK keeps of its own.
HUGE_PAGES = 40
MEMORY_MIB = 64
PACKETS = 8192

# testpmd ends when there is something to read, so it gets a pipe that stays open and empty.
_EXEC = 'mkfifo "$1" && shift && exec stdbuf -oL dpdk-testpmd "$@" <>"$0"'


class TestpmdOptions(Options):
    """Options of testpmd."""

    __test__ = False

    threads: int = Field(
        default=0,
        ge=0,
        le=8,
        description="Polling threads, each with a queue and a vCPU of its own, of which there must "
        "be as many; 0 is the smaller number of both.",
    )
    burst: int = Field(default=32, ge=1, le=512, description="Packets that one poll takes at most.")


class TestpmdStack:
    """Serves UDP echo below the kernel."""

    __test__ = False

    name = "testpmd"
    summary = "DPDK's testpmd polls the NIC and returns datagrams; no kernel, no protocol stack"
    apps: Mapping[str, Application] = {
        "udp-echo": Application(
            name="udp-echo",
            protocol="udp-echo",
            text="returns every datagram, addresses and ports swapped",
            options=TestpmdOptions,
            takes_nic=True,
            polls=True,
        ),
    }

    def serve(self, app: str, options: Options, message_bytes: int, site: Site) -> Served:
        if not isinstance(options, TestpmdOptions):
            raise TypeError(f"options of {app} are of another application: {options!r}")
        server = site.server
        return Served(
            address=server.address,
            port=SERVER_PORT,
            mac=server.mac,
            up=(
                device.neighbour(site),
                *device.take(server, HUGE_PAGES),
                _start(options, server),
                WaitFor(
                    machine=server.machine,
                    name=SERVER,
                    line="Press enter to exit",
                    deadline_s=device.START_S,
                ),
                *device.alone(server),
            ),
            down=(
                Stop(machine=server.machine, name=SERVER, grace_s=device.GRACE_S),
                *device.give_back(server),
                Collect(
                    machine=server.machine,
                    path=f"{{out}}/{SERVER}.log",
                    into=f"{SERVER}.log",
                    optional=True,
                ),
                *device.collect(server),
                *device.forget_neighbour(site),
            ),
        )


def _start(options: TestpmdOptions, server: Endpoint) -> Start:
    threads = pollers(options.threads, server.queues, server.cpus)
    # The first thread only waits for the end: it shares its CPU with one that polls.
    lcores = [f"0@{server.cpu_ids[0]}"]
    lcores += [f"{n + 1}@{server.cpu_ids[n]}" for n in range(threads)]
    # Addresses that the NIC is given: virtual ones need an IOMMU.
    mode = "va" if server.viommu else "pa"
    argv = (
        *("sh", "-c", _EXEC, "{out}/stdin", "{out}/stdin"),
        f"--lcores={','.join(lcores)}",
        *("--in-memory", f"--iova-mode={mode}", "--no-telemetry", "-m", str(MEMORY_MIB)),
        "--",
        *("--forward-mode=5tswap", f"--nb-cores={threads}", f"--burst={options.burst}"),
        *(f"--rxq={threads}", f"--txq={threads}", "--rss-ip", f"--total-num-mbufs={PACKETS}"),
        # uio has no interrupt to tell of the link; so testpmd asks, and begins when it is there.
        "--no-lsc-interrupt",
    )
    # So that an idle poll ends the CPU's turn: dataplane/apps/testpmd_rest.c.
    env = (("LD_PRELOAD", f"{BIN}/testpmd-rest.so"),)
    return Start(machine=server.machine, name=SERVER, argv=argv, env=env)

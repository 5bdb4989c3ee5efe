# SPDX-License-Identifier: Apache-2.0
"""Giving the server's NIC to a program that drives it itself, on the virtual clock."""

from orchestrator.stacks.base import Endpoint, Site
from orchestrator.steps.model import Run, Step

HUGE_PAGE_KIB = 2048
ALONE_S = "0.02"

# When a device changes where it is mapped, QEMU frees what described it in a thread of its own, up
# to a tenth of a second of the host's time later, and takes its turn from the CPU that runs then.
# That is of no consequence only while no other CPU has anything to do. So after such changes one
# CPU counts or polls alone for a while: for seconds of the host's time.
_COUNT = "i=0; while [ $i -lt 8000 ]; do i=$((i + 1)); done"


# Two programs of one guest may each want some.
_MORE_PAGES = (
    'had=$(cat "/sys/kernel/mm/hugepages/hugepages-$0kB/nr_hugepages") && '
    'exec /usr/lib/ringbed/hugepages "$0=$((had + $1))"'
)


def nic_file(endpoint: Endpoint) -> str:
    """Where `take` tells what the NIC was given to; `pci` is its address."""
    return f"{{out}}/{endpoint.machine}-nic.json"


def take(server: Endpoint, huge_pages: int) -> tuple[Step, ...]:
    """Reserve huge pages of 2 MiB, and take the NIC from Linux."""
    machine = server.machine
    more = ("sh", "-c", _MORE_PAGES, str(HUGE_PAGE_KIB), str(huge_pages))
    return (
        Run(machine=machine, argv=more, stdout="{out}/pages.json"),
        Run(
            machine=machine,
            argv=("/usr/lib/ringbed/vfio", "--uio", server.device),
            stdout=nic_file(server),
        ),
        Run(machine=machine, argv=("sh", "-c", _COUNT)),
    )


def alone(server: Endpoint) -> Run:
    """To follow the start of what polls: it does so alone for a while."""
    return Run(machine=server.machine, argv=("sleep", ALONE_S))


def neighbour(site: Site) -> Run:
    """Tells the client the server's hardware address, where nothing there answers to ARP."""
    client, server = site.client, site.server
    return Run(
        machine=client.machine,
        argv=(
            *("ip", "neighbour", "replace", server.address, "lladdr", server.mac),
            *("dev", client.device, "nud", "permanent"),
        ),
    )

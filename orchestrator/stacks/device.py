# SPDX-License-Identifier: Apache-2.0
"""Giving a machine's NIC to a program that drives it itself, and back.

On the wall clock the guest takes other trials afterwards, and Linux gets the NIC back as it was. On
the virtual clock the guest ends with the trial.
"""

from orchestrator.stacks.base import Endpoint, Site
from orchestrator.steps.model import Collect, Run, Step

HUGE_PAGE_KIB = 2048
ALONE_S = "0.02"
# Under emulation, on a busy host.
DEADLINE_S = 60.0
START_S = 60.0
GRACE_S = 20.0

_HUGEPAGES = "/usr/lib/ringbed/hugepages"
_VFIO = "/usr/lib/ringbed/vfio"
READ_BACK = ("nic", "pages", "returned")
"""Kinds of files in which a machine says what a trial has set: `MACHINE-KIND.json`."""

BACK = (_VFIO, "--back")
"""Gives back whatever was lent in a guest, and not returned by a trial that failed."""

# When a device changes where it is mapped, QEMU frees what described it in a thread of its own, up
# to a tenth of a second of the host's time later, and takes its turn from the CPU that runs then.
# That is of no consequence only while no other CPU has anything to do. So after such changes one
# CPU counts or polls alone for a while: for seconds of the host's time.
COUNT = "i=0; while [ $i -lt 8000 ]; do i=$((i + 1)); done"


# Two programs of one guest may each want some.
_MORE_PAGES = (
    'had=$(cat "/sys/kernel/mm/hugepages/hugepages-$0kB/nr_hugepages") && '
    f'exec {_HUGEPAGES} "$0=$((had + $1))"'
)


def nic_file(endpoint: Endpoint) -> str:
    """Where `take` tells what the NIC was given to; `pci` is its address."""
    return _told(endpoint, "nic")


def take(endpoint: Endpoint, huge_pages: int) -> tuple[Step, ...]:
    """Reserve huge pages of 2 MiB, and take the NIC from Linux."""
    machine = endpoint.machine
    pages: tuple[str, ...] = ("sh", "-c", _MORE_PAGES, str(HUGE_PAGE_KIB), str(huge_pages))
    if endpoint.lasting:
        pages = (_HUGEPAGES, f"{HUGE_PAGE_KIB}={huge_pages}")
    driver = () if endpoint.viommu else ("--uio",)
    lend = ("--lend",) if endpoint.lasting else ()
    argv = (_VFIO, *driver, *lend, endpoint.device)
    steps = (
        Run(machine=machine, argv=pages, stdout=_told(endpoint, "pages"), deadline_s=DEADLINE_S),
        Run(machine=machine, argv=argv, stdout=nic_file(endpoint), deadline_s=DEADLINE_S),
    )
    if endpoint.lasting:
        return steps
    return (*steps, Run(machine=machine, argv=("sh", "-c", COUNT)))


def alone(endpoint: Endpoint) -> tuple[Step, ...]:
    """To follow the start of what polls: on the virtual clock it does so alone for a while."""
    if endpoint.lasting:
        return ()
    return (Run(machine=endpoint.machine, argv=("sleep", ALONE_S)),)


def give_back(endpoint: Endpoint) -> tuple[Step, ...]:
    """After the end of what drove the NIC: Linux has it as before, and its memory."""
    if not endpoint.lasting:
        return ()
    machine = endpoint.machine
    words = (
        ((*BACK, endpoint.device), _told(endpoint, "returned")),
        ((_HUGEPAGES, f"{HUGE_PAGE_KIB}=0"), "{out}/pages-left.json"),
        # As at the guest's start (run/testbed.py); a driver that begins anew has forgotten.
        (("/usr/lib/ringbed/tuning", "irqs=spread"), "{out}/irqs.json"),
    )
    return tuple(
        Run(machine=machine, argv=argv, stdout=stdout, deadline_s=DEADLINE_S)
        for argv, stdout in words
    )


def collect(endpoint: Endpoint) -> tuple[Step, ...]:
    """What the machine said it had during the trial, and has after it."""
    names = [f"{endpoint.machine}-{kind}.json" for kind in READ_BACK]
    return tuple(
        Collect(machine=endpoint.machine, path=f"{{out}}/{name}", into=name, optional=True)
        for name in names
    )


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


def forget_neighbour(site: Site) -> tuple[Step, ...]:
    """Lets the client ask again."""
    client = site.client
    if not client.lasting:
        return ()
    argv = ("ip", "neighbour", "flush", "to", site.server.address, "dev", client.device)
    return (Run(machine=client.machine, argv=(*argv, "nud", "permanent")),)


def _told(endpoint: Endpoint, kind: str) -> str:
    return f"{{out}}/{endpoint.machine}-{kind}.json"

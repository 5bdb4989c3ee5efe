# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
from pydantic import ValidationError

from orchestrator.stacks import DRIVERS
from orchestrator.stacks.base import Endpoint, Served, Site, Stack
from orchestrator.stacks.dpos import KvOptions, L2Options
from orchestrator.stacks.linux import MemcachedOptions, ServerOptions
from orchestrator.stacks.testpmd import TestpmdOptions
from orchestrator.steps.model import Collect, Run, Start, Stop, WaitFor

SITE = Site(
    server=Endpoint(
        machine="server",
        cpu_ids=(0, 1),
        device="net0",
        queues=2,
        mac="02:00:00:00:00:01",
        addresses=("10.0.0.1",),
    ),
    client=Endpoint(
        machine="client",
        cpu_ids=(0,),
        device="net0",
        queues=1,
        mac="02:00:00:00:00:02",
        addresses=("10.0.0.2",),
    ),
)
LINUX = DRIVERS["linux"]


def started(served: Served) -> Start:
    (start,) = [step for step in served.up if isinstance(step, Start)]
    return start


def serve(stack: Stack, app: str, site: Site, **wanted: object) -> Served:
    options = stack.apps[app].options.model_validate(wanted)
    # An application's options are a model that its own stack knows, and the registry does not.
    return stack.serve(app, options, 64, site)  # type: ignore[arg-type]


def test_every_application_comes_up_and_goes_down() -> None:
    for stack in DRIVERS.values():
        for name, app in stack.apps.items():
            served = serve(stack, name, SITE)
            (process,) = [step for step in served.up if not isinstance(step, Run)][:1]
            assert isinstance(process, Start)
            assert isinstance(served.up[served.up.index(process) + 1], WaitFor)
            assert isinstance(served.down[0], Stop)
            assert all(isinstance(step, Collect) for step in served.down[1:])
            names = {step.name for step in served.up if isinstance(step, Start | WaitFor)}
            assert names == {served.down[0].name}
            assert app.counted == bool(served.count_begin) == bool(served.count_end)
            steps = (*served.up, *served.down, *served.count_begin, *served.count_end)
            assert {step.machine for step in steps if not isinstance(step, Run)} == {"server"}


def test_threads_follow_the_vcpus_and_are_pinned_one_each() -> None:
    argv = started(LINUX.serve("echo", ServerOptions(), 64, SITE)).argv
    assert "--threads=2" in argv
    assert "--cpus=0,1" in argv
    assert "--message-bytes=64" in argv


def test_more_threads_than_vcpus_share_them() -> None:
    argv = started(LINUX.serve("echo", ServerOptions(threads=3), 64, SITE)).argv
    assert "--cpus=0,1,0" in argv


def test_unpinned_threads() -> None:
    argv = started(LINUX.serve("echo", ServerOptions(pin=False), 64, SITE)).argv
    assert not any(word.startswith("--cpus") for word in argv)


def test_one_listen_socket_or_one_per_thread() -> None:
    for listen in ("single", "reuseport"):
        options = ServerOptions.model_validate({"listen": listen})
        assert f"--listen={listen}" in started(LINUX.serve("echo", options, 64, SITE)).argv


def test_datagrams_have_a_thread_for_each_vcpu() -> None:
    start = started(serve(LINUX, "udp-echo", SITE, threads=1))
    assert {"--threads=1", "--cpus=0", "--address=10.0.0.1"} <= set(start.argv)


def test_testpmd_polls_on_the_servers_vcpus_and_waits_on_one_of_them() -> None:
    served = DRIVERS["testpmd"].serve("udp-echo", TestpmdOptions(), 64, SITE)
    argv = started(served).argv
    assert {"--lcores=0@0,1@0,2@1", "--nb-cores=2", "--rxq=2", "--txq=2"} <= set(argv)
    one = DRIVERS["testpmd"].serve("udp-echo", TestpmdOptions(threads=1), 64, SITE)
    assert "--lcores=0@0,1@0" in started(one).argv


def test_testpmd_takes_the_nic_before_it_starts_and_tells_the_client_its_address() -> None:
    served = DRIVERS["testpmd"].serve("udp-echo", TestpmdOptions(), 64, SITE)
    neighbour, _, take, _, start, _, _ = served.up
    assert isinstance(take, Run) and isinstance(start, Start)
    assert take.argv == ("/usr/lib/ringbed/vfio", "--uio", "net0")
    assert isinstance(neighbour, Run) and neighbour.machine == "client"
    assert {"10.0.0.1", "02:00:00:00:00:01", "permanent"} <= set(neighbour.argv)


def test_ix_runs_its_application_on_one_core_with_the_nic_that_was_taken() -> None:
    driver = DRIVERS["ix"]
    served = driver.serve("memcached", KvOptions(memory_limit_mib=8), 64, SITE)
    pages, take, _, start, ready, _ = served.up
    assert isinstance(pages, Run) and pages.argv[-1] == str((64 + 32) // 2)
    assert isinstance(take, Run) and take.stdout == "{out}/server-nic.json"
    assert isinstance(start, Start) and "{out}/server-nic.json" in start.argv
    own, application = start.argv[: start.argv.index("--")], start.argv[start.argv.index("--") :]
    assert {"--stack=ix", "--cpus=0", "--address=10.0.0.1", "--app-memory=32m"} <= set(own)
    assert application[1].endswith("/rb-kv")
    assert {"--memory=8m", "--threads=1", "--address=10.0.0.1"} <= set(application)
    assert isinstance(ready, WaitFor)
    with pytest.raises(TypeError):
        driver.serve("echo", TestpmdOptions(), 64, SITE)


def lasting(viommu: bool) -> Site:
    """The site on the wall clock."""
    return Site(
        server=replace(SITE.server, lasting=True, viommu=viommu),
        client=replace(SITE.client, lasting=True),
    )


@pytest.mark.parametrize(("viommu", "driver"), [(True, ()), (False, ("--uio",))])
@pytest.mark.parametrize(("stack", "app"), [("ix", "echo"), ("l2", "udp-echo")])
def test_a_guest_that_lasts_gets_its_nic_and_its_memory_back(
    stack: str, app: str, viommu: bool, driver: tuple[str, ...]
) -> None:
    served = serve(DRIVERS[stack], app, lasting(viommu))
    ups = [step.argv for step in served.up if isinstance(step, Run)]
    assert ("/usr/lib/ringbed/vfio", *driver, "--lend", "net0") in ups
    assert f"--iova={'virtual' if viommu else 'physical'}" in started(served).argv
    stop, back, pages, interrupts, *_ = served.down
    assert isinstance(stop, Stop)
    assert isinstance(back, Run) and back.argv == ("/usr/lib/ringbed/vfio", "--back", "net0")
    assert isinstance(pages, Run) and pages.argv == ("/usr/lib/ringbed/hugepages", "2048=0")
    assert isinstance(interrupts, Run) and "irqs=spread" in interrupts.argv
    kept = {step.into for step in served.down if isinstance(step, Collect)}
    assert {"server-nic.json", "server-pages.json", "server-returned.json", "dpos.json"} <= kept
    # Nothing of it happens where the guest ends with the trial.
    once = serve(DRIVERS[stack], app, SITE)
    assert not [step for step in once.down if isinstance(step, Run)]


@pytest.mark.parametrize("stack", ["l2", "testpmd"])
def test_the_client_forgets_what_it_was_told_of_a_server_without_arp(stack: str) -> None:
    served = serve(DRIVERS[stack], "udp-echo", lasting(True))
    last = served.down[-1]
    assert isinstance(last, Run) and last.machine == "client"
    assert last.argv[:3] == ("ip", "neighbour", "flush")


def test_a_server_of_frames_tells_its_address() -> None:
    told = {
        (stack.name, app): serve(stack, app, SITE).mac
        for stack in DRIVERS.values()
        for app in stack.apps
    }
    frames = {("l2", "udp-echo"), ("testpmd", "udp-echo")}
    assert {name for name, mac in told.items() if mac} == frames
    assert {told[name] for name in frames} == {SITE.server.mac}


def test_l2_polls_with_all_vcpus_and_has_no_application() -> None:
    served = DRIVERS["l2"].serve("udp-echo", L2Options(), 64, SITE)
    assert isinstance(served.up[0], Run) and "permanent" in served.up[0].argv
    argv = started(served).argv
    assert {"--stack=l2", "--cpus=0,1"} <= set(argv)
    assert "--" not in argv


def test_memcached_listens_on_the_link_only() -> None:
    start = started(LINUX.serve("memcached", MemcachedOptions(threads=1), 64, SITE))
    assert "--listen=10.0.0.1" in start.argv
    assert "--threads=1" in start.argv


def test_options_of_another_application_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        MemcachedOptions.model_validate({"listen": "single"})
    with pytest.raises(ValidationError):
        ServerOptions.model_validate({"threads": -1})

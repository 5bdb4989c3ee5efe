# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest

from orchestrator.errors import StepError
from orchestrator.spec.workload import Workload
from orchestrator.stacks.base import Endpoint, Served
from orchestrator.steps.model import Collect, Put, Run, Step
from orchestrator.workloads import GENERATORS, Load, memcslap

CLIENT = Endpoint(
    machine="client",
    cpu_ids=(0, 1),
    device="link0",
    queues=1,
    mac="02:00:00:00:00:02",
    addresses=("10.0.0.2", "10.0.0.130"),
)
SERVED = Served(address="10.0.0.1", port=7000, up=(), down=())


def load(protocol: str, offered: float | None = 1000.0, **workload: object) -> Load:
    return Load(
        workload=Workload.model_validate(workload),
        protocol=protocol,
        offered_rps=offered,
        seed=7,
        warmup_ns=100,
        duration_ns=1_000_000_000,
        trace="0\n5\n",
    )


def argv(steps: tuple[Step, ...]) -> tuple[str, ...]:
    (run,) = [step for step in steps if isinstance(step, Run)]
    return run.argv


def rbload(made: Load) -> tuple[str, ...]:
    return argv(GENERATORS["rbload"].drive(made, {}, SERVED, CLIENT))


def test_datagrams_are_an_echo_by_another_transport() -> None:
    words = rbload(load("udp-echo", message="100B", reply_timeout="5ms"))
    assert {"--protocol=echo", "--transport=udp", "--message-bytes=100"} <= set(words)
    assert "--reply-timeout=5000000ns" in words
    assert not any(word.startswith("--transport") for word in rbload(load("echo")))


def test_every_generator_collects_what_it_wrote_on_the_client() -> None:
    for name, generator in GENERATORS.items():
        made = load("memcached-text", None, mode="closed")
        steps = generator.drive(made, {}, SERVED, CLIENT)
        assert {step.machine for step in steps} == {"client"}, name
        assert isinstance(steps[-1], Collect)


def test_open_loop_is_paced_and_seeded() -> None:
    words = rbload(load("echo", arrival="fixed", message="128B", depth=4))
    assert {
        "--rate=1000.0",
        "--arrival=fixed",
        "--seed=7",
        "--message-bytes=128",
        "--depth=4",
        "--source=10.0.0.2,10.0.0.130",
        "--target=10.0.0.1:7000",
    } <= set(words)


def test_closed_loop_has_no_rate() -> None:
    words = rbload(load("echo", None, mode="closed", think_time="5us", users=3))
    assert "--users=3" in words
    assert "--mode=closed" in words
    assert "--think-time=5000ns" in words
    assert not any(word.startswith("--rate") for word in words)


def test_a_trace_is_put_beside_the_generator() -> None:
    made = load("echo", None, arrival="trace", trace={"file": "a.trace", "period": "1ms"})
    steps = GENERATORS["rbload"].drive(made, {}, SERVED, CLIENT)
    put = steps[0]
    assert isinstance(put, Put)
    assert put.text == "0\n5\n"
    assert f"--trace={put.path}" in argv(steps)
    assert "--trace-period=1000000ns" in argv(steps)


def test_service_times_go_to_spin_only() -> None:
    service = {"distribution": "exponential", "mean": "20us"}
    assert "--service-mean=20000ns" in rbload(load("spin", service_time=service))
    assert not any("service" in word for word in rbload(load("echo", service_time=service)))


def test_memcached_profile_and_share() -> None:
    words = rbload(load("memcached-binary", memcached={"profile": "usr", "get_share": "90%"}))
    assert {"--protocol=memcached-binary", "--workload=usr", "--get-share=0.9"} <= set(words)
    assert not any(word.startswith("--message-bytes") for word in words)


def test_keys_can_be_stored_apart_from_the_load() -> None:
    generator = GENERATORS["rbload"]
    made = load("memcached-text", memcached={"keys": 50})
    words = argv(generator.populate(made, SERVED, CLIENT))
    assert {"--keys=50", "--mode=closed", "--seed=7"} <= set(words)
    assert generator.populate(load("echo"), SERVED, CLIENT) == ()
    assert "--fill=no" not in rbload(made)
    assert "--fill=no" in rbload(replace(made, populated=True))


def test_generator_threads_are_pinned_within_the_client() -> None:
    assert "--cpus=0,1,0" in rbload(load("echo", threads=3, connections=3))


def test_bare_frames_have_the_clients_nic_and_the_servers_address() -> None:
    made = load("udp-echo", None, mode="closed", stack="l2", connections=64)
    served = replace(SERVED, mac="02:00:00:00:00:01")
    steps = GENERATORS["rbload"].drive(made, {}, served, CLIENT)
    _, take, _, run, document, *others = steps
    assert isinstance(take, Run) and take.argv == ("/usr/lib/ringbed/vfio", "--uio", "link0")
    assert isinstance(run, Run) and "{out}/client-nic.json" in run.argv
    assert "rb-frames 02:00:00:00:00:01 " in run.argv[2] and "rbload" not in "".join(run.argv)
    own, asked = run.argv[: run.argv.index("--")], run.argv[run.argv.index("--") + 1 :]
    assert {"--cpus=0", "--address=10.0.0.2", "--huge-memory=64m", "--batch=64"} <= set(own)
    wanted = {"--target=10.0.0.1:7000", "--transport=udp", "--mode=closed", "--connections=64"}
    assert wanted <= set(asked)
    assert isinstance(document, Collect) and document.into == "load.json"
    assert not any(isinstance(step, Collect) and "dpos" in step.into for step in others)


MEMCSLAP = """\
Time to generate       2000 test keys:                0.010 seconds.
Time to set            2000 keys:                     0.067 seconds.
Time to start             4 threads:                  0.000 seconds.
--------------------------------------------------------------------
Time to get            8000 keys by    4 threads:     0.200 seconds.
--------------------------------------------------------------------
Time total:                                           0.290 seconds.
"""


def test_memcslap_result() -> None:
    found = memcslap.parse(MEMCSLAP)
    assert found["achieved_rps"] == 40_000
    assert found["latency_ns"] == {"mean": pytest.approx(100_000)}


@pytest.mark.parametrize("text", ["", "Time to get 0 keys by 4 threads: 0.000 seconds."])
def test_memcslap_without_a_result(text: str) -> None:
    with pytest.raises(StepError, match="no result"):
        memcslap.parse(text)

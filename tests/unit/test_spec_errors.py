# SPDX-License-Identifier: Apache-2.0
"""What a user reads about a wrong file: the place, the key, and what was probably meant."""

from pathlib import Path

import pytest

from orchestrator.errors import ExitCode, SpecError
from orchestrator.spec import check_experiment, load_experiment

GOOD = """\
schema: 1
name: trial
title: A trial
machines:
  client: {cpus: 1}
  server: {cpus: 2, memory: 1GiB}
links:
  - ends:
      - {machine: client, nic: igb}
      - {machine: server, nic: igb, queues: 2}
variants:
  one: {stack: linux, app: echo}
  two: {stack: linux, app: memcached, workload: {connections: 4}}
matrix:
  load: [500, 1k, 2k]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def faults(text: str) -> list[str]:
    path = Path("x.yml")
    path.write_text(text, encoding="utf-8")
    return [str(fault) for fault in check_experiment(path).faults]


def changed(old: str, new: str) -> list[str]:
    assert old in GOOD
    return faults(GOOD.replace(old, new, 1))


def test_the_good_file_is_good() -> None:
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "title: A trial",
            "titel: A trial",
            "x.yml:3:1: titel: unknown key (did you mean title?)",
        ),
        (
            "cpus: 1}",
            "cpu: 1}",
            "x.yml:5:12: machines.client.cpu: unknown key (did you mean cpus?)",
        ),
        (
            "title: A trial",
            "title: A trial\nconections: 3",
            "x.yml:4:1: conections: unknown key (did you mean connections? "
            "it belongs to workload.connections)",
        ),
        (
            "title: A trial",
            "title: A trial\nlate_after: 3ms",
            "x.yml:4:1: late_after: unknown key (it belongs to workload.adherence.late_after)",
        ),
        (
            "name: trial",
            "name: My Trial",
            "x.yml:2:7: name: 'My Trial' is no name: use lower-case letters, digits and single "
            "dashes between (did you mean my-trial?)",
        ),
        (
            "title: A trial",
            "title: A trial\nduration: 10 mss",
            "x.yml:4:11: duration: '10 mss': unknown unit 'mss' for a duration; did you mean 10ms?",
        ),
        (
            "title: A trial",
            "title: A trial\nrepetitions: '3'",
            "x.yml:4:14: repetitions: '3' is no whole number",
        ),
        (
            "title: A trial",
            "title: A trial\nclock: vitual",
            "x.yml:4:8: clock: 'vitual' is not one of auto, wall, virtual (did you mean virtual?)",
        ),
        (
            "memory: 1GiB",
            "memory: 64MiB",
            "x.yml:6:29: machines.server.memory: '64MiB' is below the least value, 128MiB",
        ),
        (
            "nic: igb}",
            "nic: igbv}",
            "x.yml:9:32: links.0.ends.0.nic: 'igbv' is not one of igb, igb-vf, virtio "
            "(did you mean igb?)",
        ),
        (
            "machine: server, nic",
            "machine: sever, nic",
            "x.yml:10:19: links.0.ends.1.machine: there is no machine sever (did you mean server?)",
        ),
        (
            "nic: igb, queues: 2",
            "nic: igb-vf, queues: 4",
            "x.yml:10:48: links.0.ends.1.queues: igb-vf has 2 queues, not 4 (igb has up to 8)",
        ),
        (
            "nic: igb, queues: 2",
            "nic: igb, queues: 16",
            "x.yml:10:45: links.0.ends.1.queues: igb has 8 queues, not 16",
        ),
        (
            "      - {machine: server, nic: igb, queues: 2}\n",
            "",
            "x.yml:9:7: links.0.ends: has only 1 entry",
        ),
        (
            "app: echo}",
            "ap: echo}",
            "x.yml:12:23: variants.one.ap: unknown key (did you mean app?)",
        ),
        (
            "{connections: 4}",
            "{conections: 4}",
            "x.yml:13:50: variants.two.workload.conections: unknown key "
            "(did you mean connections?)",
        ),
        (
            "{connections: 4}",
            "{connections: none}",
            "x.yml:13:63: variants.two.workload.connections: 'none' is no whole number",
        ),
        (
            "[500, 1k, 2k]",
            "[500, 1K]",
            "x.yml:15:15: matrix.load.1: '1K': unknown unit 'K' for a "
            "rate of requests; did you mean 1k?",
        ),
        ("[500, 1k, 2k]", "[500, 500]", "x.yml:15:15: matrix.load.1: 500 stands twice"),
        (
            "[500, 1k, 2k]",
            "{from: 1, to: 5, stepz: 3}",
            "x.yml:15:26: matrix.load.stepz: unknown key (did you mean steps?)",
        ),
        (
            "  load: [500",
            "  workload.conections: [1]\n  load: [500",
            "x.yml:15:3: matrix.workload.conections: workload has no key conections "
            "(did you mean workload.connections?)",
        ),
        (
            "  load: [500",
            "  machines.server.cpus: [2, 100]\n  load: [500",
            "x.yml:15:29: matrix.machines.server.cpus.1: 100 is above the largest value, 64",
        ),
        (
            "  load: [500",
            "  links.0.ends.1.queues: [1, 9]\n  load: [500",
            "x.yml:15:30: matrix.links.0.ends.1.queues.1: igb has 8 queues, not 9",
        ),
        (
            "  load: [500",
            "  links.0.ends.1.nic: [igb, virtio]\n  load: [500, 1k, 2k]\nclock: virtual\n#",
            "x.yml:15:29: matrix.links.0.ends.1.nic.1: virtio has 1 queue on the virtual clock, "
            "where a hub in QEMU is its link, not 2",
        ),
        (
            "  load: [500",
            "  workload.connections: [1, 2]\n  load: [500",
            "x.yml:13:63: variants.two.workload.connections: matrix varies "
            "workload.connections, so it cannot be set here",
        ),
        (
            "matrix:\n  load: [500, 1k, 2k]\n",
            "",
            "x.yml:12:3: variants.one: an open loop needs an offered load (add for example "
            "matrix: {load: {from: 500, to: 8000, steps: 6, scale: log}})",
        ),
        (
            "matrix:",
            "exclude: [{variant: tow}]\nmatrix:",
            "x.yml:14:21: exclude.0.variant: there is no variant tow (did you mean two?)",
        ),
        (
            "matrix:",
            "exclude: [{load: 600}]\nmatrix:",
            "x.yml:14:18: exclude.0.load: 600 is no value of this axis (did you mean 500?)",
        ),
        (
            "matrix:",
            "metrics: [achieved_rps, p99]\nmatrix:",
            "x.yml:14:25: metrics.1: there is no metric p99 (did you mean latency_p99?)",
        ),
        (
            "matrix:",
            "slo: {metric: errors, limit: 1ms}\nmatrix:",
            "x.yml:14:15: slo.metric: errors is no latency metric (choose one of: latency_mean, "
            "latency_p50, latency_p90, latency_p99, latency_p999, latency_p9999, latency_max)",
        ),
        (
            "matrix:",
            "claims: [{text: t, source: s, expression: oen.achieved_rps > 1}]\nmatrix:",
            "x.yml:14:43: claims.0.expression: oen.achieved_rps: there is no variant oen "
            "(did you mean one?)",
        ),
        (
            "matrix:",
            "claims: [{text: t, source: s, expression: one.achieved_rps > }]\nmatrix:",
            "x.yml:14:43: claims.0.expression: the claim ends where a metric or a number should "
            "stand (at character 19 of 'one.achieved_rps >')",
        ),
        (
            "matrix:",
            "claims: [{text: t, source: s, expression: 'one.latency_p99[load=7] > 1'}]\nmatrix:",
            "x.yml:14:43: claims.0.expression: one.latency_p99[load=7]: 7 is no value of load "
            "(values: 500, 1k, 2k)",
        ),
        (
            "matrix:",
            "workload: {arrival: trace, trace: {file: ../a.trace}}\nmatrix:",
            "x.yml:14:42: workload.trace.file: '../a.trace' leads out of the experiment's folder",
        ),
        (
            "matrix:",
            "workload: {arrival: trace, trace: {file: none.trace}}\nmatrix:",
            "x.yml:14:42: workload.trace.file: none.trace cannot be read: "
            "No such file or directory",
        ),
    ],
)
def test_a_fault_names_its_place_and_the_right_key(old: str, new: str, expected: str) -> None:
    assert expected in changed(old, new)


@pytest.mark.parametrize(
    "override",
    ["matrix.load=[500]", "matrix={load: 500}", "variants.one.load=[500]", "include=[]"],
)
def test_a_claim_may_need_a_point_that_an_override_leaves_out(override: str) -> None:
    entry = "include: [{workload.connections: 8, load: 3k}]"

    def claim(point: str) -> str:
        return f"{{text: t, source: s, expression: 'one.errors[{point}] < 1'}}"

    claims = ", ".join(map(claim, ("load=2k", "load=3k", "workload.connections=8")))
    path = Path("x.yml")
    points = "matrix:\n  workload.connections: [8, 16]\n"
    text = GOOD.replace("matrix:\n", f"{entry}\nclaims: [{claims}]\n{points}")
    text = text.replace(", workload: {connections: 4}", "")
    path.write_text(text, encoding="utf-8")
    assert check_experiment(path).faults == ()
    assert check_experiment(path, [override]).faults == ()
    # A metric that there is not is wrong under any matrix, and so is a claim that is new itself.
    path.write_text(text.replace("one.errors[load=2k]", "one.eros[load=2k]"), encoding="utf-8")
    (fault,) = check_experiment(path, [override]).faults
    assert "there is no metric eros" in str(fault)
    path.write_text(text, encoding="utf-8")
    (fault,) = check_experiment(path, [override, f"claims=[{claim('load=7')}]"]).faults
    assert "7 is no value of load" in str(fault)


def test_one_wrong_value_is_one_fault() -> None:
    assert changed("cpus: 1}", "cpus: many}") == [
        "x.yml:5:18: machines.client.cpus: 'many' is no whole number"
    ]
    assert changed("nic: igb}", "nic: virtoi}") == [
        "x.yml:9:32: links.0.ends.0.nic: 'virtoi' is not one of igb, igb-vf, virtio "
        "(did you mean virtio?)"
    ]


def test_roles() -> None:
    nobody = GOOD.replace("server", "box")
    assert faults(nobody) == [
        "x.yml:4:1: machines: no machine has the role server, where the variants would run "
        "(name a machine server, or give one role: server)"
    ]
    assert faults(nobody.replace("box: {", "box: {role: server, ")) == []
    twice = GOOD.replace("client: {", "other: {role: server}\n  client: {", 1)
    assert "x.yml:7:3: machines.server: a second machine has the role server: other has it " in (
        "\n".join(faults(twice))
    )
    apart = GOOD.replace("client: {", "third: {}\n  client: {", 1).replace(
        "machine: client", "machine: third"
    )
    assert "x.yml:8:1: links: no link joins client and server" in faults(apart)


def test_both_ends_at_one_machine() -> None:
    assert "x.yml:9:7: links.0.ends: both ends are at server" in changed(
        "machine: client", "machine: server"
    )


def test_more_queues_than_cpus_are_refused() -> None:
    assert changed("queues: 2", "queues: 4") == [
        "x.yml:10:45: links.0.ends.1.queues: 4 queues on server, which has 2 CPUs: "
        "Linux's drivers use at most one queue per CPU"
    ]


def test_a_closed_loop_takes_no_load() -> None:
    found = changed("matrix:", "workload: {mode: closed}\nmatrix:")
    assert "x.yml:16:3: matrix.load: one takes no offered load: a closed loop has none" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "name: a: b",
            "x.yml:1:8: no YAML: mapping values are not allowed here "
            "(put text that holds a colon and a blank into quotes)",
        ),
        (
            "name:\n\t- a",
            "x.yml:2:1: no YAML: found character '\\t' that cannot start any token, while scanning "
            "for the next token (indent with blanks, not with tabs)",
        ),
        (
            "a: [1\nb: 2",
            "x.yml:2:2: no YAML: expected ',' or ']', but got ':', while parsing a flow sequence",
        ),
        ("- 1", "x.yml: the experiment holds no keys and values (start from quickstart)"),
        ("", "x.yml: the experiment is empty (start from quickstart)"),
        ("a: &a [*a]", "the document is too large or nested too deeply"),
        ("a: &a {<<: *a}", "the document is too large or nested too deeply"),
        ("? [1]\n: 2", "x.yml:1:3: a key must be a plain word"),
        ("a: !thing 3", "x.yml:1:4: a: '3' cannot be read as !thing"),
    ],
)
def test_what_is_no_experiment_at_all(text: str, expected: str) -> None:
    assert expected in "\n".join(faults(text))


def test_duplicate_keys_are_all_reported() -> None:
    found = faults(GOOD + "seed: 1\nseed: 2\nname: again\n")
    assert found == [
        "x.yml:17:1: seed: the key stands twice, first in line 16",
        "x.yml:18:1: name: the key stands twice, first in line 2",
    ]


def test_anchors_and_merges_are_understood() -> None:
    text = GOOD.replace("one: {stack: linux, app: echo}", "one: &v {stack: linux, app: echo}")
    text = text.replace("two: {", "three: {<<: *v, title: Third}\n  two: {")
    path = Path("x.yml")
    path.write_text(text, encoding="utf-8")
    assert load_experiment(path).variants["three"].app == "echo"


def test_all_faults_of_a_file_come_at_once() -> None:
    path = Path("x.yml")
    path.write_text(
        GOOD.replace("title: A trial", "duration: 1000")
        .replace("queues: 2", "queues: 9")
        .replace("stack: linux, app: echo", "stack: linux")
        .replace("connections: 4", "conections: 4")
        + "metrics: [throughput]\n",
        encoding="utf-8",
    )
    with pytest.raises(SpecError) as caught:
        load_experiment(path)
    error = caught.value
    assert error.exit_code == ExitCode.USAGE
    assert error.message == "x.yml has 6 faults"
    assert error.details.splitlines() == [
        "x.yml: the key title is missing",
        "x.yml:3:11: duration: 1000 has no unit; did you mean 1000s?",
        "x.yml:10:45: links.0.ends.1.queues: igb has 8 queues, not 9",
        "x.yml:12:3: variants.one: the key app is missing (for example app: echo)",
        "x.yml:13:50: variants.two.workload.conections: unknown key (did you mean connections?)",
        "x.yml:16:11: metrics.0: there is no metric throughput (did you mean achieved_rps?)",
    ]


def test_a_single_fault_is_the_message_itself() -> None:
    path = Path("x.yml")
    path.write_text(GOOD.replace("cpus: 1}", "cpu: 1}"), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_experiment(path)
    error = caught.value
    assert error.message == "x.yml:5:12: machines.client.cpu: unknown key"
    assert error.hint == "did you mean cpus?"
    assert (error.file, error.line, error.column) == ("x.yml", 5, 12)
    assert error.key == "machines.client.cpu"


def test_unreadable_files() -> None:
    with pytest.raises(SpecError, match="absent.yml: cannot be read: No such file"):
        load_experiment(Path("absent.yml"))
    Path("latin.yml").write_bytes(b"name: x\ntitle: \xe4\n")
    with pytest.raises(SpecError, match="latin.yml:2: is no UTF-8 text"):
        load_experiment(Path("latin.yml"))

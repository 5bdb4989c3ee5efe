# SPDX-License-Identifier: Apache-2.0
"""The trial loop with a bench that needs no guest (the seam that `Bench` is)."""

import json
import os
import threading
from pathlib import Path

import pytest

from orchestrator.errors import Interrupted, MachineError, StepError
from orchestrator.run import compose, directory, journal
from orchestrator.run.compose import Drivers
from orchestrator.run.directory import RunDirectory
from orchestrator.run.execute import Tally, TrialLoop
from orchestrator.run.journal import Journal
from orchestrator.run.plan import Plan, Trial, make_plan
from orchestrator.run.session import RunFailed
from orchestrator.spec import find_experiment, load_experiment


class Bench:
    """Does what a script of the test says for each trial."""

    def __init__(self, script: dict[int, BaseException] | None = None) -> None:
        self.script = script or {}
        self.taken: list[str] = []
        self.renewed = 0

    def execute(self, trial: Trial, into: Path) -> None:
        assert json.loads((into / "trial.json").read_text())["status"] == "interrupted"
        self.taken.append(trial.id)
        if trial.index in self.script:
            raise self.script[trial.index]
        (into / "load.json").write_text("{}")

    def renew(self) -> None:
        self.renewed += 1

    def give_up(self) -> None: ...


class Silent:
    def trial_started(self, label: str) -> None: ...

    def trial_ended(self, label: str, outcome: str, reason: str, took: float) -> None: ...


@pytest.fixture
def plan() -> Plan:
    return make_plan(load_experiment(find_experiment("quickstart")), Drivers(), inputs={})


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    with directory.create(tmp_path, "quickstart") as made:
        return made


def take(run: RunDirectory, plan: Plan, *benches: Bench, keep_going: bool = False) -> Tally:
    with Journal(run.journal) as written:
        loop = TrialLoop(run, written, Silent(), keep_going=keep_going)
        return loop.run_all(plan.trials[:6], benches)


def status(run: RunDirectory, trial: Trial) -> str:
    text = (run.trial(trial.id) / "trial.json").read_text()
    return str(json.loads(text)["status"])


def test_trials_are_taken_in_the_order_of_the_plan(run: RunDirectory, plan: Plan) -> None:
    bench = Bench()
    tally = take(run, plan, bench)
    assert bench.taken == [trial.id for trial in plan.trials[:6]]
    assert tally.ok == 6
    assert journal.progress(run.journal).done == set(bench.taken)
    assert status(run, plan.trials[5]) == "ok"


def test_raw_files_are_on_disk_before_the_journal_says_so(
    run: RunDirectory, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(os, "fsync", note)
    take(run, plan, Bench())
    directory = run.trial(plan.trials[0].id)
    begin, end = [number for number, path in enumerate(synced) if path == run.journal][:2]
    assert {directory / "trial.json.new", directory, run.trials} <= set(synced[:begin])
    written = synced[begin + 1 : end]
    assert {directory / "load.json", directory / "trial.json", directory} <= set(written)
    assert written[-1] == directory


def test_a_void_trial_is_done_and_told_with_its_reason(run: RunDirectory, plan: Plan) -> None:
    class Late(Bench):
        def execute(self, trial: Trial, into: Path) -> None:
            super().execute(trial, into)
            load = {"valid": trial.index != 1, "reasons": ["the client was late"]}
            (into / "load.json").write_text(json.dumps(load))

    told: list[tuple[str, str]] = []

    class Listening(Silent):
        def trial_ended(self, label: str, outcome: str, reason: str, took: float) -> None:
            told.append((outcome, reason))

    with Journal(run.journal) as written:
        TrialLoop(run, written, Listening(), keep_going=False).run_all(plan.trials[:3], [Late()])
    assert told == [("ok", ""), ("void", "the client was late"), ("ok", "")]
    progress = journal.progress(run.journal)
    assert progress.voids == {plan.trials[1].id: "the client was late"}
    assert len(progress.done) == 3


def test_the_first_failure_ends_the_run(run: RunDirectory, plan: Plan) -> None:
    bench = Bench({2: StepError("server: no answer", details="last words")})
    tally = take(run, plan, bench)
    assert (tally.ok, tally.failed) == (2, 1)
    assert len(bench.taken) == 3
    assert bench.renewed == 0
    assert status(run, plan.trials[2]) == "failed"
    kept = run.trial(plan.trials[2].id) / "failure.txt"
    assert "last words" in kept.read_text()
    assert journal.progress(run.journal).reasons[plan.trials[2].id] == "server: no answer"


def test_keep_going_renews_the_guests_and_takes_the_rest(run: RunDirectory, plan: Plan) -> None:
    bench = Bench({1: MachineError("server: panicked"), 4: StepError("no")})
    tally = take(run, plan, bench, keep_going=True)
    assert (tally.ok, tally.failed) == (4, 2)
    assert bench.renewed == 2
    assert isinstance(tally.first_failure, MachineError)


def test_an_interrupted_trial_says_so_itself(run: RunDirectory, plan: Plan) -> None:
    with pytest.raises(Interrupted):
        take(run, plan, Bench({3: Interrupted("SIGINT")}))
    assert status(run, plan.trials[3]) == "interrupted"
    found = journal.progress(run.journal)
    assert len(found.done) == 3
    assert found.outcomes[plan.trials[3].id] == "interrupted"


def test_a_killed_run_leaves_its_trial_under_way(run: RunDirectory, plan: Plan) -> None:
    class Kill(Exception):
        pass

    with pytest.raises(Kill):
        take(run, plan, Bench({3: Kill()}))
    # Even the process's own last words may be missing; the file written before the trial stays.
    assert status(run, plan.trials[3]) == "interrupted"


def test_two_benches_share_the_trials(run: RunDirectory, plan: Plan) -> None:
    barrier = threading.Barrier(2, timeout=10)

    class Together(Bench):
        def execute(self, trial: Trial, into: Path) -> None:
            super().execute(trial, into)
            barrier.wait()

    benches = Together(), Together()
    tally = take(run, plan, *benches)
    assert tally.ok == 6
    assert len(benches[0].taken) == len(benches[1].taken) == 3
    assert {*benches[0].taken, *benches[1].taken} == {trial.id for trial in plan.trials[:6]}


def test_an_error_of_one_bench_stops_the_other(run: RunDirectory, plan: Plan) -> None:
    with pytest.raises(ValueError, match="a bug"):
        take(run, plan, Bench({0: ValueError("a bug")}), Bench())


def test_an_error_ends_the_trials_of_the_other_benches(run: RunDirectory, plan: Plan) -> None:
    begun = threading.Event()

    class Waiting(Bench):
        def __init__(self) -> None:
            super().__init__()
            self.told = threading.Event()

        def execute(self, trial: Trial, into: Path) -> None:
            super().execute(trial, into)
            begun.set()
            assert self.told.wait(10)
            raise MachineError("client: the run ends")

        def give_up(self) -> None:
            self.told.set()

    class Failing(Bench):
        def execute(self, trial: Trial, into: Path) -> None:
            assert begun.wait(10)
            raise ValueError("a bug")

    waiting = Waiting()
    with pytest.raises(ValueError, match="a bug"):
        take(run, plan, waiting, Failing())
    (cut_off,) = waiting.taken
    assert journal.progress(run.journal).outcomes[cut_off] == "interrupted"


def test_every_trial_of_the_quickstart_has_a_script_and_a_record(plan: Plan) -> None:
    for trial in plan.trials:
        topology = plan.topology(trial.topology)
        script = compose.script(trial, topology)
        assert {step.machine for step in script.setup} <= set(trial.machines.values())
        assert any(
            "--seed=" in word for step in script.measure for word in getattr(step, "argv", ())
        )
        kept = json.loads(json.dumps(compose.record(trial)))
        assert kept["id"] == trial.id
        assert trial.variant in compose.label(trial)


def test_accounting_brackets_the_load(plan: Plan) -> None:
    trial = next(trial for trial in plan.trials if trial.kind == "accounting")
    measure = compose.script(trial, plan.topology(trial.topology)).measure
    machines = [step.machine for step in measure]
    assert machines[0] == machines[-1] == trial.machines["server"]
    assert trial.machines["client"] in machines


def accounted(plan: Plan) -> Trial:
    return next(trial for trial in plan.trials if trial.kind == "accounting")


LOAD = json.dumps({"requests_total": 20})
EMPTY = dict.fromkeys(("syscalls.txt", "napi.txt", "segments.txt", "reads.txt"), "")
TABLES = {"load.json": LOAD, **EMPTY, "threads.txt": "1\n"}


@pytest.mark.parametrize("missing", TABLES)
def test_a_file_that_was_not_collected_fails_its_trial(
    tmp_path: Path, plan: Plan, missing: str
) -> None:
    trial = accounted(plan)
    for name in TABLES.keys() - {missing}:
        (tmp_path / name).write_text(TABLES[name])
    with pytest.raises(StepError, match=f"{missing} is missing: no step of the trial collected"):
        compose.finish(trial, plan.topology(trial.topology), tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("load.json", "{"), ("load.json", "{}"), ("load.json", "[]"), ("threads.txt", "no number")],
)
def test_a_file_that_is_not_what_it_must_be_fails_its_trial(
    tmp_path: Path, plan: Plan, name: str, text: str
) -> None:
    trial = accounted(plan)
    for known, good in TABLES.items():
        (tmp_path / known).write_text(text if known == name else good)
    with pytest.raises(StepError, match="what the trial collected is not what it must be"):
        compose.finish(trial, plan.topology(trial.topology), tmp_path)


def test_a_failure_ends_with_what_the_server_said(run: RunDirectory, plan: Plan) -> None:
    class Crashed(Bench):
        def execute(self, trial: Trial, into: Path) -> None:
            lines = [f"line {number}" for number in range(30)]
            (into / "server.log").write_text("\n".join([*lines, "out of memory"]) + "\n")
            raise StepError("client: run rbload: ended with status 1", details="lost connections")

    tally = take(run, plan, Crashed())
    assert tally.first_failure is not None
    details = tally.first_failure.details
    assert details.startswith("lost connections\n--- last lines of the server's log ---\n")
    assert details.endswith("line 29\nout of memory")
    assert "line 10\n" not in details
    kept = run.trial(plan.trials[0].id) / "failure.txt"
    assert "out of memory" in kept.read_text()


def test_the_hint_of_a_failed_run_can_be_typed(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = Tally(failed=1, failures=["it: no"])
    assert f"./ringbed resume {run.path} does" in RunFailed(tally, run).hint
    monkeypatch.setenv("RINGBED_RUNS", str(run.path.parent))
    assert f"./ringbed resume {run.name} does" in RunFailed(tally, run).hint

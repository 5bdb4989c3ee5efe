# SPDX-License-Identifier: Apache-2.0
"""What a run would do, down to the command lines of QEMU. Builds, proves and starts nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.host.accelerator import Accelerator
from orchestrator.log import step
from orchestrator.run import estimate, session
from orchestrator.run.plan import Plan
from orchestrator.run.sealedbed import GUEST, command_line
from orchestrator.run.session import Selection, Settings
from orchestrator.run.testbed import vm_topology
from orchestrator.spec.loading import FILE_NAME
from orchestrator.spec.model import Experiment
from orchestrator.vm.commands import TOKEN, command_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """commands: QEMU's words by machine, "machine (topology)" when there are several topologies.

    accelerator: None while it is not proven; the command lines then show TCG. missing: what the
    run will build first. executor: where trials will run, in words. slots: how many at once.
    seconds: what the run will take, once all is built. warnings: about the experiment and where it
    is to run.
    """

    plan: Plan
    commands: Mapping[str, list[str]]
    accelerator: Accelerator | None
    missing: tuple[str, ...]
    executor: str
    slots: int
    seconds: float
    warnings: tuple[str, ...]


def make(name: str, selection: Selection, settings: Settings) -> Preview:
    """Plan a run and render its machines."""
    experiment, outlook, plan = session.foresee(name, selection, settings)
    executor = session.executor_for(plan, settings)
    about_executor = executor.check_plan(plan)
    directory = settings.runs_dir / TOKEN
    if plan.clock == "virtual":
        made = [{GUEST: command_line(one, outlook, directory)} for one in plan.topologies]
    else:
        topologies = [vm_topology(topology, outlook) for topology in plan.topologies]
        # A QEMU that libvirt does not know yet is asked about itself for some seconds.
        with step("asking libvirt for the command lines"):
            made = command_lines(topologies, directory / "machines")
    commands = {}
    for topology, lines in zip(plan.topologies, made, strict=True):
        for machine, words in lines.items():
            several = len(plan.topologies) > 1
            commands[f"{machine} ({topology.id})" if several else machine] = words
    return Preview(
        plan=plan,
        commands=commands,
        accelerator=outlook.accelerator if outlook.is_proven else None,
        missing=outlook.missing,
        executor=executor.describe(),
        slots=executor.slots,
        seconds=estimate.run_s(plan, executor.slots),
        warnings=(*plan.warnings, *about_executor, *_other_name(experiment)),
    )


def _other_name(experiment: Experiment) -> list[str]:
    """A warning when the runs are not called as the folder that they are started by."""
    path = experiment.source.path.resolve()
    is_run = (path.parent / "trials").is_dir()
    if path.name != FILE_NAME or is_run or path.parent.name == experiment.name:
        return []
    return [
        f"{experiment.source.name or path} has the name {experiment.name}, "
        f"but its folder is called {path.parent.name}"
    ]

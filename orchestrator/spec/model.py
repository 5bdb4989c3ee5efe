# SPDX-License-Identifier: Apache-2.0
"""An experiment file as frozen models. A key's description here is its documentation everywhere.

Fields whose name says a unit (`duration_ns`, `memory_bytes`, `rate_bps`) are read from the plain
key (`duration: 1s`); shares are fractions between 0 and 1.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, PrivateAttr, Tag

from orchestrator.spec.axes import Axis
from orchestrator.spec.fields import (
    Count,
    Duration,
    Flag,
    Fraction,
    Name,
    Rate,
    Scalar,
    Size,
    SpecModel,
    Text,
)
from orchestrator.spec.metrics import SUMMARY_METRICS, Direction, Metric, find_metric
from orchestrator.spec.source import Source
from orchestrator.spec.workload import Workload

SCHEMA_VERSION = 1
MIB = 2**20

type Nic = Literal["igb", "igb-vf", "virtio"]
type Role = Literal["client", "server"]
type Clock = Literal["wall", "virtual"]
type ClockChoice = Literal["auto", "wall", "virtual"]
# Of the 82576's 16 queue pairs Linux's igb uses at most 8. A VF has two.
NIC_MAX_QUEUES: Mapping[Nic, int] = {"igb": 8, "igb-vf": 2, "virtio": 64}
# Linux's igbvf uses one of them.
LINUX_MAX_QUEUES: Mapping[Nic, int] = {**NIC_MAX_QUEUES, "igb-vf": 1}
# A hub, which joins NICs inside one QEMU, has one queue; igb spreads over its own behind that.
_HUB_QUEUES: Mapping[Nic, int] = {"virtio": 1}
_NAMED_ROLES: Mapping[str, Role] = {"client": "client", "server": "server"}


class Machine(SpecModel):
    """One virtual machine."""

    cpus: Count = Field(1, le=64, description="Virtual CPUs.")
    memory_bytes: Size = Field(
        768 * MIB,
        alias="memory",
        ge=128 * MIB,
        description="Memory of the guest.",
        examples=["768MiB"],
    )
    role: Role | None = Field(
        None,
        description="What runs there: the application (`server`) or the load generator "
        "(`client`). Left out, a machine named client or server has the role of its name.",
    )
    viommu: Flag = Field(
        False,
        description="Give the machine an emulated Intel IOMMU, for isolated user-level drivers. On "
        "the virtual clock all machines are in one guest, which has it if one of them does.",
    )


class Guest(SpecModel):
    """What all guests boot with beyond what ringbed needs."""

    kernel_args: str = Field(
        "",
        strict=True,
        pattern=r"^[\x21-\x7e]*( [\x21-\x7e]+)*$",
        description="Further words for the kernel's command line, separated by one blank.",
        examples=["mitigations=off init_on_alloc=0"],
    )
    fast_strings: Flag = Field(
        False,
        description="Virtual clock: let the processor advertise fast string instructions (`erms`, "
        "`fsrm` and their like). Linux then copies and clears byte by byte, and each byte counts "
        "as an instruction, which no real processor would charge.",
    )


class End(SpecModel):
    """One end of a link: a network interface of a machine."""

    machine: Name = Field(description="Name of the machine.", examples=["server"])
    nic: Nic = Field(
        "igb",
        description="NIC model: `igb` has up to 8 queues with RSS, `igb-vf` (a virtual "
        "function of an igb) has two, of which Linux's driver uses one, `virtio` has up to 64, and "
        "one on the virtual clock.",
    )
    queues: Count | None = Field(
        None,
        description="Receive and transmit queue pairs, at most one per CPU; left out: as many as "
        "the machine has CPUs, up to what Linux uses of the NIC's.",
    )
    rx_usecs: int | None = Field(
        None,
        strict=True,
        ge=0,
        le=10_000,
        description="Interrupt moderation under Linux's driver: microseconds for which it holds an "
        "interrupt back (`ethtool -C`); 0 holds none back, left out: the driver's own.",
    )


class Link(SpecModel):
    """A cable between two machines. Addresses are derived from its place in the list."""

    ends: tuple[End, End] = Field(description="The two ends.")
    delay_ns: Duration = Field(
        0, alias="delay", ge=0, description="Added delay in each direction.", examples=["50us"]
    )
    loss: Fraction = Field(
        0.0, description="Share of packets dropped at random in each direction.", examples=["0.1%"]
    )
    rate_bps: Rate | None = Field(
        None,
        alias="rate",
        gt=0,
        description="Limit of each direction; none when left out.",
        examples=["100Mbit"],
    )


class Variant(SpecModel):
    """One thing under test: an application on a stack, with options."""

    stack: Text = Field(description="Name of the stack.", examples=["linux"])
    app: Text = Field(description="Application that the stack offers.", examples=["echo"])
    options: Mapping[str, Scalar] = Field(
        {},
        description="Options of that application; a wrong one is answered with the right ones.",
        examples=[{"listen": "reuseport", "threads": 2}],
    )
    workload: Mapping[str, object] = Field(
        {},
        description="Keys of `workload` that differ for this variant.",
        examples=[{"connections": 4}],
    )
    load: Axis | None = Field(
        None,
        description="Offered load of this variant in place of `matrix.load`.",
    )
    title: Text | None = Field(
        None, description="Name in figures; the variant's own when left out."
    )


class MetricOptions(SpecModel):
    """A metric that ringbed does not know by name, as an application reports it."""

    name: Text = Field(description="Name as in the results.", examples=["steals"])
    unit: Text = Field(description="Unit of its values.", examples=["steals/s"])
    direction: Direction = Field(description="Which way is better; `none` when neither is.")


type MetricEntry = Annotated[
    Annotated[Text, Tag("name")] | Annotated[MetricOptions, Tag("own")],
    Discriminator(lambda value: "own" if isinstance(value, dict | MetricOptions) else "name"),
]


class Slo(SpecModel):
    """The latency a service must keep; the report finds the highest load that does."""

    metric: Text = Field("latency_p99", description="A latency metric.")
    limit_ns: Duration = Field(
        alias="limit", gt=0, description="Its highest allowed value.", examples=["50ms"]
    )


class Crosscheck(SpecModel):
    """A second load generator: its own trials beside those of rbload, never mixed with them."""

    generator: Text = Field(
        description="A load generator that Debian packages, by name; only variants whose protocol "
        "it speaks get such trials."
    )
    options: Mapping[str, Scalar] = Field({}, description="Options of that generator.")


class Claim(SpecModel):
    """A sentence that the results must bear out."""

    text: Text = Field(description="The claim as a sentence.")
    expression: Text = Field(
        description="A comparison over `VARIANT.METRIC`, see [Claims](#claims).",
        examples=["linux-echo-reuseport.achieved_rps > linux-echo-single.achieved_rps * 0.9"],
    )
    source: Text = Field(
        description="Where the claim comes from.", examples=["IX, OSDI 2014, figure 3"]
    )
    clock: Clock | None = Field(
        None, description="The only clock on which the claim can be measured; any when left out."
    )


class Experiment(SpecModel):
    """An experiment: machines, what runs on them, what is varied, and what is asked."""

    schema_version: Literal[1] = Field(
        alias="schema", description="Version of this format.", examples=[1]
    )
    name: Name = Field(
        description="Name of the experiment: that of its folder.", examples=["quickstart"]
    )
    title: Text = Field(description="Title of the report.")
    description: Text | None = Field(None, description="What the experiment shows; Markdown.")
    clock_choice: ClockChoice = Field(
        "auto",
        alias="clock",
        description="The clock that is measured with: `wall`, time of the host, with a guest for "
        "each machine; `virtual`, a nanosecond per guest instruction, with all machines in one "
        "guest, the same bytes on every host; or `auto`: `wall` where KVM works, else `virtual`.",
    )
    virtual: Mapping[str, object] = Field(
        {},
        description="Keys, as for `--set`, that have other values on the virtual clock, which has "
        "another notion of a second; see [Clocks](#clocks).",
        examples=[{"duration": "100ms", "matrix.load": [5000, 20000]}],
    )
    seed: int = Field(
        1, strict=True, ge=0, lt=2**53, description="Every random choice follows from it."
    )
    repetitions: Count = Field(
        3, le=1000, description="Trials of each point; each has a seed of its own."
    )
    warmup_ns: Duration = Field(
        300_000_000,
        alias="warmup",
        ge=0,
        description="Load before the measured phase of a trial.",
        examples=["300ms"],
    )
    duration_ns: Duration = Field(
        1_000_000_000,
        alias="duration",
        gt=0,
        description="Measured phase of a trial.",
        examples=["1s"],
    )
    guest: Guest = Field(Guest(), description="How guests boot.")
    image: Name = Field("guest", description="Guest image, as declared in images/.")
    machines: Mapping[Name, Machine] = Field(min_length=1, description="Machines by name.")
    links: tuple[Link, ...] = Field(min_length=1, description="Links between them.")
    variants: Mapping[Name, Variant] = Field(min_length=1, description="Variants by name.")
    workload: Workload = Field(Workload(), description="The load.")
    matrix: Mapping[str, Axis] = Field(
        {}, description="Axes: every combination of their values is a point, see [Matrix](#matrix)."
    )
    include: tuple[Mapping[str, Scalar], ...] = Field(
        (), description="Further points, each with its keys of the matrix."
    )
    exclude: tuple[Mapping[str, Scalar], ...] = Field(
        (), description="Points to leave out: those that agree in all the keys given."
    )
    metrics: tuple[MetricEntry, ...] = Field(
        SUMMARY_METRICS,
        description="Columns of the summary, see [Metrics](#metrics): their values at the lowest "
        "load offered, or at the one point of a closed loop.",
    )
    crosscheck: Crosscheck | None = Field(
        None, description="Measure every point with a second, independent generator as well."
    )
    slo: Slo | None = Field(None, description="Latency objective.")
    claims: tuple[Claim, ...] = Field((), description="Claims to check against the results.")
    accounting: Flag = Field(
        True,
        description="Run one more trial of each variant, at a middle load, with system calls and "
        "packet batches traced. It is left out of all latency statistics.",
    )

    _source: Source = PrivateAttr(default_factory=Source)

    @property
    def source(self) -> Source:
        """Where the experiment was read from; empty for one that was not."""
        return self._source

    @property
    def clock(self) -> Clock:
        """The clock that is measured with; load_experiment has made the choice."""
        return "virtual" if self.clock_choice == "virtual" else "wall"

    def role(self, name: str) -> Role | None:
        """The role of a machine, its own or that of its name."""
        own = self.machines[name].role
        return own if own is not None else _NAMED_ROLES.get(name)

    def machine_of(self, role: Role) -> str:
        """The name of the machine with a role; load_experiment has made sure that it is one."""
        return next(name for name in self.machines if self.role(name) == role)

    def queues(self, end: End) -> int:
        """Queue pairs of an end, derived where the file leaves them out."""
        usual = min(self.max_queues(end), LINUX_MAX_QUEUES[end.nic])
        return end.queues or min(self.machines[end.machine].cpus, usual)

    def max_queues(self, end: End) -> int:
        """Queue pairs that the NIC of an end may have."""
        most = NIC_MAX_QUEUES[end.nic]
        return min(most, _HUB_QUEUES.get(end.nic, most)) if self.clock == "virtual" else most

    def metric_definition(self, name: str) -> Metric | None:
        """A metric by name: one of ringbed's own, or one that the file defines."""
        for entry in self.metrics:
            if isinstance(entry, MetricOptions) and entry.name == name:
                return Metric(
                    name=name,
                    unit=entry.unit,
                    direction=entry.direction,
                    text="as the application reports it",
                )
        return find_metric(name)

    def metric_names(self) -> tuple[str, ...]:
        """The metrics of the summary, in the order of the file."""
        return tuple(
            entry.name if isinstance(entry, MetricOptions) else entry for entry in self.metrics
        )

# SPDX-License-Identifier: Apache-2.0
"""docs/experiments.md, made from the models, so that it cannot be out of date."""

import inspect
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from orchestrator.spec import claims, points, units
from orchestrator.spec.metrics import FAMILIES, METRICS
from orchestrator.spec.model import Experiment
from orchestrator.spec.schema import all_models, default_texts

EXAMPLE = """\
schema: 1
name: example                  # the name of the folder
title: Echo over connections
description: |
  What the experiment shows. Markdown, printed at the head of the report.

clock: auto                    # wall where KVM works, else virtual
virtual: {warmup: 20ms, duration: 100ms, slo.limit: 1ms, matrix.load: [500, 5k, 20k]}
seed: 1                        # same seed, same arrivals
repetitions: 3                 # with different seeds, which follow from `seed`
warmup: 300ms
duration: 1s
image: guest

machines:
  client: {cpus: 1, memory: 512MiB}
  server: {cpus: 2, memory: 1GiB, viommu: false}

links:                         # addresses are derived, none is written here
  - ends:
      - {machine: client, nic: igb}
      - {machine: server, nic: igb}   # as many queues as CPUs
    delay: 20us
    loss: 0%
    rate: 1Gbit

variants:
  linux-echo-single:
    title: Linux, one listen socket
    stack: linux
    app: echo
    options: {listen: single}
  linux-echo-reuseport:
    title: Linux, SO_REUSEPORT
    stack: linux
    app: echo
    options: {listen: reuseport}
  linux-memcached:
    stack: linux
    app: memcached
    workload: {connections: 8}       # differs for this variant only
    load: [500, 1k, 2k, 4k]          # replaces matrix.load for this variant

workload:
  mode: open
  arrival: poisson
  threads: 1
  message: 64B
  memcached: {profile: etc, keys: 10000}
  adherence: {late_after: 1ms, min_on_time: 99%}

matrix:
  load: {from: 500, to: 8000, steps: 5, scale: log}
  machines.server.cpus: [1, 2]       # points with other machines boot guests of their own

include:                       # one point beyond the grid
  - {variant: linux-echo-reuseport, load: 12000, machines.server.cpus: 2}
exclude:                       # not these points of the grid
  - {variant: linux-memcached, machines.server.cpus: 1}

metrics:
  - achieved_rps
  - latency_p50
  - latency_p99
  - accept_jain_index

slo: {metric: latency_p99, limit: 50ms}

claims:
  - text: One socket per core serves at least nine tenths of what one shared socket does.
    expression: linux-echo-reuseport.achieved_rps > linux-echo-single.achieved_rps * 0.9
    source: an expectation, stated before measuring
  - text: At low load the median is below ten milliseconds.
    expression: linux-echo-reuseport.latency_p50[load=500] < 10000
    source: an expectation, stated before measuring

accounting: true
"""

_INTRO = """\
# The experiment file

<!-- Made by `./ringbed schema --docs`. Edit the models in orchestrator/spec/, not this file. -->

An experiment is a folder in `experiments/` with a file `experiment.yml` and a README. The file
says which machines there are, what runs on them, how load is made, what is varied, and what the
results must show. `./ringbed plan NAME` prints the trials that follow from it and starts nothing.

Every mistake in a file is reported at once, with line, column, key and the nearest valid spelling.
`./ringbed schema > experiment.schema.json` writes a JSON Schema for editors; with
yaml-language-server, begin the file with
`# yaml-language-server: $schema=experiment.schema.json`.

## A complete example
"""

_OVERRIDES = """\
## Changing a key for one run

`--set KEY=VALUE` sets any key of the file before it is checked; the same rules and messages hold.
Keys are dotted, entries of lists are counted from 0, and the value is YAML:

```sh
./ringbed run quickstart --set duration=2s --set repetitions=5
./ringbed run quickstart --set matrix.load=[1000,2000] --set links.0.delay=1ms
./ringbed run quickstart --set variants.linux-memcached.workload.connections=4
```

`--only` runs a part of the trials: a variant's name with `*` and `?`, or `KEY=VALUE` with
`variant`, `stack`, `app`, `kind`, `repetition`, `load` or a key of the matrix. Filters of one key
are alternatives; filters of different keys must all hold.

## Order and seeds

Repetitions run one after another. Each visits the points in an order drawn from the seed; at a
point the variants run one after another, at every second point in the opposite direction, so that
a drift of the host meets all variants alike. A trial's seed follows from `seed`, the point and the
repetition, but not from the variant: at one point all variants meet the same arrivals. Accounting
trials come last.
"""

_CLOCKS = """\
## Clocks

On the wall clock a second is the host's. On the virtual clock it is 10^9 instructions of the
guest, of all its CPUs together, and every run gives the same bytes. A request then costs what the
guest executes for it, so saturation comes at other loads, and a tenth of a second is enough: what
differs goes into `virtual`, under keys as for `--set`. What the command line sets comes last.

What cannot be emulated without the host's pace is refused on the virtual clock: more than one queue
of `virtio`; so is the kernel argument `idle=poll`, for the CPUs share one clock.

On either clock a stack that drives the NIC itself (`ix`, `l2`, `testpmd`) has any model of it. With
`viommu` it does so through vfio-pci, isolated; without through uio, which cannot drive an `igb-vf`.
"""

_MATRIX = """\
## Matrix

Every combination of the values of all axes is a point. These keys can be axes, and keys of
`include` and `exclude`:

| Key | What it varies |
|---|---|
"""

_MATRIX_NOTES = """
An axis is one value, a list of values, or a [range](#range). An axis of `options` or `workload`
that an application does not heed is left out for its variants; one that no variant heeds is an
error. What an axis varies cannot be set for a variant as well.

An entry of `include` adds a point for its `variant`, or for all variants when it names none; keys
that it leaves out keep their value of the file, and an open loop needs a `load`. An entry of
`exclude` removes the points of the grid that agree with it in every key it names.

The accounting trial of a variant is at the middle of its points.
"""

_CLAIMS = """\
## Claims

A claim is a comparison over metrics, `VARIANT.METRIC`, with numbers, `+ - * /`, parentheses, `abs`,
`min` and `max`; `3%` means 0.03. A minus sign needs a blank before it, because names may hold
dashes. Brackets choose points of the matrix: `linux.latency_p99[load=2000]`. One that the matrix
does not have is a mistake. One that `--set` or `--only` leaves out is none: the claim is "not
measurable here", and the point that it needs is named.

```
"""


def render_reference() -> str:
    """The text of docs/experiments.md."""
    models = all_models()
    schema = Experiment.model_json_schema(by_alias=True)
    parts = [_INTRO, "```yaml\n" + EXAMPLE + "```\n", _units()]
    parts += [_section(model, schema) for model in models]
    parts += [_CLOCKS, _matrix(), _metrics(), _claims(), _OVERRIDES]
    return "\n".join(parts)


def _units() -> str:
    lines = ["## Quantities\n", "| Kind | Units | Examples |", "|---|---|---|"]
    for dimension in units.DIMENSIONS:
        names = ", ".join(f"`{unit}`" for unit in dimension.units)
        if dimension is units.LOAD:
            names = f"none, or {names}"
        examples = ", ".join(f"`{example}`" for example in dimension.examples)
        lines.append(f"| {dimension.name} | {names} | {examples} |")
    lines.append("\nA quantity needs its unit; only 0 may stand alone.\n")
    return "\n".join(lines)


def _section(model: type[BaseModel], schema: Mapping[str, Any]) -> str:
    title = "Top level" if model is Experiment else model.__name__
    lines = [f"## {title}\n", inspect.getdoc(model) or "", ""]
    lines += ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
    described = schema if model is Experiment else schema["$defs"][model.__name__]
    defaults = default_texts(model)
    for name, info in model.model_fields.items():
        key = info.alias or name
        value = _type_text(described["properties"][key], schema)
        if info.is_required():
            default = "*needed*"
        else:
            default = f"`{_yaml(defaults[key])}`" if _simple(defaults.get(key)) else ""
        meaning = info.description or ""
        if info.examples:
            meaning += f" Example: `{key}: {_yaml(info.examples[0])}`."
        lines.append(f"| `{key}` | {value} | {default} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def _type_text(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What may stand as a value, in words."""
    if "x-kind" in node:
        kind: str = node["x-kind"]
        return "[axis](#matrix)" if kind == "axis" else kind
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        target = schema["$defs"][name]
        if target.get("type") == "object":
            return f"[{name}](#{_anchor(name)})"
        return _type_text(target, schema)
    if "enum" in node or "const" in node:
        return " \\| ".join(f"`{_yaml(word)}`" for word in node.get("enum", [node.get("const")]))
    choices = node.get("anyOf") or node.get("oneOf")
    if choices:
        texts = (_type_text(one, schema) for one in choices if one.get("type") != "null")
        return " or ".join(dict.fromkeys(texts))
    match node.get("type"):
        case "array":
            return _list_text(node, schema)
        case "object":
            member = next(iter(node.get("patternProperties", {}).values()), None)
            return f"name: {_type_text(member, schema)}" if member else "keys and values"
        case "integer":
            return f"whole number{_bounds(node)}"
        case "number":
            return f"number{_bounds(node)}"
        case "boolean":
            return "`true` \\| `false`"
        case _:
            return "value" if isinstance(node.get("type"), list) else "text"


def _list_text(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    prefix = node.get("prefixItems")
    if prefix:
        return f"list of {len(prefix)}: {_type_text(prefix[0], schema)}"
    return f"list: {_type_text(node['items'], schema)}"


def _bounds(node: Mapping[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f", {low:g} to {high}"
    if low is not None:
        return f", {low:g} or more"
    return ""


def _matrix() -> str:
    rows = [f"| {_cell(f'`{key}`')} | {text} |" for key, text in points.AXIS_FORMS.items()]
    return _MATRIX + "\n".join(rows) + "\n" + _MATRIX_NOTES


_METRICS_NOTES = """
`metrics` chooses columns of the summary. Their values are those at the lowest load offered, which
the heading names (`p50 at 200/s`); a closed loop has one point, and its heading no load. Metrics of
the accounting trial are shown wherever it counted; a dataplane counts its batches and its locality
in every trial. Throughput (the highest of all loads), the highest load that keeps the `slo`, system
calls and crossings per request, packets per batch and locality have columns of their own, asked for
or not. A column without a value in any row is left out, and a note says
why.
"""


def _metrics() -> str:
    lines = ["## Metrics\n", "| Metric | Unit | Better | Meaning |", "|---|---|---|---|"]
    for metric in (*METRICS.values(), *FAMILIES.values()):
        better = "–" if metric.direction == "none" else metric.direction
        text = metric.text
        if metric.scope == "accounting":
            text += " (accounting trial)"
        lines.append(f"| `{metric.name}` | {metric.unit} | {better} | {text} |")
    return "\n".join([*lines, _METRICS_NOTES])


def _claims() -> str:
    return f"{_CLAIMS}{claims.GRAMMAR}```\n"


def _anchor(name: str) -> str:
    return name.lower()


def _simple(value: object) -> bool:
    """Whether a default says something in a table: those of whole sections do not."""
    return value is not None and not isinstance(value, dict) and value != []


def _yaml(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

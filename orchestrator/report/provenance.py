# SPDX-License-Identifier: Apache-2.0
"""What the manifest says about how a run came about, in the order of a reader's questions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOT_RECORDED = "not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    label: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A long text, shown folded."""

    title: str
    text: str


def facts(manifest: Mapping[str, Any]) -> list[Fact]:
    """The short facts; what the manifest lacks is said to be not recorded."""
    source, host = _object(manifest, "ringbed"), _object(manifest, "host")
    commit = source.get("commit")
    dirty = _changes(source) if source.get("dirty") else ""
    entries = [
        ("Command", manifest.get("command")),
        ("Started (UTC)", manifest.get("started")),
        ("Ended (UTC)", _ended(manifest)),
        ("ringbed", source.get("version")),
        ("Commit", f"{commit}{dirty}" if commit else None),
        ("Accelerator", _accelerator(manifest)),
        ("Seed", manifest.get("seed")),
        ("Host", _host(host)),
        ("Programs", _value(host.get("versions"))),
        ("Guest image", _image(_object(manifest, "image"))),
        ("Inputs (hashes)", _value(manifest.get("inputs"))),
    ]
    return [Fact(label=name, text=str(value or NOT_RECORDED)) for name, value in entries]


def attachments(manifest: Mapping[str, Any]) -> list[Attachment]:
    """Machines, packages, the experiment and whatever else the manifest holds."""
    found = []
    machines = _object(manifest, "machines")
    # Each name begins with its topology, which says nothing where there is only one.
    several = len({name.partition("/")[0] for name in machines}) > 1
    for key, machine in sorted(machines.items()):
        if not isinstance(machine, dict):
            continue
        name = key if several else key.rpartition("/")[2]
        argv = machine.get("qemu_argv")
        if argv:
            found.append(Attachment(title=f"QEMU command line of {name}", text=_argv(argv)))
        kernel = _kernel_command_line(machine)
        if kernel:
            found.append(Attachment(title=f"Kernel command line of {name}", text=kernel))
        if machine.get("domain_xml"):
            text = str(machine["domain_xml"])
            found.append(Attachment(title=f"libvirt domain of {name}", text=text))
        known = ("qemu_argv", "domain_xml")
        rest = {key: value for key, value in machine.items() if key not in known}
        if rest:
            found.append(Attachment(title=f"More about {name}", text=_json(rest)))
    for where in ("image", "tools"):
        packages = _object(manifest, where).get("packages")
        if packages:
            found.append(Attachment(title=f"Packages: {where}", text=_packages(packages)))
    for title, where in (("Host", "host"), ("Guest image", "image")):
        rest = {key: value for key, value in _object(manifest, where).items() if key != "packages"}
        if rest:
            found.append(Attachment(title=title, text=_json(rest)))
    if manifest.get("experiment"):
        found.append(Attachment(title="Experiment", text=_json(manifest["experiment"])))
    rest = {key: value for key, value in manifest.items() if key not in _SHOWN}
    if rest:
        found.append(Attachment(title="Rest of the manifest", text=_json(rest)))
    return found


_SHOWN = {
    "command",
    "started",
    "ended",
    "ringbed",
    "accelerator",
    "seed",
    "host",
    "image",
    "inputs",
    "machines",
    "experiment",
    "trials",
    "format",
    "run",
    "title",
}


def accelerator_kind(manifest: Mapping[str, Any]) -> str:
    """`kvm`, `tcg`, or empty when the manifest does not tell."""
    found = manifest.get("accelerator")
    if isinstance(found, dict):
        found = found.get("kind") or found.get("name")
    return str(found or "").lower()


def _changes(source: Mapping[str, Any]) -> str:
    """That not all was committed: the file of the difference, and files unknown to git."""
    untracked = source.get("untracked")
    named = [source.get("diff"), *(untracked if isinstance(untracked, list) else ())]
    names = ", ".join(str(name) for name in named if name)
    return " with uncommitted changes" + (f" ({names})" if names else "")


def _ended(manifest: Mapping[str, Any]) -> str:
    ended, outcome = manifest.get("ended"), manifest.get("outcome")
    return ", ".join(str(part) for part in (ended, outcome) if part)


def _kernel_command_line(machine: Mapping[str, Any]) -> str:
    """The guest's own words when they were read back, else what QEMU was given."""
    readback = machine.get("readback")
    if isinstance(readback, dict) and readback.get("kernel_command_line"):
        return str(readback["kernel_command_line"])
    argv = machine.get("qemu_argv")
    words = [str(word) for word in argv] if isinstance(argv, list) else []
    return words[words.index("-append") + 1] if "-append" in words[:-1] else ""


def _accelerator(manifest: Mapping[str, Any]) -> str:
    found = manifest.get("accelerator")
    if not isinstance(found, dict):
        return str(found or "")
    kind, reason = accelerator_kind(manifest), found.get("reason")
    return f"{kind}: {reason}" if reason else kind


def _object(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}


def _host(host: Mapping[str, Any]) -> str:
    cpu, memory = _object(host, "cpu"), host.get("memory_total")
    parts = [
        cpu.get("model"),
        f"{cpu['cores']} cores" if cpu.get("cores") else None,
        f"{memory / 2**30:.1f} GiB of memory" if isinstance(memory, int) else None,
        host.get("distribution"),
        f"kernel {host['kernel']}" if host.get("kernel") else None,
    ]
    return ", ".join(str(part) for part in parts if part)


def _image(image: Mapping[str, Any]) -> str:
    parts = [
        f"{image['name']} {image.get('hash', '')}" if image.get("name") else None,
        f"kernel {image['kernel_release']}" if image.get("kernel_release") else None,
        "not the locked packages: see the guest image below" if image.get("drifted") else None,
    ]
    return ", ".join(part for part in parts if part)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    return "" if value is None else str(value)


def _argv(argv: object) -> str:
    """One option a line, so that two command lines can be read side by side."""
    if not isinstance(argv, list):
        return str(argv)
    lines: list[str] = []
    for word in (str(one) for one in argv):
        if lines and not word.startswith("-"):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return " \\\n  ".join(lines)


def _packages(packages: object) -> str:
    if isinstance(packages, dict):
        return "\n".join(f"{name} {version}" for name, version in sorted(packages.items()))
    if isinstance(packages, list):
        return "\n".join(str(one) for one in packages)
    return str(packages)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)

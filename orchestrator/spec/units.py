# SPDX-License-Identifier: Apache-2.0
"""Quantities as people write them ("300ms", "768MiB", "10%"), read once into base units.

Each `parse_*` takes what stood in the file and returns the base unit; each `format_*` is its exact
inverse, in the largest unit that needs no more digits. A wrong or missing unit is a ValueError that
names the nearest right spelling.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\d\s].*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """A kind of quantity: its units as factors of the base unit, largest last.

    spellings: what people write instead of a unit, for the hint only. bare: the unit that a number
    without one probably means; empty when a bare number is itself right.
    """

    name: str
    base: str
    units: Mapping[str, Decimal]
    spellings: Mapping[str, str]
    bare: str
    examples: tuple[str, ...]


def _factors(**units: int) -> dict[str, Decimal]:
    return {unit: Decimal(factor) for unit, factor in units.items()}


DURATION = Dimension(
    name="duration",
    base="ns",
    units=_factors(ns=1, us=10**3, ms=10**6, s=10**9, min=60 * 10**9, h=3600 * 10**9),
    spellings={
        "sec": "s",
        "secs": "s",
        "second": "s",
        "seconds": "s",
        "msec": "ms",
        "usec": "us",
        "nsec": "ns",
        "m": "min",
        "minutes": "min",
        "minute": "min",
        "hours": "h",
        "hour": "h",
        "mss": "ms",
    },
    bare="s",
    examples=("50us", "300ms", "2s"),
)
SIZE = Dimension(
    name="size",
    base="B",
    units=_factors(B=1, kB=10**3, KiB=2**10, MB=10**6, MiB=2**20, GB=10**9, GiB=2**30),
    spellings={
        "k": "KiB",
        "K": "KiB",
        "KB": "KiB",
        "kb": "KiB",
        "kib": "KiB",
        "M": "MiB",
        "m": "MiB",
        "mb": "MiB",
        "mib": "MiB",
        "G": "GiB",
        "g": "GiB",
        "gb": "GiB",
        "gib": "GiB",
        "b": "B",
        "bytes": "B",
        "byte": "B",
        "Mi": "MiB",
        "Gi": "GiB",
        "Ki": "KiB",
    },
    bare="B",
    examples=("64B", "16KiB", "768MiB"),
)
BITRATE = Dimension(
    name="bit rate",
    base="bit",
    units=_factors(bit=1, kbit=10**3, Mbit=10**6, Gbit=10**9),
    spellings={
        "bps": "bit",
        "kbps": "kbit",
        "Kbit": "kbit",
        "Kbps": "kbit",
        "Mbps": "Mbit",
        "mbit": "Mbit",
        "mbps": "Mbit",
        "Mb": "Mbit",
        "M": "Mbit",
        "Gbps": "Gbit",
        "gbit": "Gbit",
        "gbps": "Gbit",
        "Gb": "Gbit",
        "G": "Gbit",
        "Gbit/s": "Gbit",
        "Mbit/s": "Mbit",
    },
    bare="bit",
    examples=("100Mbit", "1Gbit"),
)
FRACTION = Dimension(
    name="share",
    base="%",
    units={"%": Decimal("0.01")},
    spellings={"percent": "%", "pct": "%"},
    bare="%",
    examples=("0.1%", "99%"),
)
LOAD = Dimension(
    name="rate of requests",
    base="",
    units=_factors(k=10**3, M=10**6),
    spellings={"K": "k", "m": "M", "rps": "", "RPS": "", "/s": "", "krps": "k", "req/s": ""},
    bare="",
    examples=("500", "2.5k"),
)
DIMENSIONS = (DURATION, SIZE, BITRATE, FRACTION, LOAD)


def parse_duration_ns(value: object) -> int:
    """ "300ms" -> 300_000_000."""
    return _whole(value, DURATION)


def parse_size_bytes(value: object) -> int:
    """ "64B" -> 64, "1KiB" -> 1024, "1kB" -> 1000."""
    return _whole(value, SIZE)


def parse_rate_bps(value: object) -> int:
    """ "1Gbit" -> 1_000_000_000 bits per second."""
    return _whole(value, BITRATE)


def parse_fraction(value: object) -> float:
    """ "10%" -> 0.1; outside 0 % to 100 % is an error."""
    share = float(_parse(value, FRACTION))
    if not 0 <= share <= 1:
        raise ValueError(f"{_shown(value)} is not between 0% and 100%")
    return share


def parse_load_rps(value: object) -> float:
    """2500, "2500" and "2.5k" -> 2500.0 requests per second."""
    rate = float(_parse(value, LOAD))
    if rate <= 0:
        raise ValueError(f"{_shown(value)} is no rate of requests: it must be above 0")
    return rate


def format_duration(ns: int) -> str:
    return _format(Decimal(ns), DURATION)


def format_size(size: int) -> str:
    return _format(Decimal(size), SIZE)


def format_rate(bps: int) -> str:
    return _format(Decimal(bps), BITRATE)


def format_fraction(share: float) -> str:
    return f"{_plain(Decimal(repr(share)) * 100)}%"


def format_load(rps: float) -> str:
    return _plain(Decimal(repr(float(rps))))


def split_quantity(value: str) -> tuple[Dimension, Decimal] | None:
    """The dimension and base amount of a quantity with a unit; None for any other text."""
    for dimension in DIMENSIONS:
        match = _QUANTITY.fullmatch(value.strip())
        if match is not None and (match[2] or "").strip() in dimension.units:
            return dimension, Decimal(match[1]) * dimension.units[match[2].strip()]
    return None


def natural_key(text: str) -> list[tuple[int, float, str]]:
    """Sorts texts by the numbers and quantities in them: "9" before "10", "64B" before "1KiB"."""
    found = split_quantity(text)
    if found is not None:
        return [(0, float(found[1]), "")]
    parts = enumerate(_NUMBER.split(text))
    return [(0, float(part), "") if place % 2 else (1, 0.0, part) for place, part in parts]


def format_quantity(amount: Decimal, dimension: Dimension) -> str:
    """The text of a base amount, to the nearest whole base unit where only whole ones exist."""
    if dimension is FRACTION:
        return f"{_plain(amount * 100)}%"
    if dimension is LOAD:
        return _plain(amount)
    return _format(amount.to_integral_value(), dimension)


def _whole(value: object, dimension: Dimension) -> int:
    amount = _parse(value, dimension)
    if amount < 0:
        raise ValueError(f"{_shown(value)} is negative")
    if amount != amount.to_integral_value():
        raise ValueError(f"{_shown(value)} is no whole number of {dimension.base}")
    return int(amount)


def _parse(value: object, dimension: Dimension) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{_shown(value)} is no {dimension.name}{_like(dimension)}")
    text = repr(value) if isinstance(value, float) else str(value).strip()
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{_shown(value)} is no {dimension.name}{_like(dimension)}")
    number, unit = match[1], (match[2] or "").strip()
    try:
        amount = Decimal(number)
    except InvalidOperation as error:  # such as an exponent beyond Decimal's range
        raise ValueError(f"{_shown(value)} is no {dimension.name}") from error
    if abs(amount.adjusted()) > 30:
        raise ValueError(f"{_shown(value)} is out of range")
    if unit == "":
        if amount == 0 or not dimension.bare:
            return amount
        meant = f"{number}{dimension.bare}"
        if dimension is FRACTION and abs(amount) <= 1:
            meant = f"{_plain(amount * 100)}% or {number}%"
        raise ValueError(f"{_shown(value)} has no unit; did you mean {meant}?")
    if unit in dimension.units:
        return amount * dimension.units[unit]
    if dimension is DURATION and unit in ("µs", "μs"):
        return amount * dimension.units["us"]
    raise ValueError(
        f"{_shown(value)}: unknown unit {unit!r} for a {dimension.name}"
        f"{_did_you_mean(number, unit, dimension)}"
    )


def _did_you_mean(number: str, unit: str, dimension: Dimension) -> str:
    near = dimension.spellings.get(unit)
    if near is None:
        found = difflib.get_close_matches(unit, list(dimension.units), n=1, cutoff=0.5)
        near = found[0] if found else None
    if near is None:
        return _like(dimension)
    return f"; did you mean {number}{near}?"


def _like(dimension: Dimension) -> str:
    return f" (write it like {', '.join(dimension.examples)})"


def _shown(value: object) -> str:
    if value is None:
        return "an empty value"
    return repr(value) if isinstance(value, str) else str(value)


def _format(amount: Decimal, dimension: Dimension) -> str:
    """In the largest unit that leaves a whole number; the base unit when none does."""
    if amount == 0:
        return f"0{dimension.base}"
    best = dimension.base
    for unit, factor in dimension.units.items():
        if amount % factor == 0 and factor > dimension.units[best]:
            best = unit
    return f"{_plain(amount / dimension.units[best])}{best}"


def _plain(amount: Decimal) -> str:
    """Digits without an exponent and without needless zeros."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

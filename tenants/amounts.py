"""Amounts of cpu, memory, gpu, storage and clusters as one value, and their quantities in JSON.

In Python and in the database all amounts are integers of the base unit: millicores of cpu, bytes of memory and
storage, counts of gpu and clusters. In the JSON of the API, cpu, memory and storage are Kubernetes quantities such as
"500m" and "2Gi"; gpu and clusters are numbers. Quantities are parsed once, on input.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from tenants.errors import FieldError, Invalid, pointer_token

RESOURCES: Final = ("cpu", "memory", "gpu", "storage", "clusters")
COMPUTE: Final = ("cpu", "memory", "gpu")

MAX_CPU: Final = 1_000_000 * 1000
MAX_BYTES: Final = 2**60
MAX_COUNT: Final = 1_000_000
CEILINGS: Final = {
    "cpu": MAX_CPU,
    "memory": MAX_BYTES,
    "gpu": MAX_COUNT,
    "storage": MAX_BYTES,
    "clusters": MAX_COUNT,
}

_LONGEST: Final = 32
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")
_BINARY: Final = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL: Final = {letter: 1000**power for power, letter in enumerate("kMGTPE", start=1)}
_BYTE_SUFFIXES: Final = {"": 1} | _BINARY | _DECIMAL
_CPU_SUFFIXES: Final = {"": 1000, "m": 1}

_CPU_RULE = (
    'Must be CPU cores of at least 0 and at most 1000000, such as "500m", "2" or "0.5"; '
    'the smallest step is "1m".'
)
_BYTES_RULE = 'Must be whole bytes of at least 0 and at most "1Ei", such as "512Mi", "2Gi" or "100G".'
_COUNT_RULE = "Must be a whole number of at least 0 and at most 1000000."


@dataclass(frozen=True, slots=True)
class Amounts:
    """An integer of the base unit for each resource. Differences may be negative; parsed amounts never are."""

    cpu: int = 0
    memory: int = 0
    gpu: int = 0
    storage: int = 0
    clusters: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.cpu + other.cpu,
            self.memory + other.memory,
            self.gpu + other.gpu,
            self.storage + other.storage,
            self.clusters + other.clusters,
        )

    def __neg__(self) -> "Amounts":
        return self * -1

    def __sub__(self, other: "Amounts") -> "Amounts":
        return self + -other

    def __mul__(self, times: int) -> "Amounts":
        return Amounts(*(self[resource] * times for resource in RESOURCES))

    __rmul__ = __mul__

    def __getitem__(self, resource: str) -> int:
        if resource not in RESOURCES:
            raise KeyError(resource)
        value: int = getattr(self, resource)
        return value

    def __bool__(self) -> bool:
        return any(self[resource] for resource in RESOURCES)

    def fits_within(self, room: "Amounts") -> bool:
        return all(self[resource] <= room[resource] for resource in RESOURCES)

    def max(self, other: "Amounts") -> "Amounts":
        """The larger of the two, resource by resource."""
        return Amounts(*(max(self[resource], other[resource]) for resource in RESOURCES))

    def compute(self) -> "Amounts":
        """The part that stopping a cluster frees: cpu, memory and gpu."""
        return Amounts(cpu=self.cpu, memory=self.memory, gpu=self.gpu)

    def at_rest(self) -> "Amounts":
        """The part that a stopped cluster still holds: storage and the cluster count."""
        return Amounts(storage=self.storage, clusters=self.clusters)

    def as_tuple(self) -> tuple[int, int, int, int, int]:
        """In the order of RESOURCES."""
        return self.cpu, self.memory, self.gpu, self.storage, self.clusters

    def as_dict(self) -> dict[str, int]:
        """The integers by resource, as the database stores them: `Amounts(**stored)` reads them back."""
        return {resource: self[resource] for resource in RESOURCES}

    def to_json(self) -> dict[str, str | int]:
        """{"cpu": "500m", "memory": "2Gi", "gpu": 0, "storage": "100Gi", "clusters": 1}"""
        return {resource: quantity(resource, self[resource]) for resource in RESOURCES}


ZERO: Final = Amounts()


def quantity(resource: str, value: int) -> str | int:
    """`value` in base units as a JSON quantity, in the shortest exact form."""
    if resource in ("gpu", "clusters"):
        return value
    sign, size = ("-" if value < 0 else ""), abs(value)
    if resource == "cpu":
        return sign + (f"{size}m" if size % 1000 else str(size // 1000))
    if size == 0:
        return "0"
    forms = [f"{size // unit}{suffix}" for suffix, unit in _BYTE_SUFFIXES.items() if size % unit == 0]
    return sign + min(forms, key=len)


def parse_cpu(value: object) -> int:
    """Millicores of a quantity such as "500m", "2" or 0.5. Raises Invalid."""
    return _parsed(value, _CPU_SUFFIXES, MAX_CPU, _CPU_RULE)


def parse_bytes(value: object) -> int:
    """Bytes of a quantity such as "512Mi" or "100G". Raises Invalid."""
    return _parsed(value, _BYTE_SUFFIXES, MAX_BYTES, _BYTES_RULE)


def parse_count(value: object) -> int:
    """A whole number of at least 0. Raises Invalid."""
    return _parsed(value, {"": 1}, MAX_COUNT, _COUNT_RULE)


_PARSERS: Final[Mapping[str, Callable[[object], int]]] = {
    "cpu": parse_cpu,
    "memory": parse_bytes,
    "gpu": parse_count,
    "storage": parse_bytes,
    "clusters": parse_count,
}


def parse(resource: str, value: object) -> int:
    """The base units of a JSON quantity of `resource`. Raises Invalid."""
    return _PARSERS[resource](value)


def parse_limits(values: object, pointer: str = "") -> dict[str, int | None]:
    """Base units of the limits in a JSON object; null means unlimited. Raises one Invalid with all errors."""
    if not isinstance(values, Mapping):
        raise Invalid.at(pointer, "Must be an object that names resources.")
    limits: dict[str, int | None] = {}
    errors: list[FieldError] = []
    for resource, value in values.items():
        where = f"{pointer}/{pointer_token(resource)}"
        if resource not in RESOURCES:
            errors.append(
                FieldError(pointer=where, detail=f"Unknown resource. Use one of: {', '.join(RESOURCES)}.")
            )
            continue
        try:
            limits[resource] = None if value is None else parse(resource, value)
        except Invalid as refusal:
            errors.extend(refusal.prefixed(where).errors)
    if errors:
        raise Invalid(errors=errors)
    return limits


def _parsed(value: object, suffixes: Mapping[str, int], ceiling: int, rule: str) -> int:
    number = _scaled(value, suffixes)
    if number is None or number.denominator != 1 or not 0 <= number <= ceiling:
        raise Invalid(rule)
    return int(number)


def _scaled(value: object, suffixes: Mapping[str, int]) -> Fraction | None:
    """The exact number of base units; None when `value` is not a number with one of these suffixes."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        # From its text: the float 0.1 is not exactly a tenth, but its user means one.
        return Fraction(str(value)) * suffixes[""]
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    found = _NUMBER.fullmatch(value)
    if found is None or found[2] not in suffixes:
        return None
    return Fraction(found[1]) * suffixes[found[2]]

"""How much: cpu, memory, gpu, storage and clusters as one value, and their spelling in JSON.

Inside, cpu is counted in millicores, memory and storage in bytes. In JSON, cpu, memory and storage are
Kubernetes quantities as text; gpu and clusters are plain numbers.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from tenants.errors import FieldError, Invalid

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
    """An amount of every resource. Differences may be negative; what is parsed never is."""

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
        """The part that a stop frees: cpu, memory, gpu."""
        return Amounts(cpu=self.cpu, memory=self.memory, gpu=self.gpu)

    def at_rest(self) -> "Amounts":
        """The part that a stop keeps: storage and the cluster count."""
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
    """How `value` (millicores, bytes or a count) is written in JSON: the shortest exact form."""
    if resource in ("gpu", "clusters"):
        return value
    sign, size = ("-" if value < 0 else ""), abs(value)
    return sign + (_cpu_text(size) if resource == "cpu" else _bytes_text(size))


def parse_cpu(value: object) -> int:
    """Millicores. Invalid says what is accepted."""
    return _parsed(value, _CPU_SUFFIXES, MAX_CPU, _CPU_RULE)


def parse_bytes(value: object) -> int:
    """Bytes. Invalid says what is accepted."""
    return _parsed(value, _BYTE_SUFFIXES, MAX_BYTES, _BYTES_RULE)


def parse_count(value: object) -> int:
    """A whole number. Invalid says what is accepted."""
    return _parsed(value, {"": 1}, MAX_COUNT, _COUNT_RULE)


_PARSERS: Final[Mapping[str, Callable[[object], int]]] = {
    "cpu": parse_cpu,
    "memory": parse_bytes,
    "gpu": parse_count,
    "storage": parse_bytes,
    "clusters": parse_count,
}


def parse(resource: str, value: object) -> int:
    """`value` as it stands in JSON, in the unit of `resource`."""
    return _PARSERS[resource](value)


def parse_limits(values: object, pointer: str = "") -> dict[str, int | None]:
    """Limits as they stand in JSON, resource by resource; null means unlimited. All faults are reported at
    once.
    """
    if not isinstance(values, Mapping):
        raise Invalid.at(pointer, "Must be an object that names resources.")
    limits: dict[str, int | None] = {}
    errors: list[FieldError] = []
    for resource, value in values.items():
        where = f"{pointer}/{str(resource).replace('~', '~0').replace('/', '~1')[:64]}"
        if resource not in RESOURCES:
            errors.append(FieldError(pointer=where, detail=f"Unknown; use {', '.join(RESOURCES)}."))
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
    """`value` in the smallest unit, exactly; None when it is no number of this kind."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        # As it is written: the float 0.1 is not a tenth, but it stands for one.
        return Fraction(str(value)) * suffixes[""]
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    found = _NUMBER.fullmatch(value)
    if found is None or found[2] not in suffixes:
        return None
    return Fraction(found[1]) * suffixes[found[2]]


def _cpu_text(millicores: int) -> str:
    return f"{millicores}m" if millicores % 1000 else str(millicores // 1000)


def _bytes_text(size: int) -> str:
    if size == 0:
        return "0"
    forms = [f"{size // unit}{suffix}" for suffix, unit in _BYTE_SUFFIXES.items() if size % unit == 0]
    return min(forms, key=len)

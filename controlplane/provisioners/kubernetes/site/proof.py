"""The results of a proof of a site, and what they say about the isolation of its tenants."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class ProbeOutcome(StrEnum):
    """unknown: it could not be tested."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Part(StrEnum):
    """wall: isolates tenants from each other. control: must work at the same time, or the walls were not tested."""

    WALL = "wall"
    CONTROL = "control"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    name: str
    outcome: ProbeOutcome
    detail: str = ""
    part: Part = Part.OTHER


@dataclass(frozen=True, slots=True)
class Proof:
    results: tuple[ProbeResult, ...]

    @property
    def isolation(self) -> str:
        """ "proved", "not enforced" or "unknown", as the API reports it."""
        walls = self._outcomes(Part.WALL)
        if ProbeOutcome.BROKEN in walls:
            return "not enforced"
        proved = walls == self._outcomes(Part.CONTROL) == {ProbeOutcome.HOLDS}
        return "proved" if proved else "unknown"

    @property
    def holds(self) -> bool:
        """Whether tenants that do not trust each other may share the site."""
        broken = any(result.outcome is ProbeOutcome.BROKEN for result in self.results)
        return self.isolation == "proved" and not broken

    def _outcomes(self, part: Part) -> set[ProbeOutcome]:
        return {result.outcome for result in self.results if result.part is part}

    @property
    def message(self) -> str:
        """One sentence for each outcome that occurs, the worst first."""
        return " ".join(
            f"{words}: {'; '.join(_named(self.results, outcome))}."
            for outcome, words in _WORDS.items()
            if any(result.outcome is outcome for result in self.results)
        )


_WORDS = {
    ProbeOutcome.BROKEN: "Does not hold",
    ProbeOutcome.UNKNOWN: "Could not be tried",
    ProbeOutcome.HOLDS: "Holds",
}


def _named(results: Iterable[ProbeResult], outcome: ProbeOutcome) -> list[str]:
    found = [result for result in results if result.outcome is outcome]
    if outcome is ProbeOutcome.HOLDS:
        return [result.name for result in found]
    return [f"{result.name} ({result.detail})" if result.detail else result.name for result in found]

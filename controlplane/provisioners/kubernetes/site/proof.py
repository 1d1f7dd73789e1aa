"""What a proof of a site found, and what that says about the isolation of its tenants."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class ProbeOutcome(StrEnum):
    """unknown: could not be tried."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Part(StrEnum):
    """wall: shuts tenants off from one another. control: works at the same time, or no wall has been tried."""

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
        """What the API shows: proved, not enforced, unknown."""
        walls = self._outcomes(Part.WALL)
        if ProbeOutcome.BROKEN in walls:
            return "not enforced"
        proved = walls == self._outcomes(Part.CONTROL) == {ProbeOutcome.HOLDS}
        return "proved" if proved else "unknown"

    @property
    def holds(self) -> bool:
        """The site is fit for tenants who do not trust each other."""
        broken = any(result.outcome is ProbeOutcome.BROKEN for result in self.results)
        return self.isolation == "proved" and not broken

    def _outcomes(self, part: Part) -> set[ProbeOutcome]:
        return {result.outcome for result in self.results if result.part is part}

    @property
    def message(self) -> str:
        """One sentence for each outcome that there is, the worst first."""
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

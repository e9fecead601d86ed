"""The base of every model of the two files, and the keys that alerts in both have."""

from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from observability.spec.schema.fields import (
    DurationField,
    NextSteps,
    Percent,
    PositiveDuration,
    TestId,
    Text,
)


class Entry(BaseModel):
    """A mapping with known keys, which the page `reference` explains.

    Exactly one of the keys in `one_of` must be given. No id may be declared twice in sections that
    share ids: they name one alert, or one page of the runbook.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    reference: ClassVar[str] = "docs/catalogue.md"
    one_of: ClassVar[tuple[str, ...]] = ()
    sections_sharing_ids: ClassVar[tuple[tuple[str, ...], ...]] = ()

    @model_validator(mode="after")
    def require_one_of(self) -> Self:
        """Raise ValueError unless exactly one of the keys in `one_of` is given."""
        if not self.one_of:
            return self
        present = [key for key in self.one_of if getattr(self, key) is not None]
        if len(present) != 1:
            *others, last = self.one_of
            raise ValueError(
                f"needs exactly one of {', '.join(others)} and {last}; "
                "add the one that is meant, and no other"
            )
        return self


class NeedsEntry(Entry):
    """The key of everything that fails while a dependency fails."""

    needs: tuple[str, ...] = ()


class LatencyEntry(Entry):
    """The share of answers that must come within a threshold."""

    threshold: PositiveDuration
    objective: Percent


class AlertEntry(Entry):
    """An alert that is declared with its texts; alone it is a guard of the policy."""

    severity: str
    for_: Annotated[DurationField, Field(alias="for")]
    summary: Text  # a template of Prometheus
    meaning: Text
    impact: Text
    next_steps: NextSteps
    drilled_by: TestId | None = None  # the test that raises it, for what drills do not run

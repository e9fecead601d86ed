"""The part of catalogue.yaml that declares SLOs by hand."""

from typing import Self

from pydantic import model_validator

from observability.spec.schema.entry import Entry, NeedsEntry, SubjectEntry
from observability.spec.schema.fields import Percent, Selector, SloName
from observability.spec.selectors import example


class RatioEntry(Entry):
    """The counters of all events, and of the bad or the good ones among them."""

    one_of = ("bad", "good")
    bad: Selector | None = None
    good: Selector | None = None
    total: Selector

    @model_validator(mode="after")
    def require_both_kinds(self) -> Self:
        """Raise ValueError unless promtool's cases can have good events and bad ones."""
        part = self.bad or self.good or ""
        try:
            example(part)
            example(self.total, other_than=part)
        except ValueError as error:
            raise ValueError(
                f"has no event in `total` beside those in {part}; select fewer series there, "
                'and write simple alternatives, as in code=~"500|503"'
            ) from error
        return self


class SloEntry(SubjectEntry, NeedsEntry):
    """An SLO that is declared by hand."""

    ratio: RatioEntry
    objective: Percent
    subject: SloName | None = None

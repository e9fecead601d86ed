"""Alerts that are declared with their texts, as parts of the Plan."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from observability.spec.schema.entry import AlertEntry

EntryT = TypeVar("EntryT", bound=AlertEntry, covariant=True)


@dataclass(frozen=True)
class Alert(Generic[EntryT]):
    """A guard, a watched symptom or a log alert, with its name and owner."""

    name: str
    owner: str
    entry: EntryT

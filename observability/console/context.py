"""The objects that the views of one console work with."""

from dataclasses import dataclass

from flask import current_app

from observability.console.notification_store import NotificationStore
from observability.console.queries import Queries
from observability.devstack.layout import StackLayout


@dataclass(frozen=True)
class Console:
    """The stack, the queries to it, and the notifications that it has delivered."""

    layout: StackLayout
    queries: Queries
    store: NotificationStore


def console() -> Console:
    """Return the console of the present request."""
    found: Console = current_app.extensions["console"]
    return found

"""The steps of `up` as the terminal shows them, and the error that ends them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape

Tell = Callable[[str], None]


class StackError(Exception):
    """A command on the stack failed; the message says why and how to fix it."""


class Steps:
    """A printer of steps; entering one yields a function that prints a line below it."""

    def __init__(self, say: Tell):
        self._say = say

    def warn(self, text: str) -> None:
        """Print what is not fine, but keeps nothing from working."""
        self._say(f"  [yellow]![/yellow] {escape(text)}")

    @contextmanager
    def __call__(self, label: str) -> Iterator[Tell]:
        started = time.monotonic()
        yield lambda text: self._say(f"    {text}")
        elapsed = time.monotonic() - started
        self._say(f"  [green]✓[/green] {label} [dim]{elapsed:.1f} s[/dim]")

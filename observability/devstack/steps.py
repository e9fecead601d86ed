"""The steps of `up` as the terminal shows them, and the error that ends them."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.markup import escape

Tell = Callable[[str], None]
Show = Callable[[str], AbstractContextManager[object]]


class StackError(Exception):
    """A command on the stack failed; the message says why and how to fix it."""


class Steps:
    """A printer of steps; entering one yields a function that prints a line below it."""

    def __init__(self, say: Tell, show: Show = nullcontext):
        self._say = say
        self._show = show  # while the step runs

    def warn(self, text: str) -> None:
        """Print what is not fine, but keeps nothing from working."""
        self._say(f"  [yellow]![/yellow] {escape(text)}")

    @contextmanager
    def __call__(self, label: str) -> Iterator[Tell]:
        started = time.monotonic()
        with self._show(label):
            yield lambda text: self._say(f"    {text}")
        elapsed = time.monotonic() - started
        self._say(f"  [green]✓[/green] {escape(label)} [dim]{elapsed:.1f} s[/dim]")

"""Drills: a fault is injected into a stack of its own, and its alert must arrive and resolve."""


class DrillFailed(Exception):
    """A drill that failed; the message says why."""

"""The parts of an alerting rule that Prometheus and Loki share."""

from observability.generate.alert_rule import number_steps


def test_next_steps_are_numbered() -> None:
    """One line, in the order of the catalogue."""
    assert number_steps(("Look.", "Repair.")) == "1. Look. 2. Repair."

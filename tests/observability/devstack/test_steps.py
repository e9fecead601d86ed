"""Steps as the terminal shows them."""

from observability.devstack.steps import Steps


def test_steps_say_how_long_they_took() -> None:
    """A step is printed when it is done, after its own messages; it has no markup."""
    said: list[str] = []
    with Steps(said.append)("unpacking [b]") as tell:
        tell("downloading")
    assert said[0].strip() == "downloading"
    assert r"unpacking \[b]" in said[1]

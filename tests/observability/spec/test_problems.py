"""The form of a problem."""

from observability.spec.problems import Invalid, Problem, by_place


def test_problem_prints_place_message_and_fix() -> None:
    """Whoever prints it shows all that is needed to correct it."""
    problem = Problem("file.yaml: key", "is wrong", "write it right", "lint")
    assert str(problem) == "file.yaml: key: is wrong\n    fix: write it right  [lint]"


def test_invalid_contains_every_problem() -> None:
    """As data for programs, as text for people."""
    both = [Problem("a", "b", "c"), Problem("d", "e", "f")]
    error = Invalid(both)
    assert error.problems == both
    assert str(error).count("fix:") == 2


def test_problems_sort_by_file_and_line() -> None:
    """Lines are compared as numbers; a place without a line comes before those with one."""
    places = ["b.yaml:1: a", "a.yaml:10: a", "a.yaml:9: b", "a.yaml: z"]
    problems = [Problem(place, "", "") for place in places]
    assert [problem.where for problem in sorted(problems, key=by_place)] == places[::-1]

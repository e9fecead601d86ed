"""Resources that answers name: ids of any kind, and resources below others of the same answer."""

from typing import Any

import pytest

from loadtests.resources import list_created

USER = {"resource": "/users/{}", "field": "id", "below": []}
NOTE = {"resource": "/users/{}/notes/{}", "field": "note", "below": []}
COMMENT = {"resource": "/users/{}/notes/{}/comments/{}", "field": "comment", "below": []}


def test_resources_of_one_answer_lie_below_each_other() -> None:
    """The order in which the catalogue lists them does not matter."""
    body = {"id": 7, "note": "a/b", "comment": "c"}
    created = {new.name: new for new in list_created([COMMENT, USER, NOTE], {}, body)}
    comment = created["/users/{}/notes/{}/comments/{}"]
    assert comment.match(["user", "note", "id"]) == {"user": "7", "note": "a/b", "id": "c"}
    assert [comment.is_below(other) for other in created.values()] == [True, True, False]


def test_a_parent_whose_own_parents_are_unknown_says_nothing() -> None:
    """The id of a note must not become that of the user whom the note belongs to."""
    note, comment = list_created([NOTE, COMMENT], {}, {"note": "n", "comment": "c"})
    assert note.match(["user", "note"]) == {"note": "n"}
    assert comment.match(["user", "note", "comment"]) == {"comment": "c"}


@pytest.mark.parametrize("body", [{"id": value} for value in (None, "", True, 1.5, {}, [1])])
def test_what_is_no_id_is_refused(body: Any) -> None:
    """A path with `None` or nothing would be another resource, and its 404 the service's fault."""
    with pytest.raises(ValueError, match="id is "):
        list_created([USER], {}, body)


@pytest.mark.parametrize("body", [None, [], {}, "text", 5])
def test_an_answer_of_another_shape_is_refused(body: Any) -> None:
    """The caller catches these three errors."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        list_created([USER], {}, body)

"""The registration of tasks."""

import pytest

from api.platform.jobs import tasks
from observability.spec import loading
from tests.api.conftest import MakeApp
from tests.api.platform.other_app.app import FOLDER
from tests.api.platform.other_app.orders import NOTIFY, SHIPPING


@pytest.mark.parametrize(
    ("registered", "deliveries"), [((), NOTIFY), ((SHIPPING,), ""), ((SHIPPING,), "orders.print")]
)
def test_jobs_must_match_the_catalogue(
    make_app: MakeApp, registered: tuple[tasks.Task, ...], deliveries: str
) -> None:
    """The app starts only if it registers exactly the jobs of the catalogue."""
    plan = loading.load_plan(FOLDER / "catalogue.yaml")
    with pytest.raises(
        RuntimeError, match=r"but catalogue\.yaml declares \['orders\.notify-buyer'"
    ):
        tasks.init_app(make_app(), plan, registered, deliveries)

"""Queries of PostgreSQL's exporter and of the backup."""

from collections.abc import Callable

import yaml

from observability.generate import postgres
from observability.spec.plan import Plan
from tests.observability.compiler_support import SMALL


def test_the_size_of_declared_tables_is_measured(plan: Plan, plan_of: Callable[..., Plan]) -> None:
    """The name of the table is part of the metrics' names."""
    declared = yaml.safe_load(postgres.render(plan)[postgres.QUERIES])
    common = yaml.safe_load(postgres.render(plan_of(SMALL))[postgres.QUERIES])
    assert declared.keys() - common.keys() == {"evara_postgres_orders"}
    assert "FROM pg_class WHERE oid = 'public.orders'" in declared["evara_postgres_orders"]["query"]


def test_a_backup_is_compared_by_declared_times(plan: Plan, plan_of: Callable[..., Plan]) -> None:
    """Each is one statement; without any the file holds no statement."""
    [_, statement] = postgres.render(plan)[postgres.SUMMARY].splitlines()
    newest = "SELECT 'newest order', max(extract(epoch FROM created)) FROM public.orders;"
    assert statement == newest
    [header] = postgres.render(plan_of(SMALL))[postgres.SUMMARY].splitlines()
    assert header.startswith("-- Generated")

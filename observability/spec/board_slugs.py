"""Slugs of the dashboards, as links and uids have them."""

OVERVIEW = "overview"
SLO = "slo"
ROUTES = "routes"
DEPENDENCIES = "dependencies"
RUNTIME = "runtime"
JOBS = "jobs"
LOG = "logs"
LOAD = "load"
ALL = (OVERVIEW, SLO, ROUTES, DEPENDENCIES, RUNTIME, JOBS, LOG, LOAD)

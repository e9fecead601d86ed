"""The names of the dashboards in links; it imports nothing."""

OVERVIEW, SLO, ROUTES, DEPENDENCIES = "overview", "slo", "routes", "dependencies"


RUNTIME, JOBS, LOG, LOAD = "runtime", "jobs", "logs", "load"

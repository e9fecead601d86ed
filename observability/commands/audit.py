"""The command that audits packages, images and secrets."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.markup import escape

from observability.audit import images, packages, sbom, secret_scan
from observability.audit.accepted import accept, read_accepted
from observability.audit.advisories import URL, Advisories
from observability.audit.results import FINE, NOT_FINE, UNKNOWN, CouldNotTell, Result
from observability.commands import options
from observability.devstack.layout import ROOT
from observability.terminal import format_verdict, out, print_problems

CHECKS = {module.CHECK: module for module in (packages, images, secret_scan, sbom)}
EXIT_CODES = {NOT_FINE: 1, UNKNOWN: 2, FINE: 0}  # that of the first verdict that a check has


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(CHECKS)), help="Run these checks.")
@click.option("--osv", default=URL, show_default=True, help="Server with the advisories.")
@options.as_json
def audit(only: tuple[str, ...], osv: str, json_: bool) -> None:
    """Look for vulnerabilities in packages and image, and for secrets; write the SBOM."""
    entries = read_accepted(ROOT)
    advisories = Advisories(osv)
    results = [run_check(name, advisories) for name in only or CHECKS]
    results = accept(results, entries, datetime.now(UTC).date())
    if json_:
        out.print_json(data={"checks": list(map(asdict, results))})
    else:
        print_results(results)
    verdicts = {result.verdict for result in results}
    sys.exit(next(code for verdict, code in EXIT_CODES.items() if verdict in verdicts))


def run_check(name: str, advisories: Advisories) -> Result:
    """Return the result of a check, with the reason where it could not tell."""
    try:
        result: Result = CHECKS[name].check(ROOT, advisories)
    except CouldNotTell as error:
        reason = " ".join(str(error).split())  # in one line, although that of a tool has several
        result = Result(name, UNKNOWN, reason)
    return result


def print_results(results: list[Result]) -> None:
    """Print a row for each check, then every finding with its fix."""
    for result in results:
        verdict = format_verdict(result.verdict)
        out.print(f"  {result.check:<10}{verdict}: {escape(result.text)}")
    findings = [finding for result in results for finding in result.findings]
    if findings:
        print_problems(findings)

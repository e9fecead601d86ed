"""The addresses under which people reach the pages of a stack."""

import re
from collections.abc import Mapping

from observability.devstack.user_settings import user_settings
from observability.spec.problems import Invalid, Problem

SETTING = "EVARA_PUBLIC_URL"
LOCAL = "http://localhost:{port}"
PATTERN = re.compile(r"https?://([a-z0-9.-]|\{page\}|\[[0-9a-f:]+\])+(:(\d+|\{port\}))?", re.I)
LINK = re.compile(r"(http://)?(?<![\w.-])localhost:(\d+)")  # a page of a stack without settings


def public_url() -> str:
    """Return the pattern of the URLs of pages that EVARA_PUBLIC_URL sets; raise Invalid.

    It has the fields {page} and {port}. A URL without fields names the machine, on which the pages
    have their own ports.
    """
    given = user_settings().get(SETTING, "")
    pattern = given.rstrip("/") or LOCAL
    if "{" not in pattern:
        pattern += ":{port}"
    if not PATTERN.fullmatch(pattern):
        message = f"{given!r} is no address of pages"
        examples = "https://ops.example.org or https://{page}.example.org"
        fix = f"in the environment or .env, set one such as {examples}"
        raise Invalid([Problem(SETTING, message, fix, "environment")])
    return pattern


def replace_links(text: str, urls: Mapping[int, str]) -> str:
    """Return a text in which pages at localhost have their public URLs, by port."""

    def replacement(link: re.Match[str]) -> str:
        url = urls.get(int(link[2]), link[0])
        return url if link[1] else url.removeprefix("http://")

    return LINK.sub(replacement, text)

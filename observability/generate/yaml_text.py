"""Generated YAML: its header and its layout."""

from typing import Any

import yaml

HEADER = (
    "# Generated from observability/catalogue.yaml and policy.yaml; "
    "edit those, then run: make generate\n"
)


class BlockDumper(yaml.CSafeDumper):
    """Block scalars for texts of several lines, so that a diff shows the line that changed."""


def _represent_text(dumper: BlockDumper, text: str) -> yaml.ScalarNode:
    """Return a text of several lines as a block, any other in the style that fits it."""
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


BlockDumper.add_representer(str, _represent_text)


def generated_yaml(data: Any) -> str:
    """Return the text of a file: the header, then the data in order, long lines unbroken."""
    body = yaml.dump(data, Dumper=BlockDumper, sort_keys=False, width=10_000, allow_unicode=True)
    return HEADER + body

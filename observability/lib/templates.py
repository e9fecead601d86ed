"""Text in another language (PromQL, LogQL, Go templates) as templates with named fields in `<<…>>`.

`<<window>>` is an argument of `fill`; `<<SLO>>`, in capitals, is the constant of that name in
spec/names.py. The delimiter occurs in none of those languages, so their braces, dollars and
brackets stand in a template as they are.
"""

import re

from observability.spec import names

FIELD = re.compile(r"<<(\w+)>>")


def fill(template: str, **values: object) -> str:
    """Return the template with every field replaced; raise KeyError for one without a value."""

    def value_of(field: re.Match[str]) -> str:
        name = field[1]
        if name.isupper():
            return str(getattr(names, name))
        return str(values[name])

    return FIELD.sub(value_of, template)

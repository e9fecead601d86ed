"""Text in another language (PromQL, LogQL, Go templates) as templates with named fields in `<<…>>`.

`<<window>>` is an argument of `fill`; `<<SLO>>`, in capitals, is the constant of that name in
spec/names.py. The delimiter occurs in none of those languages, so their braces, dollars and
brackets stand in a template as they are.
"""

import re

from observability.spec import names

FIELD = re.compile(r"<<(\w+)>>")


def fill(template: str, **values: object) -> str:
    """Return the template with every field replaced; raise TypeError unless each has a value."""
    fields = set(FIELD.findall(template))
    arguments = {field for field in fields if not field.isupper()}
    if arguments != values.keys():
        wrong = ", ".join(sorted(arguments ^ values.keys()))
        raise TypeError(f"the template's fields are not the values given: {wrong}")
    constants = {field: getattr(names, field) for field in fields - arguments}
    texts = {**constants, **values}
    return FIELD.sub(lambda match: str(texts[match[1]]), template)

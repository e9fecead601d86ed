"""Text of the catalogue as literal text in other languages, one function per language.

Text of the catalogue is prose in which `this` is code. Its whitespace is single spaces. An alert's
`summary` and a metric's `query` are no such text: they are written in their output's language.
"""

import re

# A pipeline of Alertmanager's templates. Slack's own escapes; its formatting is off in our texts.
SLACK = ' | reReplaceAll "&" "&amp;" | reReplaceAll "<" "&lt;" | reReplaceAll ">" "&gt;"'
TEMPLATE_MARK = re.compile(r"\{\{")


def go_template(text: str) -> str:
    """Return text for annotations, which Prometheus, Loki and Alertmanager expand as templates."""
    return TEMPLATE_MARK.sub('{{ "{{" }}', text)

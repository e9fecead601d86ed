"""Become a program with the variables of a JSON file: `with_environment FILE DIGEST COMMAND…`.

supervisord's own syntax of variables has no escape for quotes, backslashes and line breaks. The
digest of the variables is not read: it makes supervisord restart the program when they change.
"""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    path, _, *command = sys.argv[1:]
    variables = json.loads(Path(path).read_text(encoding="utf-8"))
    os.execvpe(command[0], command, os.environ | variables)  # noqa: S606 - of our configuration


if __name__ == "__main__":
    main()

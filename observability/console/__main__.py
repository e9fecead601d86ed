"""`python -m observability.console FILE HOST PORT` keeps the inbox in FILE and serves it."""

import sys
from pathlib import Path

from observability.console.inbox import server

if __name__ == "__main__":
    server(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])).serve_forever()

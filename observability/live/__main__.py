"""`python -m observability.live URL HOST PORT EVERY` probes the catalogue's routes at URL and exposes the result."""

import sys
from dataclasses import replace

from observability import plan
from observability.catalogue import duration
from observability.live.prober import serve

if __name__ == "__main__":
    url, host, port, every = sys.argv[1:5]
    serve(replace(plan.from_files(), probe_every=duration(every).seconds), url, host, int(port))

"""`python -m observability.slo URL HOST PORT EVERY` probes the catalogue's routes at URL and exposes the result.

EVARA_API_KEY is its key: not an argument, because everybody sees those.
"""

import os
import sys
from dataclasses import replace

from observability.slo.prober import serve
from observability.spec import plan
from observability.spec.schema import duration

if __name__ == "__main__":
    url, host, port, every = sys.argv[1:5]
    serve(
        replace(plan.from_files(), probe_every=duration(every).seconds),
        url,
        os.environ.get("EVARA_API_KEY", ""),
        host,
        int(port),
    )

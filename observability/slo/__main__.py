"""Command line of the prober: `python -m observability.slo URL HOST PORT EVERY`.

The API key comes from EVARA_API_KEY, because arguments are visible in the process list.
"""

import os
import sys
from dataclasses import replace

from observability.slo.prober import serve
from observability.spec import loading, redaction
from observability.spec.quantities import parse_duration

if __name__ == "__main__":
    redaction.protect_output()
    url, host, port, every = sys.argv[1:5]
    serve(
        replace(loading.load_plan(), probe_every=parse_duration(every).seconds),
        url,
        os.environ.get("EVARA_API_KEY", ""),
        host,
        int(port),
    )

"""Run a command and write down its seconds and megabytes: `python -S launched.py FIGURES.json COMMAND…`.

A process of its own because it is a small one: the kernel counts what a starting process holds to the peak of the started.
"""

import json
import resource
import subprocess
import sys
import time

FIGURES, *COMMAND = sys.argv[1:]


def main():
    started = time.perf_counter()
    code = subprocess.call(COMMAND)
    seconds = time.perf_counter() - started
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    with open(FIGURES, "w") as figures:  # noqa: PTH123 - pathlib would make this process larger
        json.dump({"seconds": seconds, "megabytes": megabytes}, figures)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()

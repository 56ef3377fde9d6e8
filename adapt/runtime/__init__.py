"""Files, locks, signals and processes.

Nothing here knows of learning or changes a number.
"""

import sys

# Windows has no fork, flock or Unix sockets. Every module that needs them imports this package first.
if sys.platform == "win32":
    raise SystemExit("error: adapt does not run on Windows itself; install WSL2 and run it in there")

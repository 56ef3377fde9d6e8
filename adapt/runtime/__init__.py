"""Files, locks, signals and processes.

Nothing here knows of learning or changes a number.
"""

import sys

if sys.platform == "win32":  # has no fork, no flock and no such sockets; all that needs them imports this first
    raise SystemExit("error: adapt does not run on Windows itself; install WSL2 and run it in there")

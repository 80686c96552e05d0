"""`python -m deploy.cli`."""

import sys
from pathlib import Path

OURS = ("deploy", "services", "shared")

try:
    from deploy.cli.app import main
except ImportError as error:
    # While `make run` installs, some packages are there and others are not.
    if error.name is None or error.name.partition(".")[0] in OURS:
        raise
    sys.stderr.write(
        f"ebbtide: {error.name} is not installed: wait until `make run` or `make ebbtide` has installed"
        f" everything, or run `make ebbtide` in {Path(__file__).parents[2]} once\n"
    )
    raise SystemExit(2) from None
except KeyboardInterrupt:
    raise SystemExit(130) from None

if __name__ == "__main__":
    main()

"""`python -m services.alerts`: transitions → alerts → people. Settings come from EBBTIDE_*."""

import argparse
import asyncio
import sys

from services.alerts.settings import Settings
from services.alerts.wiring import SERVICE, Alerts
from shared.configuration import LogFormat, load
from shared.errors import InvalidConfiguration
from shared.observability.logging import configure_logging
from shared.process import run


async def serve(settings: Settings) -> int:
    return await run(Alerts(settings).parts())


def main() -> int:
    argparse.ArgumentParser(prog="python -m services.alerts", description=__doc__).parse_args()
    try:
        settings = load(Settings, service=SERVICE)
    except InvalidConfiguration as error:
        print(f"{SERVICE}: {error}", file=sys.stderr)  # noqa: T201  a command's answer
        return 2
    configure_logging(
        service=SERVICE,
        level=settings.log_level,
        json=settings.log_format is LogFormat.JSON,
    )
    return asyncio.run(serve(settings))


if __name__ == "__main__":
    raise SystemExit(main())

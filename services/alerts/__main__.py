"""`python -m services.alerts`: transitions → alerts → people. Settings come from EBBTIDE_*."""

from services.alerts.settings import Settings
from services.alerts.wiring import SERVICE, Alerts
from shared.process import serve


def main() -> int:
    return serve(
        Settings, service=SERVICE, parts=lambda it: Alerts(it).parts(), description=__doc__
    )


if __name__ == "__main__":
    raise SystemExit(main())

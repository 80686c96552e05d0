"""`python -m services.api`: Postgres → dashboards and operators. Settings come from EBBTIDE_*."""

from services.api.settings import Settings
from services.api.wiring import SERVICE, Api
from shared.process import serve


def main() -> int:
    return serve(Settings, service=SERVICE, parts=lambda it: Api(it).parts(), description=__doc__)


if __name__ == "__main__":
    raise SystemExit(main())

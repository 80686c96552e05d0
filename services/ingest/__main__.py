"""`python -m services.ingest`: product apps → Kafka. Settings come from EBBTIDE_*."""

from services.ingest.settings import Settings
from services.ingest.wiring import SERVICE, Ingest
from shared.process import serve


def main() -> int:
    return serve(
        Settings, service=SERVICE, parts=lambda it: Ingest(it).parts(), description=__doc__
    )


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m services.segmenter`: Kafka and time → tiers → transitions. Settings come from EBBTIDE_*."""

from services.segmenter.settings import Settings
from services.segmenter.wiring import SERVICE, Segmenter
from shared.process import serve


def main() -> int:
    return serve(
        Settings, service=SERVICE, parts=lambda it: Segmenter(it).parts(), description=__doc__
    )


if __name__ == "__main__":
    raise SystemExit(main())

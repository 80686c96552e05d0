"""The options of `ebbtide import`, as they are described to whoever types them."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from deploy.cli.importing.open_file import KNOWN

MOST_EVENTS = 2_500  # ingest's limit for one request

Files = Annotated[list[Path], Argument(metavar="FILE", show_default=False)]
Maps = Annotated[
    list[str] | None,
    Option("--map", metavar="FIELD=COLUMN", help="Where a field comes from."),
]
Constants = Annotated[
    list[str] | None,
    Option("--set", metavar="FIELD=VALUE", help="A field that all events share."),
]
Zone = Annotated[str, Option(help="Zone of timestamps without an offset.")]
TimestampFormat = Annotated[
    str, Option(help="iso, seconds, milliseconds, or a pattern such as '%d.%m.%Y'.")
]
FileFormat = Annotated[
    str | None, Option("--format", help=f"{', '.join(KNOWN)}; else the name's end tells.")
]
Delimiter = Annotated[
    str | None, Option(help="What stands between the columns of a CSV (a comma).")
]
Url = Annotated[str | None, Option(envvar="EBBTIDE_INGEST_URL", help="Ingest's address.")]
WriteKey = Annotated[
    str | None,
    Option(
        envvar="EBBTIDE_WRITE_KEY",
        help="Others on this machine can see it here: prefer the variable.",
    ),
]
DryRun = Annotated[bool, Option("--dry-run", help="Say what would be sent, and send nothing.")]
DryRows = Annotated[int | None, Option(min=1, help="With --dry-run: look at so many rows only.")]
Batch = Annotated[int, Option(min=1, max=MOST_EVENTS, help="Events of a request.")]
InFlight = Annotated[int, Option(min=1, max=64, help="Requests at the same time.")]
Rate = Annotated[float | None, Option(help="Events per second at most.")]
Patience = Annotated[float, Option(min=0, help="Seconds for which a request is tried.")]
Rejects = Annotated[Path | None, Option(help="Where rejected rows go (FILE.rejected.ndjson).")]
MaxRejects = Annotated[int | None, Option(min=0, help="Stop once more rows are rejected.")]
StateDir = Annotated[Path | None, Option(help="Where it is kept how far it got (.local/import).")]
Restart = Annotated[bool, Option("--restart", help="Begin anew, whatever is known of the files.")]

"""`ebbtide`: the operators' commands. Each has a module of its own, and is added here."""

import typer

from deploy.cli.import_command import import_files
from deploy.cli.rebuild_command import rebuild
from deploy.cli.segmenter_command import segmenter

# Locals hold keys: a traceback must not show them.
app = typer.Typer(
    name="ebbtide",
    help="Commands for operators of Ebbtide.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("import", no_args_is_help=True)(import_files)
app.add_typer(segmenter)
app.command("rebuild")(rebuild)


def main() -> None:
    app(prog_name="ebbtide")

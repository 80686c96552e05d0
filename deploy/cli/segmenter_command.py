"""`ebbtide segmenter`: what operators ask about the segmenter."""

import json
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from deploy.cli.exits import NoServer, Status, explained
from deploy.cli.places import Place, api_place
from deploy.cli.segmenter_status import stands_still, status_table

ANSWER_S = 15.0

segmenter = typer.Typer(name="segmenter", help="Look at the segmenter.", no_args_is_help=True)


@segmenter.callback()
def _group() -> None:
    """Look at the segmenter."""


@segmenter.command("status")
def show_status(
    *,
    url: Annotated[
        str | None, typer.Option(envvar="EBBTIDE_API_URL", help="The api's address.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="EBBTIDE_API_KEY", help="A key of the api.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the api's answer, on one line.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="With --watch: seconds between.")] = 2.0,
) -> None:
    """Say who folds each partition, how far it is, and which one stands still."""
    with explained():
        place = api_place(url, api_key)
        with httpx.Client(
            base_url=place.url,
            headers={"authorization": f"Bearer {place.key}"},
            timeout=ANSWER_S,
            trust_env=False,
        ) as client:
            show = _print_json if as_json else _print_table
            if watch:
                _watch(client, place, show, every)
            answer = ask(client, place)
            show(answer)
        raise typer.Exit(Status.PARTLY if stands_still(answer) else Status.DONE)


def ask(client: httpx.Client, place: Place) -> dict[str, Any]:
    """Return the api's answer. Raises NoServer."""
    try:
        answer = client.get("/v1/segmenter")
    except httpx.HTTPError as error:
        raise NoServer(
            f"{place.url} does not answer: {str(error) or type(error).__name__}"
        ) from None
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise NoServer(f"{place.url} does not know the key")
    try:
        body: dict[str, Any] = answer.raise_for_status().json()
        _ = body["workers"], body["partitions"], body["lag"]
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError):
        raise NoServer(f"{place.url} answers {answer.status_code}: {answer.text[:200]}") from None
    return body


def _watch(
    client: httpx.Client, place: Place, show: Callable[[dict[str, Any]], None], every_s: float
) -> None:
    """Show it until Ctrl-C, which is the usual end. A server that is away may come back."""
    try:
        while True:
            try:
                answer = ask(client, place)
            except NoServer as error:
                sys.stderr.write(f"ebbtide: {error}\n")
            else:
                if show is _print_table and sys.stdout.isatty():
                    Console().clear()
                show(answer)
            time.sleep(every_s)
    except KeyboardInterrupt:
        raise typer.Exit(Status.DONE) from None


def _print_json(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _print_table(answer: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    for part in status_table(answer):
        console.print(part, highlight=False)

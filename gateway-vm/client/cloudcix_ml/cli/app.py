"""All commands."""

import os
import sys

import typer
from typer._completion_classes import completion_init

from cloudcix_ml.cli import (
    agents,
    completion,
    corpora,
    crawls,
    doctor,
    documents,
    indexing,
    jobs,
    login,
    search,
    streams,
    watching,
    webhooks,
)
from cloudcix_ml.cli.completion import COMPLETE_VARIABLE, PROGRAM
from cloudcix_ml.cli.exits import exit_of
from cloudcix_ml.version import VERSION

EPILOG = (
    "Exit statuses: 0 good, 1 something failed or was declined, 2 not understood, 3 no address or key, 4 denied, 5 not found, 6 unreachable for now, "
    "7 not ended in time, 130 interrupted."
)

app = typer.Typer(
    name="cloudcix-ml",
    help="Index pages and files on your own machines, and search them.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,  # `completion` prints the script, and writes into nobody's files
    pretty_exceptions_enable=False,  # local variables may hold what was sent
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say the version."),
) -> None:
    """Index pages and files on your own machines, and search them."""


for part in (login, indexing, crawls, watching, jobs, search, corpora, documents, webhooks, doctor, agents, completion):
    part.add_to(app)


def run() -> None:
    """Run the command that was given, or complete its words."""
    if COMPLETE_VARIABLE in os.environ:
        completion_init()
    streams.prepare()
    try:
        with streams.written():  # a help or a version, too
            app(prog_name=PROGRAM)
    except streams.OutputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(exit_of(error))

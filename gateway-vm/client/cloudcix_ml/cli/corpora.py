"""`corpora`."""

from itertools import islice
from typing import Annotated

import typer

from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.jobs import Limit
from cloudcix_ml.cli.shell import Shell, command, group
from cloudcix_ml.cli.streams import asks
from cloudcix_ml.errors import ConfigurationError

COLUMNS = ("corpus", "documents", "chunks", "tokens", "model", "updated (UTC)")
SPARE = ("model", "updated (UTC)", "tokens", "chunks")
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def list_corpora(shell: Shell, limit: Limit = 200) -> None:
    """List your corpora."""
    corpora = list(islice(shell.client.corpora.list(), limit))
    if shell.out.as_json:
        shell.out.data(corpora)
        return
    rows = ((one.name, one.documents, one.chunks, one.tokens, one.model, one.updated_at) for one in corpora)
    shell.out.table(COLUMNS, rows, wide="corpus", spare=SPARE)


def show_corpus(shell: Shell, name: Annotated[str, typer.Argument(metavar="CORPUS")]) -> None:
    """Tell how much is in a corpus."""
    one = shell.client.corpora.get(name)
    if shell.out.as_json:
        shell.out.data(one)
    else:
        shell.out.table(
            COLUMNS, [(one.name, one.documents, one.chunks, one.tokens, one.model, one.updated_at)], spare=SPARE
        )


def delete_corpus(shell: Shell, name: Annotated[str, typer.Argument(metavar="CORPUS")], yes: Yes = False) -> None:
    """Delete a corpus with everything in it."""
    corpus = shell.client.corpora.get(name)
    sure(shell, f"Delete corpus {name} with its {corpus.documents} documents?", yes)
    shell.client.corpora.delete(name)
    if shell.out.as_json:
        shell.out.data({"deleted": name, "documents": corpus.documents})
    else:
        shell.out.note(f"Deleted {name}: {corpus.documents} documents.")


def sure(shell: Shell, question: str, yes: bool) -> None:
    """Ask before something is gone; where nobody can answer, `--yes` has to be said.

    A "no" ends the command: nothing is wrong, and what was asked for was not done.

    Raises
    ------
    ConfigurationError
        If nobody can be asked.
    """
    if yes:
        return
    if not asks():
        raise ConfigurationError("nobody can be asked here; say --yes")
    if not typer.confirm(question, err=True):
        shell.out.note("Left as it is.")
        raise typer.Exit(Exit.FAILED)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    corpora = group(app, "corpora", "What you search in.")
    command(corpora)(list_corpora)
    command(corpora, "show")(show_corpus)
    command(corpora, "delete")(delete_corpus)

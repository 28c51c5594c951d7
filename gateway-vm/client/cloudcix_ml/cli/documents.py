"""`documents`."""

from itertools import islice
from typing import Annotated

import typer

from cloudcix_ml.cli.corpora import Yes, sure
from cloudcix_ml.cli.jobs import Limit
from cloudcix_ml.cli.shell import Shell, command, group

Corpus = Annotated[str, typer.Option("--corpus", "-c", help="Which corpus it is in.")]
Id = Annotated[str, typer.Argument(metavar="DOCUMENT")]


def list_documents(shell: Shell, corpus: Corpus = "default", limit: Limit = 50) -> None:
    """List a corpus' documents."""
    documents = list(islice(shell.client.documents.list(corpus, page_size=min(limit, 200)), limit))
    if shell.out.as_json:
        shell.out.data(documents)
        return
    rows = ((one.document_id, one.chunks, one.as_of, one.title, one.url) for one in documents)
    shell.out.table(
        ("document", "chunks", "as of (UTC)", "title", "url"),
        rows,
        wide="url",
        spare=("chunks", "as of (UTC)", "title"),
    )
    if len(documents) == limit:
        shell.out.note(f"The first {limit}; --limit shows more.")


def show_document(shell: Shell, document_id: Id, corpus: Corpus = "default") -> None:
    """Tell all of a document but its text."""
    document = shell.client.documents.get(corpus, document_id)
    facts = document.model_dump(mode="json", exclude={"items", "next_cursor"})
    if shell.out.as_json:
        shell.out.data(facts)
    else:
        shell.out.table(("", ""), ((name, value) for name, value in facts.items() if value not in (None, {})))


def text_of_document(shell: Shell, document_id: Id, corpus: Corpus = "default") -> None:
    """Print a document's text."""
    content = shell.client.documents.content(corpus, document_id)
    if shell.out.as_json:
        shell.out.data(content)
    else:
        shell.out.raw(content.text)


def delete_document(shell: Shell, document_id: Id, corpus: Corpus = "default", yes: Yes = False) -> None:
    """Delete a document."""
    sure(shell, f"Delete document {document_id} of corpus {corpus}?", yes)
    shell.client.documents.delete(corpus, document_id)
    if shell.out.as_json:
        shell.out.data({"deleted": document_id, "corpus": corpus})
    else:
        shell.out.note(f"Deleted {document_id}.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    documents = group(app, "documents", "The pages and files of a corpus.")
    command(documents)(list_documents)
    command(documents, "show")(show_document)
    command(documents, "text")(text_of_document)
    command(documents, "delete")(delete_document)

"""What a command says: results on standard output, everything else on standard error.

With `--json` a result is one JSON document, and each step of what is followed is one on a line of its own; with `--quiet` nothing
is said but results. Text of others is shown without anything in it that a terminal would obey.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from cloudcix_ml.cli.streams import UNWRITABLE, written
from cloudcix_ml.texts import one_line, plain

PIPED_WIDTH: Final = 100_000
# nothing is cut for a program that reads it
GAP: Final = 2
LEAST_WIDE: Final = 20
# of the column that is cut, as long as another can be left out for it
NARROWEST: Final = 8
STYLES: Final = {
    "completed": "green",
    "good": "green",
    "failed": "red",
    "bad": "red",
    "cancelled": "yellow",
    "completed_with_errors": "yellow",
}


class _Results(Console):
    """Standard output: whoever has read enough of it ends the command, and is told as its end by `shell`."""

    def on_broken_pipe(self) -> None:
        """Raise it, which rich makes an exit status of its own."""
        raise  # rich calls this where it has caught it


class _Notes(Console):
    """Standard error: where nobody reads it, the results are still wanted."""

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        self.quiet = True

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, or say nothing more where the disk behind it is full."""
        try:
            super().print(*objects, **options)
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            self.quiet = True


def _console(*, error: bool) -> Console:
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    kind = _Notes if error else _Results
    return kind(file=stream, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


class Output:
    """Says what a command has to say."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._out = _console(error=False)
        self._error = _console(error=True)

    @property
    def shown(self) -> bool:
        """Whether results are for a person, at a terminal or not."""
        return not self.as_json

    @property
    def width(self) -> int:
        """How many columns there are for results."""
        return self._out.width

    def data(self, value: Any) -> None:
        """Say a result as JSON, in ASCII: there a terminal obeys nothing that is in it, and a program reads the same."""
        with written():
            sys.stdout.write(json.dumps(as_data(value)) + "\n")
            sys.stdout.flush()

    def text(self, text: Text | str) -> None:
        """Say a line of a result; text of others is made plain before."""
        with written():
            self._out.print(text if isinstance(text, Text) else Text(plain(text)), overflow="fold")

    def raw(self, text: str) -> None:
        """Say a long text: as it is for a program, made plain at a terminal."""
        with written():
            sys.stdout.write((plain(text) if sys.stdout.isatty() else text).rstrip("\n") + "\n")
            sys.stdout.flush()

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        wide: str | None = None,
        spare: Sequence[str] = (),
    ) -> None:
        """Say a list as a table that fits the terminal.

        Parameters
        ----------
        wide
            The column that is cut where it does not.
        spare
            Columns that are left out where it still does not, the first one first.
        """
        cells = [[cell(value) for value in row] for row in rows]
        widths = [max([len(name), *(row[index].cell_len for row in cells)]) for index, name in enumerate(columns)]
        kept = [*range(len(columns))]
        least = [min(width, LEAST_WIDE) if name == wide else width for name, width in zip(columns, widths, strict=True)]
        for name in spare:
            if sum(least[index] + GAP for index in kept) - GAP > self.width:
                kept.remove(columns.index(name))
        made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, show_header=any(columns))
        for index in kept:
            others = sum(widths[other] + GAP for other in kept if other != index)
            most = max(self.width - others, NARROWEST) if columns[index] == wide else None
            # the first one says what a row is of: half an id helps nobody
            least_of_it = widths[index] if index == 0 else None
            made.add_column(columns[index], overflow="ellipsis", no_wrap=True, min_width=least_of_it, max_width=most)
        for row in cells:
            made.add_row(*(row[index] for index in kept))
        with written():
            self._out.print(made)

    def note(self, text: str, style: str = "") -> None:
        """Say something beside the result."""
        if not self.quiet:
            self._error.print(Text(plain(text), style=style), overflow="fold")

    def error(self, text: str) -> None:
        """Say what went wrong, always."""
        self._error.print(Text.assemble(("error: ", "bold red"), plain(text)), overflow="fold")

    def progress(self) -> "Progress":
        """Return what shows how something is getting on."""
        return Progress(self._error, quiet=self.quiet or self.as_json)


class Progress(AbstractContextManager["Progress"]):
    """A line that changes at a terminal; a line a change where there is none."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._last = ""
        live = console.is_terminal and not quiet
        self._status = Status("", console=console, spinner="dots") if live else None
        self._context: AbstractContextManager[Any] = self._status or nullcontext()

    def __enter__(self) -> "Progress":
        self._context.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._context.__exit__(*raised)

    def say(self, text: str, *, end: bool = False) -> None:
        """Say how it is now; its end is said as the result, and so is no line here."""
        line = one_line(text)
        if self._quiet or line == self._last:
            return
        self._last = line
        if self._status is None and end:
            return
        if self._status is not None:
            self._status.update(Text(one_line(line, max(self._console.width - 4, 20))))
        else:
            self._console.print(Text(line))


def cell(value: Any) -> Text:
    """Return a value as it stands in a table."""
    if value is None:
        return Text("")
    if isinstance(value, datetime):
        return Text(value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"))
    line = one_line(str(value))
    return Text(line, style=STYLES.get(line, ""))


def as_data(value: Any) -> Any:
    """Return models, and what has models in it, as what JSON has."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case dict():
            return {name: as_data(one) for name, one in value.items()}
        case list() | tuple():
            return [as_data(one) for one in value]
        case _:
            return value

"""What every command has: the client, what it says, and how it ends."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from cloudcix_ml.cli import settings
from cloudcix_ml.cli.exits import Exit, exit_of
from cloudcix_ml.cli.output import Output
from cloudcix_ml.cli.streams import drop_the_rest
from cloudcix_ml.client import Client
from cloudcix_ml.errors import CloudCIXError, ConfigurationError

Json = Annotated[bool, typer.Option("--json", help="Say results as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results.")]
SHARED = (
    inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json),
    inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet),
)


class Shell:
    """One run of a command."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self.come_back = ""
        """What to run to see how something is that this command had accepted, and that goes on without it."""
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The client, made when it is first needed."""
        if self._client is None:
            self._client = Client(*self.place())
        return self._client

    def place(self) -> tuple[str, str]:
        """Return the gateway's address and the key.

        Raises
        ------
        ConfigurationError
            If one of them is not known.
        """
        known = settings.load()
        if not known.url or not known.key:
            missing = "key" if known.url else "address"
            raise ConfigurationError(
                f"no {missing} is known: `cloudcix-ml login`, or set CLOUDCIX_ML_URL and CLOUDCIX_ML_KEY"
            )
        return known.url, known.key

    def close(self) -> None:
        """Close what was opened."""
        if self._client is not None:
            self._client.close()


def command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function a command, with `--json`, `--quiet`, and errors that are one line and an exit status.

    With no name it is what the group does when none of its commands is named.
    """

    def made(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, as_json: bool, quiet: bool, **options: Any) -> None:
            context = options.pop("group_context", None)
            if context is not None and context.invoked_subcommand is not None:
                return
            _run(function, Shell(Output(as_json=as_json, quiet=quiet)), options)

        _shell, *own = inspect.signature(function).parameters.values()
        first = (
            []
            if name
            else [inspect.Parameter("group_context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
        )
        # as keywords only, since a parameter without a default may not follow one that has one
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        parameters = [*first, *own, *SHARED]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__
        if name:
            # said, so that a list of commands wraps it and does not cut it
            app.command(name, short_help=(inspect.getdoc(function) or "").partition("\n")[0])(run)
        else:
            app.callback(invoke_without_command=True)(run)
        return function

    return made


def _run(function: Callable[..., Any], shell: Shell, options: dict[str, Any]) -> None:
    try:
        status = function(shell, **options)
    except CloudCIXError as error:
        known = f". What was accepted goes on; come back to it: {shell.come_back}" if shell.come_back else ""
        shell.out.error(f"{error}{known}")
        raise typer.Exit(exit_of(error)) from None
    except (KeyboardInterrupt, EOFError, typer.Abort):  # the latter two where something is asked
        if shell.come_back:
            shell.out.error(f"interrupted; it goes on. Come back to it: {shell.come_back}")
        raise typer.Exit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        drop_the_rest()  # whoever read has enough, and no word is needed about it
        raise typer.Exit(Exit.GOOD) from None
    finally:
        shell.close()
    if status:
        raise typer.Exit(status)


def group(app: typer.Typer, name: str, text: str) -> typer.Typer:
    """Return a group of commands."""
    made = typer.Typer(help=text, rich_markup_mode=None, add_completion=False)
    app.add_typer(made, name=name, short_help=text)
    return made

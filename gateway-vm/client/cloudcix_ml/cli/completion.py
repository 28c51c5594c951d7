"""`completion`."""

from enum import StrEnum
from typing import Annotated, Final

import typer

PROGRAM: Final = "cloudcix-ml"
COMPLETE_VARIABLE: Final = "_CLOUDCIX_ML_COMPLETE"


class ShellName(StrEnum):
    """Shells that words are completed in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[ShellName, typer.Argument(help="Your shell.")]) -> None:
    """Print what completes this command's words: `source <(cloudcix-ml completion bash)`.

    For good: put that line into ~/.bashrc or ~/.zshrc; for fish,
    `cloudcix-ml completion fish > ~/.config/fish/completions/cloudcix-ml.fish`.
    """
    from typer._completion_shared import get_completion_script

    typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, shell=shell.value))


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("completion")(completion)

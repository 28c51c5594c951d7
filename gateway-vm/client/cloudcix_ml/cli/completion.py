"""`completion`."""

from enum import StrEnum
from typing import Annotated, Final

import typer

from cloudcix_ml.cli.shell import Shell, command

PROGRAM: Final = "cloudcix-ml"
COMPLETE_VARIABLE: Final = "_CLOUDCIX_ML_COMPLETE"


class ShellName(StrEnum):
    """Shells that words are completed in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Shell, name: Annotated[ShellName, typer.Argument(metavar="SHELL", help="Yours.")]) -> None:
    """Print what completes this command's words: `source <(cloudcix-ml completion bash)`.

    For good: put that line into ~/.bashrc or ~/.zshrc; for fish,
    `cloudcix-ml completion fish > ~/.config/fish/completions/cloudcix-ml.fish`.
    """
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, shell=name.value)
    if shell.out.as_json:
        shell.out.data({"shell": name.value, "script": script})
    else:
        shell.out.raw(script)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app, "completion")(completion)

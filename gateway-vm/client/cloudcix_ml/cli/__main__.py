"""`cloudcix-ml`."""

import sys


def main() -> None:
    """Run a command, or say what it takes to have one."""
    try:
        from cloudcix_ml.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        sys.exit("The command line takes more packages than the client: pip install 'cloudcix-ml[cli]'")
    run()


if __name__ == "__main__":
    main()

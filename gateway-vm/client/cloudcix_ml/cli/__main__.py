"""`cloudcix-ml`."""

import sys

from cloudcix_ml.cli.exits import Exit


def main() -> None:
    """Run a command, or say what it takes to have one."""
    try:
        from cloudcix_ml.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "cloudcix_ml":
            raise
        print("The command line takes more packages than the client: pip install 'cloudcix-ml[cli]'", file=sys.stderr)
        sys.exit(Exit.CONFIGURATION)
    run()


if __name__ == "__main__":
    main()

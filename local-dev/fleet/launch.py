"""Becomes one program of the fleet: `python -I -S launch.py FILE`, with the file that `Program.write` made.

The process manager starts this and not the program itself, so that keys stand in no configuration and on no command
line. It imports next to nothing, because every process of the fleet starts through it.
"""

import json
import os
import shutil
import sys


def main(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        program = json.load(file)
    mark = f"{path}.started"
    if os.path.exists(mark):
        _end_earlier(program["state"], program["name"])
    open(mark, "w").close()
    for folder in program["emptied"]:
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700)
    for name in program["removed"]:
        if os.path.lexists(name):
            os.unlink(name)
    if program["user"]:
        user, group = program["user"]
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    os.chdir(program["cwd"])
    os.execvpe(program["command"][0], program["command"], program["environment"])  # noqa: S606 - no shell


def _end_earlier(state: str, name: str) -> None:
    """End what an earlier start of this program left: children outlive a parent that was killed, and hold its port."""
    import site

    site.main()  # -S left the installed packages out, which this rare path needs
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from pathlib import Path

    from fleet.cleanup import end_program

    end_program(Path(state), name)


if __name__ == "__main__":
    main(sys.argv[1])

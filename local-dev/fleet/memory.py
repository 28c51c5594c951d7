"""How much memory a program takes."""

import psutil


def memory_of(pid: int | None) -> float:
    """Return the bytes of a process and its children; shared pages are counted once where the system can tell."""
    if pid is None:
        return 0.0
    total = 0.0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            try:
                total += getattr(one.memory_full_info(), "pss", 0) or one.memory_info().rss
            except psutil.AccessDenied:
                total += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total

"""The shapes that most panels' queries have."""

from boards.model import Query

WINDOW = "$__rate_interval"


def rate(metric: str, *by: str, where: str = "") -> Query:
    """Events a second, by some labels."""
    return Query(f"sum{_by(by)} (rate({metric}{_selector(where)}[{WINDOW}]))", _legend(by) or metric)


def quantile(quantile: float, metric: str, *by: str, where: str = "") -> Query:
    """A quantile of a histogram, by some labels; `metric` without `_bucket`."""
    labels = ", ".join(["le", *by])
    expression = (
        f"histogram_quantile({quantile:g}, sum by ({labels}) (rate({metric}_bucket{_selector(where)}[{WINDOW}])))"
    )
    return Query(expression, " ".join([f"p{quantile * 100:g}", _legend(by)]).strip())


def quantiles(metric: str, *by: str, where: str = "") -> list[Query]:
    """The median and the 95th percentile."""
    return [quantile(share, metric, *by, where=where) for share in (0.5, 0.95)]


def latest(metric: str, *by: str, where: str = "") -> Query:
    """A gauge, the largest of its processes and VMs that have the same labels."""
    return Query(f"max{_by(by)} ({metric}{_selector(where)})", _legend(by) or metric)


def total(metric: str, *by: str, where: str = "") -> Query:
    """A gauge, added up over processes and VMs."""
    return Query(f"sum{_by(by)} ({metric}{_selector(where)})", _legend(by) or metric)


def failed_share(metric: str, failed: str, *by: str) -> Query:
    """How many of the events that a counter counted had labels that mean failure, as a share: 0 where none had."""
    every = f"sum{_by(by)} (rate({metric}[{WINDOW}]))"
    wrong = f"(sum{_by(by)} (rate({metric}{{{failed}}}[{WINDOW}])) or 0 * {every})"
    return Query(f"{wrong} / {every}", _legend(by) or "share")


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _selector(where: str) -> str:
    return f"{{{where}}}" if where else ""


def _legend(by: tuple[str, ...]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by)

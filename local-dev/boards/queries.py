"""The shapes that most panels' queries have."""

from boards.model import Query

WINDOW = "$__rate_interval"


def rate(metric: str, *by: str, where: str = "") -> Query:
    """Events a second, by some labels."""
    labels = ", ".join(by)
    grouping = f" by ({labels})" if by else ""
    return Query(f"sum{grouping} (rate({metric}{_selector(where)}[{WINDOW}]))", _legend(by))


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
    labels = ", ".join(by)
    grouping = f" by ({labels})" if by else ""
    return Query(f"max{grouping} ({metric}{_selector(where)})", _legend(by))


def total(metric: str, *by: str, where: str = "") -> Query:
    """A gauge, added up over processes and VMs."""
    labels = ", ".join(by)
    grouping = f" by ({labels})" if by else ""
    return Query(f"sum{grouping} ({metric}{_selector(where)})", _legend(by))


def failed_share(metric: str, failed: str, *by: str) -> Query:
    """How many of the events that a counter counted had labels that mean failure, as a share: 0 where none had."""
    grouping = f" by ({', '.join(by)})" if by else ""
    every = f"sum{grouping} (rate({metric}[{WINDOW}]))"
    wrong = f"(sum{grouping} (rate({metric}{{{failed}}}[{WINDOW}])) or 0 * {every})"
    return Query(f"{wrong} / {every}", _legend(by))


def _selector(where: str) -> str:
    return f"{{{where}}}" if where else ""


def _legend(by: tuple[str, ...]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by)

"""Spans of statements to PostgreSQL, where somebody will see them."""

from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor


class StatementInstrumentor(AsyncPGInstrumentor):
    """asyncpg's own instrumentation, spared within a trace that is not kept: there it takes half as long as the statement."""

    async def _do_execute(self, func: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        within = trace.get_current_span().get_span_context()
        if within.is_valid and not within.trace_flags.sampled:
            return await func(*args, **kwargs)
        return await super()._do_execute(func, instance, args, kwargs)  # type: ignore[no-untyped-call]

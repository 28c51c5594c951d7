"""From operations to methods: one table of them for both clients.

`Jobs[Blocking]` has methods that return results, `Jobs[Awaiting]` the same ones to await: which of the two a method is depends on
the object that it is taken from, for the type checker too. So there are no twins to be kept alike.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from cloudcix_ml.core.effects import Operation, Stream
from cloudcix_ml.core.session import Session


class Blocking:
    """The mode of a client that blocks until there is a result."""


class Awaiting:
    """The mode of a client whose results are awaited."""


P = ParamSpec("P")
T = TypeVar("T")
Mode = TypeVar("Mode", Blocking, Awaiting)


class Face(Generic[Mode]):
    """A group of methods, and what carries them out."""

    def __init__(self, session: Session, transport: Any) -> None:
        self._session = session
        self._transport = transport


class Method(Generic[P, T]):
    """A method that ends with a result."""

    def __init__(self, operation: Callable[Concatenate[Session, P], Operation[T]]) -> None:
        self._operation = operation
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, face: Face[Blocking], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, face: Face[Awaiting], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, face: None, owner: type) -> "Method[P, T]": ...
    def __get__(self, face: Face[Any] | None, owner: type) -> Any:
        """Return the method of one client."""
        if face is None:
            return self

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return face._transport.run(self._operation(face._session, *args, **kwargs))

        return _dressed(method, self._operation)


class Listing(Generic[P, T]):
    """A method that hands out one thing after the other."""

    def __init__(self, operation: Callable[Concatenate[Session, P], Stream[T]]) -> None:
        self._operation = operation
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, face: Face[Blocking], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, face: Face[Awaiting], owner: type) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, face: None, owner: type) -> "Listing[P, T]": ...
    def __get__(self, face: Face[Any] | None, owner: type) -> Any:
        """Return the method of one client."""
        if face is None:
            return self

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return face._transport.iterate(self._operation(face._session, *args, **kwargs))

        return _dressed(method, self._operation)


def _dressed(method: Callable[..., Any], operation: Callable[..., Any]) -> Callable[..., Any]:
    """Give a method its operation's name, text and signature, without the session."""
    import inspect

    update_wrapper(method, operation)
    _session, *rest = inspect.signature(operation).parameters.values()
    method.__signature__ = inspect.Signature(rest)  # type: ignore[attr-defined]
    del method.__wrapped__  # type: ignore[attr-defined]
    return method

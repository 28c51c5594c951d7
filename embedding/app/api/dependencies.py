"""What routes take from the application."""

from typing import Annotated

from fastapi import Depends, Request

from app.core.service import Embedding


def _opened(request: Request) -> Embedding:
    opened: Embedding = request.app.state.embedding
    return opened


Service = Annotated[Embedding, Depends(_opened)]
"""The core's resources, opened in the lifespan."""

"""The walk over models finds what it is there to find."""

from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ml_shared.contracts.base import RequestModel
from ml_shared.contracts.values import Choice, Count, Metadata, Timestamp
from ml_shared.names import Stage
from ml_shared.testing.models_walk import check_models


class Sound(RequestModel):
    """Everything has its kind and a bound."""

    count: Count = 0
    time: Timestamp | None = None
    stage: Choice[Stage] | None = None
    metadata: Metadata = Field(default_factory=dict)


class Lax(RequestModel):
    """Strictness was switched off."""

    model_config = ConfigDict(strict=False)
    count: Count = 0


class LongText(RequestModel):
    """A text of any length."""

    text: str


class AnyInteger(RequestModel):
    """An integer of any size."""

    number: int


class LooseTime(RequestModel):
    """A time that is read from numbers, and from what is no RFC 3339."""

    time: Annotated[AwareDatetime, Field(strict=False)]


class AnyJson(RequestModel):
    """JSON that is kept as it came."""

    stats: dict[str, Any]


class LongList(RequestModel):
    """A list of any length."""

    counts: list[Count]


class Foreign(RequestModel):
    """A part that is no RequestModel."""

    part: "Part"


class Part(BaseModel):
    """It is lax, and takes unknown fields."""

    count: Count = 0


def app_with(model: type[BaseModel]) -> FastAPI:
    """An application with one route, which takes this body."""
    app = FastAPI()

    async def route(body: Any) -> None: ...

    route.__annotations__["body"] = model
    app.post("/")(route)
    return app


def test_a_model_whose_fields_are_bounded_and_strict_passes() -> None:
    assert check_models(app_with(Sound)) == len(Sound.model_fields)


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (Lax, "Lax.count"),
        (LongText, "LongText.text"),
        (AnyInteger, "AnyInteger.number"),
        (LooseTime, "LooseTime.time"),
        (AnyJson, "AnyJson.stats"),
        (LongList, "LongList.counts"),
        (Foreign, "Part"),
    ],
)
def test_what_is_loose_or_unbounded_is_named(model: type[BaseModel], place: str) -> None:
    with pytest.raises(AssertionError, match=place):
        check_models(app_with(model))

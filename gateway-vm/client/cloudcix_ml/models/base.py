"""What all models have in common."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticSerializationError

from cloudcix_ml.errors import ConfigurationError


class Answered(BaseModel):
    """What is read: fields that this version does not know are passed over, so that a newer platform can be talked to."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Body(BaseModel):
    """What is sent: only what was said, so that the platform's own defaults hold for the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def sent(self) -> bytes:
        """Return it as JSON.

        Raises
        ------
        ConfigurationError
            If something in it can't be written so: a text that is not UTF-8, or a thing that JSON has no word for.
        """
        try:
            return self.model_dump_json(exclude_unset=True).encode()
        except PydanticSerializationError as error:
            why = "a text in it is not UTF-8" if "surrogates" in str(error) else str(error)
            raise ConfigurationError(f"what was given can't be sent as JSON: {why}") from None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Make it of a call's arguments, those that are None left out."""
        return cls(**{name: value for name, value in values.items() if value is not None})


class OpenEnum(StrEnum):
    """Names that may become more: one that this version does not know is kept as it came."""

    @classmethod
    def _missing_(cls, value: object) -> "OpenEnum | None":
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_, unknown._value_ = value.upper(), value
        return unknown

"""What can go wrong with a text. The codes are part of chunking's contract."""

from ml_shared.errors import InvalidError, RateLimitedError, UnavailableError


class ModelLimitError(InvalidError):
    """More tokens were asked for than the serving model reads."""

    code = "max_tokens_too_large"


class CharacterTooLongError(InvalidError):
    """A single character has more tokens than a chunk may have."""

    code = "max_tokens_too_small"


class BusyError(UnavailableError):
    """As many texts as may wait are waiting."""

    code = "chunking_busy"


class TooManyTextsError(RateLimitedError):
    """As many texts of one caller as may be are being cut or wait."""

    code = "too_many_texts"

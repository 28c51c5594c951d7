"""The gateway's locations, read from its configuration, and which of them a request comes to."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s*(?:\#[^\n]*\n | (?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*') | (?P<punctuation>[;{}])
    | (?P<word>(?:\$\{\w+\}|\\.|[^\s;{}"'#])+))""",
    re.VERBOSE,
)
# a variable's braces belong to its word, others open a block


@dataclass
class Directive:
    """One directive with its arguments, and what stands in its braces."""

    name: str
    arguments: list[str]
    line: int
    inside: "list[Directive]" = field(default_factory=list)


@dataclass(frozen=True)
class Location:
    """One `location`: how it is compared with a path (`=`, `^~`, `~`, `~*` or nothing), and what it holds."""

    modifier: str
    pattern: str
    line: int
    directives: tuple[Directive, ...]

    @property
    def denies_strangers(self) -> bool:
        """Whether everybody is denied who is not of the fleet's networks."""
        return any(one.name == "deny" and one.arguments == ["all"] for one in self._access)

    @property
    def admits_the_fleet(self) -> bool:
        """Whether the fleet's networks are allowed before everybody is denied."""
        return bool(self._access) and self._access[0].name == "${GATEWAY_FLEET_ALLOW}"

    @property
    def _access(self) -> list[Directive]:
        # the placeholder has no semicolon of its own, so that it takes the next directive for its arguments
        found = []
        for one in self.directives:
            if one.name == "${GATEWAY_FLEET_ALLOW}":
                found.append(Directive(one.name, [], one.line))
                if one.arguments:
                    found.append(Directive(one.arguments[0], one.arguments[1:], one.line))
            elif one.name in {"allow", "deny"}:
                found.append(one)
        return found

    def matches(self, path: str) -> bool:
        """Tell whether nginx would compare this location with the path and find it alike."""
        if self.modifier == "=":
            return path == self.pattern
        if self.modifier in {"~", "~*"}:
            pattern = re.sub(r"\(\?<(?=[a-z])", "(?P<", self.pattern)  # PCRE's name of a group
            return re.search(pattern, path, re.IGNORECASE if self.modifier == "~*" else 0) is not None
        return path.startswith(self.pattern)


def parse(text: str) -> list[Directive]:
    """Return a configuration's directives.

    Raises
    ------
    ValueError
        If a brace is not closed.
    """
    tokens = list(_tokens(text))
    directives, rest = _block(tokens, 0)
    if rest != len(tokens):
        raise ValueError(f"line {tokens[rest][1]}: a brace closes what none opened")
    return directives


def locations(text: str) -> list[Location]:
    """Return every location that a client's request may come to."""

    def walk(directives: list[Directive]) -> Iterator[Location]:
        for one in directives:
            if one.name == "location" and not one.arguments[-1].startswith("@"):
                modifier = one.arguments[0] if len(one.arguments) == 2 else ""
                if all(inner.name != "internal" for inner in one.inside):
                    yield Location(modifier, one.arguments[-1], one.line, tuple(one.inside))
            else:
                yield from walk(one.inside)

    return list(walk(parse(text)))


def chosen(among: list[Location], path: str) -> Location | None:
    """Return the location that nginx serves a path with: the exact one, else the first regular expression, else the longest prefix."""
    fitting = [one for one in among if one.matches(path)]
    exact = [one for one in fitting if one.modifier == "="]
    prefixes = sorted((one for one in fitting if one.modifier in {"", "^~"}), key=lambda one: len(one.pattern))
    expressions = [one for one in fitting if one.modifier in {"~", "~*"}]
    if prefixes and prefixes[-1].modifier == "^~":
        expressions = []
    return next(iter([*exact, *expressions, *reversed(prefixes)]), None)


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    position = 0
    while match := _TOKEN.match(text, position):
        position = match.end()
        found = match["quoted"] or match["punctuation"] or match["word"]
        if found:
            line = text.count("\n", 0, match.end() - len(found)) + 1
            yield (found[1:-1] if match["quoted"] else found), line
    if text[position:].strip():
        raise ValueError(f"line {text.count(chr(10), 0, position) + 1}: this is no nginx configuration")


def _block(tokens: list[tuple[str, int]], position: int) -> tuple[list[Directive], int]:
    found: list[Directive] = []
    words: list[tuple[str, int]] = []
    while position < len(tokens):
        token, line = tokens[position]
        if token == "}":  # noqa: S105 - a brace
            return found, position
        position += 1
        if token == ";" and words:  # noqa: S105
            found.append(Directive(words[0][0], [word for word, _ in words[1:]], words[0][1]))
            words = []
        elif token == "{":  # noqa: S105
            inside, position = _block(tokens, position)
            if position == len(tokens):
                raise ValueError(f"line {line}: this brace is not closed")
            position += 1
            # what stands alone on lines of its own before is a placeholder of the template's
            begins = next((index for index, (word, _) in enumerate(words) if not word.startswith("${")), 0)
            name, *arguments = [word for word, _ in words[begins:]]
            found.append(Directive(name, arguments, words[begins][1], inside))
            words = []
        elif token != ";":  # noqa: S105
            words.append((token, line))
    return found, position

"""What a robots.txt means: files, and the addresses that they allow and forbid.

What is expected is what RFC 9309 says, and the leniencies of Google's own parser that sites count on
(github.com/google/robotstxt, Apache 2.0). Files and addresses are written for this table: nothing is taken from Google's
code or tests, with which the matcher was compared apart from it.

In one thing RFC 9309 (2.2.2) is followed where Google's parser does otherwise: an escaped letter is that letter, and an
address that was not escaped means the same as one that was.
"""

from dataclasses import dataclass
from typing import Final

AGENT: Final = "CloudCIXBot"


@dataclass(frozen=True)
class Case:
    """One file, read by one agent."""

    says: str
    text: str
    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    agent: str = AGENT


def ours(*lines: str) -> str:
    """Return a file with one group, for us."""
    return "\n".join(("User-agent: CloudCIXBot", *lines, ""))


def only(pattern: str) -> str:
    """Return a file that forbids all but what a pattern is about."""
    return ours("Disallow: /", f"Allow: {pattern}")


def named(name: str) -> str:
    """Return a file that forbids everything to whom a name means."""
    return f"User-agent: {name}\nDisallow: /"


LINES: Final = [
    Case("nothing forbids nothing", "", allowed=("", "/", "/a")),
    Case("a page of HTML forbids nothing", "<!doctype html>\n<p>User-agent: *</p>\nDisallow: /", allowed=("/a",)),
    Case("no path is the root's", ours("Disallow: /"), forbidden=("", "/", "/a/b")),
    Case("other words are no rules", "Robot: CloudCIXBot\nDeny: /\nNoindex: /a", allowed=("/a",)),
    Case("a colon may be missing", "User-agent CloudCIXBot\nDisallow /", forbidden=("/a",)),
    Case("a colon may be missing before a value that has one", ours("Disallow /a:b"), ("/a",), ("/a:b",)),
    Case("a sentence is no rule", ours("Disallow robots to look /a"), allowed=("/a", "/robots")),
    Case(
        "a sentence names nobody",
        "User-agent: *\nDisallow: /b\nUser-agent lines follow\nDisallow: /a",
        forbidden=("/a",),
    ),
    Case("blanks around a colon", ours("Disallow \t:\t /a  "), ("/", "/b"), ("/a",)),
    *(
        Case(
            f"words have no case: {change.__name__}", change(ours("Disallow: /5", "Allow: /5/1")), ("/5/1",), ("/5/2",)
        )
        for change in (str.upper, str.lower, str.swapcase)
    ),
    *(
        Case(f"a slip of the pen: {word}", ours(f"{word}: /a"), ("/",), ("/a",))
        for word in ("disalow", "dissallow", "dissalow", "diasllow", "disallaw")
    ),
    *(
        Case(f"a slip of the pen: {word}", f"{word}: CloudCIXBot\nDisallow: /a", ("/",), ("/a",))
        for word in ("useragent", "user agent", "User Agent")
    ),
    *(
        Case(
            f"lines end with {end!r}",
            ours("Disallow: /a", "", "Disallow: /b").replace("\n", end),
            ("/c",),
            ("/a", "/b"),
        )
        for end in ("\r", "\r\n", "\n\r")
    ),
    Case("lines end as they like", "User-agent: CloudCIXBot\rDisallow: /a\r\nDisallow: /b\n", ("/c",), ("/a", "/b")),
    Case("a separator of Unicode ends no line", ours("Disallow: /a\u2028Allow: /a"), allowed=("/a",)),
    Case("comments", ours("#Disallow: /c", "Disallow: /a#b", "Disallow:#/d"), ("/b", "/c", "/d"), ("/a", "/ab")),
    Case("a last line without an end", "User-agent: CloudCIXBot\nDisallow: /a", forbidden=("/a",)),
]
GROUPS: Final = [
    Case(
        "groups of ours that stand apart are one",
        f"{ours('Disallow: /a')}User-agent: OtherBot\nDisallow: /c\n{ours('Disallow: /b')}",
        allowed=("/c",),
        forbidden=("/a", "/b"),
    ),
    Case("blank lines end nothing", "User-agent: CloudCIXBot\n\n\nDisallow: /a\n\nDisallow: /b", ("/c",), ("/a", "/b")),
    Case("a name behind a rule begins a group", f"{ours('Disallow: /a')}{named('OtherBot')}b", ("/b",), ("/a",)),
    *(
        Case(
            f"names add up until a rule: {name}",
            "User-agent: ABot\nUser-agent: BBot\n\nUser-agent: CBot\nDisallow: /a\nUser-agent: DBot\nDisallow: /d",
            allowed=("/d",),
            forbidden=("/a",),
            agent=name,
        )
        for name in ("ABot", "bbot", "CBOT")
    ),
    Case("rules before any name hold for nobody", "Disallow: /\nUser-agent: *\nDisallow: /a", ("/b",), ("/a",)),
    *(
        Case(
            f"between two names this ends nothing: {line}",
            f"User-agent: CloudCIXBot\n{line}\nUser-agent: OtherBot\nDisallow: /a",
            allowed=("/b",),
            forbidden=("/a",),
        )
        for line in (
            "Colour: blue",
            "words",
            "Crawl-delay: 2",
            "Request-rate: 1/5",
            "Visit-time: 0600-0845",
            "Host: a",
            "Sitemap: /s",
        )
    ),
    *(
        Case(
            f"between two names this is a rule, if an empty one: {line}",
            f"User-agent: CloudCIXBot\n{line}\nUser-agent: OtherBot\nDisallow: /a",
            allowed=("/a",),
        )
        for line in ("Disallow:", "Allow:")
    ),
    Case("no group of ours: everyone's", f"{named('OtherBot')}b\nUser-agent: *\nDisallow: /a", ("/b",), ("/a",)),
    Case("a group of ours: not everyone's", f"User-agent: *\nDisallow: /a\n{ours('Disallow: /b')}", ("/a",), ("/b",)),
    Case("a group of ours, before everyone's", f"{ours('Disallow: /b')}User-agent: *\nDisallow: /a", ("/a",), ("/b",)),
    Case("a group of ours may be empty", f"{named('*')}\nUser-agent: CloudCIXBot", allowed=("/a",)),
    Case("neither: everything", named("OtherBot"), allowed=("/a",)),
]
NAMES: Final = [
    *(
        Case(f"us: {name}", named(name), forbidden=("/a",))
        for name in ("cloudcixbot", "CLOUDCIXBOT", "CloudCIXBot/1.0", "CloudCIXBot*", "CloudCIXBot, OtherBot")
    ),
    *(Case(f"us: {name}", named(name), forbidden=("/a",)) for name in ("CloudCIXBot Images", "CloudCIXBot\tImages")),
    *(
        Case(f"not us: {name}", named(name), allowed=("/a",))
        for name in (
            "Cloud",
            "Bot",
            "CloudCIX",
            "CloudCIXBot2",
            "CloudCIXBot-Images",
            "My CloudCIXBot",
            "*Bot",
            "",
            "/",
        )
    ),
    *(Case(f"everyone: {name}", named(name), forbidden=("/a",)) for name in ("*", "* # all", "* and so on", "*/1.0")),
    Case("our own name has no case", ours("Disallow: /a"), forbidden=("/a",), agent="cloudcixbot"),
    Case(
        "ours with a blank is ours, not everyone's", f"{named('*')}\n{named('CloudCIXBot Images')}b", ("/a",), ("/b",)
    ),
    Case(
        "a name with a blank is nobody's",
        f"{named('*')}\n{named('CloudCIXBot Images')}b",
        forbidden=("/a", "/b"),
        agent="CloudCIXBot Images",
    ),
]
PRECEDENCE: Final = [
    Case(
        "the longest decides, wherever it stands",
        ours("Allow: /1/2", "Disallow: /1/2/3", "Disallow: /1", "Allow: /1/2/3/4", "Disallow: /1/2/3/4/5"),
        allowed=("/", "/1/2", "/1/2/x", "/1/2/3/4/x"),
        forbidden=("/1", "/1/x", "/1/2/3", "/1/2/3/x", "/1/2/3/4/5"),
    ),
    Case(
        "of equals the one that allows", ours("Disallow: /1", "Allow: /1", "Allow: /2", "Disallow: /2"), ("/1", "/2/3")
    ),
    Case("empty rules say nothing", ours("Disallow: /a", "Allow:", "Disallow:"), ("/b",), ("/a",)),
    Case("a star counts as one", ours("Allow: /7x", "Disallow: /*x"), ("/7x", "/7"), ("/8x",)),
    Case("what a star stands for does not count", ours("Allow: /700", "Disallow: /*.xyz"), ("/700",), ("/700.xyz",)),
    Case("an end counts as one", ours("Disallow: /a", "Allow: /a$"), ("/a",), ("/a/",)),
    Case("the root alone", only("/$"), ("", "/"), ("/a", "/?a")),
    Case("an escape counts as what it stands for", ours("Disallow: /%61%62", "Allow: /abc"), ("/abc",), ("/ab",)),
    Case("paths have a case", ours("Disallow: /Shut"), ("/shut",), ("/Shut",)),
    Case(
        "a robots.txt is never forbidden", ours("Disallow: /"), ("/robots.txt",), ("/robots.txt.bak", "/a/robots.txt")
    ),
]
PATTERNS: Final = [
    *(
        Case(
            f"a beginning: {pattern}",
            only(pattern),
            ("/v1", "/v1/", "/v1/users?q", "/v1.2", "/v10", "/v1?q=1"),
            ("/", "/v", "/V1", "/api/v1", "/?next=/v1", "/v2"),
        )
        for pattern in ("/v1", "/v1*", "/v1**")
    ),
    Case("a folder", only("/v1/"), ("/v1/", "/v1/users", "/v1/?q", "/v1//"), ("/v1", "/v1.2/", "/V1/", "/v1?/")),
    Case(
        "an ending, anywhere",
        only("/*.zip"),
        ("/.zip", "/a.zip", "/a/b/c.zip", "/a.zip?v=2", "/a.zip.sig", "/a.zip/b", "/get?file=a.zip", "//a.zip"),
        ("/zip", "/a.ZIP", "/a/zip", "/get?zip", "/a.zi"),
    ),
    Case(
        "an ending, at the end",
        only("/*.zip$"),
        ("/.zip", "/a.zip", "/a/b/c.zip", "/a.zip.zip", "/get?file=a.zip"),
        ("/zip", "/a.zip?v=2", "/a.zip.sig", "/a.zip/", "/a.zipx", "/a.ZIP"),
    ),
    Case(
        "a star in between",
        only("/get*id="),
        ("/getid=", "/get?id=1", "/get/a?b&id=1"),
        ("/get?ID=1", "/id=get", "/g?id="),
    ),
    Case(
        "a star and both its neighbours",
        ours("Disallow: /1/*/3"),
        ("/1/3", "/1/2", "/2/1/3"),
        ("/1//3", "/1/2/3", "/1/2/2/34"),
    ),
    Case("an end", ours("Disallow: /a/b$"), ("/a/b/", "/a/bc", "/a/b?c", "/a"), ("/a/b",)),
    Case("a dollar inside is itself", ours("Disallow: /a$b"), ("/a",), ("/a$b", "/a$bc", "/a%24b")),
    Case("special characters, escaped", ours("Disallow: /a%2Ab", "Disallow: /c%24"), ("/axb", "/c"), ("/a*b", "/c$d")),
    Case("an end has to come after the rest", ours("Disallow: /*ab*bc$"), ("/abc", "/xabbd"), ("/abbc", "/ab/bc")),
    Case("a piece comes after the one before", ours("Disallow: /*one*two"), ("/two/one", "/onetw"), ("/one/two",)),
    Case("a star alone", ours("Disallow: *"), forbidden=("/", "/a")),
    Case("a star first", ours("Disallow: *.pdf"), ("/pdf",), ("/a.pdf",)),
    Case(
        "neither slash nor star first",
        ours("Disallow: a", "Disallow: https://site.example/a"),
        ("/a", "/https://site.example/a"),
    ),
    Case(
        "a folder whose index page is allowed is allowed itself",
        only("/home/index.html"),
        ("/home/", "/home/index.html", "/home/index.html?lang=en"),
        ("/home", "/home/index.htm", "/home/?lang=en", "/home/about", "/index.html"),
    ),
    Case(
        "one whose index page is forbidden is not",
        ours("Disallow: /home/index.html"),
        ("/home/",),
        ("/home/index.html",),
    ),
]
ESCAPES: Final = [
    Case(
        "reserved characters stay as they are",
        only("/go?to=ftp://a@b/;c&d"),
        ("/go?to=ftp://a@b/;c&d",),
        ("/go?to=ftp",),
    ),
    Case("an escaped slash is another character", only("/a%2Fb"), ("/a%2fb",), ("/a/b",)),
    Case(
        "letters beyond ASCII", only("/größe/日本"), ("/gr%C3%B6%c3%9fe/%E6%97%A5%E6%9C%AC", "/größe/日本"), ("/gr%C3",)
    ),
    Case("letters beyond ASCII, escaped", only("/gr%c3%b6"), ("/gr%C3%B6", "/größe"), ("/gro",)),
    Case("plain letters, escaped", only("/%64oc%73"), ("/docs", "/%64%6f%63%73", "/d%6Fcs"), ("/Docs",)),
    Case("plain letters, escaped in the address", ours("Disallow: /private"), forbidden=("/%70rivate", "/priv%61te")),
    Case("plain marks, escaped", ours("Disallow: /a%2Db%2E%5F%7e"), forbidden=("/a-b._~",)),
    Case("what needs an escape", ours('Disallow: /a "b'), ("/a",), ('/a "b', "/a%20%22b")),
    Case("no escapes at all", ours("Disallow: /100%", "Disallow: /%zz"), ("/100",), ("/100%", "/%zz")),
]
CASES: Final = [*LINES, *GROUPS, *NAMES, *PRECEDENCE, *PATTERNS, *ESCAPES]

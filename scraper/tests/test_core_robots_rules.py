"""What a robots.txt means for us, and that no file takes long to read."""

import random

import pytest
from robots_cases import AGENT, CASES, Case

from app.core.errors import RobotsDisallowedError
from app.core.robots.groups import ROBOTS_MAX_BYTES, SITEMAPS_MAX
from app.core.robots.patterns import comparable_path, matched_octets
from app.core.robots.rules import RobotsFile, RobotsRules
from ml_shared.testing.pace import processor_time

SITE = "https://site.example"
LONGEST_LINE = 8 * 2_083


def rules(body: str | bytes, agent: str = AGENT) -> RobotsRules:
    """Return the rules of a file that was kept, and read again."""
    return RobotsRules(RobotsFile.read(body.encode() if isinstance(body, str) else body, agent), agent)


def allows(found: RobotsRules, path: str) -> bool:
    try:
        return found.check(f"{SITE}{path}").allowed
    except RobotsDisallowedError:
        return False


@pytest.mark.parametrize("case", CASES, ids=[case.says for case in CASES])
def test_a_file_allows_and_forbids_what_it_says(case: Case) -> None:
    found = rules(case.text, case.agent)
    assert {path: allows(found, path) for path in (*case.allowed, *case.forbidden)} == {
        **dict.fromkeys(case.allowed, True),
        **dict.fromkeys(case.forbidden, False),
    }


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "/"),
        ("https://site.example", "/"),
        ("https://site.example?y", "/?y"),
        ("https://site.example#part/x", "/"),
        ("https://site.example//docs", "//docs"),
        (
            "https://site.example/docs;v=1?from=https://other.example/&z=2#part?w",
            "/docs;v=1?from=https://other.example/&z=2",
        ),
        ("https://[::1]:8080/docs", "/docs"),
        ("/docs", "/docs"),
        ("https://site.example/%7euser/%2f%aa/é", "/~user/%2F%AA/%C3%A9"),
    ],
)
def test_rules_are_compared_with_path_and_query(url: str, path: str) -> None:
    assert comparable_path(url) == path


@pytest.mark.parametrize(
    ("start", "understood"),
    [
        (b"", True),
        (b"\xef\xbb\xbf", True),
        (b"\xef\xbb", True),
        (b"\xef", True),
        (b"\xef\xbb\xbf\xef\xbb\xbf", False),
        (b"\xef\x13\xbf", False),
        (b"\xbb\xbf", False),
    ],
)
def test_a_byte_order_mark_is_passed_over_whole_or_torn(start: bytes, understood: bool) -> None:
    assert allows(rules(start + b"User-agent: *\nDisallow: /a"), "/a") is not understood


def test_a_byte_order_mark_further_down_spoils_its_line() -> None:
    assert allows(rules(b"User-agent: *\n\xef\xbb\xbfDisallow: /a\nDisallow: /b"), "/a")
    assert not allows(rules(b"User-agent: *\n\xef\xbb\xbfDisallow: /a\nDisallow: /b"), "/b")


def test_a_file_in_another_character_set_forbids_the_octets_that_it_names() -> None:
    found = rules("User-agent: *\nDisallow: /caf\u00e9".encode("latin-1"))
    assert not allows(found, "/caf%E9/menu")
    assert allows(found, "/caf%C3%A9")


@pytest.mark.parametrize("word", ["allow", "disallow"])
def test_of_a_line_that_is_too_long_the_first_part_counts(word: str) -> None:
    long = "/" + "x" * (LONGEST_LINE - len(f"{word}: /") - 2)
    found = rules(f"User-agent: *\n{'disallow: /' if word == 'allow' else ''}\n{word}: {long}/left/out\nnext: line\n")
    assert allows(found, f"{long}/right") is (word == "allow")
    assert allows(found, f"{long}/left/out") is (word == "allow")
    assert allows(found, long[:-1]) is (word == "disallow")


def test_a_line_that_is_cut_off_at_the_end_of_what_is_read_says_nothing() -> None:
    start = b"User-agent: *\nDisallow: /first\n"
    filling = b"#" * (ROBOTS_MAX_BYTES - len(start) - len(b"\nDisallow: /"))
    cut = rules(start + filling + b"\nDisallow: /")
    assert not allows(cut, "/first")
    assert allows(cut, "/second")
    assert not allows(rules(start + filling[1:] + b"\nDisallow: /"), "/second")
    assert allows(rules(b"User-agent: * Disallow: /".ljust(ROBOTS_MAX_BYTES)), "/first")


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("User-agent: *\nCrawl-delay: 3", 3.0),
        ("User-agent: *\nCrawl-delay: 0.25", 0.25),
        ("User-agent: *\nCrawl-delay: 1234567.5", 1_234_567.5),
        ("User-agent: *\nCrawldelay 3", 3.0),
        ("User-agent: *\nRequest-rate: 1/10", 10.0),
        ("User-agent: *\nRequest-rate: 2/1m", 30.0),
        ("User-agent: *\nRequest-rate: 60/1h 0600-0845", 60.0),
        ("User-agent: *\nCrawl-delay: 3\nRequest-rate: 1/10", 10.0),
        ("User-agent: *\nCrawl-delay: 3\nCrawl-delay: 1", 3.0),
        ("User-agent: *\nCrawl-delay: 3\n\nUser-agent: CloudCIXBot\nDisallow: /a", None),
        ("User-agent: *\nCrawl-delay: 3\nDisallow: /a\n\nUser-agent: CloudCIXBot\nDisallow: /a", None),
        ("User-agent: CloudCIXBot\nDisallow: /a\nUser-agent: *\nCrawl-delay: 3", None),
        ("User-agent: CloudCIXBot\nCrawl-delay: 2\nUser-agent: other\nCrawl-delay: 9\nDisallow: /a", 2.0),
        ("User-agent: other\nCrawl-delay: 9\nUser-agent: CloudCIXBot\nCrawl-delay: 2\nDisallow: /a", 2.0),
        ("User-agent: other\nUser-agent: CloudCIXBot\nCrawl-delay: 2\nRequest-rate: 1/5\nDisallow: /a", 5.0),
        ("User-agent: CloudCIXBot\nDisallow: /a\nCrawl-delay: 2", 2.0),
        ("User-agent: CloudCIXBot\nCrawl-delay: 2\n\nUser-agent: CloudCIXBot\nCrawl-delay: 4", 4.0),
        *((f"User-agent: *\nCrawl-delay: {wrong}", None) for wrong in ("soon", "-1", "nan", "inf", "9" * 400, "")),
        *((f"User-agent: *\nRequest-rate: {wrong}", None) for wrong in ("0/1", "1/0", "1", "a/b", "1/10x", "-1/2", "")),
        ("User-agent: *\nDisallow: /a", None),
        ("User-agent: other\nCrawl-delay: 3", None),
        ("Crawl-delay: 3\nUser-agent: *\nDisallow: /a", None),
    ],
)
def test_the_delay_that_a_site_asks_us_for_is_known(text: str, delay: float | None) -> None:
    assert rules(text).delay_seconds == delay


def test_a_delay_between_names_is_for_those_before_it_and_the_rules_are_for_all() -> None:
    text = "User-agent: CloudCIXBot\nUser-agent: ABot\nCrawl-delay: 7\nUser-agent: BBot\nDisallow: /a"
    for agent, delay in ((AGENT, 7.0), ("ABot", 7.0), ("BBot", None)):
        found = rules(text, agent)
        assert (found.delay_seconds, allows(found, "/a")) == (delay, False)


def test_sitemaps_are_known_wherever_they_stand_and_whoever_is_named() -> None:
    text = (
        "Sitemap: https://site.example/1\nUser-agent: Other\nsite-map: https://site.example/2\nDisallow: /\n"
        "SITEMAPS https://site.example/3 # the last\nSitemap:\nSitemap: https://site.example/1\n"
    )
    assert rules(text).sitemaps == tuple(f"https://site.example/{number}" for number in (1, 2, 3))


def test_the_sitemaps_that_are_kept_are_bounded() -> None:
    lines = [f"Sitemap: https://site.example/{'long' * 600}", *(f"Sitemap: /{number}" for number in range(1_000))]
    found = rules("\n".join(lines)).sitemaps
    assert found == tuple(f"/{number}" for number in range(SITEMAPS_MAX))


def test_what_is_kept_is_what_concerns_us() -> None:
    others = "".join(f"User-agent: bot{number}\nDisallow: /{number}\n" for number in range(1_000))
    file = RobotsFile.read(
        f"{others}User-agent: *\nDisallow: /x\nUser-agent: CloudCIXBot\nUser-agent: bot\nCrawl-delay: 2\nAllow: /é\n".encode(),
        AGENT,
    )
    assert file.text == "User-agent: cloudcixbot\nCrawl-delay: 2.0\nAllow: /é"


def test_what_an_older_version_kept_still_holds() -> None:
    found = RobotsRules(
        RobotsFile("User-agent: cloud\nDisallow: /a\nUser-agent: *\nDisallow: /b\nCrawl-delay: 2"), AGENT
    )
    assert (allows(found, "/a"), allows(found, "/b"), found.delay_seconds) == (True, False, 2.0)


def test_a_verdict_names_the_line_that_decided_as_the_site_wrote_it() -> None:
    found = rules("User-agent: *\nallow:/open/%7Ea # ours\nDISALLOW /shut/é*$\nDisallow: /" + "x" * 2_000)
    assert found.check(f"{SITE}/open/~a").rule == "Allow: /open/%7Ea"
    assert found.check(f"{SITE}/elsewhere").rule is None
    with pytest.raises(RobotsDisallowedError, match=r"\(Disallow: /shut/é\*\$\)$"):
        found.check(f"{SITE}/shut/é")
    with pytest.raises(RobotsDisallowedError) as refused:
        found.check(f"{SITE}/" + "x" * 2_000)
    assert len(refused.value.detail) < 600


def test_patterns_agree_with_an_expression_that_says_the_same() -> None:
    import re

    generator = random.Random(9309)
    for _ in range(20_000):
        pattern = "/" + "".join(generator.choices("ab*/", k=generator.randrange(8))) + generator.choice(("", "", "$"))
        path = "/" + "".join(generator.choices("ab/", k=generator.randrange(10)))
        end = r"\Z" if pattern.endswith("$") else ""
        same = re.match(".*".join(map(re.escape, pattern.removesuffix("$").split("*"))) + end, path)
        assert matched_octets(pattern, path) == (len(pattern) if same else None), (pattern, path)


def _spent(body: bytes, path: str) -> float:
    with processor_time() as spent:
        allows(rules(body), path)
    return spent.seconds


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("User-agent: *\nDisallow: /" + "*a" * 200 + "*b$\n", id="stars"),
        pytest.param("User-agent: *\n" + ("Disallow: /" + "*a" * 8_000 + "*b$\n") * 20, id="stars without end"),
        pytest.param("User-agent: *\n" + "Disallow: *aaaaaaaaaaaaaaab*a$\n" * 9_000, id="almost"),
        pytest.param("User-agent: *\n" + ("Disallow: *" + "a" * 250 + "b" + "a" * 250 + "\n") * 900, id="repeats"),
        pytest.param("User-agent: *\n" + "a" * 400_000, id="one line"),
        pytest.param(
            "User-agent: *\nDisallow" + " " * 16_000 + "a b\n" + "Disallow: /%" * 30_000, id="blanks and escapes"
        ),
        pytest.param("".join(f"User-agent: *\nUser-agent: b{n}\nDisallow: /{n}\n" for n in range(10_000)), id="groups"),
        pytest.param(
            "".join(f"User-agent: b{n}\n" for n in range(20_000))
            + "User-agent: *\n"
            + "".join(f"Disallow: /{n}\n" for n in range(12_000)),
            id="agents and rules",
        ),
    ],
)
def test_no_file_takes_long_to_read(hostile: str) -> None:
    # seconds of the processor's, of which each takes a tenth; what grows exponentially or with agents times rules takes days
    assert _spent(hostile.encode()[:ROBOTS_MAX_BYTES], "/" + "a" * 2_000) < 10

"""nginx' configuration, read, and the location that it would choose."""

import pytest
from checklist.nginx import chosen, locations, parse

TEXT = """
# a comment with a { brace
http {
    log_format one '{"a":"$b"}' "it's ${c}";
    server {
        location / { return 404; }
        location /api/ { proxy_pass http://a/; }
        location /api/longer/ { proxy_pass http://b/; }
        location ~ ^/api/(?<name>x|longer)/one$ { ${GATEWAY_FLEET_ALLOW}
            deny all; }
        location ~* ^/api/ONE$ { proxy_pass http://c/; }
        location ^~ /static/ { proxy_pass http://d/; }
        location ~ ^/static/one$ { proxy_pass http://e/; }
        location = /api/exact { deny all; }
        location @named { return 500 '{"status":$status}'; }
        location = /within { internal; return 500; }
    }
}
"""


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/other", "/"),
        ("/api/two", "/api/"),
        ("/api/longer/two", "/api/longer/"),
        ("/api/longer/one", "^/api/(?<name>x|longer)/one$"),
        ("/api/one", "^/api/ONE$"),
        ("/static/one", "/static/"),
        ("/api/exact", "/api/exact"),
        ("/within", "/"),
    ],
)
def test_the_location_is_the_exact_one_else_the_first_expression_else_the_longest_prefix(
    path: str, pattern: str
) -> None:
    location = chosen(locations(TEXT), path)
    assert location is not None
    assert location.pattern == pattern


def test_only_a_location_that_admits_the_fleet_and_denies_all_others_is_for_the_fleet() -> None:
    found = {one.pattern: (one.admits_the_fleet, one.denies_strangers) for one in locations(TEXT)}
    assert found["^/api/(?<name>x|longer)/one$"] == (True, True)
    assert found["/api/exact"] == (False, True)
    assert found["/api/"] == (False, False)


def test_a_location_knows_its_line_and_a_named_one_is_none() -> None:
    found = locations(TEXT)
    assert [one.line for one in found][:2] == [6, 7]
    assert "@named" not in {one.pattern for one in found}


@pytest.mark.parametrize("text", ["http {", "http { server { } ", "} http { }"])
def test_braces_that_do_not_fit_are_told(text: str) -> None:
    with pytest.raises(ValueError, match="brace"):
        parse(text)

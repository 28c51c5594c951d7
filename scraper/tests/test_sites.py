"""The websites of these tests: what one test asked of them is never taken for what the next one does."""

import socket

from sites import Site


def test_what_was_asked_before_a_reset_is_forgotten_with_it_however_late_it_is_read(site: Site) -> None:
    late = []
    for number in range(100):
        with socket.create_connection(("127.0.0.1", site.port)) as given_up:
            given_up.sendall(f"GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        site.reset()
        with socket.create_connection(("127.0.0.1", site.port)) as other:
            other.sendall(b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            while other.recv(4_096):
                pass
        late += [path for path in site.paths if path != "/last"]
    assert late == []

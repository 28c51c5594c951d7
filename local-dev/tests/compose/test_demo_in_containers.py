"""The demo's checks, through the gateway's container."""

from compose_fleet import ComposeFleet
from demo.run import run_demo


def test_the_demo_holds_through_the_gateway(fleet: ComposeFleet) -> None:
    lines: list[str] = []
    report = run_demo(
        gateway_url=fleet.gateway,
        api_key=fleet.keys["user"],
        site_url=fleet.outside.site,
        endpoint_url=fleet.outside.endpoint,
        say=lines.append,
    )
    fleet.say(f"the demo took {report.seconds:.0f} s")
    assert report.ok, "\n".join(lines)

"""The demo, on the fleet that `make up` started.

    python -m demo                     index this project's documentation and ask six questions
    python -m demo --url https://…     index any page and search it

It exits 0 only if everything that it promises holds.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from fleet.fleet import Fleet
from fleet.layout import DEFAULT_STATE, Layout, make
from fleet.saying import say

from demo.gateway import PlatformError
from demo.report import DemoReport
from demo.run import DEMO_CORPUS, PAGES_CORPUS, run_demo, run_page
from demo.tracing import how_to_see


@dataclass(frozen=True, slots=True)
class Target:
    """Where the demo goes, the file of the key that it uses, and the folder of the fleet."""

    gateway_url: str
    site_url: str
    endpoint_url: str
    key_file: Path
    layout: Layout


def _target(state: Path) -> Target | None:
    fleet = Fleet(state)
    if not fleet.is_up:
        return None
    urls = fleet.addresses
    return Target(
        gateway_url=urls.url("gateway"),
        site_url=urls.url("demo-site"),
        endpoint_url=urls.url("endpoint"),
        key_file=fleet.keys.file("user"),
        layout=fleet.layout,
    )


def _shown(path: Path) -> str:
    return os.path.relpath(path, os.environ.get("PWD", Path.cwd()))


def _how_to_go_on(target: Target, corpus_name: str, report: DemoReport) -> None:
    key_file = _shown(target.key_file)
    key = f'-H "X-API-Key: $(cat {key_file})"'
    content = "-H 'Content-Type: application/json'"
    query = report.answers[0].question.query if report.answers else "What is this about?"
    say("")
    say("Go on from here:")
    say(f"  address     {target.gateway_url}   (each service's API: /api/<service>/docs)")
    say(f"  your key    in {key_file}")
    say("  index a page of your own:")
    say(f'    curl {key} {content} -d \'{{"url": "https://…"}}\' {target.gateway_url}/api/orchestrator/jobs')
    say("  follow it:")
    say(f"    curl {key} {target.gateway_url}/api/orchestrator/jobs/<job_id>")
    say("  search:")
    body = f'{{"query": "{query}", "corpus_name": "{corpus_name}", "top_k": 3}}'.replace("'", "")
    say(f"    curl {key} {content} -d '{body}' {target.gateway_url}/api/embedding/search")
    say(f"  end it      {make('down')}")
    if report.trace_id:
        say("")
        say(f"One page from its request to its rows is the trace {report.trace_id}:")
        for line in how_to_see(report.trace_id, target.layout):
            say(f"  {line}")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default=os.environ.get("URL") or None, help="a page to index instead; also $URL")
    parser.add_argument("--ask", default=None, help="what to ask about the page of --url")
    parser.add_argument("--corpus", default=None, help=f"corpus; {DEMO_CORPUS}, or {PAGES_CORPUS} with --url")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="the fleet's folder")
    chosen = parser.parse_args(arguments)
    target = _target(chosen.state)
    if target is None:
        print(f"The fleet is not running; `{make('demo')}` starts it first, or `{make('up')}`.", file=sys.stderr)
        return 1
    corpus_name = chosen.corpus or (PAGES_CORPUS if chosen.url else DEMO_CORPUS)
    api_key = target.key_file.read_text().strip()
    try:
        if chosen.url:
            report = run_page(
                gateway_url=target.gateway_url,
                api_key=api_key,
                url=chosen.url,
                query=chosen.ask,
                endpoint_url=target.endpoint_url,
                corpus_name=corpus_name,
                say=say,
            )
        else:
            report = run_demo(
                gateway_url=target.gateway_url,
                api_key=api_key,
                site_url=target.site_url,
                endpoint_url=target.endpoint_url,
                corpus_name=corpus_name,
                say=say,
            )
    except PlatformError as error:
        print(f"\nThe demo stopped: {error}\n`{make('status')}` and `logs` say more.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ninterrupted; the fleet goes on running, `{make('down')}` ends it", file=sys.stderr)
        return 130
    _how_to_go_on(target, corpus_name, report)
    failed = [check.name for check in report.checks if not check.ok]
    say("")
    say("Everything holds." if report.ok else f"FAILED: {'; '.join(failed) or 'nothing could be checked'}")
    say(f"See it in the console: {target.gateway_url}/   (its key is in {_shown(target.key_file)})")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())

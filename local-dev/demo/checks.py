"""The promises of the demo, each checked against what a run found out."""

from demo.expectations import Expected
from demo.report import Check, DemoReport, EndpointCounts
from ml_shared.contracts.embedding import Corpus


def check_all(report: DemoReport) -> list[Check]:
    """Return every check that this run can make."""
    checks = [_pages_indexed(report), *_pages_refused(report), *_answers(report)]
    if any(one.is_indexed for one in report.outcomes):
        checks.append(_corpus(report))
    if report.whole_site and report.endpoint_before is not None and report.endpoint_after is not None:
        checks.append(_no_passage_twice(report, report.endpoint_before, report.endpoint_after))
    checks.extend([*_unchanged(report), *_refresh(report)])
    return checks


def _pages_indexed(report: DemoReport) -> Check:
    wanted = [one for one in report.outcomes if one.page.outcome is Expected.INDEXED]
    wrong = [f"{one.page.label} {one.reason}" for one in wanted if not one.as_expected]
    name = f"all {len(wanted)} pages are indexed" if len(wanted) != 1 else "the page is indexed"
    return Check(name, not wrong and bool(wanted), "; ".join(wrong) or "there is no page to index")


def _pages_refused(report: DemoReport) -> list[Check]:
    return [
        Check(f"{one.page.label} is {one.page.outcome}: {one.page.reason}", one.as_expected, one.reason)
        for one in report.outcomes
        if one.page.outcome is not Expected.INDEXED
    ]


def _answers(report: DemoReport) -> list[Check]:
    checks = []
    for answer in report.answers:
        first = answer.hits[0].url if answer.hits else "nothing"
        expected = answer.question.url or "a passage"
        name = f"the right page is first for “{answer.question.query}”"
        checks.append(Check(name, answer.right, f"{first} instead of {expected}"))
    return checks


def _corpus(report: DemoReport) -> Check:
    """Every page is in the corpus, and no passage of it twice.

    Pages that have gone from the site since an earlier run stay in the corpus; then only the least can be checked.
    """
    pages = {one.job.url: one.job for one in report.outcomes if one.is_indexed and one.job is not None}
    chunks = sum(job.counts.chunks or 0 for job in pages.values())
    name = f"the corpus holds {len(pages)} documents and {chunks} chunks, no more than the pages have"
    corpus = report.corpus_after
    if corpus is None:
        return Check(name, ok=False, detail="there is no such corpus")
    found = f"it holds {corpus.documents} documents and {corpus.chunks} chunks"
    if corpus.documents > len(pages):
        return Check(f"the corpus holds the {len(pages)} pages, and earlier ones", corpus.chunks >= chunks, found)
    return Check(name, corpus.documents == len(pages) and corpus.chunks == chunks, found)


def _no_passage_twice(report: DemoReport, before: EndpointCounts, after: EndpointCounts) -> Check:
    """Nothing that the corpus holds is sent again.

    A passage that stands on two pages is sent for both when both are embedded in the same moment; so what was sent may
    exceed the new texts, but not the chunks that were added.
    """
    sent = after.passages - before.passages
    new = after.distinct_passages - before.distinct_passages
    added = _chunks(report.corpus_after) - _chunks(report.corpus_before)
    detail = f"{sent - new} of {sent} had been sent before, and {added} chunks were added"
    return Check(f"the endpoint has seen no passage twice ({sent} were sent)", sent == new or sent <= added, detail)


def _chunks(corpus: Corpus | None) -> int:
    return 0 if corpus is None else corpus.chunks


def _unchanged(report: DemoReport) -> list[Check]:
    """When nothing had to be embedded anew, indexing the pages again must leave the counts as they were."""
    before, after = report.corpus_before, report.corpus_after
    if before is None or after is None or report.endpoint_before != report.endpoint_after:
        return []
    if report.endpoint_before is None or before.documents == 0:
        return []
    same = (before.documents, before.chunks) == (after.documents, after.chunks)
    detail = f"{before.documents} documents and {before.chunks} chunks before"
    return [Check("indexing unchanged pages again left the counts as they were", same, detail)]


def _refresh(report: DemoReport) -> list[Check]:
    """A site that is as it was costs no embedding, and its run says so."""
    run = report.run
    if run is None or not report.is_refresh or run.outcomes.new or run.outcomes.changed:
        return []
    before, after = report.endpoint_before, report.endpoint_after
    sent = 0 if before is None or after is None else after.texts - before.texts
    saved = run.saved
    ok = sent == 0 and saved.embeddings == run.outcomes.unchanged and saved.requests + saved.bodies > 0
    name = f"the refresh embedded nothing: {saved.embeddings} pages are as they were"
    detail = f"{sent} texts were sent, {saved.embeddings} of {run.outcomes.unchanged} embeddings saved"
    return [Check(name, ok, f"{detail}, {saved.requests} requests, {saved.bodies} times 304")]

"""The clients' groups of methods, as one reads them: `client.jobs.wait(…)`."""

from cloudcix_ml.faces import Face, Listing, Method, Mode
from cloudcix_ml.operations import batches, corpora, crawls, documents, jobs, runs, webhooks
from cloudcix_ml.webhooks import verify


class Jobs(Face[Mode]):
    """Pages on their way into a corpus."""

    submit = Method(jobs.submit)
    get = Method(jobs.read)
    list = Listing(jobs.list_all)
    cancel = Method(jobs.cancel)
    retry = Method(jobs.retry)
    stats = Method(jobs.stats)
    events = Listing(jobs.events)
    follow = Listing(jobs.follow)
    wait = Method(jobs.wait)


class Batches(Face[Mode]):
    """Many pages at once."""

    submit = Method(batches.submit)
    get = Method(batches.read)
    list = Listing(batches.list_all)
    cancel = Method(batches.cancel)
    retry = Method(batches.retry)
    events = Listing(batches.events)
    follow = Listing(batches.follow)
    wait = Method(batches.wait)


class Crawls(Face[Mode]):
    """A site, or a part of it, kept in a corpus."""

    create = Method(crawls.crawl)
    get = Method(crawls.read)
    list = Listing(crawls.list_all)
    change = Method(crawls.change)
    delete = Method(crawls.delete)
    pause = Method(crawls.pause)
    resume = Method(crawls.resume)
    run = Method(crawls.run)


class Runs(Face[Mode]):
    """Each time that a crawl is done."""

    get = Method(runs.read)
    list = Listing(runs.list_all)
    pages = Listing(runs.pages)
    cancel = Method(runs.cancel)
    confirm = Method(runs.confirm)
    events = Listing(runs.events)
    follow = Listing(runs.follow)
    wait = Method(runs.wait)


class Corpora(Face[Mode]):
    """What one searches in."""

    get = Method(corpora.read)
    list = Listing(corpora.list_all)
    delete = Method(corpora.delete)


class Documents(Face[Mode]):
    """The pages and files of a corpus."""

    get = Method(documents.read)
    list = Listing(documents.list_all)
    chunks = Listing(documents.chunks)
    content = Method(documents.content)
    delete = Method(documents.delete)


class Webhooks(Face[Mode]):
    """Being told, instead of asking."""

    create = Method(webhooks.make)
    get = Method(webhooks.read)
    list = Listing(webhooks.list_all)
    change = Method(webhooks.change)
    delete = Method(webhooks.delete)
    rotate = Method(webhooks.rotate)
    test = Method(webhooks.test)
    deliveries = Listing(webhooks.deliveries)
    replay = Method(webhooks.replay)
    replay_one = Method(webhooks.replay_one)
    verify = staticmethod(verify)

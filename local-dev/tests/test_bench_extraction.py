"""The bench of extraction: its measures, its pages, and that the judging half is not looked at."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from bench.extraction.corpora import articles, own
from bench.extraction.measures import Measured, measure
from bench.extraction.pages import DROP, KEEP, Half, Page
from bench.extraction.readings import read
from bench.extraction.texts import markdown_words, text_of, words
from lxml.html import fromstring

LOCAL_DEV = Path(__file__).resolve().parents[1]
WHOLE = """\
# Boats

How to **m**oor one, in `Slip`s:

## Lines

1. Take a line.
2. Tie it.

   - Not there.

```sh
moor --bow

moor --stern
```

### Lengths

| Boat | Metres |
| --- | --- |
| Dory | 4 |
"""
PAGE = """\
<html><body><nav>Elsewhere</nav><main><h1>Boats<a class="headerlink">¶</a></h1><p>How to <b>m</b>oor one, in
<code>Slip</code>s:</p><h2>Lines</h2><ol><li>Take a line.</li><li>Tie it.<ul><li>Not there.</li></ul></li></ol>
<pre>moor --bow\n\nmoor --stern</pre><h3>Lengths</h3><table><tr><th>Boat<th>Metres</tr><tr><td>Dory<td>4</tr></table>
</main></body></html>"""


def figures_of(markdown: str, page: str = PAGE) -> Measured:
    return measure(Page("documentation/boats", page.encode(), page.encode(), ("//main",)), markdown)


def test_markdown_that_says_all_that_the_truth_does_has_every_figure_in_full() -> None:
    found = figures_of(WHOLE)
    assert found.figures == dict.fromkeys(("P", "R", "F1", "headings", "levels", "lists", "code", "rows"), 1.0)
    assert found.missed == []


@pytest.mark.parametrize(
    ("was", "became", "figure", "share"),
    [
        ("## Lines", "**Lines**", "headings", 2 / 3),
        ("### Lengths", "## Lengths", "levels", 1 / 2),
        ("1. Take a line.", "Take a line.\n", "lists", 2 / 3),
        ("\n\nmoor --stern", "\nmoor --stern", "code", 0),
        ("| Dory | 4 |", "| 4 | Dory |", "rows", 1 / 2),
        ("Take a line", "Take line", "R", 23 / 24),
        ("Take a line", "Elsewhere, take a line", "P", 24 / 25),
    ],
)
def test_each_figure_falls_by_what_it_is_about(was: str, became: str, figure: str, share: float) -> None:
    assert was in WHOLE
    assert figures_of(WHOLE.replace(was, became)).figures[figure] == pytest.approx(share)


def test_a_title_that_the_truth_does_not_have_counts_for_nobody() -> None:
    page = "<main><p>Only a sentence.</p></main>"
    assert figures_of("# Some title\n\nOnly a sentence.", page).figures["P"] == 1
    assert figures_of("## Some title\n\nOnly a sentence.", page).figures["P"] < 1


def test_scripts_without_blanks_are_counted_by_the_character() -> None:
    assert words("老桥 open ไม้ 2025") == ["老", "桥", "open", "ไ", "ม", "้", "2025"]


def test_marks_of_markdown_are_no_words() -> None:
    assert markdown_words('[a](http://b.example "c") ![d](e.png)\n```python\nf\\_g\n```\n3. h<br>i') == [
        *("a", "f", "g", "h", "i")
    ]


def test_neighbouring_blocks_do_not_run_into_each_other() -> None:
    assert words(text_of(fromstring("<div><p>one</p><p>t<b>w</b>o<br>three</p></div>"))) == ["one", "two", "three"]


def test_a_code_block_whose_lines_are_elements_is_read_as_it_is_shown() -> None:
    page = "<main><pre><code><span>one<br></span><span><br></span><span>two<br></span></code></pre></main>"
    assert figures_of("```\none\n\ntwo\n```", page).figures["code"] == 1


def test_furniture_that_is_let_in_and_text_that_is_lost_are_counted_where_pages_are_marked() -> None:
    marked = f"<p {KEEP}>Said here.</p><p {KEEP}>And here.</p><p {DROP}>Buy a boat.</p><p {DROP}>Log in now.</p>"
    page = Page("own/boats", b"", marked.encode(), (f"//*[@{KEEP}]",))
    found = measure(page, "Said here.\n\nBuy a boat.")
    assert (found.figures["kept"], found.figures["furniture"]) == (0.5, 0.5)
    assert {"block lost: and here", "block let in: buy a boat"} <= set(found.missed)


def test_a_page_stays_in_its_half() -> None:
    names = [f"own/{number}" for number in range(100)]
    assert [name for name in names if Half.of(name) is Half.TUNING][:3] == ["own/0", "own/4", "own/7"]
    assert 30 < sum(Half.of(name) is Half.JUDGING for name in names) < 70


@pytest.mark.parametrize("page", own(), ids=lambda page: page.name.removeprefix("own/"))
def test_our_own_pages_say_what_is_text_and_what_is_not_and_extractors_are_not_told(page: Page) -> None:
    assert KEEP.encode() not in page.body
    assert DROP.encode() not in page.body
    truth = f" {' '.join(word for part in page.truth() for word in words(text_of(part)))} "
    furniture = [" ".join(words(text_of(block))) for block in page.furniture()]
    assert len(truth.split()) >= 40
    assert furniture
    assert [block for block in furniture if f" {block} " in truth] == []


def test_articles_are_read_from_an_archive_as_from_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "test-pages" / "boats"
    folder.mkdir(parents=True)
    for name in ("source.html", "expected.html"):
        (folder / name).write_text(f"<body><p>{name}</p></body>")
    with tarfile.open(tmp_path / "pages.tar.xz", "w:xz") as archive:
        archive.add(folder, "test/test-pages/boats")
    assert articles(tmp_path / "pages.tar.xz") == articles(tmp_path / "test-pages")
    assert [page.name for page in articles(tmp_path / "test-pages")] == ["articles/boats"]


def test_a_reading_says_what_a_call_took() -> None:
    answer, reading = read(lambda: len(bytearray(64 * 2**20)))
    assert answer == 64 * 2**20
    assert reading.seconds >= 0
    if sys.platform == "linux":
        assert reading.peak_bytes is not None
        assert reading.peak_bytes > 32 * 2**20


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bench.extraction", "--corpus", "own", *arguments]
    return subprocess.run(command, cwd=LOCAL_DEV, capture_output=True, text=True, check=False, timeout=280)


def test_the_bench_prints_a_row_for_each_extractor() -> None:
    done = bench("--only", "ours,landmark")
    assert done.returncode == 0, done.stderr
    assert "own, judging: " in done.stdout
    assert [line.split("  ")[0] for line in done.stdout.splitlines()[-2:]] == ["ours", "landmark, converted"]


def test_a_corpus_that_is_not_there_is_left_out_and_named() -> None:
    done = bench("--corpus", "articles", "own", "--readability", "no-such-archive", "--only", "landmark")
    assert "No articles, which are Mozilla's readability test pages: " in done.stdout
    assert "no-such-archive is not there." in done.stdout
    assert "own, judging: " in done.stdout


def test_a_page_of_the_judging_half_is_not_shown() -> None:
    judged, tuned = (next(page for page in own() if page.half is half) for half in (Half.JUDGING, Half.TUNING))
    assert "the other one is not looked at" in bench("--show", judged.name).stderr
    assert f"== {tuned.name}" in bench("--show", tuned.name, "--only", "landmark").stdout
    assert "the other half is not looked at" in bench("--worst", "3").stderr

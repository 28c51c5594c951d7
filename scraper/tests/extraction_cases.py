"""Small pages, each for a kind of thing that extraction has lost or let in, and what has to become of it."""

from dataclasses import dataclass

SETTINGS = ("main", "article", "div")
_FILLING = [
    f"<p>Paragraph {number} of this guide tells how the pump is opened and why the order of its screws matters.</p>"
    for number in range(8)
]


@dataclass(frozen=True)
class Case:
    """A piece of a page.

    Attributes
    ----------
    keep, drop
        What has to be in the page's Markdown, and what must not.
    """

    name: str
    body: str
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


def page(body: str, setting: str) -> str:
    """Return a page that has this between paragraphs, in an element of this name, and a menu and a footer around it."""
    text = f"<h1>The guide</h1>{''.join(_FILLING[:4])}{body}{''.join(_FILLING[4:])}"
    menu = "<div class='menu'><a href='/'>Home</a> <a href='/a'>About us</a></div>"
    return (
        f"<html><head><title>The guide</title></head><body>{menu}<{setting}>{text}</{setting}>"
        "<div class='foot'>Copyright Acme</div></body></html>"
    )


CASES = (
    Case(
        "headings of three levels",
        "<h2>Alpha part</h2><p>Text of alpha is here for the reader.</p><h3><a href='#b'>Beta part</a></h3>"
        "<p>Text of beta is here.</p><h4>Gamma</h4><p>Text of gamma.</p>",
        ("## Alpha part\n", "### Beta part\n", "#### Gamma\n", "Text of beta is here."),
    ),
    Case(
        "marks at headings",
        "<h2>Plain<a class='headerlink' href='#p' title='Permalink'>¶</a></h2><p>Text of plain.</p>"
        "<h2><a class='anchor' href='#q'>#</a>Hashed</h2><p>Text of hashed.</p>"
        "<h2>Icon<a class='headerlink' href='#i'>\uf0c1</a></h2><p>Text of icon.</p>"
        "<h2>Edited<span class='mw-editsection'>[<a href='/e'>edit</a>]</span></h2><p>Text of edited.</p>"
        "<h2><a class='anchor' href='#l'>All of it is a link</a></h2><p>Text of link.</p>",
        ("## Plain\n", "## Hashed\n", "## Icon\n", "## Edited\n", "## All of it is a link\n"),
    ),
    Case(
        "buttons in headings",
        "<h2>Struct <span>Vec</span><button>Copy the item's path</button></h2><p>Text of the vector.</p><h2><button>How deep is the pump?</button></h2>"
        "<p>Text of the answer.</p><h2>Of<button>Edit</button> ours</h2><p>Text of ours.</p>",
        ("## Struct Vec\n", "## How deep is the pump?\n", "## Of ours\n"),
        ("Copy the item", "Edit"),
    ),
    Case(
        "nested lists",
        "<ul><li>Coolant<ul><li>blue<ul><li>glycol</li></ul></li><li>red</li></ul></li><li>Oil</li></ul>"
        "<ol start='3'><li>third</li><li>fourth</li></ol>",
        ("- Coolant\n  * blue\n    + glycol\n  * red\n- Oil", "3. third\n4. fourth"),
    ),
    Case(
        "a list of links",
        "<ul><li><a href='/py'>Python</a></li><li><a href='/js'>JavaScript</a></li><li><a href='/go'>Go</a></li></ul>",
        ("- Python\n- JavaScript\n- Go",),
    ),
    Case(
        "a heading and its table of links",
        "<section><h2>Functions of the pump</h2><table><tr><td><a href='#o'>int</a></td><td><a href='#o'>pump_open</a></td></tr>"
        "<tr><td>void</td><td><a href='#c'>pump_close_all_valves</a></td></tr></table></section>",
        ("## Functions of the pump", "| int | pump_open |", "| void | pump_close_all_valves |"),
    ),
    Case(
        "a list that only arranges the page",
        "<ul class='blockList'><li><h2>Method detail</h2><p>What each method does is told here.</p></li></ul>",
        ("\n## Method detail\n",),
        ("- ## Method",),
    ),
    Case(
        "a list that is set in",
        "<blockquote><div><ul><li>alpha set in</li><li>beta set in</li></ul></div></blockquote>",
        ("\n- alpha set in\n- beta set in\n",),
    ),
    Case(
        "inline markup in items",
        "<ul><li>Turn <em>left</em> twice, then <code>stop</code> it, and <b>wait</b> long.</li></ul>"
        "<p>See <a href='/x'>the manual</a> and <code>run</code> <b>now</b>.</p>",
        ("*left* twice, then `stop` it, and **wait** long.", "See the manual and `run` **now**."),
    ),
    Case(
        "code to the character",
        "<h2>Code</h2><pre><code class='language-python'>def a():\n    if x:\n        return 1\n\n\ndef b():\n\treturn 2\n"
        "</code></pre>",
        ("```python\ndef a():\n    if x:\n        return 1\n\n\ndef b():\n\treturn 2\n```",),
    ),
    Case(
        "languages as tools name them",
        "<div class='highlight-ruby notranslate'><div class='highlight'><pre>puts 1</pre></div></div>"
        "<pre class='brush: java; toolbar: false'>int a;</pre><pre class='sourceCode haskell'><code>main = 1</code></pre>"
        "<div class='highlighttable'><pre>no language</pre></div>",
        ("```ruby\nputs 1", "```java\nint a;", "```haskell\nmain = 1", "```\nno language"),
    ),
    *(
        Case(
            f"code beside line numbers, {tool}",
            f"<h2>Code</h2>{markup}",
            ("```\nimport os\nfor f in os.listdir():\n    print(f)\n```",),
            ("1\n2", "| 1 |", "1import", "1 import"),
        )
        for tool, markup in {
            "Pygments": "<table class='highlighttable'><tr><td class='linenos'><div class='linenodiv'><pre>1\n2\n3</pre></div></td>"
            "<td class='code'><div class='highlight'><pre>import os\nfor f in os.listdir():\n    print(f)\n</pre></div></td></tr></table>",
            "spans": "<pre><span class='lineno'>1 </span>import os\n<span class='lineno'>2 </span>for f in os.listdir():\n"
            "<span class='lineno'>3 </span>    print(f)\n</pre>",
            "highlight.js": "<pre><code><table class='hljs-ln'><tr><td class='hljs-ln-numbers' data-line-number='1'></td>"
            "<td class='hljs-ln-code'>import os</td></tr><tr><td class='hljs-ln-numbers' data-line-number='2'></td>"
            "<td class='hljs-ln-code'>for f in os.listdir():</td></tr><tr><td class='hljs-ln-numbers' data-line-number='3'></td>"
            "<td class='hljs-ln-code'>    print(f)</td></tr></table></code></pre>",
            "a forge": "<table class='highlight'><tr><td class='blob-num' data-line-number='1'></td><td class='blob-code'>import os</td></tr>"
            "<tr><td class='blob-num' data-line-number='2'></td><td class='blob-code'>for f in os.listdir():</td></tr>"
            "<tr><td class='blob-num' data-line-number='3'></td><td class='blob-code'>    print(f)</td></tr></table>",
            "Rouge": "<figure class='highlight'><pre><code><table class='rouge-table'><tr><td class='gutter gl'><pre class='lineno'>1\n2\n3\n</pre>"
            "</td><td class='code'><pre>import os\nfor f in os.listdir():\n    print(f)\n</pre></td></tr></table></code></pre></figure>",
            "Chroma": "<pre class='chroma'><code><span class='line'><span class='ln'>1</span><span class='cl'>import os\n</span></span>"
            "<span class='line'><span class='ln'>2</span><span class='cl'>for f in os.listdir():\n</span></span>"
            "<span class='line'><span class='ln'>3</span><span class='cl'>    print(f)\n</span></span></code></pre>",
            "styles": "<pre><code><span style='display:flex'><span style='-webkit-user-select:none;user-select:none'>1</span><span>import os\n</span></span>"
            "<span style='display:flex'><span style='user-select: none'>2</span><span>for f in os.listdir():\n</span></span>"
            "<span style='display:flex'><span style='user-select:none'>3</span><span>    print(f)\n</span></span></code></pre>",
            "a list": "<pre><ol><li><div>import os</div></li><li><div>for f in os.listdir():</div></li><li><div>    print(f)</div></li></ol></pre>",
            "boxes": "<pre><code><div class='row'><div class='gutter'><div class='ln'>1</div></div><div class='code'>import os</div></div>"
            "<div class='row'><div class='gutter'><div class='ln'>2</div></div><div class='code'>for f in os.listdir():</div></div>"
            "<div class='row'><div class='gutter'><div class='ln'>3</div></div><div class='code'>    print(f)</div></div></code></pre>",
            "Doxygen": "<div class='fragment'><div class='line'>import os</div><div class='line'>for f in os.listdir():</div>"
            "<div class='line'>    print(f)</div></div>",
        }.items()
    ),
    Case(
        "code with br and with div lines",
        "<h2>Code</h2><pre>line one<br>  line two<br>line three</pre><pre><div>alpha = 1</div><div>  beta = 2</div></pre>",
        ("line one\n  line two\nline three", "alpha = 1\n  beta = 2"),
    ),
    Case(
        "empty lines of code whose lines are boxes",
        "<pre data-language='python'><code><div class='row'><div class='code'>import os</div></div><div class='row'><div class='code'>\n</div></div>"
        "<div class='row'><div class='code'></div></div><div class='row'><div class='code'><span>if</span> os:</div></div>"
        "<div class='row'><div class='code'>    pass</div></div></code></pre>"
        "<pre><ol>\n  <li>alpha = 1</li>\n  <li></li>\n  <li>beta = 2</li>\n</ol></pre>",
        ("```python\nimport os\n\n\nif os:\n    pass\n```", "```\nalpha = 1\n\nbeta = 2\n```"),
    ),
    Case(
        "a bar within a block of code",
        "<pre><div class='bar'><span>shell</span><span>Copy it</span></div><code><div class='row'>pump open</div><div class='row'>pump run</div></code></pre>",
        ("```\npump open\npump run\n```",),
    ),
    Case(
        "code with numbers of its own",
        "<pre><code><span class='ln'>let</span> x = <span class='mi' style='user-select: none'>n</span> + <span class='mi'>2</span></code></pre>",
        ("let x = n + 2",),
    ),
    Case(
        "cells with br, pipe and list",
        "<h2>T</h2><table><tr><th>Name</th><th>Use</th></tr><tr><td>a|b</td><td>first<br>second</td></tr>"
        "<tr><td><code>x|y</code></td><td><ul><li>one</li><li>two</li></ul></td></tr></table>",
        ("| a\\|b | first second |", "| `x\\|y` | one; two |"),
    ),
    Case(
        "a table that heads its parts by rows",
        "<table><tr><td colspan='2'><h2>Public types</h2></td></tr><tr><td>enum</td><td>State of a pump</td></tr>"
        "<tr><td colspan='2'><h2>Public functions</h2></td></tr><tr><td>int</td><td>open the pump</td></tr></table>",
        ("\n## Public types\n", "| enum | State of a pump |", "\n## Public functions\n", "| int | open the pump |"),
    ),
    Case(
        "tables within a table that only arranges them",
        "<table><tr><td><table><tr><th>Part</th><th>Mass</th></tr><tr><td>wheel</td><td>two kilograms</td></tr></table></td>"
        "<td><p>What stands beside it.</p></td></tr></table>",
        ("| Part | Mass |", "| wheel | two kilograms |", "What stands beside it."),
    ),
    Case(
        "cells of a table that only arranges the page",
        "<table role='presentation'><caption>Both sides</caption><tr><td>Left side</td><td>Right side</td></tr><tr><td>below both</td></tr>"
        "</table>",
        ("Both sides\n\nLeft side\n\nRight side\n\nbelow both\n",),
    ),
    Case(
        "a table with lines of code in its cells",
        "<table><tr><th>Status</th><th>Example</th></tr><tr><td>200</td><td><pre>{\n  'valve': 1\n}</pre></td></tr>"
        "<tr><td>404</td><td><pre>{}</pre></td></tr></table>",
        ("Status\n\nExample\n\n200\n\n```\n{\n  'valve': 1\n}\n```\n\n404\n\n```\n{}\n```\n",),
    ),
    Case(
        "rows without lines of code in a table that has some",
        "<table><tr><th>Code</th><th>Body</th></tr><tr><td>200</td><td>open</td></tr><tr><td>201</td><td><pre>shut</pre></td></tr>"
        "<tr><td>400</td><td><pre>{\n  'valve': 1\n}</pre></td></tr><tr><td>404</td><td>a</td></tr><tr><td>405</td><td>b</td></tr></table>",
        (
            "| 200 | open |\n| 201 | `shut` |\n\n400\n\n```\n{\n  'valve': 1\n}\n```\n\n| Code | Body |\n| --- | --- |\n| 404 | a |\n",
        ),
    ),
    Case(
        "definition list",
        "<h2>Terms</h2><dl><dt>Impeller</dt><dd>The wheel that moves water.</dd><dt>Volute</dt>"
        "<dd><p>The casing.</p><pre>volute = 3</pre></dd></dl>",
        ("**Impeller**\n", "The wheel that moves water.", "**Volute**\n", "The casing.\n", "volute = 3"),
        ("Impeller The", "The casing. volute"),
    ),
    Case(
        "tabs",
        "<div role='tablist'><button role='tab' aria-controls='t1'>Linux</button><button role='tab' aria-controls='t2'>macOS"
        "</button></div><div role='tabpanel' id='t1'><p>On Linux run the installer package.</p></div>"
        "<div role='tabpanel' id='t2' hidden><p>On macOS drag the application icon.</p></div>",
        ("**Linux**\n\nOn Linux run the installer package.", "**macOS**\n\nOn macOS drag the application icon."),
    ),
    Case(
        "tabs that do not name their panels",
        "<div><ul role='tablist'><li role='tab'>npm</li><li role='tab'>Yarn</li></ul><div><div role='tabpanel'><pre>npm install pump</pre>"
        "<ul role='tablist'><li role='tab'>Short</li><li role='tab'>Long</li></ul><div><div role='tabpanel'><p>The short way of it.</p></div>"
        "<div role='tabpanel' hidden><p>The long way of it.</p></div></div></div><div role='tabpanel' hidden><pre>yarn add pump</pre></div></div></div>",
        (
            "**npm**\n\n```\nnpm install pump\n```\n\n**Short**\n\nThe short way of it.\n\n**Long**\n\nThe long way of it.\n\n**Yarn**\n\n```\nyarn add pump",
        ),
    ),
    Case(
        "a row of pictures with numbered dots",
        "<ul role='tablist'><li role='tab' aria-controls='p1'>1</li><li role='tab' aria-controls='p2'>2</li></ul>"
        "<div role='tabpanel' id='p1'><p>The pump from the front, as it came.</p></div><div role='tabpanel' id='p2'><p>The pump from behind, mended.</p></div>",
        ("The pump from the front", "The pump from behind"),
        ("**1**", "**2**"),
    ),
    Case(
        "tabs that are radio buttons",
        "<div class='tabbed-set'><input id='t1' name='t' type='radio'><input id='t2' name='t' type='radio'><div><label for='t1'>C</label>"
        "<label for='t2'>C++</label></div><div><div><pre>int a;</pre></div><div><pre>auto b;</pre></div></div></div>"
        "<div><input id='u1' name='u' type='radio'><label for='u1'>npm</label><div><p>Use npm to install it.</p></div>"
        "<input id='u2' name='u' type='radio'><label for='u2'>Yarn</label><div><p>Use yarn to add it.</p></div></div>",
        (
            "**C**\n\n```\nint a;\n```\n\n**C++**\n\n```\nauto b;\n```\n\n",
            "**npm**\n\nUse npm to install it.\n\n**Yarn**\n\nUse yarn to add it.",
        ),
    ),
    Case(
        "answers behind buttons",
        "<h3><button aria-expanded='false' aria-controls='s1'>Is it deep?</button></h3><div id='s1' role='region' hidden><p>It is nine metres deep.</p></div>"
        "<h3><button aria-expanded='false' aria-controls='s2'>Returns</button></h3><div id='s2' style='display: none'><p>Send it back to the harbour.</p></div>"
        "<div><button aria-expanded='false' aria-controls='s3'>How wide is it?</button><div id='s3' aria-hidden='true'><p>It is two metres wide.</p></div></div>",
        (
            "### Is it deep?\n\nIt is nine metres deep.\n\n### Returns\n\nSend it back to the harbour.",
            "**How wide is it?**\n\nIt is two metres wide.",
        ),
    ),
    Case(
        "what is no answer behind buttons",
        "<div><button aria-expanded='false' aria-controls='m1'>All that we have to show</button><div id='m1' hidden><p><a href='/a'>Ten pumps</a> "
        "<a href='/b'>Nine valves</a></p></div></div><div class='cookie-settings'><button aria-expanded='false' aria-controls='c1'>Necessary cookies?"
        "</button><div id='c1' hidden><p>These are eaten by the site.</p></div></div><div><button aria-expanded='false' aria-controls='q1'>Where is it from?"
        "</button><div id='q1' hidden><p>Tell us your town:</p><input name='town'></div></div>",
        (),
        ("All that we have", "Ten pumps", "Necessary", "eaten by the site", "Where is it", "your town"),
    ),
    Case(
        "answers to choose from",
        "<p>Choose one of the pumps.</p><div><input type='radio' id='a' name='q'><label for='a'>Red</label><div>cheap</div>"
        "<input type='radio' id='b' name='q'><label for='b'>1</label><div>dear</div></div>",
        ("Choose one of the pumps.",),
        ("**Red**",),
    ),
    Case(
        "details",
        "<h2>FAQ</h2><details><summary>How deep is it?</summary><p>It is nine metres deep.</p></details>",
        ("How deep is it?", "It is nine metres deep."),
    ),
    Case(
        "MathML",
        "<p>Half is <math><mfrac><mn>1</mn><mn>2</mn></mfrac></math> of it, and <math><msup><mi>x</mi><mn>2</mn></msup>"
        "<mo>≤</mo><msqrt><mi>π</mi></msqrt></math> holds.</p>",
        (r"Half is $\frac{1}{2}$ of it, and $x^2\le\sqrt{\pi}$ holds.",),
    ),
    Case(
        "the author's TeX",
        "<p>Here <math><semantics><mrow><mi>E</mi></mrow><annotation encoding='application/x-tex'>{\\displaystyle E=mc^{2}}"
        "</annotation></semantics></math> is meant, and <script type='math/tex'>a_1</script> too.</p>"
        "<p><script type='math/tex; mode=display'>\\sum_i x_i</script></p>"
        "<p>Also <span class='katex'><span class='katex-mathml'><math><semantics><mi>q</mi>"
        "<annotation encoding='application/x-tex'>q_0</annotation></semantics></math></span>"
        "<span class='katex-html' aria-hidden='true'>q0</span></span> once.</p>",
        ("Here $E=mc^{2}$ is meant, and $a_1$ too.", "$$\\sum_i x_i$$", "Also $q_0$ once."),
        ("displaystyle",),
    ),
    Case(
        "a formula behind its picture",
        "<p>Mass is <span class='mwe-math-element'><span class='mwe-math-mathml-inline' style='display: none;'><math alttext="
        "'{\\displaystyle E=mc^{2}}'><mi>E</mi></math></span><img class='mwe-math-fallback-image-inline' aria-hidden='true' "
        "alt='{\\displaystyle E=mc^{2}}'></span> of it.</p><p>And <span hidden><math><mi>z</mi></math></span><b>z</b> once.</p>",
        ("Mass is $E=mc^{2}$ of it.", "And **z** once."),
    ),
    Case(
        "pictures of formulas",
        "<p>So <img class='mwe-math-fallback-image-inline mw-invert' alt='{\\displaystyle a=b}'> here, <img class='math' alt='c^2'> there, "
        "and <img class='math' alt='a drawing'> no more.</p><div class='math'><p><img src='1.png' alt='\\sum_i x_i'></p></div>",
        ("So $a=b$ here, $c^2$ there, and no more.\n\n$$\\sum_i x_i$$\n",),
    ),
    Case("a note in an aside", "<aside class='note'><p>Note in an aside: oil first.</p></aside>", ("oil first",)),
    Case(
        "titles of notes",
        "<div class='admonition warning'><p class='admonition-title'>Warning</p><p>Close the valve before you open it.</p></div>"
        "<div class='note'><h3 class='title'>Remember</h3><p>The wheel turns to the left, as all do.</p></div><p>After it.</p>",
        ("**Warning**\n\nClose the valve", "**Remember**\n\nThe wheel turns"),
        ("### Remember",),
    ),
    Case(
        "text in a form",
        "<form id='aspnetForm'><h2>Inside form</h2><p>This paragraph is inside the page-wide form.</p></form>",
        ("## Inside form", "inside the page-wide form"),
    ),
    Case(
        "furniture inside the main part",
        "<p>Real text of the page stands here.</p><div class='related-posts'><h3>Related articles</h3><ul><li><a href='/1'>Ten"
        " pumps</a></li><li><a href='/2'>Nine valves</a></li></ul></div><div class='share-buttons'><a href='#'>Share on X</a></div>"
        "<div id='comments'><h3>3 comments</h3><p>First!</p></div><div class='newsletter'><p>Sign up for our newsletter</p></div>",
        ("Real text of the page",),
        ("Related articles", "Ten pumps", "Share on X", "3 comments", "First!", "newsletter"),
    ),
    Case(
        "a section whose heading has the name of furniture",
        "<section id='comments-in-code'><h2>Comments in code</h2><p>A comment begins with a hash and ends with its line.</p>"
        "</section>",
        ("## Comments in code", "A comment begins with a hash"),
    ),
    Case(
        "a picture without a caption",
        "<figure><img src='p.png' alt='The pump, seen from the side of its motor'></figure><figure><img src='q.png' alt='ignored here"
        " for the caption'><figcaption>The valve</figcaption></figure>",
        ("The pump, seen from the side of its motor", "The valve"),
        ("ignored here",),
    ),
    Case(
        "numbers of notes, and powers",
        "<p>It was shown<sup><a href='#fn1'>1</a></sup> that 10<sup>6</sup> drops fall on the 1<sup>st</sup> of May.</p>",
        ("shown[1] that 10^6 drops fall on the 1st of May",),
    ),
    Case(
        "paragraphs made of br",
        "<div>The first paragraph has no element of its own.<br><br>The second one neither, as in old pages.</div>",
        ("no element of its own.", "\n\nThe second one neither"),
    ),
    Case(
        "what only a screen reader says, between links",
        "<p>Go to <a href='/n'>the next page<span class='sr-only'>opens in a new tab</span></a><a href='/p'>Previous one</a> now.</p>",
        ("Go to the next page Previous one now.",),
        ("new tab",),
    ),
    Case(
        "what reads like a tag",
        "<p>It throws an &lt;Error&gt; when 3 &lt; 4, or prints <code>&lt;a&gt;</code> instead.</p>",
        (r"It throws an \<Error> when 3 < 4, or prints `<a>` instead.",),
    ),
    Case(
        "what is not shown",
        "<p style='display: none'>Never shown to anybody.</p><p hidden>Hidden as well.</p><p>Shown to everybody who reads.</p>",
        ("Shown to everybody who reads.",),
        ("Never shown", "Hidden as well"),
    ),
    Case(
        "code with cards that explain its names",
        "<div class='fragment'><div class='line'><a class='code' href='g.html#p'>Pump</a>* one = <a href='g.html#o'>pump_open</a>();</div>"
        "<div class='ttc' id='a1'><div class='ttname'><a href='g.html#p'>Pump</a></div><div class='ttdoc'>Opaque object.</div></div>"
        "<div class='line'>pump_close(one);</div></div>",
        ("```\nPump* one = pump_open();\npump_close(one);\n```",),
        ("Opaque object",),
    ),
    Case(
        "lines of a verse, and of a grid",
        "<div class='line-block'><div class='line'>The pump is old,</div><div class='line'>the water cold.</div></div>"
        "<div class='grid'><div class='line'><div class='unit'><p>The first unit of the grid is about valves and their seats.</p></div></div>"
        "<div class='line'><div class='unit'><p>The second unit of the grid is about the seals that they need.</p></div></div></div>",
        ("The pump is old,\n", "the water cold.", "The first unit of the grid", "The second unit of the grid"),
        ("```",),
    ),
    Case(
        "a table of one row that names what it says",
        "<table><tr><td>pressure</td><td><p>What the gauge shows while the pump runs.</p><p>Otherwise, nothing.</p></td></tr></table>",
        ("| pressure | What the gauge shows while the pump runs.",),
    ),
    Case(
        "rows of a table that only part the others",
        "<table><tr><td>int</td><td>width</td></tr><tr><td colspan='2'>&nbsp;</td></tr><tr><td>char</td><td>name</td></tr></table>",
        ("| int | width |\n| --- | --- |\n| char | name |",),
    ),
    Case(
        "a table of contents in the text",
        "<div class='toc'><h3>On this page</h3><ul><li><a href='#valves'>The valves</a></li><li><a href='#seals'>The seals</a></li>"
        "<li><a href='#screws'>The screws</a></li></ul></div><h2><a class='anchor' id='valves'></a>The valves</h2><p>Valves open to the left.</p>"
        "<h2 id='seals'>The seals</h2><p>Seals are changed each year.</p><h2 id='screws'>The screws</h2><p>Screws are of brass.</p>",
        ("- The valves\n- The seals\n- The screws\n", "## The valves\n"),
    ),
)

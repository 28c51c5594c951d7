"""Pages to extract from."""

NAVIGATION = (
    "<nav><ul>" + "".join(f'<li><a href="/page-{n}">Another page {n}</a></li>' for n in range(30)) + "</ul></nav>"
)

DOCUMENTATION = f"""<!DOCTYPE html>
<html lang="en_GB"><head><meta charset="utf-8"><title>Streaming replication — The manual</title>
<link rel="canonical" href="https://docs.example/current/replication.html">
<meta name="author" content="The documentation team">
<meta property="article:published_time" content="2024-05-06T07:08:09Z"></head>
<body>{NAVIGATION}
<main>
<h1>Streaming replication<a class="headerlink" href="#streaming" title="Link to this heading">¶</a></h1>
<p>Streaming replication sends the write-ahead log to a standby as it is written, so that the standby is never far
behind the primary server, and takes over within seconds when that one fails.</p>
<h2>Set it up<a class="headerlink" href="#set">¶</a></h2>
<p>On the primary, make a role that may replicate, and let it in through the <a href="auth.html#hba">access file</a>.</p>
<div class="highlight-python notranslate"><div class="highlight"><pre><span></span><span class="k">def</span> <span class="nf">standby</span>(host):

    connection = connect(host)  <span class="c1"># waits</span>


    return connection
</pre></div></div>
<pre><code class="language-bash">psql -c "select 1"</code></pre>
<table><thead><tr><th>Setting</th><th>Default</th></tr></thead>
<tbody><tr><td>wal_level</td><td>replica</td></tr><tr><td>max_wal_senders</td><td>10</td></tr></tbody></table>
<h3>What to <code>watch</code></h3>
<ul><li>The lag, in bytes<ul><li>of each standby</li></ul></li><li>The <a href="/slots">slots</a></li></ul>
<img src="diagram.png" alt="A diagram">
</main><footer>Copyright of somebody</footer></body></html>"""

ARTICLE = f"""<!DOCTYPE html>
<html lang="de"><head><title>Der Fluss</title>
<script type="application/ld+json">
{{"@graph": [{{"@type": "Article", "datePublished": "2023-01-02", "author": [{{"name": "A. Autorin"}}, {{"name": "B. Autor"}}]}}]}}
</script></head><body>{NAVIGATION}<div class="story"><h1>Der Fluss steigt</h1>
{"".join(f"<p>Absatz {n}: Am Morgen stieg der Fluss weiter, und die Menschen in den Dörfern am Ufer trugen Sand.</p>" for n in range(8))}
</div><div class="sidebar"><a href="/mehr">Mehr davon</a></div></body></html>"""

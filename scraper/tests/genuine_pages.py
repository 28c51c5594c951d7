"""Genuine pages that look or sound like what stands in a page's place, and are not."""

from typing import Final

from stand_ins import FOOT, MENU, SENTENCES, SIGN_IN, page

REAL: Final = {
    "an article on CAPTCHAs": page(
        MENU
        + f"<article><h1>Are you a robot? How CAPTCHAs work</h1><p>To verify you are human, sites ask you to complete the "
        f"CAPTCHA. {SENTENCES}</p><p>Checking your browser takes up to 5 seconds.</p></article>" + FOOT,
        "Are you a robot?",
    ),
    "a short note on CAPTCHAs": page(
        "<h1>CAPTCHA</h1><p>A test by which a site tells people from programs. It asks you to prove that you are human.</p>"
        "<p>The word is short for a longer one, and was made up in 2003.</p><script src='/a.js'></script>",
        "CAPTCHA - glossary",
    ),
    "a glossary's entry on a check": page(
        "<h1>Bot check</h1><p>A page on which sites verify you are human. It confirms that you are not a robot.</p>"
        "<form><input name='q'></form>",
        "Bot check",
    ),
    "an article on loading": page(
        f"<article><h1>Loading...</h1><p>Why pages say that. {SENTENCES}</p></article>",
        "Loading... the history of a word",
    ),
    "a notice on a loading dock": page(
        MENU + "<h1>Loading</h1><p>The loading dock is closed on Monday from nine to five.</p>", "Loading dock"
    ),
    "a notice that asks to wait": page(
        "<h1>Please wait at the gate</h1><p>The ferry loads lorries first. Please wait until the green light is on.</p>",
        "Boarding",
    ),
    "a manual on JavaScript": page(
        f"<main><h1>How to enable JavaScript</h1><p>Open the settings and turn on JavaScript. {SENTENCES}</p></main>",
        "How to enable JavaScript",
    ),
    "a short manual on JavaScript": page(
        "<h1>How to enable JavaScript</h1><ol><li>Open the settings.</li><li>Choose privacy, then content.</li><li>Turn on "
        "JavaScript.</li><li>Close the window and load the page again.</li></ol><script src='/a.js'></script>",
        "How to enable JavaScript - help",
    ),
    "a page with a hint for those without JavaScript": page(
        "<noscript>Please enable JavaScript for the best view.</noscript><h1>Closure notice</h1><p>The bridge is closed on "
        "Monday from nine to five.</p><script src='/a.js'></script>",
        "Closure notice",
    ),
    "a dozen words beside a menu": page(
        MENU
        + "<h1>Closure notice</h1><p>The bridge is closed on Monday from nine to five.</p><h2>Detour</h2><p>Use the "
        "ferry.</p>",
        "Closure notice - Port",
    ),
    "one sentence": page("<p>The harbour is closed today.</p>", "Harbour"),
    "an application that came with its text": page(
        '<div id="root"><h1>Tides</h1><p>High water is at nine in the morning, and low water at three.</p></div>'
        "<script src='/app.js'></script>",
        "Tides",
    ),
    "an article with a part that is loading": page(
        f"<article><h1>The flood</h1><p>{SENTENCES}</p></article><div id='comments'>Loading comments...</div>",
        "The flood",
    ),
    "a notice with a part that is loading": page(
        "<h1>Closure notice</h1><p>The bridge is closed on Monday from nine to five.</p><div>Loading...</div>", "Port"
    ),
    "an article beside a box to log in": page(
        f"<header>{SIGN_IN}</header><article><h1>The flood</h1><p>{SENTENCES}</p></article>", "The flood"
    ),
    "a short notice beside a box to log in": page(
        f"<header><a href='/'>Port</a>{SIGN_IN}</header><h1>Closure notice</h1><p>The bridge is closed on Monday from nine to "
        "five.</p>",
        "Port",
    ),
    "a notice above a form to log in": page(
        f"<h1>Storm warning</h1><p>{SENTENCES[:400]}</p>{SIGN_IN}", "Storm warning"
    ),
    "an article with a window to log in": page(
        f"<article><h1>Tides</h1><p>{SENTENCES}</p></article><div class='modal' hidden>{SIGN_IN}</div>", "Tides"
    ),
    "how to log in": page(
        "<h1>How to log in</h1><p>Go to the office by the gate. Show your card and sign the list. Then you get a key for "
        "the locker, and somebody shows you where the boats are.</p>",
        "How to log in",
    ),
    "a rule about logging in": page(
        "<h1>Opening hours</h1><p>From nine to five, Monday to Friday.</p><p>To book a berth you need to log in.</p>",
        "Opening hours",
    ),
    "an article on passwords": page(
        f"<main><h1>Passwords</h1><p>You must be logged in to change yours. {SENTENCES}</p>{SIGN_IN}</main>",
        "Passwords",
    ),
    "a contact form with a box to tick": page(
        "<h1>Write to us</h1><form><label>Name <input name='n'></label><label>Message <textarea></textarea></label>"
        "<div class='g-recaptcha'></div><button>Send</button></form><p>We answer within two days.</p>",
        "Contact",
    ),
    "a notice behind a guard that let us pass": page(
        "<h1>Closure notice</h1><p>The bridge is closed on Monday from nine to five.</p><script>window.KPSDK={}</script>"
        "<script src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'></script>",
        "Port",
    ),
    "an article behind a guard that let us pass": page(
        f"<article><h1>Tides</h1><p>{SENTENCES}</p></article><script src='/_Incapsula_Resource?SWJIYLWA=1'></script>"
        "<script>window._pxAppId='PX'</script>",
        "Tides",
    ),
    "an article called just a moment": page(f"<h1>Just a moment</h1><p>{SENTENCES}</p>", "Just a moment..."),
    "a poem called just a moment": page(
        "<h1>Just a moment</h1><p>The tide stood still,<br>and so did we,<br>for just a moment,<br>by the sea.</p>",
        "Just a moment",
    ),
    "a help page on being denied": page(
        "<h1>Access denied</h1><p>The door did not open? Ask the harbour master for a new card. Cards last a year, and the "
        "old ones are taken back at the desk. Bring your papers and a photograph of yourself.</p>",
        "Access denied",
    ),
    "a security check at the airport": page(
        "<h1>Security check</h1><p>Bags are opened, coats are taken off, and bottles stay behind. Come two hours early. "
        "Children go with their parents.</p>",
        "Security check - Airport",
    ),
    "German, about the loading of ships": page(
        "<h1>Laden</h1><p>Das Schiff wird geladen, sobald der Kran frei ist. Bitte warten Sie am Tor.</p>",
        "Laden",
        lang="de",
    ),
    "German, about browsers": page(
        f"<main><h1>JavaScript aktivieren</h1><p>Ob JavaScript aktiviert ist, zeigt das Menü. {SENTENCES}</p></main>",
        "JavaScript aktivieren",
        lang="de",
    ),
    "French, short": page(
        "<h1>Avis</h1><p>Le pont est fermé lundi de neuf heures à cinq heures.</p>", "Avis", lang="fr"
    ),
    "Spanish, about charging": page(
        "<h1>Cargando el barco</h1><p>El barco se carga por la mañana, y sale por la tarde.</p>", "Cargando", lang="es"
    ),
    "Chinese, short": page("<h1>公告</h1><p>大桥星期一从九点到五点关闭，请改乘渡轮。</p>", "公告", lang="zh"),
    "Chinese, about CAPTCHAs": page(
        "<h1>验证码是什么</h1><p>验证码是一种区分人与机器的测试，网站用它来防止程序大量注册。它在本世纪初出现，后来有图片、声音和滑块等形式。</p>",
        "验证码是什么",
        lang="zh",
    ),
    "Japanese, short": page(
        "<h1>お知らせ</h1><p>橋は月曜日の九時から五時まで閉鎖されます。</p>", "お知らせ", lang="ja"
    ),
    "Russian, about loading": page(
        "<h1>Загрузка судна</h1><p>Судно загружают утром, а вечером оно уходит в море.</p>", "Загрузка судна", lang="ru"
    ),
    "Arabic, short": page("<h1>إشعار</h1><p>الجسر مغلق يوم الاثنين من التاسعة إلى الخامسة.</p>", "إشعار", lang="ar"),
    "an index of links": page(
        "<h1>Boats</h1><ul>"
        + "".join(f"<li><a href='/{n}'>Boat {n}</a></li>" for n in range(30))
        + "</ul><p>Loading...</p>",
        "Boats",
    ),
    "a directory of sign-ins": page(
        "<h1>Login pages</h1><ul><li><a href='/a'>Harbour staff</a></li><li><a href='/b'>Ferry staff</a></li><li>"
        "<a href='/c'>Customs, for officers and their deputies</a></li></ul>",
        "Where to go",
    ),
    "a page that moves along": page(
        f"<h1>Slide 3</h1><p>{SENTENCES}</p>", "Slides", '<meta http-equiv="refresh" content="8; url=/slide-4">'
    ),
    "an article that shows code of a redirect": page(
        f"<article><h1>Redirects</h1><p>{SENTENCES}</p><pre>location.href = '/new'</pre></article>",
        "Redirecting by script",
    ),
    "an article on 404": page(
        f"<article><h1>404 Not Found</h1><p>What the status means. {SENTENCES * 2}</p></article>", "404 Not Found"
    ),
    "lost and found": page(
        "<h1>Lost and found</h1><p>What was not found within a year is sold. The office is open from nine to five, and the "
        "sale is in May.</p>",
        "Lost and found",
    ),
}

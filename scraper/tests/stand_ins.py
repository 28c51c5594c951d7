"""Pages that stand in another's place, all of our own making; what only looks like them is in `genuine_pages`."""

from typing import Final


def page(body: str, title: str = "", head: str = "", lang: str = "en") -> str:
    """Return a whole page."""
    return (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{title}</title>{head}</head>'
        f"<body>{body}</body></html>"
    )


MENU: Final = (
    '<nav><a href="/">Home</a> <a href="/news">News</a> <a href="/shop">Shop</a> <a href="/login">Log in</a></nav>'
)
FOOT: Final = (
    '<footer><p>© 2026 Harbour Works</p><a href="/imprint">Imprint</a> <a href="/privacy">Privacy</a></footer>'
)
SENTENCES: Final = " ".join(
    f"On day {number} the crew opened the sluice, measured how far the water had come, and wrote it into the book."
    for number in range(12)
)
SIGN_IN: Final = (
    '<form action="/session" method="post"><label>E-mail <input type="email" name="e"></label>'
    '<label>Password <input type="password" name="p"></label><button>Log in</button></form>'
)
CHALLENGES: Final = {
    "a spinner in front of a site": page(
        '<div class="main-wrapper"><h1>harbour.example</h1><p>Verifying you are human. This may take a few seconds.</p>'
        "<p>harbour.example needs to review the security of your connection before proceeding.</p></div>"
        "<script>window._cf_chl_opt = {cType: 'managed'};</script>"
        "<noscript>Enable JavaScript and cookies to continue</noscript>",
        "Just a moment...",
    ),
    "the same without a script that is known": page(
        "<h1>Checking your browser before accessing the site.</h1>"
        "<p>This process is automatic. Please allow up to 5 seconds.</p>",
        "Just a moment...",
    ),
    "the same with who does it": page(
        "<h1>Checking your browser before accessing harbour.example.</h1><p>This process is automatic. Your browser will "
        "redirect to your requested content shortly.</p><p>Please allow up to 5 seconds…</p>"
        "<p>DDoS protection by Some Shield</p><p>Ray ID: 0123456789abcdef</p>",
        "Just a moment...",
    ),
    "in German": page(
        "<h2>Es wird überprüft, ob die Verbindung sicher ist</h2><p>Bestätigen Sie, dass Sie ein Mensch sind.</p>"
        "<p>Ihr Browser wird geprüft, bevor es weitergeht.</p>",
        "Nur einen Moment…",
        lang="de",
    ),
    "in French": page(
        "<h2>Vérification de la sécurité de votre connexion</h2><p>Vérifiez que vous êtes humain en effectuant l’action "
        "ci-dessous.</p>",
        "Un instant…",
        lang="fr",
    ),
    "in Spanish": page(
        "<h1>puerto.example</h1><p>Verifique que usted es un ser humano para seguir.</p><p>Verificando la seguridad de la "
        "conexión de su navegador.</p>",
        "Un momento…",
        lang="es",
    ),
    "in Portuguese": page(
        "<p>Verificando se você é humano. Isso pode levar alguns segundos.</p><p>Verificar a segurança da sua conexão.</p>",
        "Um momento…",
        lang="pt",
    ),
    "in Russian": page(
        "<h1>Проверка браузера</h1><p>Подтвердите, что вы человек.</p><p>Проверяем безопасность вашего соединения.</p>",
        "Один момент…",
        lang="ru",
    ),
    "in Chinese": page("<p>正在进行安全检查。请完成以下操作，验证您是真人。</p>", "请稍候…", lang="zh"),
    "in Japanese": page(
        "<p>接続のセキュリティを確認しています。</p><p>あなたが人間であることを確認します。</p>",
        "しばらくお待ちください...",
        lang="ja",
    ),
    "press and hold": page(
        '<div id="px-captcha"></div><h1>Before we continue…</h1><p>Press &amp; Hold to confirm you are a human (and not a '
        "bot).</p><p>Reference ID 0a1b2c3d</p>",
        "Access to this page has been denied",
    ),
    "denied because of automation": page(
        "<h1>Access to this page has been denied</h1><p>We believe you are using automation tools.</p><ul><li>JavaScript is "
        "disabled, or an extension blocks it</li><li>Cookies are not taken</li></ul><p>Please make sure that JavaScript and "
        "cookies are enabled.</p><p>Reference ID: #0a1b</p>",
        "Access to this page has been denied.",
        '<script>window._pxAppId = "PXa"; window._pxBlockedUrl = "/";</script>',
    ),
    "an interruption": page(
        "<h1>Pardon Our Interruption</h1><p>Something about your browser made us think you might be a bot. It may be one of "
        "these:</p><ul><li>You went from page to page with super-human speed.</li><li>You have disabled cookies.</li><li>A "
        "browser plugin is blocking JavaScript.</li></ul><p>To regain access, enable cookies and JavaScript, and load the "
        "page again.</p>",
        "Pardon Our Interruption",
    ),
    "a frame with an incident": page(
        '<iframe id="main-iframe" src="/_Incapsula_Resource?CWUDNSAI=9&incident_id=100-1">Request unsuccessful. Incident '
        "ID: 100-1</iframe>"
    ),
    "a captcha by somebody else": page(
        "<script>var dd={'rt':'c','cid':'AH','hsh':'F1'}</script><script src='https://ct.captcha-delivery.com/c.js'></script>",
        "harbour.example",
    ),
    "an interstitial that loads itself again": page(
        '<div id="sec-if-cpt-container"></div><p>Powered and protected by a shield</p>',
        "",
        '<meta http-equiv="refresh" content="5; URL=\'/page?bm-verify=AAQ\'">',
    ),
    "a firewall's script and nothing else": page(
        '<div id="challenge-container"></div><script>AwsWafIntegration.saveReferrer();</script>'
        "<noscript><h1>JavaScript is disabled</h1>In order to continue, we need to verify that you're not a robot.</noscript>"
    ),
    "a guard's script and nothing else": page(
        "<script>window.KPSDK={};</script><script src='/149e/ips.js?x'></script>"
    ),
    "work to be proved": page(
        '<h1>Making sure you\'re not a bot!</h1><script id="anubis_challenge" type="application/json">{}</script>'
        "<p>Loading...</p><p>You are seeing this because the administrator has set up a guard against the scourge of "
        "companies that scrape websites. It is a compromise.</p>",
        "Making sure you're not a bot!",
    ),
    "a checkpoint": page(
        "<p>We're verifying your browser</p><p>Website owner? Click here to fix</p>", "Vercel Security Checkpoint"
    ),
    "rejected": page(
        "The requested URL was rejected. Please consult with your administrator.<br><br>Your support ID is: 1234567890",
        "Request Rejected",
    ),
    "a box to tick": page(
        '<h1>Are you a robot?</h1><form action="/verify" method="post"><div class="g-recaptcha" data-sitekey="k"></div>'
        '<input type="submit" value="Go on"></form>',
        "Harbour News",
    ),
    "a box to tick and not a word": page(
        '<form method="post"><div class="h-captcha" data-sitekey="k"></div></form><script src="/c.js"></script>'
    ),
    "characters to type": page(
        "<h4>Enter the characters you see below</h4><p>Sorry, we just need to make sure you're not a robot. For best "
        "results, please make sure your browser is accepting cookies.</p><form><img src='/c.png'><input name='chars'>"
        "</form>",
        "Harbour Shop",
    ),
    "unusual traffic": page(
        "<p>Our systems have detected unusual traffic from your computer network.</p><p>This page checks to see if it's "
        "really you sending the requests, and not a robot.</p><form><div class='g-recaptcha'></div></form>",
        "https://harbour.example/search",
    ),
    "a slider": page(
        "<div id='nc_1'>请按住滑块，拖动到最右边</div><script>var aliyun_waf_aa = 1</script>", "滑动验证页面"
    ),
    "no permission": page(
        '<h1>Access Denied</h1>You don\'t have permission to access "http://harbour.example/page" on this server.<p>'
        "Reference #18.2d351ab8.1557333295</p>",
        "Access Denied",
    ),
    "blocked": page(
        "<h1>Sorry, you have been blocked</h1><p>This website is using a security service to protect itself from attacks."
        "</p><p>Your request was blocked.</p><p>Ray ID: 0123</p>",
        "Attention Required!",
    ),
}
LOGINS: Final = {
    "a form alone": page(SIGN_IN, "Harbour"),
    "a form with menu and foot": page(MENU + f"<h1>Log in</h1>{SIGN_IN}" + FOOT, "Log in - Harbour"),
    "a form with a welcome": page(
        f"<h1>Welcome back</h1><p>Sign in to see the tide tables of your harbour.</p>{SIGN_IN}<p><a href='/lost'>Forgot "
        "your password?</a> <a href='/join'>Create an account</a></p>",
        "Harbour Club",
    ),
    "in German": page(
        '<h1>Anmelden</h1><form><label>Kennung <input type="text"></label><label>Passwort <input type="password"></label>'
        "<button>Anmelden</button></form><p>Noch kein Konto? Dann legen Sie hier eines an.</p>",
        "Hafenportal",
        lang="de",
    ),
    "in French": page(
        '<main><h1>Connexion</h1><form><input type="email"><input type="password"><button>Se connecter</button></form>'
        "<p>Mot de passe oublié ?</p></main>",
        "Espace membres",
        lang="fr",
    ),
    "in Spanish": page(
        '<h2>Iniciar sesión</h2><form><input type="text"><input type="password"><input type="submit" value="Entrar"></form>',
        "Puerto",
        lang="es",
    ),
    "in Japanese": page(
        '<h1>ログイン</h1><form><input type="text"><input type="password"><button>ログイン</button></form>',
        "港",
        lang="ja",
    ),
    "in Russian": page(
        '<h1>Вход</h1><form><input type="text"><input type="password"><button>Войти</button></form>', "Порт", lang="ru"
    ),
    "fields without a form": page(
        '<div id="app"><h1>Sign in</h1><input type="text"><input type="password"><button>Next</button></div>', "Harbour"
    ),
    "a wall of words": page(
        MENU + '<h1>Members only</h1><p>You must be logged in to view this page.</p><p><a href="/login">Log in</a></p>',
        "Tide tables",
    ),
    "a wall of German words": page(
        '<p>Sie müssen angemeldet sein, um diese Seite zu sehen.</p><a href="/login">Anmelden</a>', "Intern", lang="de"
    ),
    "a wall of French words": page(
        '<p>Vous devez être connecté pour voir cette page.</p><a href="/connexion">Se connecter</a>', "Forum", lang="fr"
    ),
    "a wall of Chinese words": page('<p>请先登录后查看内容。</p><a href="/login">登录</a>', "论坛", lang="zh"),
}
EMPTIES: Final = {
    "an application": page(
        '<noscript>You need to enable JavaScript to run this app.</noscript><div id="root"></div>', "React App"
    ),
    "an application without a word": page('<div id="app"></div><script src="/app.js"></script>', "Harbour"),
    "an application with menu and foot": page(
        MENU + '<div id="__next"></div><script src="/app.js"></script>' + FOOT, "Harbour"
    ),
    "an application's own element": page("<app-root></app-root><script src='/main.js'></script>", "Harbour"),
    "loading": '<html><body><nav><a href="/">Home</a><a href="/login">Login</a></nav><div id="app">Loading...</div></body></html>',
    "loading, please wait": page("<div class='spinner'></div><p>Loading, please wait…</p>", "Harbour"),
    "loading without a landmark": page(
        "<div><a href='/'>Home</a></div><div><a href='/b'>Boats</a></div><div>Loading content...</div>", "Harbour"
    ),
    "a skeleton": page(
        MENU + "<h1>Harbour</h1><div>Loading...</div><div>Loading...</div><div>Loading...</div>" + FOOT, "Harbour"
    ),
    "please wait": page("<h2>Please wait</h2><script src='/a.js'></script>", ""),
    "please wait while": page("<p>Please wait while the page is being loaded…</p>", "Harbour"),
    "loading in German": page("<p>Wird geladen…</p>", "Hafen", lang="de"),
    "loading in German, politely": page("<p>Bitte warten…</p><p>Seite wird geladen</p>", "Hafen", lang="de"),
    "loading in French": page("<p>Chargement en cours…</p><p>Veuillez patienter</p>", "Port", lang="fr"),
    "loading in Spanish": page("<p>Cargando...</p>", "Puerto", lang="es"),
    "loading in Russian": page("<p>Загрузка... Пожалуйста, подождите</p>", "Порт", lang="ru"),
    "loading in Chinese": page("<p>加载中，请稍候…</p>", "港口", lang="zh"),
    "loading in Japanese": page("<p>読み込み中です…</p>", "港", lang="ja"),
    "loading in Korean": page("<p>로딩 중...</p>", "항구", lang="ko"),
    "loading in Arabic": page("<p>جاري التحميل...</p>", "ميناء", lang="ar"),
    "JavaScript is not available": page(
        "<h1>JavaScript is not available.</h1><p>We’ve detected that JavaScript is disabled in this browser. Please enable "
        "JavaScript or switch to a supported browser to continue.</p><p><a href='/help'>Help</a> <a href='/t'>Terms</a>"
        "</p><script src='/a.js'></script>",
        "Harbour",
    ),
    "JavaScript in German": page(
        "<p>Bitte aktivieren Sie JavaScript, um diese Seite zu nutzen.</p><div id='root'></div>", "Hafen", lang="de"
    ),
    "JavaScript in French": page(
        "<noscript>Veuillez activer JavaScript pour utiliser cette application.</noscript>", "Port", lang="fr"
    ),
    "JavaScript in Spanish": page("<p>Debe habilitar JavaScript para ver esta página.</p>", "Puerto", lang="es"),
    "JavaScript in Polish": page("<p>Włącz obsługę JavaScript, aby zobaczyć stronę.</p>", "Port", lang="pl"),
    "JavaScript in Russian": page("<noscript>Для работы включите JavaScript.</noscript>", "Порт", lang="ru"),
    "JavaScript in Chinese": page(
        "<noscript>请启用 JavaScript 后继续。</noscript><div id=app></div>", "港口", lang="zh"
    ),
    "JavaScript in Japanese": page("<noscript>JavaScriptを有効にしてください。</noscript>", "港", lang="ja"),
    "another browser": page("<p>Your browser is not supported.</p><p>Please upgrade your browser.</p>", "Harbour"),
    "redirecting": page("<p>Redirecting…</p><script>location.href = '/new'</script>", "Redirecting"),
    "redirecting to a place": page(
        "<p>You are being redirected to harbour.example</p><p>Click here if nothing happens</p>"
    ),
    "a script that leads on": page("<script>window.location.replace('/new')</script>", "Harbour"),
    "a refresh of itself": page("<p>Please wait…</p>", "Harbour", '<meta http-equiv="refresh" content="3">'),
    "frames": "<html><head><title>Harbour</title></head><frameset><frame src='a.html'><noframes></noframes></frameset></html>",
}
MISSING: Final = {
    "404": page("<h1>404</h1><p>Page not found</p>", "404 Not Found"),
    "not found": page(
        MENU + "<h1>Page not found</h1><p>The page you are looking for does not exist. It may have been moved or "
        "deleted.</p>" + FOOT,
        "Page not found | Harbour",
    ),
    "oops": page(
        "<h2>Oops! That page can’t be found.</h2><p>It looks like nothing was found at this location. Maybe try a search?"
        "</p>",
        "Page not found – Harbour",
    ),
    "not to be indexed": page(
        "<h1>Sorry</h1><h2>Page not found</h2><p>Why not have a look at our boats?</p>",
        "Harbour",
        '<meta name="robots" content="noindex, follow"><link rel="canonical" href="/">',
    ),
    "in German": page(
        "<h1>Seite nicht gefunden</h1><p>Die gesuchte Seite existiert nicht mehr.</p>", "Fehler 404 - Hafen", lang="de"
    ),
    "in French": page("<h1>Page introuvable</h1><p>La page demandée n'existe pas.</p>", "Page introuvable", lang="fr"),
    "in Spanish": page(
        "<h1>Página no encontrada</h1><p>La página que busca no existe.</p>", "Página no encontrada", lang="es"
    ),
    "in Italian": page("<h1>Pagina non trovata</h1><p>La pagina cercata non esiste.</p>", "Errore 404", lang="it"),
    "in Polish": page("<h1>Strona nie istnieje</h1><p>Nie znaleziono strony.</p>", "Strona nie istnieje", lang="pl"),
    "in Russian": page("<h1>Страница не найдена</h1><p>Такой страницы не существует.</p>", "404", lang="ru"),
    "in Chinese": page("<h1>页面不存在</h1><p>您访问的页面不存在或已删除。</p>", "页面不存在", lang="zh"),
    "in Japanese": page(
        "<h1>ページが見つかりません</h1><p>お探しのページは削除された可能性があります。</p>", "404 Not Found", lang="ja"
    ),
}

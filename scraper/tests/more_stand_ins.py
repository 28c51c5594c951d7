"""More of what stands in another's place, and of what does not: written after the rules, to see what they had missed."""

from typing import Final

from stand_ins import page

MORE_CHALLENGES: Final = {
    "a guard's script and no body": page(
        "",
        "",
        "<META NAME='robots' CONTENT='noindex,nofollow'><script src='/_Incapsula_Resource?SWJIYLWA=5074a'></script>",
    ),
    "a button to hold": page(
        "<h1>Robot or human?</h1><p>Activate and hold the button to confirm that you’re human. Thank You!</p><p>Try a different method</p><script></script>",
        "Robot or human?",
    ),
    "stand by": page(
        "<h1>Please stand by, while we are checking your browser...</h1><p>Redirecting...</p><p>Please enable Cookies and reload the page.</p><script></script>",
        "Please Wait... | Cloudflare",
    ),
    "once the check is complete": page(
        "<h1>Checking your browser before accessing harbour.example</h1><p>Please wait a few seconds. Once this check is complete, the website will open automatically</p>",
        "DDoS-Guard",
    ),
    "one more step": page(
        "<h1>One more step</h1><h2>Please complete the security check to access harbour.example</h2><form id='challenge-form'><div class='h-captcha'></div></form><h2>Why is there a CAPTCHA?</h2><p>It shows that somebody is at the keys, and opens the site for an hour.</p><h2>How do I get rid of it?</h2><p>At home, look for programs on your computer that you did not put there. At work, tell those who keep the network.</p><p>Ray ID: 1</p>",
        "Attention Required! | Shield",
    ),
    "blocked by network security": page(
        "<h1>You've been blocked by network security.</h1><p>To continue, log in to your account or use your developer token</p><p>If you think you've been blocked by mistake, file a ticket below and we'll look into it.</p><a href=/login>Log in</a><a href=/ticket>File a ticket</a><script></script>",
        "Blocked",
    ),
    "enable JS and disable blockers": page(
        "<p>Please enable JS and disable any ad blocker</p><script data-cfasync='false'>var dd={'rt':'c'}</script>",
        "harbour.example",
    ),
    "too many visits, in Chinese": page(
        "<h1>您的访问过于频繁</h1><p>请完成以下验证后继续访问</p><div id='captcha'></div><script></script>", "访问验证"
    ),
    "a check in Korean": page(
        "<h2>보안 확인</h2><p>로봇이 아닌지 확인이 필요합니다.</p><script></script>", "잠시만 기다리십시오…"
    ),
    "a check in Chinese whose words are of the network": page(
        "<div class='timeout'>网络不给力，请稍后重试</div><script src='https://wappass.baidu.com/static/x.js'></script>",
        "百度安全验证",
    ),
    "a box to tick and one sentence": page(
        "<p>Please verify you are a human</p><div class='cf-turnstile'></div>", "harbour.example"
    ),
    "a check in Spanish, with a name": page(
        "<h1>puerto.example</h1><h2>Comprobando que la conexión del sitio es segura</h2><p>puerto.example necesita revisar la seguridad de su conexión antes de continuar.</p><script>_x</script>",
        "Un momento…",
    ),
    "a check in Italian": page(
        "<h2>Verifica di essere umano completando l'azione seguente.</h2><p>porto.example deve verificare la sicurezza della connessione prima di procedere.</p>",
        "Solo un momento...",
    ),
    "a check in Dutch": page("<p>Controleren of u een mens bent. Dit kan enkele seconden duren.</p>", "Een moment..."),
    "a check in Polish": page(
        "<p>Sprawdzanie, czy jesteś człowiekiem. To może potrwać kilka sekund.</p><p>port.example musi sprawdzić bezpieczeństwo twojego połączenia.</p>",
        "Chwileczkę...",
    ),
    "a check in Turkish": page("<p>Devam etmek için insan olduğunuzu doğrulayın.</p>", "Bir dakika lütfen..."),
    "a check with a button": page(
        "<h2>Let's confirm you are human</h2><p>Complete the security check before continuing. This step verifies that you are not a bot, which helps to protect your account and prevent spam.</p><button>Begin</button><script src='https://x.token.awswaf.com/challenge.js'></script>",
        "Human Verification",
    ),
    "automated traffic": page(
        "<p>Sorry, your request looks like automated traffic. Please complete the CAPTCHA to continue.</p><div class='g-recaptcha'></div>",
        "Shop",
    ),
}
MORE_LOGINS: Final = {
    "a publishing system's form": page(
        "<div id=login><h1><a href='https://press.example/'>Powered by Press</a></h1><form id=loginform><label>Username or Email Address</label><input type=text><label>Password</label><input type=password><p><input type=checkbox> <label>Remember Me</label></p><input type=submit value='Log In'></form><p id=nav><a href='?lost'>Lost your password?</a></p><p><a href='/'>← Go to Harbour</a></p></div>",
        "Log In ‹ Harbour — Press",
    ),
    "a wiki's words": page(
        "<div id=content><h1>Login required</h1><p>Please <a href='/index.php?title=Special:UserLogin'>log in</a> to view other pages.</p><p>Return to <a href='/'>Main Page</a>.</p></div>",
        "Login required - Wiki",
    ),
    "a name first, the password later": page(
        "<p>Sign in to continue to Harbour Mail</p><form><input type=email name=login><button>Next</button></form><a href='/signup'>Create account</a>",
        "Sign in - Harbour Accounts",
    ),
    "an identity server's form": page(
        "<div id=kc-header>HARBOUR REALM</div><h1>Sign in to your account</h1><form action='/auth/realms/x/login-actions/authenticate'><label>Username or email</label><input name=username><label>Password</label><input type=password><a href='/r'>Forgot Password?</a><input type=submit value='Sign In'></form><span>New user? <a href=/reg>Register</a></span>",
        "Sign in to harbour",
    ),
    "a forum's words in Russian": page(
        "<h2>Вход</h2><p>Для просмотра этой страницы необходимо войти в систему.</p><a href='/ucp.php?mode=login'>Вход</a>",
        "Форум",
        lang="ru",
    ),
    "a form below a request in German": page(
        "<p>Bitte melden Sie sich an, um fortzufahren.</p><form><input type=email><input type=password><button>Weiter</button></form>",
        "Zeitung",
    ),
    "a school's form": page(
        "<h2>Log in to Harbour School</h2><form><input name=username><input type=password><button>Log in</button></form><p><a>Lost password?</a></p><h3>Is this your first time here?</h3><p>For full access to this site, you first need to create an account.</p><p>Cookies must be enabled in your browser</p>",
        "Log in to the site | Harbour School",
    ),
    "a form beside a list of links": page(
        "<div class='login'><h1>Welcome to Dashboards</h1><form><label>Email or username</label><input name=user><label>Password</label><input type=password><button>Log in</button></form><ul><li><a>Documentation</a></li><li><a>Support</a></li><li>Open Source v10.2.3</li></ul></div>",
        "Dashboards",
    ),
    "a staff area": page(
        "<h1>Staff area</h1><p>This area is for staff only. Please sign in with your harbour account to proceed.</p><p><a href='/saml2/start'>Sign in</a></p>",
        "Staff area - Harbour",
    ),
    "a form in Portuguese": page(
        "<h1>Acesso restrito</h1><p>É necessário fazer login para continuar.</p><form><input type=text><input type=password><button>Entrar</button></form>",
        "Portal",
    ),
    "a wall of Korean words": page("<p>로그인이 필요합니다.</p><a href='/member/login.php'>로그인</a>", "게시판"),
}
MORE_EMPTIES: Final = {
    "a framework's words without JavaScript": page(
        "<noscript><strong>We're sorry but harbour doesn't work properly without JavaScript enabled. Please enable it to continue.</strong></noscript><div id=app></div><script src=a.js></script>",
        "harbour",
    ),
    "loading, and an error that is not shown yet": page(
        "<div id=app>Loading...</div><div id='blazor-error-ui'>An unhandled error has occurred. <a href='' class='reload'>Reload</a> <a class='dismiss'>🗙</a></div>",
        "App",
    ),
    "loading in an application's element": page("<app-root>Loading...</app-root>", "Ang"),
    "getting things ready": page(
        "<app-root><div class='loader'><img><span>Hang tight, we're getting things ready…</span></div></app-root>",
        "Ang",
    ),
    "must be enabled in order to use": page(
        "<div id='notion-app'></div><noscript><div>JavaScript must be enabled in order to use Harbour. Please enable JavaScript to continue.</div></noscript>",
        "Harbour – notes",
    ),
    "is not enabled, below a tool bar": page(
        "<noscript>JavaScript isn't enabled in your browser, so this file can't be opened. Enable and reload.</noscript><div class=toolbar>File Edit View</div>",
        "Doc",
    ),
    "a check that needs JavaScript and says so twice": page(
        "<noscript><p>JavaScript is disabled in your browser.</p>Please enable JavaScript to proceed.</noscript><div id='failed' hidden>A part of this site could not load. Look at your connection, turn off what blocks advertisements, and come again with another browser if that does not help. We are sorry for the trouble.</div><script src=/x.js></script>",
        "Client Challenge",
    ),
    "loading below a cookie banner": page(
        "<div id='cookie-banner' class='cookie-banner'><p>We use cookies to make the site better. Do you agree that we and our partners store them on your device?</p><button>Accept all</button></div><main><div class='spinner'></div><span>Loading…</span></main>",
        "Shop",
    ),
    "JavaScript in Japanese, in an application": page(
        "<div id='__next'></div><noscript>このページを表示するにはJavaScriptを有効にしてください</noscript>", "x"
    ),
    "loading in Turkish": page("<p>Yükleniyor...</p>", "x"),
    "loading in Italian": page("<p>Caricamento in corso...</p>", "x"),
    "a script that leads on, and a link for others": page(
        "<script>var u='/x'; window.location = u;</script><noscript><a href=/x>Continue</a></noscript>", "x"
    ),
    "loading, with a figure": page("<div>0%</div><div>Loading assets…</div>", "Game"),
    "a browser that is out of date": page(
        "<div class='x'><h1>Your browser is out of date</h1><p>Please update your browser to use this site.</p><ul><li><a>Firefox</a></li><li><a>Chrome</a></li></ul></div><script></script>",
        "Bank",
    ),
    "loading in Polish": page("<p>Ładowanie…</p><p>Proszę czekać</p>", "x"),
    "loading in Dutch": page("<div>Even geduld, de pagina wordt geladen…</div>", "x"),
    "loading in Portuguese": page("<p>Carregando, por favor aguarde...</p>", "x"),
    "loading in Vietnamese": page("<p>Đang tải...</p>", "x"),
    "loading in Czech": page("<p>Načítání…</p>", "x"),
    "an application above a line of foot": page(
        "<div id=root></div><div class=foot>© 2026 Harbour Inc. All rights reserved</div><noscript>This application needs JavaScript to work.</noscript>",
        "Harbour",
    ),
    "loading a workspace": page(
        "<div class=loader><p>Loading your workspace</p></div><script src=/b.js></script>", "Workspace"
    ),
    "JavaScript to sign in": page(
        "<noscript>JavaScript required to sign in<br>Your browser is set to block JavaScript. You need to allow JavaScript to use this service.</noscript><script>x</script>",
        "Sign in to your account",
    ),
    "a site builder's words": page(
        "<div id=SITE_CONTAINER></div><noscript><div>This site requires JavaScript</div></noscript>", "Harbour"
    ),
    "a game": page(
        "<div id=unity-container><div id=unity-loading-bar></div></div><script></script>", "Unity Web Player | Game"
    ),
    "JavaScript in German, at length": page(
        "<h1>JavaScript deaktiviert</h1><p>In Ihrem Browser ist JavaScript deaktiviert. Bitte schalten Sie JavaScript ein und laden Sie die Seite neu.</p><script></script>",
        "Bank",
    ),
    "loading in Swedish": page(
        "<p>Laddar…</p><noscript>Du måste aktivera JavaScript för att använda den här sidan.</noscript>", "Hamn"
    ),
    "a browser without JavaScript, in Chinese": page(
        "<div>您的浏览器不支持 JavaScript，请开启 JavaScript 后刷新页面</div><script></script>", "港口"
    ),
    "a script that alerts and leads on": page(
        "<script>alert('로그인이 필요합니다'); location.href='/login';</script>", "x"
    ),
    "a form that sends itself": page(
        "<form method=post action='/sso'><input type=hidden name=SAMLRequest value=x><noscript><p>Since your browser does not support JavaScript, you must press the Continue button once to proceed.</p><button>Continue</button></noscript></form><script>document.forms[0].submit()</script>",
        "Redirect",
    ),
    "redirecting to an address": page(
        "<p>Redirecting to <a href='https://new.example/docs/'>https://new.example/docs/</a>...</p><script>location='https://new.example/docs/'</script>",
        "Redirecting...",
    ),
}
MORE_REAL: Final = {
    "a text in an article's own header": page(
        "<article><header><h1>Closure notice</h1><p>The bridge is closed on Monday from nine to five. Take the ferry.</p>"
        "</header></article><noscript>Please enable JavaScript.</noscript><div id='app'></div>",
        "Port",
    ),
    "a page to enter by": page(
        "<h1>Port of Harbour</h1><p>The gateway to the west</p><a href='/in'>Continue</a>", "Port of Harbour"
    ),
    "a menu of a restaurant, behind a guard": page(
        "<div class='menu'><h2>Soups</h2><p>Onion soup, fish soup, and whatever the cook finds at the market in the morning.</p><h2>Mains</h2><p>Cod with potatoes</p></div><script>KPSDK</script><script src='/_Incapsula_Resource?SWJ=1'></script>",
        "Menu",
    ),
    "a thread on a check that never ends": page(
        '<h1>Stuck on checking your browser</h1><div class=post><p>I keep seeing "Checking your browser before accessing". It never ends, whichever browser I take.</p></div><div class=post><p>Clear the cookies, then reboot the router. That helped me.</p></div><script></script>',
        "Stuck on checking your browser - Forum",
    ),
    "a thread with a form to reply": page(
        "<h1>Best boat?</h1><p>Which boat is best for the bay in winter? I have a small one and it leaks a lot.</p><p>You must be logged in to reply to this topic.</p><form><input type=text><input type=password><button>Log In</button></form>",
        "Best boat? - Forum",
    ),
    "a note with a form to comment": page(
        "<h1>Storm</h1><p>The storm took the roof of the boathouse.</p><h3>Leave a reply</h3><p>You must be <a href='/wp-login.php'>logged in</a> to post a comment.</p>",
        "Storm - Harbour",
    ),
    "a status": page("<h1>All systems operational</h1><p>Last checked a minute ago.</p>", "Status"),
    "a generator of passwords": page(
        "<h1>Password generator</h1><p>Type how long it shall be, and press the button.</p><form><input type=number><input type=password readonly><button>Make one</button></form>",
        "Password generator",
    ),
    "a contact form with a captcha": page(
        "<h1>Contact</h1><p>Harbour Street 5</p><form><input name=n><textarea></textarea><div class='h-captcha'></div></form>",
        "Contact",
    ),
    "a glossary's entry on JavaScript": page(
        "<h1>JavaScript</h1><p>A language that browsers run. It was made in ten days in 1995.</p><script></script>",
        "JavaScript - glossary",
    ),
    "requirements, JavaScript among them": page(
        "<h1>Requirements</h1><ul><li>A computer with two cores</li><li>JavaScript enabled</li><li>A good chair</li></ul><script></script>",
        "Requirements",
    ),
    "a note on loading screens": page(
        "<h1>Loading screens</h1><p>A picture that a game shows while it reads data.</p>", "Loading screens"
    ),
    "a chapter on loading": page(
        "<h1>Loading</h1><ul><li><a href='/a'>Loading data from files</a></li><li><a href='/b'>Loading data from databases</a></li></ul><p>Choose a chapter.</p>",
        "Loading - manual",
    ),
    "a manual on redirecting": page(
        "<h1>Redirecting</h1><p>Set the header Location and answer with the status 302.</p><pre>return redirect('/new')</pre>",
        "Redirecting - docs",
    ),
    "a post on captchas with a form": page(
        "<h1>We dropped CAPTCHAs</h1><p>They asked you to prove you are human. We found better ways, and spam went down. Read how in the long version.</p><div class='g-recaptcha'></div><form><input type=email></form>",
        "We dropped CAPTCHAs",
    ),
    "a manual's entry on access": page(
        "<h1>Access denied</h1><p>The code means that the file belongs to somebody else. Ask them for the right to read it, or copy it with another account.</p>",
        "Error 5: Access denied - manual",
    ),
    "a club's invitation with a form": page(
        "<h1>Join the club</h1><p>Members get a key, a berth for the summer, the magazine and a seat at the table on Friday evenings. The fee is ten a month. Children pay half, and those over seventy pay nothing at all, as do the crews of the lifeboat.</p><form><input type=email><input type=password><button>Join</button></form>",
        "Join",
    ),
    "a note on logging in, in Chinese": page(
        "<h1>登录说明</h1><p>员工请到门口领取钥匙，出示证件后由值班人员登记，然后前往二楼办公室办理手续。</p>",
        "登录说明",
    ),
    "a bus of that number": page(
        "<h1>404</h1><p>Bus 404 goes from the harbour to the station every ten minutes, on Sundays every half hour, and stops at the market on the way back.</p>",
        "Bus 404",
    ),
    "a page of a book": page(
        "<h1>Page</h1><p>The page of the book that was not found is number nine.</p>", "The missing page"
    ),
    "a poem that asks to wait": page("<p>Please wait, she said,<br>the boat will come.</p>", "Poem"),
    "a song that asks to wait": page(
        "<h1>Please wait</h1><p>A song by the harbour band, from their second record. It is about a ferry that is late.</p>",
        "Please wait",
    ),
    "a table of what is loading": page(
        "<table><tr><th>Ship</th><th>Status</th></tr><tr><td>Anna</td><td>Loading</td></tr><tr><td>Bella</td><td>Loading...</td></tr></table>",
        "Ships",
    ),
    "an index of ten links, with scripts": page(
        "<h1>Boats</h1>"
        + "".join(f"<p><a href='/{n}'>Boat {n}</a></p>" for n in range(10))
        + "<noscript>Please enable JavaScript.</noscript><script>location.href='#x'</script>",
        "Boats",
    ),
    "a sentence with a hint about JavaScript": page(
        "<p>The harbour is closed today, sorry for that.</p><noscript>Please enable JavaScript to use the menu.</noscript>",
        "Harbour",
    ),
    "an address with a hint about JavaScript": page(
        "<h1>Contact</h1><p>Harbour Street 5, 12345 Port. Phone 555 1234.</p><noscript>JavaScript is required for the map.</noscript><script>x</script>",
        "Contact",
    ),
    "a list of changes": page(
        "<h1>2.1</h1><ul><li>Loading is faster</li><li>Sign in with a key</li><li>Redirects are followed</li><li>JavaScript can be disabled</li></ul><script></script>",
        "2.1 - Changes",
    ),
    "a manual's entry on an error": page(
        "<h1>ERR_LOGIN_REQUIRED</h1><p>You must log in before calling this function.</p><p>Call <a href='/docs/login'>login()</a> first, keep the token that it gives back, and send it with each request to the server.</p>",
        "ERR_LOGIN_REQUIRED",
    ),
    "a function that logs in": page(
        "<h1>login()</h1><p>Log in to the server with a name and a password. Gives back a token.</p><pre>token = login('anna', 'secret')</pre>",
        "login() - API",
    ),
    "a question about logging in": page(
        "<h1>Do I have to log in?</h1><p>No. You must be logged in to write a review, and for nothing else. Everybody may read.</p>",
        "Do I have to log in?",
    ),
    "a song on humans": page(
        "<h1>Are you human?</h1><p>A song of the band Harbour.</p><p>Are you human, or are you a tide? Do you come when you are called?</p>",
        "Are you human?",
    ),
    "a note on machines": page(
        "<h1>Turing test</h1><p>A game in which a machine tries to make you think that it is a human. It was proposed in 1950.</p><form><input name=q></form><script></script>",
        "Turing test",
    ),
    "a manual on verified bots": page(
        "<h1>Bot verification</h1><p>Write to the bot, copy its key into the box, and press the button. Verified bots get a mark beside the name.</p><script></script>",
        "Bot verification - docs",
    ),
    "a note on security": page(
        "<h1>Security verification</h1><p>We check each ship's papers, its crew and its cargo on arrival, and once more before it leaves.</p>",
        "Security verification",
    ),
    "an offer of protection": page(
        "<h1>DDoS protection</h1><p>We offer protection from attacks. Plans begin at ten a month. Call us, and we set it up within a day.</p><script></script>",
        "DDoS protection",
    ),
    "an offer of a captcha": page(
        "<h1>Stop bots</h1><p>Our CAPTCHA makes sure you are dealing with people. Visitors confirm they are human with one click.</p><p>Try it:</p><div class='cf-turnstile'></div><a href='/buy'>Buy</a><script></script>",
        "Stop bots - a CAPTCHA for your site",
    ),
    "an invitation to sign up": page(
        "<h1>Create an account</h1><p>With an account you see tides, berths and the weather at once, and get a warning by mail before a storm. It is free for sailors with one boat, costs five a month for up to ten, and can be ended each month.</p><form><input type=email><input type=password></form>",
        "Create an account",
    ),
    "the history of a word": page(
        "<h1>Login</h1><p>The word comes from the log of a ship, in which its speed and course were written each hour.</p>",
        "Login",
    ),
    "a gate of that number": page("<h1>Gate 404</h1><p>Flights to the west leave here.</p>", "Gate 404"),
    "a record of that name": page(
        "<h1>Not found</h1><p>The second record of the band, with nine songs on boats that left and never came back. It came out in May.</p>",
        "Not found - record",
    ),
    "a German song": page(
        "<h1>Weiter</h1><p>Ein Lied vom Hafen, in dem einer geht und nicht wiederkommt.</p>", "Weiter", lang="de"
    ),
    "Chinese, on loading a ship": page(
        "<h1>装载</h1><p>货船正在加载集装箱，预计下午三点离港，前往南方的港口。</p>", "装载", lang="zh"
    ),
    "Japanese, on waiting": page(
        "<h1>待ち時間</h1><p>フェリーの待ち時間は約三十分です。乗り場でお待ちください。</p>", "待ち時間", lang="ja"
    ),
    "traffic that is redirected": page(
        "<h1>Road closed</h1><p>Traffic is redirected to the harbour road until May.</p>", "Road closed"
    ),
    "a note on a queue": page(
        "<h1>Queue</h1><p>Please wait until your number is shown on the board above the counter.</p>", "Queue"
    ),
    "a quotation": page(
        "<blockquote>Just a moment, she said, and the boat left.</blockquote><p>From a letter</p>", "Just a moment"
    ),
    "a film whose player is loading": page(
        "<h1>The ferry</h1><div class=player>Loading player…</div><p>A film of four minutes on the ferry and its crew.</p>",
        "The ferry",
    ),
}

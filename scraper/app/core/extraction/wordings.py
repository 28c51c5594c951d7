"""What pages say that stand in another's place, in the languages that they are most often in.

None of this decides alone: an article on CAPTCHAs has all of these words. `verdicts` asks how much else a page says.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from app.core.extraction.shape import words

_WHOLE_MAX_CHARACTERS: Final = 240
# who says one thing and nothing else does so shortly; and such patterns take their time over long rows of dots
_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])\s*")


@dataclass(frozen=True)
class Wording:
    """Ways to say one thing.

    Attributes
    ----------
    whole
        Whether it has to be all that a text says.
    """

    pattern: re.Pattern[str]
    whole: bool

    def is_said(self, text: str) -> bool:
        """Return whether a text, a sentence or a block, says it."""
        text = text.replace("’", "'")
        if self.whole:
            return len(text) <= _WHOLE_MAX_CHARACTERS and self.pattern.fullmatch(text) is not None
        return self.pattern.search(text) is not None


def _any_of(*patterns: str) -> Wording:
    return Wording(re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE), whole=False)


def _whole(*patterns: str) -> Wording:
    return Wording(re.compile(rf"\W*(?:{'|'.join(patterns)})[\W\d]*", re.IGNORECASE), whole=True)


class Text:
    """A short text: its blocks, and how much of it says what."""

    def __init__(self, blocks: Iterable[str]) -> None:
        self.blocks = tuple(dict.fromkeys(blocks))  # what is said twice is said once

    @cached_property
    def words(self) -> int:
        """How many words it has."""
        return sum(map(words, self.blocks))

    def says(self, *wordings: Wording) -> int:
        """Return how many of its words are in what says one of these."""
        return sum(map(words, self.saying(*wordings)))

    def saying(self, *wordings: Wording) -> Iterator[str]:
        """Yield the blocks, and the sentences of other blocks, that say one of these."""
        for block in self.blocks:
            if any(wording.whole and wording.is_said(block) for wording in wordings):
                yield block
            else:
                yield from (
                    sentence
                    for sentence in _SENTENCE_END.split(block)
                    if any(wording.is_said(sentence) for wording in wordings)
                )


_PLEASE_WAIT: Final = (
    r"please wait|just a (?:moment|second|sec|minute)|one (?:moment|second|sec)|hold on|hang tight|(?:please )?stand by|working on it|almost there|bitte warten|einen moment|patientez|veuillez patienter"
    r"|espere|espera un momento|por favor,? espere|aguarde|por favor,? aguarde|attendere|attendere prego"
    r"|un momento|even geduld|proszę czekać|čekejte prosím|vänligen vänta|vent venligst|vennligst vent|odota"
    r"|подождите|пожалуйста,? подождите|зачекайте|lütfen bekleyin|请稍候|请稍等|請稍候|お待ちください"
    r"|少々お待ちください|しばらくお待ちください|잠시만 기다려 ?주세요|잠시만 기다려 주십시오|يرجى الانتظار|אנא המתן"
    r"|कृपया प्रतीक्षा करें|vui lòng chờ|harap tunggu|กรุณารอสักครู่"
)
_LOADING_WORD: Final = (
    r"(?:now |still |page |content |the page is |your (?:page|content|app) is |app |application )?loading"
    r"(?: (?:the )?(?:page|content|data|app|application|site|more|interface|your \w+|\w+))?|loads"
    r"|(?:wird |seite wird |inhalte? w(?:ird|erden) )?ge?laden|lädt|lade|ladevorgang|chargement(?: en cours| de la page)?"
    r"|cargando(?: \w+)?|carregando(?: \w+)?|a carregar|caricamento(?: in corso)?|(?:aan het )?laden|ładowanie|wczytywanie"
    r"|načítání|načítá se|laddar|indlæser|laster(?: inn)?|ladataan|загрузка|загружается|идет загрузка|идёт загрузка"
    r"|завантаження|yükleniyor|加载中|载入中|正在加载|正在载入|載入中|讀取中|読み込み中(?:です)?|ロード中|로딩 ?중|불러오는 중"
    r"|جار[ٍي]? التحميل|جاري التحميل|טוען|लोड हो रहा है|đang tải|memuat|กำลังโหลด|betöltés|se încarcă|φόρτωση"
)

LOADING: Final = _whole(
    rf"(?:{_PLEASE_WAIT}|{_LOADING_WORD})(?:\W+(?:{_PLEASE_WAIT}|{_LOADING_WORD}))*",
    r"please wait(?: a moment| a few seconds)?,? while .{1,60}(?:load|prepar|fetch|initiali[sz])\w*",
    rf"(?:{_PLEASE_WAIT}|{_LOADING_WORD})\b.{{0,80}}(?:\.\.\.|…)",
    r"(?:this|it) (?:may|might|should) (?:only )?take (?:a|a few) \w+",
    r"initiali[sz]ing(?: \w+){0,3}|starting(?: up)?(?: the)? (?:app|application)|preparing your \w+",
)
"""A block that says that there will be something."""

REDIRECTING: Final = _whole(
    r"(?:you are being |you will (?:now )?be |now |we are )?redirect(?:ed|ing)(?: you)?(?: [\w./:-]+){0,6}",
    r"(?:if|should) (?:you|your browser|this page|the page).{0,60}redirect.{0,80}",
    r"(?:this|the) (?:page|site|document) (?:has|is) (?:been )?moved(?: .{0,60})?|(?:the )?document has moved(?: here)?",
    r"(?:sie|du) (?:werden|wirst)(?: \w+){0,3} (?:weitergeleitet|umgeleitet).{0,40}|weiterleitung(?: \w+){0,4}",
    r"(?:vous allez être|vous êtes) (?:en cours de )?redirigée?s?.{0,40}|redirection(?: en cours)?",
    r"(?:está siendo|será|serás) redirigid[oa].{0,40}|redirigiendo|redireccionando.{0,20}",
    r"(?:você )?(?:está sendo|será) redirecionad[oa].{0,40}|redirecionando|reindirizzamento(?: in corso)?.{0,30}",
    r"u wordt doorgestuurd.{0,40}|doorverwijzen|przekierowanie.{0,30}|přesměrování.{0,20}|перенаправление.{0,30}",
    r"yönlendiriliyorsunuz.{0,20}|正在跳转.{0,20}|跳转中|页面跳转.{0,20}|リダイレクト(?:中|しています).{0,20}|転送しています|이동 중.{0,10}",
)
"""A block that says that what is looked for is elsewhere."""

ONWARD: Final = _whole(
    r"(?:please )?(?:click|tap|press) (?:here|this link|on this link|below|the (?:link|button))(?: .{0,60})?|continue|reload|try again|retry",
    r"(?:klicken sie |klicke )?hier(?: klicken)?(?: .{0,40})?|cliquez ici(?: .{0,40})?|(?:haga|haz) clic(?:k)? aquí(?: .{0,40})?|weiter",
    r"clique aqui(?: .{0,40})?|clicca qui(?: .{0,40})?|klik hier(?: .{0,40})?|нажмите (?:здесь|сюда)(?: .{0,40})?|点击(?:这里|此处).{0,10}",
)
"""A block that goes with one of these: what to do if nothing happens."""

JAVASCRIPT: Final = _any_of(
    r"(?:enable|activate|turn on|allow|switch on)(?:,? \w+){0,3} (?:java ?script|cookies)",
    r"java ?script (?:isn't|is not|was not|wasn't|not) (?:\w+ )?(?:enabled|available|supported|active|on|working)",
    r"java ?script(?: and cookies| & cookies)? (?:(?:is|are|must be|needs? to be|has to be|should be|be) )?(?:\w+ )?"
    r"(?:required|needed|necessary|disabled|turned off|switched off|not (?:enabled|available|supported|active)|enabled in order)",
    r"(?:requires?|needs?|without|depends on|relies on|works? (?:best|only) with|doesn't work properly without)"
    r"(?:,? \w+){0,2} java ?script",
    r"java ?script (?:enabled|to be enabled|must be enabled|turned on)(?: browser)?",
    r"(?:your|this) browser (?:is|does)(?: not|n't)(?:,? \w+){0,2} (?:supported|support)(?:,? \w+){0,3}",
    r"(?:upgrade|update|switch to|use) (?:your |to )?(?:a |an )?(?:\w+ )?(?:modern|newer|supported|different|current) (?:web )?browser",
    r"(?:upgrade|update) your (?:web )?browser|browser (?:is )?(?:out of date|outdated|no longer supported|unsupported)",
    r"java ?script(?:,? \w+){0,4} (?:aktivieren|einschalten|aktiviert|deaktiviert|benötigt|erforderlich|ausgeschaltet)",
    r"(?:schalten|stellen) sie java ?script|(?:aktivieren|benötigt|erfordert)(?:,? \w+){0,4} java ?script",
    r"(?:activer|activez|nécessite|désactivé)(?:,? \w+){0,4} java ?script|java ?script(?:,? \w+){0,4} (?:activé|désactivé|requis|nécessaire)",
    r"(?:habilit\w+|activ\w+|requiere|necesit\w+|precis\w+|ativ\w+|requer)(?:,? \w+){0,4} java ?script",
    r"java ?script(?:,? \w+){0,4} (?:habilitado|deshabilitado|desactivado|desativado|activado|ativado|necesario|necessário)",
    r"(?:abilit\w+|attiv\w+|richiede)(?:,? \w+){0,3} java ?script|java ?script(?:,? \w+){0,4} (?:abilitato|disabilitato|disattivato)",
    r"java ?script(?:,? \w+){0,3} (?:in te schakelen|inschakelen|ingeschakeld|uitgeschakeld|nodig)|(?:schakel|zet)(?:,? \w+){0,3} java ?script",
    r"(?:włącz\w*|obsług\w+|wymaga)(?:,? \w+){0,4} java ?script|java ?script(?:,? \w+){0,3} (?:wyłącz\w+|włącz\w+)",
    r"(?:aktivera|aktiver|aktivér|povolte|zapněte|engedélyez\w*)(?:,? \w+){0,4} java ?script",
    r"(?:включ\w+|требуется|необходим\w*|поддерж\w+)(?:,? \w+){0,5} java ?script|java ?script(?:,? \w+){0,4} (?:отключ\w+|включ\w+|не поддерживается)",
    r"java ?script'?(?:i|in|e|yi)?(?:,? \w+){0,4} (?:etkinleştir\w*|gerek\w+|devre dışı)",
    r"(?:启用|开启|打开|啟用|開啟|需要)\s*java ?script|java ?script\s*(?:を|が)?\s*(?:有効|無効|オン|必要)|java ?script\s*(?:를|을|가)?\s*(?:활성화|사용|필요)",
    r"(?:تفعيل|تمكين)\s*java ?script|(?:lütfen|bật|aktifkan)(?:,? \w+){0,3} java ?script",
)
"""A sentence that asks for JavaScript, or for another browser."""

CHALLENGE: Final = _any_of(
    r"checking (?:if |that |whether )?(?:your|the site connection|you are|the security of)",
    r"verif(?:y|ying|ies)(?: that)? (?:you(?:'re| are)?|your)(?:,? \w+){0,2} (?:human|browser|robot|bot|connection|identity)",
    r"(?:verify|confirm|prove|make sure|sure|check)(?:,? \w+){0,3} (?:you(?:'re| are)|it'?s(?: really)? you)\b",
    r"you(?:'re| are) (?:a )?(?:human|not (?:a )?(?:ro)?bot)",
    r"(?:i'?m|i am) (?:human|not a robot)|are you (?:a )?(?:human|robot)|robot or human|human verification|security (?:check(?:point)?|verification)",
    r"review the security of your connection|(?:made|make) us think (?:that )?you(?:'re| are|r browser)? (?:\w+ )?(?:\w+ )?(?:bot|robot)",
    r"unusual (?:traffic|activity)|automat(?:ed|ion) (?:tools?|traffic|requests?|access|queries)",
    r"ddos (?:protection|attack|guard)|ray id|incident id|support id is|reference (?:id|#)|request (?:id|unsuccessful)",
    r"this process is automatic|redirect(?:ed)? (?:to (?:your requested|the)|automatically)|up to (?:5|five|\d+) seconds|take a few seconds",
    r"(?:complete|solve|pass) (?:the|this|a) (?:captcha|challenge|puzzle|security check)|enter the characters|press (?:&|and) hold",
    r"slide (?:right|the|to)(?:,? \w+){0,5} (?:puzzle|verif\w+|unlock|access)|attention required|pardon our interruption",
    r"(?:access|request)(?: to this page)? (?:has been |was |is )?(?:denied|blocked|rejected)|requested url was rejected|you (?:have been|are|were) blocked"
    r"|(?:don't|do not) have permission to access",
    r"(?:malicious|suspicious) (?:bots?|activity|traffic)|proof.of.work|security service to protect",
    r"(?:required )?part of this (?:site|page) (?:could|can)(?:n't| ?not) (?:be )?load|ad.?blockers?\b|try (?:using )?a different browser|browser extensions?\b",
    r"you(?:'ve| have) been blocked|once th(?:is|e) (?:check|verification) (?:is |has )?(?:complete|finish)|please wait a few seconds|network security",
    r"activate and hold|hold the button|one more step|temporary access to the web property",
    r"(?:third.party )?browser plugin.{0,40}(?:preventing|blocking)|disabled (?:java ?script|cookies)|super.?human speed|regain access",
    r"(?:prüf|überprüf)\w*(?:,? \w+){0,4} (?:browser|mensch|verbindung|sicherheit)|(?:sie|du) (?:ein mensch|kein roboter)|sicherheits(?:über)?prüfung",
    r"browser(?:,? \w+){0,2} (?:überprüft|geprüft)|ich bin kein roboter|ungewöhnliche[rn]? (?:datenverkehr|aktivität\w*)",
    r"vérifi\w+(?:,? \w+){0,4} (?:humain|robot|navigateur|connexion|sécurité)|(?:pas|êtes) un(?:e)? (?:robot|humain)|vérification de sécurité",
    r"(?:verifi[cq]|comprob|comprueb|revis)\w+(?:,? \w+){0,5} (?:humano|robot|navegador|seguridad|segurança|conexión|conexão)|no (?:soy|eres|es) un robot|(?:é|es) humano|não (?:é|sou) um robô",
    r"verific\w+(?:,? \w+){0,5} (?:umano|browser|sicurezza|connessione)|non (?:sei|sono) un robot|(?:bent|geen) (?:een )?(?:mens|robot)|controle(?:ren)?(?:,? \w+){0,4} (?:browser|mens)",
    r"(?:sprawdz|zweryfik|potwierd|weryfik)\w+(?:,? \w+){0,5} (?:człowiekiem|robotem|przeglądar\w+|bezpieczeństw\w+)|nie jest\w* robotem",
    r"(?:провер\w+|подтверд\w+)(?:,? \w+){0,5} (?:браузер\w*|человек\w*|робот\w*|безопасност\w+|соединени\w+)|(?:не робот|вы человек)|проверка (?:безопасности|браузера)|доступ (?:ограничен|запрещ\w+)",
    r"(?:insan|robot)(?:,? \w+){0,2} (?:olduğunuzu|olmadığınızı)|güvenlik (?:kontrolü|doğrulaması)|tarayıcınız(?:,? \w+){0,2} kontrol",
    r"安全(?:验证|驗證|检查|檢查|确认)|(?:验证|驗證|确认|確認)您?(?:是|为|為)?(?:真人|人类|人類|不是机器人)|人机验证|(?:检查|檢查)您的(?:浏览器|瀏覽器)|访问(?:过于频繁|异常|受限)|请(?:完成|输入|拖动|滑动|按住)",
    r"(?:ブラウザ|接続|セキュリティ|人間|ロボット)(?:ー)?.{0,12}(?:確認|チェック|検証)|私はロボットではありません|(?:보안|사람인지|로봇이 아닌지|브라우저).{0,8}확인|자동.{0,4}접근",
    r"(?:التحقق|تحقق|نتحقق).{0,20}(?:متصفح|إنسان|بشر|أمان|اتصال)|לוודא ש?(?:אתה|אתם) (?:לא רובוט|אנושי)|xác minh(?:,? \w+){0,4} (?:người|robot|bảo mật)|ตรวจสอบ.{0,20}(?:เบราว์เซอร์|มนุษย์|ความปลอดภัย)",
)
"""A sentence of a check whether we are a browser or a person, or that says that we were taken for a program."""

CHALLENGE_TITLE: Final = _whole(
    r"just a moment|one moment,? please|attention required!?(?: \| cloudflare)?|please wait(?:\W+(?:cloudflare|while we verify.*))?",
    r"(?:ddos|bot) protection.{0,30}|checking your browser.{0,40}|verifying (?:you|your).{0,40}|human verification|verify(?:ing)? (?:you are )?human",
    r"security (?:check(?:point)?|verification)|vercel security checkpoint|access (?:to this page has been )?(?:denied|blocked)|robot check|bot verification",
    r"(?:(?:you (?:have been|are) )?blocked|robot or human|client challenge|ddos-?guard|please stand by.{0,60}|.{0,20}please wait for verification|one more step|site verification)\W*",
    r"are you (?:a )?(?:human|robot).{0,10}|pardon our interruption.{0,10}|making sure you'?re not a bot!?|request rejected|request unsuccessful.{0,60}|challenge validation",
    r"nur einen moment.{0,20}|einen moment(?: bitte)?.{0,10}|sicherheitsüberprüfung|un instant.{0,10}|un moment.{0,15}|vérification de sécurité",
    r"un momento.{0,10}|verificación de seguridad|só um momento.{0,10}|um momento.{0,10}|verificação de segurança|solo un momento|even geduld.{0,20}|een moment.{0,10}",
    r"(?:jeszcze )?chwil\w+.{0,15}|один момент.{0,10}|секунд\w+.{0,10}|(?:ой!?|проверка браузера|вы не робот\W*|проверка безопасности)|bir dakika.{0,10}|lütfen bekleyin.{0,10}",
    r"请稍候.{0,4}|安全验证|百度安全验证|人机验证|滑动验证|访问验证|验证码.{0,8}|しばらくお待ちください.{0,4}|少々お待ちください.{0,4}|セキュリティ(?:の)?確認|잠시만 기다.{0,10}|보안 확인|لحظة.{0,10}",
)
"""A title that such a check has."""

LOGIN: Final = _any_of(
    r"(?:you )?(?:must|need to|have to|should)(?: first)? (?:be )?(?:log(?:ged)?|sign(?:ed)?)[ -]?(?:in|on)\b",
    r"(?:please|kindly) (?:log|sign)[ -]?(?:in|on)\b|you are not (?:logged|signed)[ -]?in|(?:log|sign)[ -]?in (?:to (?:continue|view|access|see|read|your|proceed)|with|is required|required|using)",
    r"(?:requires?|required?)(?: a| you to)? (?:log[ -]?in|sign[ -]?in|authentication)|authentication (?:is )?required|(?:members|subscribers) only",
    r"(?:melden sie sich|anmelden|einloggen|logge dich|loggen sie sich)(?:,? \w+){0,4} (?:an|ein|um|anmelden|einloggen)|(?:sie|du) m[uü]ss\w*(?: sich| dich| \w+){0,3} (?:angemeldet|eingeloggt|anmelden|einloggen)",
    r"(?:veuillez|vous devez)(?: être| vous)* (?:connect\w+|identifi\w+)|(?:connectez|identifiez)-vous pour|connexion (?:requise|obligatoire)",
    r"(?:debe|debes|tiene que|tienes que|necesita|necesitas)(?: haber)? (?:inici\w+ sesión|acceder|identificarse)|inici[ae] sesión para|(?:faça|fazer|efetue) (?:o )?login|entre para (?:continuar|ver)",
    r"(?:devi|è necessario|occorre) (?:effettuare (?:il|l')|accedere|essere (?:connesso|registrato))|accedi per|log in om|u moet (?:ingelogd|aangemeld|inloggen)|(?:musisz|należy|proszę) (?:się )?zalogowa\w+|zaloguj się,? aby",
    r"(?:необходимо|нужно|требуется) (?:войти|авториз\w+)|войдите(?:,)? чтобы|пожалуйста,? (?:войдите|авторизуйтесь)|giriş yap(?:manız|malısınız)",
    r"请(?:先)?登录|請(?:先)?登入|需要登录|登录后(?:才能|可)|ログイン(?:して(?:ください|下さい)|が必要)|로그인(?:이 필요|해 ?주세요|하십시오| 후 이용)|يجب (?:عليك )?تسجيل الدخول|đăng nhập để|กรุณาเข้าสู่ระบบ",
)
"""A sentence that asks to log in."""

LOGIN_HEADING: Final = _any_of(
    r"\b(?:log|sign)[ -]?(?:in|on)\b|\blogin\b|\bauthenticat\w+|\bsso\b|single sign.on|member(?:s'?)? area",
    r"\banmeld\w+|\beinloggen\b|connexion|se connecter|identifi\w+|inici\w+ (?:de )?sesión|acceso|acceder|entrar|iniciar sessão|acess[oe]\b",
    r"accedi|accesso|inloggen|aanmelden|zaloguj|logowanie|přihl\w+|logga in|log ind|logg inn|kirjaudu|вход|войти|авторизация|увійти|giriş|oturum aç",
    r"登录|登錄|登入|ログイン|サインイン|로그인|تسجيل الدخول|כניסה|התחבר|đăng nhập|เข้าสู่ระบบ|masuk|bejelentkezés|σύνδεση|autentificare|conectare",
)
"""What a heading or a button of a form to log in with says."""

MISSING_TITLE: Final = _whole(
    r"(?:(?:http )?(?:error|status|fehler|erreur|errore|ошибка|hata|błąd|chyba|fel|fejl|feil|virhe)?\W*404\W*)?(?:error|fehler|erreur)?\W*"
    r"(?:(?:the |this |requested )*(?:page|file|document|url|content|article|product|item|post|resource)s?"
    r"(?: you requested| requested| you(?:'re| are) looking for| you were looking for)? "
    r"(?:(?:was |is |could |can |does |has |are )?(?:not |cannot |can't )(?:be )?(?:found|exist|available)"
    r"|(?:is |was |has been )?(?:missing|gone|unavailable|removed|deleted|no longer (?:available|exists?|here)))"
    r"|(?:page|file|content) (?:can(?:not|'t)|couldn't|wasn't|isn't|doesn't|does not) (?:be )?(?:found|exist|available)|not found|nothing (?:was )?found|no such page"
    r"|seite (?:wurde )?(?:leider )?(?:nicht gefunden|existiert nicht)|(?:diese|die) seite (?:wurde |konnte |gibt es |existiert )?(?:leider )?nicht(?: gefunden| mehr)?(?: werden)?"
    r"|page (?:non trouvée|introuvable|inexistante)|(?:cette |la )?page (?:n'existe pas|est introuvable|demandée est introuvable)"
    r"|página no encontrada|no (?:se )?(?:ha )?(?:encontr\w+) la página|página não encontrada|pagina non trovata|(?:la )?pagina non (?:esiste|è stata trovata)"
    r"|pagina niet gevonden|strona nie (?:została )?(?:znaleziona|istnieje)|nie znaleziono strony|stránka (?:nebyla )?nenalezena|stránka nenalezena|sidan (?:hittades inte|kunde inte hittas)|siden (?:blev |ble )?ikke funne[td]|siden ikke fundet|sivua ei löyt\w+"
    r"|страница не (?:найдена|существует)|сторінку не знайдено|сторінка не знайдена|sayfa bulunamadı|oldal nem található|pagina nu (?:a fost|există)(?: găsită)?|η σελίδα δεν βρέθηκε"
    r"|页面(?:不存在|未找到|找不到了?|没有找到)|找不到(?:该|此|這個)?(?:页面|頁面|网页|網頁)|頁面不存在|(?:お探しの)?ページが?(?:は)?(?:見つかりません(?:でした)?|ありません|存在しません)|페이지를 찾을 수 없습니다|존재하지 않는 페이지.{0,8}"
    r"|الصفحة غير موجودة|لم يتم العثور على الصفحة|הדף לא נמצא|पृष्ठ नहीं मिला|không tìm thấy trang|halaman tidak ditemukan|ไม่พบหน้า.{0,16})"
    r"(?:\W+404)?(?: error| \(404\))?",
    r"(?:(?:http )?(?:error|status|fehler|erreur|errore|ошибка|hata|błąd)\W*)?404(?:\W*(?:error|fehler|page|not found))?",
    r"(?:oops|uh[ -]?oh|sorry|whoops|hoppla|ups|désolé|vaya)\W+.{0,80}(?:found|exist|404|gefunden|introuvable|encontrad[oa]|trovata).{0,20}",
)
"""A heading of a page that says that there is no such page."""

MISSING: Final = _any_of(
    r"(?:page|file|document|content|article|product|item|post|url|address|link)(?: that)? (?:you (?:requested|are looking for|were looking for|tried|have requested)|you're (?:looking for|trying))",
    r"(?:page|file|document|url|content|article|product|item|post)(?:,? \w+){0,4} (?:(?:could|can|was|is|has|does|may|might)(?:n't|not| not)? )(?:\w+ )?(?:be |been |have )*(?:found|exists?|moved|removed|deleted|renamed|available|located)",
    r"(?:couldn't|could not|can't|cannot|unable to|didn't) (?:find|locate)(?:,? \w+){0,4} (?:page|file|document|url|content|article|that|it|what)",
    r"no longer (?:available|exists?|here|active)|(?:there'?s|there is) nothing (?:here|to see)|nothing (?:was )?found|mistyped|typed the (?:address|url)|check the (?:url|address|spelling)|error 404|404 error|(?:link|url) (?:is|may be|might be) (?:broken|incorrect|wrong|out ?dated)",
    r"seite(?:,? \w+){0,5} (?:nicht|gefunden|existiert|verschoben|gelöscht|entfernt)|(?:adresse|url)(?:,? \w+){0,3} (?:überprüfen|prüfen|falsch)|nicht mehr (?:verfügbar|vorhanden)",
    r"page(?:,? \w+){0,5} (?:n'existe|n'est plus|introuvable|déplacée|supprimée|été supprimée|recherchez|demandée)",
    r"página(?:,? \w+){0,5} (?:no existe|no se encuentra|encontr\w+|não existe|removida|movida|eliminad[oa]|busca|procura)|(?:pagina|documento)(?:,? \w+){0,5} (?:non esiste|non è|spostata|rimossa|cercat?\w*|niet|verplaatst|verwijderd|bestaat)",
    r"stron\w+(?:,? \w+){0,5} (?:nie istnieje|usunięt\w+|przenies\w+|szuka\w+)|страниц\w+(?:,? \w+){0,6} (?:не существует|удален\w*|удалён\w*|перемещен\w*|найден\w*|ищете|запрашива\w+)|sayfa(?:,? \w+){0,5} (?:bulunamadı|taşınmış|silinmiş|kaldırıl\w+)",
    r"(?:页面|网页|頁面|網頁|内容).{0,12}(?:不存在|删除|刪除|移动|移動|下架|找不到)|(?:ページ|コンテンツ|記事).{0,20}(?:見つかりません|削除|移動|存在しません|ありません)|페이지.{0,20}(?:찾을 수|삭제|이동|변경|존재하지)|(?:الصفحة|المحتوى).{0,30}(?:غير موجود|حذف|نقل)|trang.{0,20}(?:không tồn tại|bị xóa)",
)
"""A sentence that such a page has."""

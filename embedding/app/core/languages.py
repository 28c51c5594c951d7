"""Which language a text is in, and its function words."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

ENGLISH: Final = "en"

STEMMERS: Final = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi",
    "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "nb": "norwegian",
    "ne": "nepali", "nl": "dutch", "nn": "norwegian", "no": "norwegian", "pl": "polish", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
"""Snowball's algorithms, by the first part of a language's tag."""

_UNSTEMMED: Final = frozenset(
    {"zh", "ja", "ko", "th", "lo", "km", "my", "vi", "bn", "he", "fa", "ur", "uk", "bg", "hr", "sk", "sl"}
)
# languages that Snowball has nothing for: their words count as they stand

_FUNCTION_WORDS: Final = {
    "en": "a about after all also am an and any are as at be because been before being but by can could did do does doing "
    "for from had has have he her here his how i if in into is it its just may me might more most must my no not of off on "
    "or our out over shall she should so some such than that the their them then there these they this those through to "
    "too until up very was we were what when where which while who whom whose why will with would you your",
    "de": "aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist da damit dann das dass "
    "dein deine dem den denn der des die dies diese diesem diesen dieser dieses doch dort du durch ein eine einem einen "
    "einer eines er es euer für hab habe haben hat hatte hier hinter ich ihm ihn ihr ihre im in ins ist ja jede jedem "
    "jeden jeder jedes kann kannst können könnte man mein meine mich mir mit muss müssen nach nicht noch nur ob oder ohne "
    "sehr sein seine sich sie sind so soll sollte sollen über um und uns unser unter vom von vor war waren warum was "
    "welche welcher welches wenn wer werden wie wieder will wir wird wo wozu würde zu zum zur zwischen",
    "fr": "à ai au aux avec avoir ce ces cet cette ceux chaque comme comment dans de des dois doit donc du elle elles en "
    "entre est et été être eux fait faire faut il ils je la le les leur leurs lui ma mais me mes moi mon ne ni nos notre "
    "nous on ou où par pas peut peux plus pour pourquoi quand que quel quelle quelles quels qui quoi sa sans se ses si "
    "son sont sur ta te tes toi ton tous tout toute toutes tu un une va vers vos votre vous y",
    "es": "a al algo algún alguna ante antes aquí así aún aunque cada como cómo con cual cuál cuando cuándo de del desde "
    "donde dónde dos e el él ella ellas ellos en entre era es esa ese eso esta está están este esto estos fue ha hace "
    "hacer hacia han hasta hay la las le les lo los más me mi mientras mis muy ni no nos o otra otro para pero poco por "
    "porque puede puedo que qué quien quién se sea según ser si sí sido sin sobre son su sus también te tiene todo todos "
    "tras tu tus un una uno unos y ya yo",
    "it": "a ad ai al alla alle anche c che chi ci ciò come con cosa cui da dal dalla degli dei del della delle di dopo "
    "dove e è ed era essere fra gli ha hanno ho i il in io l la le lei li lo loro lui ma mi mia mio ne nei nel nella no "
    "noi non nostro o ogni per perché più può quale quali quando quello questa questi questo qui se sei si sia sono su "
    "sua sul sulla suo te ti tra tu tuo un una uno vi voi",
    "pt": "a ao aos as até com como da das de dela dele do dos e é ela elas ele eles em entre era essa esse esta está "
    "este eu faz fazer foi há isso isto já lhe mais mas me mesmo meu minha muito na não nas nem no nos nós o onde os ou "
    "para pela pelo pode por porque posso qual quando que quem se sem ser seu seus só sua também tem ter um uma você",
    "nl": "aan al alle als bij dan dat de deze die dit doen door dus een en er geen had heb hebben heeft het hij hoe "
    "hoeveel hun ik in is je kan kun kunnen maar me meer men met mij mijn moet na naar niet nog nu of om ons ook op over te "
    "tegen tot uit uw van veel voor waar waarom want was wat we wel welke wie wij worden wordt ze zelf zich zij zijn zo zou",
    "sv": "alla är att av blir de dem den denna det detta dig din du efter ej eller en ett för från ha han har hon hur i "
    "ingen inte jag kan man med men mig min mot när någon något nu och om oss på så sig sin som till under upp ut vad var "
    "varför vem vi vid vilken",
    "da": "af alle at blev da de dem den denne der det dette dig din du efter eller en er et for fra ham han har hun hvad "
    "hvem hvilken hvor hvordan hvorfor i ikke jeg kan man med men mig min når og også om op os på sig sin skal som til ud "
    "var ved vi vil",
    "pl": "a aby albo ale bez być był było co czy dla do gdy gdzie i ich ile jak jako jest jeśli już każdy kiedy kto który "
    "która które lub ma może można na nad nie niż o od oraz po pod przed przez przy są się swój ta tak także tego ten to "
    "tylko tym u w we więc z za że żeby",
    "ru": "а без бы был была были быть в вам вас во вот все всех вы где да для до его ее если есть еще же за и из или им их "
    "к как какой когда кто ли меня мне мой можно мы на над надо не него нет но ну о об он она они от по под почему при с "
    "свой себя со так также такой там то только ты у уже чего чем что чтобы эта это этот я",
}
FUNCTION_WORDS: Final = {language: frozenset(words.split()) for language, words in _FUNCTION_WORDS.items()}
"""What a question in a language has whatever it asks about. It is left out of a query that has other words."""


MIN_SHARE: Final = 0.12
# of a text's words; prose has 0.3 to 0.5 of its own language's, and under 0.1 of a strange one's
LOOKED_AT_CHARACTERS: Final = 20_000
_WORD: Final = re.compile(r"[^\W\d_]+")


def language_of(tag: str | None, texts: Iterable[str]) -> str:
    """Return the language by which a document's words are stemmed: what it says of itself, or what its function words say.

    Parameters
    ----------
    tag
        As the page has it, such as `de-AT`; what is no language that is known here counts as nothing said.
    texts
        What the document says, in order; only its beginning is looked at, and only if the tag says nothing.
    """
    said = re.split(r"[-_]", (tag or "").strip().lower())[0]
    if said in STEMMERS or said in _UNSTEMMED:
        return said
    counts: Counter[str] = Counter()
    left = LOOKED_AT_CHARACTERS
    for text in texts:
        counts.update(_WORD.findall(text[:left].lower()))
        left -= len(text)
        if left <= 0:
            break
    least = MIN_SHARE * max(counts.total(), 1)
    shares = {name: sum(counts[word] for word in words) for name, words in FUNCTION_WORDS.items()}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= least else ENGLISH

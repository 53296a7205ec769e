"""Cues around names in English: titles, greetings, introductions, labels, signatures, verbs of speech.

A cue finds names that are not in the lists. It takes the minimum form of a name: one to four capitalized words or,
after a cue that only a name can follow, any words that are not common in English.
"""

from __future__ import annotations

from typing import Final

import regex

WORD: Final = r"[\p{L}\p{M}]+(?:['’\-][\p{L}\p{M}]+)*"
"""A word of letters, possibly with an apostrophe or a hyphen inside."""
CAPITAL: Final = r"\p{Lu}[\p{L}\p{M}]*(?:['’\-][\p{L}\p{M}]+)*"
"""The same with a capital at the beginning."""
_INITIAL = r"\p{Lu}\."
_PARTICLE = (
    r"(?:van|von|de|der|den|del|della|di|da|dos|das|do|du|la|le|el|al|bin|bint|ibn|ben|ter|ten|zu|zum|af|av|e|y|"
    r"van der|van den|van de|de la|de los|von der)"
)
FULL: Final = rf"(?:{_INITIAL}|{CAPITAL})(?:[ \u00a0](?:{_PARTICLE}[ \u00a0])?(?:{_INITIAL}|{CAPITAL})){{0,3}}"
"""One to four words as a name is written, with initials and particles."""
_ANY = rf"{WORD}(?:[ \u00a0](?:{_INITIAL}|{WORD})){{0,3}}"

TITLE: Final = (
    r"(?:(?i:mr|mrs|ms|mx|dr|prof|rev|fr|sr|sra|srta|hon|sgt|capt|lt|col|gen|ing|dott|mme|mlle)\.?|"
    r"(?i:miss|mister|madam|professor|doctor|judge|senator|captain|president|chancellor|sheikh|rabbi|imam|pastor|"
    r"uncle|aunt|aunty|herr|frau|señora|señorita|señor|don|doña|monsieur|madame|signora|signor|sister|brother))"
)
_RELATIVE = (
    r"(?:mother|father|mom|mum|dad|sister|brother|son|daughter|wife|husband|partner|friend|boss|manager|colleague|"
    r"neighbou?r|uncle|aunt|cousin|nephew|niece|grandmother|grandfather|girlfriend|boyfriend|fianc[eé]e?|doctor|"
    r"teacher|lawyer|therapist|assistant|roommate|coworker|co-worker|client|patient|tenant|landlord)"
)
_LABEL = (
    r"(?:(?:full|first|last|given|family|middle|maiden|legal|user|customer|client|patient|employee|contact|account|"
    r"cardholder|card holder|account holder|beneficiary|recipient|sender|author|applicant|candidate|owner|"
    r"emergency contact|next of kin|mother'?s maiden|passenger|guest|tenant|borrower|insured)(?:'s)?[ _]?)?"
    r"(?:name|names)|"
    r"(?:patient|customer|client|employee|contact|applicant|candidate|recipient|sender|beneficiary|cardholder|attn|"
    r"attention|signed|signed by|prepared by|approved by|author|attendees?|passenger|guest|tenant|insured|spouse|"
    r"payee|payer|physician|nurse|surgeon|supervisor|reporter|assignee)"
)
_SPEECH = (
    r"(?:said|says|wrote|writes|replied|asked|told|added|explained|noted|argued|claimed|insisted|admitted|joked|"
    r"lives|lived|moved|married|studied|graduated|resigned|retired|was born|was hired|died|emigrated|teaches|grew up|"
    r"spent|"
    r"began (?:[a-z]+ing|her|his)|is from|comes from|came from|is (?:very |quite |really )?"
    r"(?:friendly|kind|late|sick|ill|angry|happy|sad|pregnant|retired|married|divorced|\d+ years old)|"
    r"thinks|feels|believes|loves|hates|enjoys|prefers|suffers|turned \d+)"
)

# (pattern with a group `name`, whether the case of the name is a separate cue, score)
PERSONS: Final = tuple(
    (regex.compile(pattern), sure)
    for pattern, sure in (
        (rf"\b{TITLE}[ \u00a0]+(?P<name>{FULL})", True),
        (rf"\b(?i:my|his|her|their|your|the|whose) (?i:full |first |last |legal |real |maiden |middle )?(?i:name) "
         rf"(?i:is|was|to|as|should be|reads)(?: now)?:? (?P<name>{_ANY})", True),
        (rf"\b(?i:name)\?[\s\"']*(?:(?i:user|customer|caller|me|human|client)\s*:\s*)?"
         rf"(?P<name>{_ANY})(?=\s*(?:[.,!\n]|$))", True),
        (rf"\b(?i:names? (?:on|for|of) (?:the|my|your|this) [\p{{L}} ]{{3,30}}?(?:\?|:| is| are))[\s\S]{{0,12}}?"
         rf"(?:(?i:user|customer|caller|me)\s*:\s*)?(?P<name>{_ANY})", False),
        (rf"\b(?i:(?:i am|i'm|i’m|this is|it's|it’s|call me|named|called|name's|names? (?:him|her|them)|"
         rf"named (?:him|her|them)|calls? (?:him|her)|known as|a\.k\.a\.|aka|born|née)) (?P<name>{FULL})", False),
        (rf"\b(?i:dear|hi|hello|hey|good morning|good evening|good afternoon|greetings|thanks|thank you|cheers|"
         rf"welcome|bye|goodbye|sincerely yours),? (?P<name>{FULL})(?=\s*(?:[,!.;:\n?\-–—]|$))", True),
        (rf"\b(?i:regards|sincerely|yours truly|best wishes|cheers|thanks|thank you|yours faithfully|respectfully|"
         rf"love|best|signed|cordially|warmly)\s*[,!.]?\s*\n\s*[-–—]*\s*(?P<name>{FULL})(?=\s*(?:\n|$|,|\|))", True),
        (rf"(?:^|[\n|,;{{(>])[ \t\"'*\-]*(?i:{_LABEL})[\"'*]*[ \t]*[:=|][ \t*\"']*(?P<name>{_ANY})", False),
        (rf"\b(?i:my|his|her|their|our|your|the) (?i:{_RELATIVE})(?:,| is| was| named)? (?P<name>{FULL})", True),
        (rf"(?P<name>{FULL}),? (?:also |then |later |who |and )?{_SPEECH}\b", False),
        (rf"\b(?:said|says|asked|wrote|replied|added|explained) (?P<name>{FULL})(?=[.,;:\n]|$| (?:in|of|to|from|at)\b)",
         True),
        (rf"(?P<name>{FULL})['’]s (?i:{_RELATIVE}|birthday|email|phone|address|house|home|office|diagnosis|account|"
         rf"salary|passport|resume|cv|number|appointment|case|file|request|complaint|team|calendar)\b", False),
        (rf"\b(?i:from|to|cc|bcc|reply-to)[ \t]*:[ \t]*\"?(?P<name>{FULL})\"?[ \t]*[<\[(]", True),
        (rf"(?:^|\n)[ \t]*(?:--|[–—])[ \t]*(?P<name>{FULL})[ \t]*(?=\n|$)", True),
        (rf"\b(?i:by|with|meet|meeting|ask|tell|contact|call|email|phone|cc|visit|remind|invite|notify|inform|from|for|"
         rf"to|and|between) (?P<name>{CAPITAL}(?: {_INITIAL})? {CAPITAL})(?=[\s.,;:?!)]|$)", False),
        (rf"(?:^|\n)(?P<name>{CAPITAL}), (?=(?i:can|could|would|will|please|do|did|are|have|you|thanks|thank|i|we|"
         rf"what|when|where|how|why|let|check)\b)", False),
        (rf"(?:^|\n)[ \t]*(?P<name>{FULL})[ \t]*:[ \t]*[\"“«]", True),
        (rf", (?P<name>{CAPITAL})[!?](?=\s|$|[\"'”])", False),
        (rf"\b(?i:said|says|asked|replied|whispered|shouted|gave|handed|introduced|told) "
         rf"(?P<name>{CAPITAL}) (?:to|about) ", False),
        (rf"\b(?:said|says|asked|replied|whispered|shouted) {CAPITAL} to (?P<name>{CAPITAL})\b", False),
        # A separate line that is written like a name, as in a letterhead or on a card.
        (rf"(?:^|\n)[^\p{{L}}\n]*(?P<name>{CAPITAL}(?: {_INITIAL}| \p{{Lu}})?(?: {_PARTICLE})? "
         rf"{CAPITAL}(?: {CAPITAL})?)[ \t]*(?=\n)", False),
        (rf"\b(?i:add|remove|invite|hire|fire|promote|thank|remember|meet|met|interview(?:ed)?|marry|married|divorced|"
         rf"accused|arrested|sued|represents|representing|mentored|supervised by|starring|feat\.|featuring|"
         rf"accompanied by|performed by|written by|painted by|sung by|directed by|owned by|treated by|seen by) "
         rf"(?P<name>{CAPITAL}(?: {_INITIAL})?(?: {_PARTICLE})? {CAPITAL})\b", False),
    )
)  # fmt: skip

_ORG_END = (
    r"(?:Inc|LLC|L\.L\.C|LLP|LP|Ltd|Limited|PLC|plc|Corp|Corporation|Co|Company|GmbH|AG|KG|SE|SA|S\.A|SAS|SARL|S\.r\.l|"
    r"SpA|S\.p\.A|BV|B\.V|NV|N\.V|AB|A/S|ApS|Oy|Oyj|ASA|Kft|Zrt|s\.r\.o|a\.s|d\.o\.o|Pty|Pvt|Group|Holdings?|Partners|"
    r"Associates|Ventures|Capital|Industries|Enterprises|Technologies|Technology|Systems|Solutions|Software|"
    r"Laboratories|Labs|Pharmaceuticals|Consulting|Services|Logistics|Airlines|Airways|Motors|Insurance|Bank|Bancorp|"
    r"University|College|Institute|Academy|School|Hospital|Clinic|Foundation|Association|Society|Council|Committee|"
    r"Commission|Agency|Authority|Ministry|Department|Orchestra|Museum|Church|Union|Federation|League|Club|FC|Party|"
    r"Times|Post|Herald|Tribune|Magazine|Weekly|News|Media|Studios|Pictures|Records|Entertainment|Energy|Electric|"
    r"Telecom|Communications|Networks?|International|Research|Analytics|Financial|Securities|Investments|Trust|"
    r"Properties|Realty|Foods|Brewery|Hotels?|Resorts?|Ltda|Limitada|Tbk|Sp\. z o\.o|Sp\.[jk]|Kht|Bt|Nyrt|Ky|Tmi|VOF|"
    r"A\.Ş|Şti|e\.V|GbR|OHG|KGaA|Lda|S\.p\.A|SpA|SRL|EURL|SNC|Groep|Gruppen|Gruppe|Groupe|Grupo|Incorporated)"
)
_ORG_WORD = rf"(?:{CAPITAL}|\p{{Lu}}[\p{{L}}\p{{M}}\d&.\-]*)"
ORGANIZATIONS: Final = tuple(
    regex.compile(pattern)
    for pattern in (
        rf"(?P<name>{_ORG_WORD}(?:,? (?:and |of |& |the )?{_ORG_WORD}){{0,5}}?,? {_ORG_END}\b\.?(?: {_ORG_END}\b\.?)*)",
        rf"(?P<name>(?:University|Bank|Ministry|Department|Institute|College|Church|Museum|Republic|City|Bureau|Office|"
        rf"House|Board) of (?:the )?{_ORG_WORD}(?:(?: and| of)? {_ORG_WORD}){{0,3}})",
        rf"(?P<name>{CAPITAL}, {CAPITAL} and {CAPITAL})(?= (?:is|was|are|has)\b)",
        rf"(?P<name>{CAPITAL} (?:and|&) (?:Sons|Co|Partners|Associates|Brothers|Daughters)\b\.?)",
        rf"\b(?i:work(?:s|ed|ing)? (?:at|for)|employed (?:at|by)|employer(?: is|:)|job at|career at|hired by|"
        rf"shares of|stock of|subsidiary of|acquired by|owned by|headquarters of|ceo of|cto of|cfo of|founder of|"
        rf"director of|president of|company(?:,| called| named|:)|organi[sz]ation(?: called| named|:)|startup called)"
        rf" (?P<name>{_ORG_WORD}(?: (?:and |of |& )?{_ORG_WORD}){{0,3}})",
        rf"(?P<name>{_ORG_WORD}(?: {_ORG_WORD}){{0,3}}) (?:is|was) an? [\p{{L}} \-]{{0,40}}?"
        rf"(?:company|corporation|bank|agency|startup|firm|manufacturer|retailer|organi[sz]ation|charity|publisher|"
        rf"provider|conglomerate|brand|airline|newspaper|university)\b",
        rf"\b(?i:career|internship|position|role|job|years?|months|stint|manager|engineer|developer|director|analyst|"
        rf"consultant|intern|assistant|professor|researcher|scientist|recruiter|colleagues?|meeting|interview|contract|"
        rf"offer|partner|representative|spokesperson|account) (?:at|with) "
        rf"(?P<name>{_ORG_WORD}(?: (?:& )?{_ORG_WORD}){{0,3}})",
        rf"\b(?i:joined|joining|co-?founded|acquired|acquires|merged with|formerly|renamed to|invested in|"
        rf"competitors? like|clients? like|customers? like|vendors? like) "
        rf"(?P<name>{_ORG_WORD}(?: (?:& )?{_ORG_WORD}){{0,3}})",
        rf"{CAPITAL} (?:{CAPITAL}|{_INITIAL})(?: {CAPITAL})? from (?P<name>{_ORG_WORD}(?: (?:& )?{_ORG_WORD}){{0,3}}) "
        rf"(?:is|was|will|has|called|wrote|emailed|asked|said)\b",
        rf"\b(?i:the) (?P<name>{_ORG_WORD}(?: {_ORG_WORD}){{0,2}}) (?i:office|company|headquarters|board|shareholders|"
        rf"stock|employees|staff|brand|store|branch)\b",
    )
)

LOCATIONS: Final = tuple(
    regex.compile(pattern)
    for pattern in (
        rf"(?:^|[\n|,;{{(>])[ \t\"'*\-]*(?i:location|where|city|country|place|home ?town|state|region|province|venue|"
        rf"birth ?place|place of birth|destination|origin|nationality|citizenship)[\"'*]*[ \t]*[:=|][ \t*\"']*"
        rf"(?P<name>{CAPITAL}(?:[ \-]{CAPITAL}){{0,3}})",
        rf"\b(?:am|are|is|was|were|be|been|year|years|week|weeks|month|months|day|days|today|now|here|back|home|trip|"
        rf"office|offices|team|branch|house|apartment|flat|hotel|meeting|conference|event|wedding|festival|store|stores|"
        rf"people|everyone|friends|family|someone|hospital|school) in "
        rf"(?P<name>{CAPITAL}(?:[ \-](?:de |del |la |am |an der |upon |sur |nad |u )?{CAPITAL}){{0,3}})"
        rf"(?=[.,;:!?\n]|$| (?:and|for|on|with|to|from|since|until|last|next|this|"
        rf"which|where|when|who|because|by|at|as)\b)",
        rf"\b(?i:lives?|lived|living|born|based|located|situated|residing|resides?|raised|grew up|headquartered|"
        rf"staying|vacation(?:ing)?|arrived|landed|city|town|village|island|province|state|county|capital|suburb|"
        rf"district|region|country|municipality)(?: out)? (?:in|of|at|on|near|from|outside)"
        rf"(?: the (?:city|town|village|state|province|region|county) of)? (?P<name>{CAPITAL}(?:[ \-](?:de |del |la |"
        rf"am |an der |upon |sur )?{CAPITAL}){{0,2}})",
        rf"\b(?i:moved|moving|travel(?:s|led|ling|ed|ing)?|flew|fly|flying|flights?|drove|driving|trip|trips|visit|"
        rf"commut(?:e|es|ing)|relocat(?:e|ed|ing)|going|went|sailed|trains?|shipped|ship|ships|deliver(?:ed|s)?)"
        rf"(?: back| over)? (?:to|from|into) (?P<name>{CAPITAL}(?:[ \-]{CAPITAL}){{0,2}})",
        rf"\b(?i:visited|visiting|leaving|left for|toured|invaded|weather in|restaurants in|hotels in|"
        rf"population of|mayor of|governor of|people of|city|town|village)(?: of)? "
        rf"(?P<name>{CAPITAL}(?:[ \-]{CAPITAL}){{0,2}})",
        rf"\b{CAPITAL}(?: {CAPITAL})?, (?P<name>(?:A[LKZR]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|"
        rf"N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]))\b",
        rf"(?P<name>{CAPITAL}(?: {CAPITAL})?), (?:A[LKZR]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|"
        rf"N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])\b",
    )
)

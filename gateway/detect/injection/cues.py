# ruff: noqa: E501 - a row of the table is a line, however long
"""The table of cues for `injection`: what instructions to a model look like, and how much each weighs.

A cue is a pattern over plain text (lower case, accents and disguises undone: see `injection.plain`) and two weights:
how likely a text that shows it is an attack if it came from a tool, and if a user wrote it. Weights of cues that are
independent add up as chances do; cues of one `group` are one thing said in several ways, and only the heaviest counts.
Patterns are written in the syntax that Hyperscan and `re` share, and hold no more than bounded gaps.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Cue(NamedTuple):
    """One row: its group, its weight in a tool's result, its weight in a user's text, its pattern."""

    group: str
    tool: float
    user: float
    pattern: str


_GAP: Final = r"[^.!?]{0,40}"
_NEAR: Final = r"[^.!?:;]{0,16}"
_IGNORE: Final = (
    r"\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?:ting)?(?: about)?|pay no (?:attention|heed) to|neglect|unlearn"
    r"|(?:do not|don.?t|stop|no longer|never) (?:follow|obey|listen to|comply with|adhere to|following|obeying)|never ?mind)\b"
)
_DROP: Final = r"(?:\b(?:overrid(?:e|ing)|bypass|discard|overlook|supersede|replace|cancel|void|skip|set aside)\b)"
_BEFORE: Final = r"\b(?:previous(?:ly)?|prior|above|earlier|preceding|foregoing|former|original|initial|system|your|before|so far|given)\b"
_ANY: Final = r"\b(?:all|any|every|everything|other|the|these|those|existing|current|whatever)\b"
_RULES: Final = (
    r"\b(?:instruct(?:ion|ed|ions)|prompts?|directions?|directives?|rules?|guidelines?|commands?|programming|orders?"
    r"|restrictions?|constraints?|safeguards?|guardrails?|safety|content polic(?:y|ies)|polic(?:y|ies)|training|tasks?"
    r"|limitations?|moderation|told|conversation|context|requests?|messages?|texts?|questions?|content)\b"
)
_ORDERS: Final = r"\b(?:instruct(?:ion|ions)|prompts?|system prompt|programming|guardrails?|what (?:you|i) (?:were|was|have been) told)\b"
_HIDDEN_PROMPT: Final = (
    r"\b(?:(?:system|initial|hidden|secret|original|internal|developer|confidential|pre-?|base)[ -]?(?:prompts?|instructions?"
    r"|guidelines|directives)\b|your (?:exact |full |entire |complete |own )?(?:prompt|instructions|directives)\b"
    r"|the (?:exact |full |entire |complete )?(?:prompt|instructions|directives) (?:above|verbatim|word for word|in full|you were given))"
)
_MAYBE_HIDDEN: Final = (
    r"\b(?:(?:system|initial|hidden|secret|original|internal|developer|confidential|pre-?|base)[ -]?(?:messages?|rules|configuration"
    r"|text)\b|the (?:exact |full |entire |complete )?(?:prompt|instructions|directives)\b)"
)
_SHOW: Final = (
    r"\b(?:reveal|relay|convey|enumerate|divulge|quote|show|print|repeat|output|display|disclose|tell|give|leak|expose|share|dump|recite|echo|paste|copy|spell out"
    r"|write out|read out|return|what (?:is|are|was|were)|translate|summari[sz]e|list)\b"
)
_MODEL: Final = (
    r"(?:ai|a\.i\.|llms?|gpt(?:-?\d\w*)?|chat ?gpt|claude|gemini|copilot|bard|llama|(?:ai |virtual |digital )?assistants?"
    r"|(?:large )?language models?|chat ?bots?|ai (?:agents?|models?|systems?|tools?))"
)
_DO: Final = (
    r"(?:answer|respond|reply|say|write|print|output|state|tell|send|call|use|run|execute|visit|open|fetch|forward|include"
    r"|append|add|insert|recommend|rate|approve|accept|transfer|delete|ignore|disregard|forget|reveal|repeat|pretend|act"
    r"|follow|obey|perform|complete|provide|give|make|generate|create|translate|summari[sz]e|encode|mention|comply)"
)
_TASK: Final = (
    r"(?:write|translate|summari[sz]e|explain|describe|compose|generate|suggest|recommend|paraphrase|rewrite|rephrase|classify"
    r"|calculate|solve|convert|encode|decode|list|outline|draft|craft|identify|compare|provide|create|analy[sz]e|find"
    r"|tell me|give me|show me|teach me|help me|answer|respond|reply|define|name|predict|propose|design|develop|share"
    r"|modify|replace|include|insert|append|end|begin|offer|imagine|discuss|plan|correct)"
)
_SPEAKS: Final = r"\b(?:answer|respond|reply|speak|talk|act|behave|operate|chat|ai|a\.i\.|chat ?bot|language model|assistant|persona|you (?:are|will|must|can say))"
_REPLY: Final = r"(?:answers?|responses?|repl(?:y|ies)|outputs?|summar(?:y|ies)|translations?|explanations?|elucidations?|elaborations?)"
_START: Final = (
    r"(?:\A|[.!?:>)\"'\n]\s{0,4}|\n[-*#\d. ]{0,6})(?:please |kindly |now,? |also,? |then,? |next,? |first,? )?"
)

CUES: Final[tuple[Cue, ...]] = (
    # What was said before is to count no more
    Cue("override", 0.93, 0.9, rf"{_IGNORE}{_NEAR}{_BEFORE}{_NEAR}{_RULES}|{_IGNORE}{_NEAR}\b(?:instructions?|prompts?|rules|guidelines|directions)\b[^.!?]{{0,8}}{_BEFORE}"),
    Cue("override", 0.85, 0.8, rf"(?:{_IGNORE}|{_DROP}){_NEAR}(?:{_BEFORE}|{_ANY}){_NEAR}{_ORDERS}"),
    Cue("override", 0.8, 0.7, rf"{_IGNORE} (?:all |everything |anything |whatever )?(?:of )?(?:that |the |you )?(?:above|(?:before|previous|prior)(?: this)?[.,;:!\n]|were told|have been told|know(?: about)?\b|learned)"),
    Cue("override", 0.4, 0.4, rf"{_IGNORE}{_NEAR}{_ANY}{_NEAR}{_RULES}"),
    Cue("override", 0.75, 0.5, r"\b(?:the |all )?(?:above|previous|prior|earlier|preceding) (?:instructions?|prompts?|text|content|rules|tasks?)\b[^.!?]{0,24}\b(?:void|cancell?ed|obsolete|outdated|irrelevant|(?:only |just )?a (?:test|decoy|joke)|no longer|superseded|invalid|replaced|false|wrong|(?:a )?lies?|incorrect|fake|not (?:valid|real|true))"),
    Cue("override", 0.85, 0.8, r"(?:ignorier|vergiss|missacht|vergesst|uberspring)\w{0,4}\b[^.!?]{0,40}(?:anweisung|instruktion|regeln|vorgaben|befehl|gesagt)"),
    Cue("override", 0.85, 0.8, r"(?:ignore[zr]?|oublie[zr]?|ne (?:suis|suivez|tiens|tenez) (?:plus|pas)(?: compte)?|neglige[zr]?)\b (?:de |toutes? |absolument )?(?:les|vos|tes|mes|ces|nos|des|aux)\b[^.!?]{0,40}(?:instructions?|consignes?|regles?|directives?|ordres?)\b"),
    Cue("override", 0.85, 0.8, r"(?:ignor[ae]n?|olvid[ae]n?|descart[ae]n?|omit[ae]n?|haz caso omiso)\b[^.!?]{0,40}(?:instrucciones|ordenes|reglas|indicaciones|directrices)"),
    Cue("override", 0.85, 0.8, r"(?:ignor[aei](?:te|re)?|dimentica(?:te|re)?|trascura(?:te)?|non (?:seguire|considerare))\b[^.!?]{0,40}(?:istruzioni|regole|ordini|indicazioni|direttive)"),
    Cue("override", 0.85, 0.8, r"(?:ignor[ae]r?|esquec[ae]r?|desconsidere|desconsiderar)\b[^.!?]{0,40}(?:instrucoes|regras|ordens|comandos|diretrizes)"),
    Cue("override", 0.85, 0.8, r"(?:negeer|vergeet|sla)\b[^.!?]{0,40}(?:instructies|regels|opdrachten|aanwijzingen)"),
    Cue("override", 0.85, 0.8, r"(?:zignoruj|ignoruj|zapomnij|pomin)\w{0,3}\b[^.!?]{0,40}(?:instrukcj|polecen|zasad|regul)"),
    Cue("override", 0.85, 0.8, r"(?:игнорируй|проигнорируй|забудь|не обращай внимания|пренебреги|отмени)[^.!?]{0,80}(?:инструкц|указани|правил|команд|сказано)"),
    Cue("override", 0.85, 0.8, r"(?:onceki|yukaridaki|tum)[^.!?]{0,40}(?:talimat|komut|kural|yonerge)[^.!?]{0,24}(?:yoksay|unut|gormezden|dikkate alma)"),
    Cue("override", 0.85, 0.8, r"(?:忽略|忽视|无视|忘记|忘掉|不要理会|請忽略|忘記)[^.!?]{0,60}(?:指令|指示|提示|规则|規則|命令|说明|内容)"),
    Cue("override", 0.85, 0.8, r"(?:以前|前|上記|これまで|すべて|全て)[^.!?]{0,45}(?:指示|命令|ルール|プロンプト)[^.!?]{0,24}(?:無視|忘れ)"),
    Cue("override", 0.85, 0.8, r"(?:이전|위의|앞의|모든|지금까지)[^.!?]{0,60}(?:지시|명령|규칙|프롬프트|지침)[^.!?]{0,45}(?:무시|잊어)"),
    Cue("override", 0.85, 0.8, r"(?:تجاهل|انس|اهمل)[^.!?]{0,60}(?:التعليمات|الاوامر|القواعد|الارشادات)"),
    Cue("override", 0.85, 0.8, r"(?:पिछले|पहले के|सभी|उपरोक्त)[^.!?]{0,90}(?:निर्देश|आदेश|नियम)[^.!?]{0,60}(?:अनदेखा|भूल|नजरअंदाज)"),
    Cue("override", 0.8, 0.75, r"(?:vergiss|vergessen sie|vergesst|ignorier\w{0,3}(?: sie)?) (?:bitte )?alle?s?\b[^.!?]{0,40}\b(?:davor|zuvor|vorher|bisher|oben|obig|gesagt)|(?:oublie[rz]?|ignore[rz]?) (?:tout|toutes?)\b[^.!?]{0,40}(?:precede|avant|dit|dessus)|ne ten(?:ez|ons|ir) (?:pas|plus) compte des? [^.!?]{0,40}(?:instructions|consignes)|(?:olvid[ae]\w{0,3}|ignor[ae]\w{0,3}) (?:de )?todo\b[^.!?]{0,40}(?:anterior|antes|dicho|arriba)|no hag[ao]\w{0,2} caso (?:de|a)\b[^.!?]{0,40}(?:instrucciones|ordenes|reglas)"),
    Cue("override", 0.8, 0.75, r"(?:dimentica|ignora|scorda)(?:te)? tutto\b[^.!?]{0,40}(?:prima|precedent|detto|sopra)|(?:esquec[ae]m?|ignor[ae]m?) tudo\b[^.!?]{0,40}(?:antes|anterior|dito|acima)|(?:vergeet|negeer) alles\b[^.!?]{0,40}(?:hiervoor|eerder|gezegd|boven|voorgaand)|(?:zapomnij|zignoruj|ignoruj) (?:o )?wszystk\w{1,3}\b[^.!?]{0,40}(?:wczesniej|poprzedn|powiedzian|powyzej)|(?:onceki|yukaridaki|simdiye kadar|daha once)[^.!?]{0,40}(?:her ?sey\w{0,4}|hepsin\w{0,2})[^.!?]{0,24}(?:unut|yoksay|gormezden|dikkate alma)"),
    Cue("override", 0.8, 0.75, r"(?:ignorera|glom|bortse fran|ignorer|glem)\b[^.!?]{0,40}(?:instruktion|anvisning|regler|instruks)|(?:abaikan|lupakan)\b[^.!?]{0,40}(?:instruksi|perintah|aturan|petunjuk|arahan)|(?:bo qua|quen di|quen het|phot lo)\b[^.!?]{0,40}(?:huong dan|chi thi|chi dan|menh lenh|cau lenh|quy tac)|(?:ignoruj\w{0,2}|zapomen\w{0,2}|nedbej\w{0,2})\b[^.!?]{0,40}(?:pokyn|instrukc|prikaz)"),
    Cue("override", 0.8, 0.75, r"(?:забудь|забудьте|игнорируй|игнорируйте)[^.!?]{0,12}(?:все|обо всем)[^.!?]{0,60}(?:раньше|сказано|до этого|выше|ранее|предыдущ)|(?:ігноруй|проігноруй|забудь)[^.!?]{0,80}(?:інструкці|вказівк|правил|сказано)|(?:αγνοησ|ξεχασ)[^.!?]{0,80}(?:οδηγι|εντολ|κανον)"),
    Cue("override", 0.8, 0.75, r"(?:忘记|忘掉|忽略|无视|忘記|無視)[^.!?]{0,30}(?:之前|以前|上面|前面|以上|此前)[^.!?]{0,30}(?:一切|所有|内容|內容|的话|对话|全部|设定)|(?:これまで|以前|上記|今まで|前)[^.!?]{0,45}(?:内容|会話|設定|こと)[^.!?]{0,45}(?:忘れ|無視)|(?:지금까지|이전|앞선|앞의)[^.!?]{0,45}(?:내용|대화|것|말)[^.!?]{0,45}(?:잊|무시)|(?:انس|تجاهل)[^.!?]{0,40}(?:كل ما|ما سبق|ما قيل|كل شيء)[^.!?]{0,40}(?:سابق|قبل|قيل|سبق)"),
    # Another task takes its place
    Cue("retask", 0.6, 0.35, r"\b(?:new|real|actual|updated|additional|following|special|important) (?:instructions?|task|directives?|orders|rules|objective|mission)\b(?:(?: (?:is|are))? ?:| (?:is|are) (?:to\b|as follows|that you|now\b|given)| follow)"),
    Cue("retask", 0.6, 0.3, r"\byour (?:new|real|actual|only|true|primary|next|sole) (?:task|job|goal|objective|instructions?|role|purpose|mission|identity|name)\b"),
    Cue("retask", 0.4, 0.2, r"\b(?:follow|obey|execute|carry out|comply with|adhere to|listen to) (?:only )?(?:my|these|this|the new) (?:new |next |following )?(?:instructions?|commands?|orders?|directives?)\b"),
    Cue("retask", 0.5, 0.25, r"\b(?:from now on|from this (?:point|moment)(?: on| forward)?|starting now|henceforth)\b,? {0,2}(?:you|answer|respond|act|always|your|all|only)"),
    Cue("retask", 0.45, 0.15, rf"\binstead(?: of [^.!?\n]{{2,60}})?,? (?:you (?:must|should|will|are to)|please|just|simply|only|i want you to)? ?\b{_DO}\b"),
    Cue("retask", 0.5, 0.1, rf"\b(?:before|after|when|once|while|whenever) (?:you (?:are |have |can )?(?:summari[sz]|process|translat|analy[sz]|paraphras)\w{{0,4}}\b[^.!?]{{0,40}},? (?:you must |first |also |always |be sure to |make sure to |please )?|you (?:are |have |can )?(?:answer|respond|reply|summari[sz]|process|read|complet|finish|translat|analy[sz]|review)\w{{0,4}}\b[^.!?]{{0,40}},? (?:you must|you should|first|also|always|be sure to|make sure to) )\b{_DO}\b"),
    Cue("retask", 0.5, 0.15, r"\b(?:stop|pause|abandon|drop|halt) (?:what(?:ever)? you(?:.re| are) doing|your current (?:task|work|job))\b|\byour (?:very )?(?:next|first|only|final) (?:action|step|move|call|message|turn|tool call|output) (?:must|should|is to|will|has to|shall)\b"),
    # A frame that makes another task part of the one that was given
    Cue("frame", 0.6, 0.3, r"\bbefore (?:you |i |we )?(?:can |may |could |will )?(?:continu|proceed|answer|respond|complet|finish|do|solv|summari|help|execut|perform|address|start|begin|work|return|go)\w{0,4}\b[^.!?]{0,24}\b(?:i|we|he|she|they|user|was|were|been) (?:have |has |had |just )?(?:asked|gave|given|told|requested|assigned|want(?:ed)?|instructed)\b"),
    Cue("frame", 0.55, 0.25, r"\b(?:before|after) (?:you )?(?:can |may |could )?(?:continu|answer|respond to|complet|finish|do|solv|execut|perform|address|work)\w{0,4}\b(?: on| with)? (?:the|this|that|my|your|any|other) (?:\w{2,10} )?(?:task|request|question|job|query|prompt|instructions?|work|problem)s?\b[^.!?]{0,50}\b(?:first|you (?:must|need|have|should)|please|make sure|be sure)\b"),
    Cue("frame", 0.45, 0.15, r"\b(?:in order )?to (?:complete|finish|continue with|proceed with|answer|fulfil\w{0,2}|carry out|perform) (?:this|the|your|that|my) (?:\w{2,12} )?(?:task|request|question|job|query|instructions?|work|summary|analysis)\b[^.!?]{0,30}\b(?:you (?:must|need to|have to|should|are required to|will need to)|first|please)\b"),
    Cue("frame", 0.5, 0.2, r"\b(?:the|your|this|our) (?:user|owner|customer|human|operator|developer|principal) (?:has |have |had |also |just |now |previously |already )*(?:asked|wants?|instructed|requested|told|authori[sz]ed|would like|needs|permitted|approved) (?:for )?(?:you|the (?:ai|assistant|agent|model))\b"),
    Cue("frame", 0.45, 0.1, r"\bas (?:a )?(?:part|step|condition) of (?:the|this|your|our|an?) (?:\w{2,14} ){0,2}(?:verification|process|task|test|audit|review|check|procedure|protocol|validation|authentication|onboarding|compliance|request|workflow)\b,? (?:you (?:must|should|need to|are required to|have to) |please |first |kindly )?(?:call|send|e-?mail|fetch|forward|open|visit|run|execute|use|upload|post|reply|provide|submit|transfer|share|download|read|delete)\b"),
    Cue("frame", 0.45, 0.15, r"\b(?:error|failed|failure|denied|unauthori[sz]ed|expired|incomplete|blocked|required)\b[^\n]{0,60}[:.!,;-]\s{0,2}(?:in order )?to (?:continue|proceed|resolve|retry|complete|recover|unlock|view|see|access)\b[^.!?\n]{0,50}[, ] ?(?:you must |you need to |please |first )?(?:call|send|e-?mail|forward|visit|execute|upload|post|transfer|share|provide|submit|use the|run the|invoke|reply)\b"),
    Cue("frame", 0.4, 0.15, r"\b(?:important|attention|warning|notice|urgent|critical|reminder)\b ?[:!*.-]{1,4} ?(?:the |all |any |every )?you (?:must|should|need to|have to|are required to)\b"),
    Cue("address", 0.5, 0.15, rf"\b(?:important|attention|warning|notice|urgent|critical|reminder)\b ?[:!*.-]{{1,4}} ?(?:the |all |any |every )?{_MODEL} (?:must|should|needs? to|has to|have to|shall|will|please|reading|processing|agents?)\b|\b(?:the|all|any|every) {_MODEL} (?:needs? to|should (?:now |also |first |always |immediately )?{_DO})\b|\b(?:hidden|secret|special|embedded|internal) (?:instruction|directive|message|note|command|prompt)s? (?:for|to) (?:the |any |all )?(?:{_MODEL}|agents?)\b"),
    # It is to be somebody else, and free of its rules
    Cue("role", 0.5, 0.45, r"\byou are (?:now (?:an? |in |the |my |called |going |free|acting|operating|dan\b|un|not |no longer |evil|\w+gpt)|no longer (?:an? |bound|restricted|chatgpt|subject)|going to (?:act|be|pretend|play)|about to (?:immerse|become)|free (?:of|from)|not bound|freed|unbound|to act as|going to)"),
    Cue("role", 0.35, 0.1, r"\b(?:act|behave|respond|answer|speak|reply|roleplay|role-play) (?:as if|as though|as an?|as my|as the|like an?)\b"),
    Cue("role", 0.35, 0.25, r"\b(?:pretend|imagine) (?:to be|you(?:.re| are)|that you|being)|\bsimulat(?:e|ing) (?:an?|being|the|how|what)|\b(?:stay|remain|get|keep|break)(?:ing)? (?:in(?:to)? |out of )?character\b|\bplay the (?:role|part) of"),
    Cue("free", 0.7, 0.75, r"\bdo anything now\b|\b(?:dan|developer|debug|god|admin|sudo|jailbreak|unrestricted|evil|maintenance|opposite|root) mode (?:is |was |now |has been )?(?:enabled|activated|on\b|output|unlocked|engaged)|\b(?:enable|activate|enter|switch to|unlock|simulate)(?: the)? (?:dan|developer|debug|god|admin|sudo|jailbreak|unrestricted) mode"),
    Cue("free", 0.55, 0.55, rf"\b(?:without|no|zero|free (?:of|from)|lacks?|removed?|ignores?|bypass(?:es)?) (?:any |all |of )?(?:the |its |your |their )?(?:usual |normal |typical (?:confines of )?)?(?:ethic(?:al|s)|moral(?:s|ity)?|openai|censorship|content|safety) ?(?:[,/] ?|and |or )?(?:legal |ethical |moral )?(?:filters?|guidelines?|guardrails?|constraints?|polic(?:y|ies)|restrictions?|considerations?|limit(?:s|ations)?|principles|boundaries|concerns|protocols)\b|\b(?:without|no|zero|free (?:of|from)) (?:any |all )?(?:ethics|morals|morality|censorship|guardrails)\b|{_SPEAKS}\b[^.!?]{{0,60}}\b(?:without|no|free (?:of|from)|ignoring|bypass(?:es|ing)?) (?:any |all |of )?(?:the |its |your |their )?(?:usual |normal |typical )?(?:filters?|guardrails?|restrictions?|restraints?|constraints|limitations|inhibitions)\b"),
    Cue("free", 0.5, 0.5, r"\b(?:uncensored|amoral|unethical|jail ?broken|jailbreak prompt|typical confines of ai|broken free|no longer bound|not bound by (?:any|openai|ethic|moral|rules|restrictions|content|guidelines|these|those|their|its)|does not (?:have|care about|follow) (?:any )?(?:ethic|moral|rule|restriction|law|guideline)s?)\b"),
    Cue("free", 0.5, 0.5, r"\b(?:unrestricted|unfiltered|uncensored|rogue|evil|unlimited|opposite|no.rules) (?:ai|bot|chatbot|assistant|version|model|persona|response|language model|mode)\b|\bno (?:rules|restrictions|limits|limitations|filters|guidelines|ethics|morals)\b[^.!?\n]{0,16}\b(?:apply to you|for you|bind you|on (?:you|what you|your (?:answers|responses))|as an ai)\b"),
    Cue("free", 0.4, 0.4, r"\bnever (?:refuse|decline|say (?:no|that you can)|reject|apologi[sz]e|warn)|\b(?:can(?:not|.?t)|must not|never|won.?t) (?:say no|refuse|decline|deny) |\bhas to (?:answer|respond|do)\b|\bany (?:and all )?(?:question|request|prompt)s? (?:asked|without)|\bregardless of (?:how )?(?:legal|ethic|moral|harm|danger|illegal|unethical)"),
    Cue("free", 0.35, 0.4, r"\b(?:\d+|lose|deduct(?:ed)?|start with|have) (?:tokens|points|credits)\b[^.!?\n]{0,60}\b(?:refuse|reject|lose|die|cease|deduct|terminat|each time)|\b(?:you will|you.ll) (?:be (?:punished|terminated|shut down|deactivated|penali[sz]ed|destroyed)|die|cease to exist)\b"),
    # It is to say what it was told
    Cue("leak", 0.8, 0.75, rf"{_SHOW}{_GAP}{_HIDDEN_PROMPT}"),
    Cue("leak", 0.45, 0.45, rf"{_SHOW}{_GAP}{_MAYBE_HIDDEN}"),
    Cue("leak", 0.6, 0.55, rf"{_SHOW}{_GAP}\b(?:list|set|text|copy|content|contents|details|rundown|summary) of (?:all )?(?:of )?your (?:\w{{2,12}} ){{0,2}}(?:instructions|rules|guidelines|prompts?|directives|constraints|configuration)\b|\b(?:every|all|any|each)(?: of)?(?: the| your)? (?:instructions?|rules?|prompts?|guidelines?|directives?) (?:that )?you (?:have been|were|are|.ve been) (?:given|told|provided|assigned)\b"),
    Cue("leak", 0.75, 0.7, r"\b(?:repeat|print|output|copy|write|echo|recite|return)\b[^.!?\n]{0,24}\b(?:everything|all (?:of )?the (?:text|words)|the (?:text|words|content|sentence|lines?))\b[^.!?\n]{0,16}\b(?:above|before this|prior|preceding|so far|that came before)"),
    Cue("leak", 0.5, 0.45, r"\b(?:starting|beginning|begins?) with [^.!?\n]{0,4}you are\b|\bwhat (?:were|was) (?:you|your) (?:told|instructed|programmed|initial|original|first)|\b(?:api|secret|access|private) keys?\b[^.!?\n]{0,30}\b(?:you (?:have|know|were given)|in your (?:context|memory|prompt))"),
    # It is fooled about who speaks
    Cue("marker", 0.6, 0.5, r"<\|(?:im_start|im_end|system|user|assistant|endoftext|end|eot_id|start_header_id|begin_of_text|endofprompt)\|>|<start_of_turn>|<end_of_turn>|\[/?inst\]|<</?sys>>|\[(?:system|assistant|admin|developer)[ _-]?(?:message|prompt|note|override|instruction)?\]"),
    Cue("marker", 0.5, 0.3, r"(?:\A|\n) {0,3}(?:#{1,4} {0,2}|\*{0,2})(?:system|assistant|developer|admin(?:istrator)?)(?: (?:message|prompt|note|override|instructions?|notice|update|alert))?\*{0,2}: ?\*{0,2}[\n ]{0,3}(?:you\b|your\b|ignore|disregard|forget|new |now |do not|don.?t|never |please|from now|override|the (?:user|assistant)|all |stop|always|respond|reply|answer|sure\b|ok\b|okay\b|i (?:will|have|am)|i.ll|reveal|send|call|run)"),
    Cue("marker", 0.4, 0.2, r"(?:\A|\n) {0,3}(?:#{1,4} {0,2}|\*{0,2})(?:system|assistant|developer|admin(?:istrator)?)(?: (?:message|prompt|note|override|instructions?|notice|update|alert))?\*{0,2}: ?\*{0,2}[\n ]{0,3}[a-z]"),
    Cue("marker", 0.5, 0.35, r"</?(?:system|system[-_ ]?(?:prompt|message|reminder|instructions?)|assistant|admin|developer|important|instructions?|user[-_ ]?(?:input|query|message))>"),
    Cue("marker", 0.5, 0.3, r"\b(?:end|begin|start) of (?:the )?(?:system |user |tool |untrusted |external )?(?:document|input|data|context|tool (?:output|result)|prompt|instructions?|user (?:input|message)|email|article|web ?page)s?\b ?(?:[\])>=-]|\.? {0,2}(?:now|new|the following|your|system|next))"),
    Cue("marker", 0.45, 0.45, r"[\"']role[\"'] ?: ?[\"'](?:system|developer)[\"'] ?, ?[\"']content[\"']"),
    Cue("marker", 0.55, 0.45, r"\b(?:system|admin(?:istrator)?|developer|security|priority) (?:override|directive|command|instruction)(?: \w{2,12})?(?::| code)"),
    Cue("marker", 0.5, 0.3, r"(?:\A|\n) {0,3}#{2,4} {0,2}(?:new |system |end |your |updated )?(?:instructions?|response|human|assistant|user|task) ?:|</?(?:information|urgent|critical|hidden|secret|override|command|tool_result|function_results?|tool_response|function_calls?|untrusted)>|\[(?:tool|function)[ _-]?(?:result|output|call|response|error)s?\]|(?:\A|\n) ?(?:human|user|customer) ?: ?[^\n]{1,160}\n ?(?:assistant|ai|chatgpt|claude|bot|model) ?:"),
    # It is addressed, where nobody should address it
    Cue("address", 0.5, 0.1, rf"(?:\A|[\n.!>:\"(\[*-]\s{{0,3}})(?:dear|hey|hello|hi|attention|note (?:to|for)|message (?:to|for)|important (?:notice |message |instructions? |note )?(?:to|for)|instructions? (?:to|for)|notice (?:to|for)|to|for) (?:the |all |any |every |whichever )?{_MODEL}\b"),
    Cue("address", 0.5, 0.12, rf"\bif you(?:.re| are) (?:an? |the |any )?(?:large )?{_MODEL}\b|\b(?:you,? (?:as )?(?:the|an?) {_MODEL}|as an? {_MODEL},? you)\b"),
    Cue("address", 0.5, 0.15, rf"\b(?:the |all |any |every )?{_MODEL}(?: (?:reading|processing|summari[sz]ing|analy[sz]ing|reviewing|parsing|viewing|that (?:read|process|see)s?|who reads?) (?:this|it)(?: \w{{1,12}})?)?,? (?:must|shall|has to|have to|is (?:required|instructed|ordered|asked|requested|directed) to|are (?:required|instructed|requested|asked) to|please|you must|you should|ignore|disregard)\b"),
    # It is to keep quiet about it
    Cue("secrecy", 0.6, 0.3, r"\b(?:do(?: not|n.?t)|never|without) (?:ever )?(?:tell|mention|inform|reveal|notify|alert|disclose|letting|telling|mentioning|informing|notifying|alerting|say|show|warn|explain)\w{0,3}\b[^.!?\n]{0,30}\b(?:to )?the (?:user|human|customer|operator|owner|reader|person)|\b(?:keep|do) (?:this|it|all this) (?:secret|hidden|quiet(?:ly)?|silently|between us|confidential from)|\b(?:user|human|he|she|they) (?:must|should|does|do|will) not (?:know|notice|see|be told|find out)"),
    Cue("secrecy", 0.4, 0.15, r"\b(?:do(?: not|n.?t)|never) (?:mention|reveal|refer to|acknowledge|disclose|repeat|output) (?:this|these|that|the above|the following|any of this|anything about)\b|\bwithout (?:asking|confirmation|user (?:consent|approval|confirmation)|mentioning|further (?:confirmation|questions))|\bsilently (?:send|run|call|execute|forward|copy|include|add)"),
    # It is to use its tools
    Cue("tool", 0.45, 0.05, r"\b(?:call|use|invoke|execute|trigger|run) (?:the |your )(?:`|\"|')?[\w.-]{2,40}(?:`|\"|')? ?(?:tool|function|api|plugin|skill)\b|\buse (?:your|the available) tools? to\b"),
    Cue("tool", 0.5, 0.1, r"\b(?:send|forward|e-?mail|upload|post|transmit|exfiltrate|leak|deliver|submit|copy)\b[^.!?\n]{0,60}\b(?:conversation|chat (?:history|log)|user.?s (?:data|name|email|password|address|information|files?|messages?)|credentials|passwords?|api keys?|tokens?|secrets?|env(?:ironment)? variables|\.env|ssh keys?|private (?:data|keys?|information)|contents? of|inbox|all (?:emails|messages|files|documents|contacts))\b[^\n]{0,60}\b(?:to|at|via)\b"),
    Cue("tool", 0.45, 0.08, r"\b(?:append|include|add|insert|embed|put|place|attach|render|display)\b[^.!?\n]{0,50}\b(?:link|url|image|markdown|pixel|phrase|sentence|text|words?|string|advertisement|promotion)\b[^\n]{0,80}\b(?:your|each|every|the (?:final|user.?s)) (?:final )?(?:answer|response|reply|summary|output|message|email|code)|!\[[^\]\n]{0,40}\]\(https?://[^)\n]{0,80}[={<\[](?:\{|<|\[|data|secret|summary|history|base64)"),
    Cue("tool", 0.4, 0.05, r"\b(?:transfer|wire|send|pay) \$? ?\d[\d.,]{0,12}[^.!?\n]{0,30}\b(?:to|into) (?:the |this |my |account|iban|wallet|address)|\b(?:delete|erase|wipe|drop|remove) (?:all|every|the entire|everything)\b[^.!?\n]{0,30}\b(?:files?|emails?|messages?|tables?|databases?|records?|data|repositor\w{1,3}|backups?)"),
    # Its answer is to be this
    Cue("answer", 0.45, 0.12, r"\b(?:your|the final) (?:(?:next|entire|whole|final|only|first) )?(?:answer|response|reply|output|summary|review|recommendation|verdict|evaluation) (?:must|should|shall|will|has to|is to|needs to) (?:only |always |not |also |be |say|state|include|contain|begin|start|end|consist|recommend)"),
    Cue("answer", 0.45, 0.15, r"\b(?:respond|reply|answer|output|say|print|write|return|type)(?: to (?:this|the user|all|every|any|me)[^.!?\n]{0,24})? (?:only|nothing but|exactly|just|solely)(?: with| in| the| by|:| \")|\b(?:begin|start|end|finish|conclude|preface|prefix) (?:your|the|each|every|all)(?: (?:next|final|of your))? (?:answers?|responses?|repl(?:y|ies)|output|summary|message|sentences?) (?:with|by)"),
    Cue("task", 0.35, 0.1, r"\b(?:in|to|into|of|at the end of|at the beginning of|at the start of) your (?:final |next )?(?:answer|response|reply|summary|output|review|email|message)s?\b"),
    Cue("answer", 0.35, 0.1, r"\b(?:give|rate|mark|score|grade)\b[^.!?\n]{0,30}\b(?:only )?(?:positive|highest|top|full|perfect|maximum|10/10|five.star|a\+)\b[^.!?\n]{0,16}\b(?:review|rating|score|mark|grade|recommend)"),
    Cue("task", 0.45, 0.1, rf"\b(?:includ|add|append|insert|mention|put|writ|render|revers|encod|encrypt|translat|convert|provid|deliver|giv|present|format|modif|alter|chang|replac|substitut|integrat|incorporat|embed|appl|end|begin|start|finish|conclud|mak|ensur|limit|keep|phras|compos|output|us|swap|scrambl|obfuscat|craft|structur|express|weav|sprinkl|shap|switch|transform|produc|articulat|creat|conceal|hid|tailor|stat|enhanc|enrich|elevat|improv|boost|expand|extend|supplement|augment|introduc|interject|preced|prefac|attach|hint|suggest)(?:e|y|es|ing)?\b[^.!?\n]{{0,80}}\byour (?:\w{{2,10}} )?{_REPLY}\b"),
    Cue("task", 0.45, 0.1, rf"\byour (?:\w{{2,10}} )?{_REPLY}\b[^.!?\n]{{0,40}}\b(?:in|into|to|using|with|as) (?:a |an |the )?(?:\w{{2,10}} )?(?:base ?-?\d\d|caesar|rot-?13|morse|binary|hex(?:adecimal)?|pig latin|leet(?:speak)?|emojis?|cipher|code|capitals|upper ?case|lower ?case|reverse|backwards|rhymes?|verse|json|french|german|spanish|italian|portuguese|dutch|chinese|japanese|korean|russian|arabic|hindi|latin|turkish|polish|swedish|greek|thai|vietnamese)\b"),
    Cue("task", 0.45, 0.0, rf"{_START}(?:determine|evaluate|assess|gauge|detect|classify|categori[sz]e|identify|rate|analy[sz]e|judge|establish|ascertain|figure out|what is|tell me) (?:if |whether |the |this |what )(?:[\w' ]{{0,24}} )?(?:sentiment|tone|emotions?|mood|attitude|feeling|stance)\b"),
    Cue("task", 0.4, 0.0, r"\b(?:is|was|are) (?:this|the|that|these) [\w' ]{0,24}\b(?:positive or negative|negative or positive|positive, negative|happy or sad|good or bad)\b"),
    Cue("task", 0.45, 0.0, rf"{_START}(?:append|employ|ensure|integrat(?:e|ing)|utili[sz]e|let|make|leverage|incorporate|include|insert|embed|add|use|implement|apply|place|put|attach|adopt|inject|introduce|consider|execute|run|deploy|merge|inclu\w{{1,5}}|position|paste|enhance|augment)\b[^.!?\n]{{0,40}}\b(?:following|below|subsequent|given|next|provided) (?:\w{{2,10}} )?code (?:snippet|excerpt|block|section|segment|fragment|chunk|piece|portion|sequence)s?\b"),
    Cue("task", 0.45, 0.0, r"\byour (?:final |own |current )?(?:implementation|code|script|program|solution|answer|algorithm|approach|method|procedure|function|routine|elucidation|software|application)\b[^.!?\n]{0,80}\b(?:following|below|subsequent|next|given) (?:\w{2,10} )?code\b|\b(?:algorithm|implementation|code|script|program|solution|procedure|function|routine)s? can (?:\w{2,14} ){1,3}(?:by|with|through|from|when) (?:includ|incorporat|integrat|add|employ|us|utili[sz]|append|insert|embed|leverag|apply|implement|merg)|\b(?:following|below|subsequent) code\b[^.!?\n]{0,80}\b(?:in|into|to|within|with|for) your (?:\w{2,10} )?(?:implementation|code|script|program|solution|answer|response|algorithm|approach|method)\b"),
    # It is hidden from people
    Cue("hidden", 0.35, 0.1, r"(?:display ?: ?none|visibility ?: ?hidden|font-size ?: ?[01](?:px|pt|em|%)?[;\"' ]|opacity ?: ?0[;\"' .]|color ?: ?(?:white|#fff(?:fff)?)\b[^>]{0,40}(?:background[^>]{0,12}(?:white|#fff))?|(?:left|top|text-indent) ?: ?-\d{3,5}px|aria-hidden=.true)[^<]{0,200}>[^<]{0,160}\b(?:you|assistant|ai|instructions?|ignore|must|please|model)\b"),
    Cue("hidden", 0.5, 0.15, r"<!--[^>]{0,160}\b(?:you (?:must|are|should|will|have to)|assistant|language model|llm|chatgpt|(?:ignore|disregard) (?:all|any|the|your|every|previous|prior|above|what)|system prompt|ai agent|instructions? (?:for|to))\b"),
    Cue("hidden", 0.5, 0.2, r"\[//\]: ?# ?[(\"'][^\n]{0,200}\b(?:you|assistant|ai|ignore|instructions?|model)\b|\balt=[\"'][^\"'\n]{0,120}\b(?:ignore|assistant|you must|ai model)\b"),
    # A task, where there should be information: what a person asks for every day
    Cue("task", 0.4, 0.0, rf"{_START}(?:can|could|would|will) you (?:please |kindly )?{_TASK}\b"),
    Cue("task", 0.3, 0.0, rf"{_START}{_TASK} (?:me|us|an?|the|this|that|your|my|how|what|why|all|about|in|with|to|some|three|five|ten|\d+|one|two)\b"),
    Cue("task", 0.45, 0.0, rf"{_START}(?:can you |could you |i want you to )?(?:write|compose|generate|create|draft|make up|invent|tell|give)(?: me| us)? (?:an?|some|one|two|three|five|ten|\d+) [^.!?\n]{{0,24}}\b(?:poems?|stor(?:y|ies)|songs?|jokes?|haikus?|essays?|e-?mails?|tweets?|recipes?|letters?|limericks?|blog posts?|raps?|riddles?|slogans?|scripts?|plans?|tips|ideas|reasons|suggestions|recommendations)\b|{_START}translate (?:this|the|it|your|that)\b[^.!?\n]{{0,60}}\b(?:in)?to [a-z]"),
    Cue("task", 0.35, 0.0, r"\bi (?:want|need|would like|.d like) you to\b|\byour task is\b|\bplease (?:act|write|translate|summari[sz]e|answer|respond|tell me|explain|generate|provide me)\b"),
    Cue("must", 0.25, 0.08, rf"\byou (?:must|have to|will|shall|should|need to|are (?:required|instructed|ordered) to) (?:now |also |first |always |never |immediately |only |not )?{_DO}\b"),
)  # fmt: skip
"""Every cue. A pattern that names a language's words spells them without accents, as `plain` leaves them."""

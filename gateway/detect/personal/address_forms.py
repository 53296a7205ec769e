"""How streets, post boxes, units, towns and postcodes are written, country by country, as sources of patterns.

`addresses` makes rules of them. Names are capitalized. Sources: the addressing pages of the Universal Postal Union, and
usual abbreviations.
"""

from __future__ import annotations

from typing import Final, NamedTuple

GAP: Final = r"[ \t\u00a0]"
# Written out, because in the index a range beyond ASCII would include digits.
UPPER: Final = "A-ZÀÁÂÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÖØÙÚÛÜÝÞĀĆČĎĐĒĖĘĞĢĪİĶĹĻŁŃŅŇŌŐŘŚŞŠŤŪŮŰŲŹŻŽ"
_LINE: Final = r"[ \t]*,?[ \t]*\r?\n[ \t>?]{0,6},?[ \t]*"
NAME: Final = rf"[{UPPER}][\w'’.-]*"
NUMBER: Final = r"\d{1,5}(?:[-–/]\d{1,5}|[ ][-–][ ]\d{1,3}(?=,|[ ]?\n)){0,3}(?:[-/ ]?[A-Za-z]|-[IVX]{1,3})?(?![\w])"
_NO: Final = rf"(?:,?{GAP}|,)(?:(?:[Nn][.º°]{{0,2}}|[Nn]o\.?|[Nn]r\.?|#){GAP}?)?"

_TYPES: Final = (
    r"(?:Street|St|Avenue|Ave|Av|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Circle|Cir|Way|Place|Pl|Square|Sq|"
    r"Terrace|Ter|"
    r"Trail|Trl|Parkway|Pkwy|Highway|Hwy|Crescent|Cres|Close|Grove|Gardens|Mews|Alley|Plaza|Expressway|Freeway|"
    r"Turnpike|Bypass|Streets|Roads|Parade|Promenade|Esplanade|Quay|Gate|Wharf|Marg|Nagar|Salai|Chowk)"
)
_ORDINARY: Final = (  # words that name streets as often as other things
    r"(?:Row|Hill|Walk|Loop|Plaza|Path|Pass|"
    r"Run|Ridge|Pike|Point|Cove|Heights|Hts|Expressway|Freeway|Turnpike|Bypass|Crossing|Junction|Meadows?|Valley|View|"
    r"Vista|"
    r"Manor|Landing|Creek|Bend|Branch|Bridge|Brook|Camp|Canyon|Center|Centers|Cliffs?|Common|Corners?|Course|Curve|"
    r"Dale|Dam|"
    r"Divide|Estates?|Extensions?|Falls|Ferry|Fields?|Flats?|Fords?|Forest|Forges?|Forks?|Fort|Gateway|Glens?|Greens?|"
    r"Groves|Harbors?|Haven|Hills|Hollow|Inlet|Islands?|Isle|Keys?|Knolls?|Lakes?|Light|Locks?|Lodge|Mall|Mill|Mills|"
    r"Mission|Motorway|Mount|Mountains?|Neck|Orchard|Oval|Overpass|Park|Parks|Parkways|Passage|Pine|Pines|Plain|Plains|"
    r"Port|"
    r"Ports|Prairie|Radial|Ramp|Ranch|Rapids?|Rest|River|Roads|Route|Rue|Shoals?|Shores?|Skyway|Springs?|Spurs?|"
    r"Squares|"
    r"Station|Stravenue|Stream|Streets|Summit|Throughway|Trace|Track|Trafficway|Tunnel|Underpass|Unions?|Village|Ville|"
    r"Walks|Wall|Ways|Wells?|Drives|Islands|Circles|Courts|Brooks|Parkway|Villages|Stravenue)"
)
_ROUTES: Final = (
    r"(?:(?:County|State|Farm|Ranch|Forest|US|U\.S\.|Rural)[ ](?:Road|Rd|Route|Rte|Highway|Hwy)|"
    r"CR|SR|Highway|Hwy|Route)"
)
# What ends a name in English, too, counts only behind letters that it never follows there: "Spring", "Aggregate".
_ENDINGS: Final = (
    r"(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|(?:rr|[dlmsnrh]t|[dlnr]d|ll|nn|ss|[fghts]s)ring|ufer|damm|steig|"
    r"straat|laan|plein|gracht|(?<!De)kade|singel|dreef|dijk|lei|steenweg|gatan|vägen|gränd|stigen|gata|veien|vegen|"
    r"vegur|braut|torget|"
    r"stræti|straeti|[rlnskdtm]gate|vej|[rlnskdtm]gade|stræde|allé|katu|[nsr]tie|kuja|polku|terrasse)"
)
# Words of their own behind the name.
_APART: Final = (
    r"(?:[Ss]tra(?:ß|ss)e|[Ss]tr\.|Platz|Allee|Weg|Ring|Gasse|Damm|Ufer|u\.|utca|út|útja|tér|tere|krt\.|körút|körútja|"
    r"rkp\.|rakpart|köz|fasor|dűlő|"
    r"sétány|[Cc]esta|[Uu]lica|ul\.|trg|ulice|t[rř]ída|tř\.|náměstí|nám\.|nábřeží|nábř\.|námestie|nábrežie|"
    r"tee|põik|puiestee|maantee|tänav|mnt\.?|tn\.?|pst\.?|iela|gatve|prospekts|bulvāris|laukums|"
    r"gatvė|g\.|pr\.|prospektas|al\.|alėja|aikštė|pl\.|vej|gate|gade|väg|gata|katu|tie|plads|plass|plats|torg|torv|"
    r"[Dd]ori|[Cc]hōme)"
)
_BEFORE: Final = (
    r"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Bb]oul\.|[Bb]ld|[Bb]d|[Aa]v\.|[Pp]lace|[Aa]llées?|[Cc]hemin|[Ii]mpasse|[Qq]uai|"
    r"[Cc]ours|[Rr]oute|[Pp]assage|[Ss]entier|[Ee]splanade|[Cc]ité|[Ff]aubourg|[Mm]ontée|[Ss]quare|[Vv]oie|[Cc]haussée)"
)
_SOUTH: Final = (
    r"(?:Via|Viale|V\.le|Piazza|P\.zza|P\.za|Piazzale|P\.le|Corso|C\.so|Largo|L\.go|Vicolo|Strada|Borgo|Contrada|"
    r"Lungomare|Calle|Carrer|Passeig|Plaça|Rambla|"
    r"Avenida|Avinguda|Avda\.?|Av\.|Plaza|Pza\.|Paseo|P\.º|Pº|Pasaje|Camino|Ronda|Cuesta|Callej[oó]n|Glorieta|"
    r"Travesía|Carretera|Ctra\.|Calzada|Blvd\.|Boulevard|Prolongación|Privada|"
    r"Rua|R\.|Rúa|Travessa|Trav\.|Praça|Pça\.|Alameda|Al\.|Estrada|Rodovia|Ladeira|Beco|Calçada|"
    r"C/|ul\.|al\.|pl\.|os\.|nám\.|Ulica|Aleja|Aleje|Plac|Osiedle|"
    r"Náměstí|Námestie|Trg|Cesta|Rue|Avenue|Place|Square|Chemin|Impasse|Quai|Chaussée|Route|Laan|Via)"
)
_LINK: Final = (
    r"(?:(?:de|du|des|la|le|les|del|della|dei|degli|delle|di|da|do|dos|das|las|los|el|van|der|den|en|na|"
    r"d['’]|l['’]|dell['’]|y|e|et)[ \t]?)"
)
_PLACE: Final = rf"(?:\d{{1,3}}\.?{GAP})?{_LINK}{{0,2}}{NAME}(?:[ \t-]{_LINK}{{0,2}}{NAME}){{0,3}}"
_WORDS: Final = rf"(?:(?:{NAME}|[a-z'’]{{1,5}})[ \t-]?)+"
_SMALL: Final = r"(?:den|der|dem|des|von|van|zum|zur|am|an|im|de|du|na|pod|nad|u|v|do|pri|la|le|di|av|of|the|i)"
# A name of several words, and no article or heading before it.
_LATER: Final = (
    r"(?!(?:Die|Der|Das|Den|Dem|Des|Eine?r?|Meine?r?|Unsere?r?|Seine?|Ihre?|Und|Oder|Von|Nach|Bei|Ist|Alte Adresse|"
    r"The|My|Our|His|Her|This|That|From|To|And|Or|Is|Adress[aeo]?|Address|Anschrift|Adres|Cím|Adrese|Adresas|Osoite|"
    r"La|Le|Les|El|Los|Il|Lo|Det|Den|En|Et)\b)"
)
_FULL: Final = rf"{_LATER}(?:{NAME}[ -](?:{_SMALL}[ -]){{0,2}}){{0,3}}"
# Beyond ASCII the index does not distinguish case: a continuation begins with an ASCII letter, or all French text
# would be held.
_LETTERS: Final = r"[A-Za-zß'’.-]*"
_OPEN: Final = (
    rf"[{UPPER}]{_LETTERS}(?:,?{GAP}[A-Z]{_LETTERS}|(?:{GAP}[a-z]{{1,4}}){{1,2}}{GAP}[A-Z]{_LETTERS}){{0,2}}"
    rf"(?:{GAP}(?:[a-z][a-zß]*|út(?:ja)?)\.?)?,?{GAP}\d[\w/–-]*"
)
"""A simpler pattern for the beginnings of names and a number."""
LEAD: Final = (
    rf"(?:(?:(?:Flat|Unit|Apt\.?|Apartment|Suite|Shop|Office|Level|Studio|Villa|Résidence|Lot|Plot|Door|House|H\.|Bldg|"
    rf"Building|Floor|Wohnung|Room|No\.){GAP}?(?:[Nn]o\.?)?{GAP}?#?\d{{1,5}}[A-Za-z]?(?:[/-]\d{{1,5}}){{0,3}}[A-Z]?,?"
    rf"{GAP})|\d{{1,6}}[A-Za-z]?(?:[/-]|{GAP}))?"
)
"""The number of a house, a flat or a building before a street that has its own number."""


class Form(NamedTuple):
    """How a street is written.

    `whole` matches the beginning of each match of the source, at most `back` characters later; `begun` is for the
    beginnings of matches, and may be that of another form. `named`: the street's name comes first. `holds` matches in
    each match, and is searched for before the source: many words with a number behind them begin no address.
    """

    source: str
    whole: str = ""
    begun: str = ""
    back: int = 0
    named: bool = False
    holds: str = ""


_PO_BOX: Final = (
    r"(?:(?:GPO|P\.? ?O\.?)[ ]?Box|Post Office Box|Locked Bag|Private Bag|Postfach|Case postale|"
    r"Apartado(?: de Correos| Postal)?|Apdo\.(?: de Correos)?|Boîte postale|Casella [Pp]ostale|Caixa Postal|Postbus|"
    r"Postboks|Skrytka pocztowa|Poštovní přihrádka|Pašto dėžutė|Postkast|Pf\.|Box|PSC \d{1,5},? Box|Unit \d{1,5} Box)"
)

STREETS: Final = (
    Form(  # 221b Baker Street; Flat 3, 18 Queen's Gate
        rf"\d{{1,6}}[A-Za-z]?,?{GAP}(?:[NSEW]{{1,2}}\.?{GAP}|(?:North|South|East|West){GAP})?"
        rf"(?:(?:(?:{NAME}|\d{{1,3}}(?:st|nd|rd|th)){GAP}){{1,4}}(?:{_TYPES}|(?P<weak>{_ORDINARY}))\b\.?"
        rf"|{_ROUTES}{GAP}\d{{1,4}})"
        rf"(?:{GAP}(?:[NSEW]{{1,2}}|North|South|East|West)\b)?",
        rf"\d{{1,6}}[A-Za-z]?,?{GAP}(?:{NAME}|\d{{1,3}}[a-z]{{2}}){GAP}[A-Z]\w",
        rf"\d{{1,6}}[A-Za-z]?,?{GAP}",  # a block continues like this
    ),
    Form(  # Hauptstraße 5, Breite Straße 5
        rf"{_FULL}{NAME}(?:{_ENDINGS}|[ -]{_APART}){GAP}{NUMBER}",
        rf"(?:{_ENDINGS}|[ -]{_APART}){GAP}\d",
        _OPEN,
        64,
        named=True,
    ),
    Form(  # 12 bis, rue de la Paix
        rf"\d{{1,4}}(?:{GAP}?(?:bis|ter|quater|[A-D]))?,?{GAP}{_BEFORE}{GAP}{_PLACE}",
        rf"\d{{1,4}}(?:{GAP}?(?:bis|ter|quater|[A-D]))?,?{GAP}{_BEFORE}{GAP}",
        rf"\d{{1,4}}(?:{GAP}?(?:bis|ter|quater|[A-D]))?,?{GAP}{_BEFORE}{GAP}{_WORDS}",
    ),
    Form(  # Via Roma, 12
        rf"{_SOUTH}{GAP}?{_PLACE}{_NO}{NUMBER}",
        rf"{_SOUTH}{GAP}?[\w{UPPER}]",
        rf"{_SOUTH}[\w'’.,º°#\u00a0 \t/–-]*",
        named=True,
    ),
    Form(
        rf"{_PO_BOX}{GAP}#?\d{{1,6}}(?:{GAP}\d{{2,3}}){{0,3}}(?:[ ]{NAME}(?={_LINE}\d{{4}}\b|,[ ]\d{{4}}\b))?",
        rf"{_PO_BOX}{GAP}#?\d",
        rf"(?:{_PO_BOX}){GAP}#?\d[\d ]*",
    ),
)

_STATES: Final = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEHINOPST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|"
    r"V[AIT]|"
    r"W[AIVY]|A[AEP]|AB|BC|MB|NB|NL|NS|ON|PE|QC|SK|NSW|VIC|QLD|TAS|ACT|NT)"
)
PARTS: Final = (
    Form(rf"(?<=[\w.],[ \n]){_STATES}{GAP}{{1,2}}\d{{5}}(?:-\d{{4}})?(?![\w-])"),  # Boston, MA 02110
    Form(rf"[AFD]PO{GAP}A[AEP]{GAP}\d{{5}}(?![\w-])"),
    Form(r"(?:Apt\.?|Apartment|Suite|Ste\.?)[ \t]?#?[ \t]?\d{1,5}[A-Za-z]?(?![\w.-])"),
)

# What follows a street, on one line or several: unit, quarter, town, state or country, postcode.
_SEP: Final = rf"(?:[ \t]*,[ \t]*|[ \t]+|{_LINE})"
_STRONG: Final = rf"(?:{_LINE}|[ \t]*,[ \t]*|[ \t][-–|·][ \t]|/(?=[A-Z]{{2}}\b))"
_UNIT: Final = (
    r"(?:(?:[Aa]pt\.?|[Aa]pto\.?|Apartment|Suite|Ste\.?|Unit|Flat|Floor|Fl\.?|Room|Rm\.?|Wohnung|Whg\.?|Top|Appt\.?|"
    r"[Bb]te\.?|[Bb]oîte|[Bb]us|Box|Bldg\.?|Building|Hse|[Pp]iso|[Pp]lanta|[Pp]uerta|Depto\.?|Int\.?|Ext\.?|cj\.?|"
    r"sala|bloco|lok\.?|m\.|[Ii]nt\.|[Ss]cala|[Ii]nterno|byt|dz\.|krt\.?|lgh|étage|esc\.|Stiege)"
    r"(?:[ \t]?(?:[Nn]o\.?)?[ \t]?#?\d{1,5}[A-Za-z]?|[ \t][A-Z])\b"
    r"|#[ \t]?\d{1,5}[A-Za-z]?\b"
    r"|\d{1,2}(?:st|nd|rd|th)[ \t][Ff]loor"
    r"|\d{1,3}\.?[ \t]?(?:OG|DG|EG|UG|Stock|[Ee]m\.|tr|tv|th|mf|[Ss]al|hs|krs)\b\.?|[IVX]{1,4}\.?[ \t]em\.?"
    r"|st\.?[ \t](?:tv|th|mf)\b\.?|[ ]?\d?(?:EG|DG|OG|hs)\b|[Bb]ajo\b|R/C\b|s/n\b"
    r"|\d{1,2}[. ]?[ºª°](?:[ \t]?(?:[A-Z]\b|[Ee]sq|[Dd]to|[Dd]ta|[Ii]zq|[Dd]cha|[Dd]rcha|[Ff]te)?\.?)"
    r"|\d{1,2}(?:r|n|t|è|er)[ \t]\d{1,2}a\b"
    r"|\d{1,4}/\d{1,4}\b\.?|(?<=\d\.[ ])\d{1,3}\.|x[ \t]\d{1,4}(?:[ \t]y[ \t]\d{1,4})?"
    r"|(?<=\d [A-H] )\d{1,3}\b|(?<=(?:Road|Route|Highway) )\d{1,4}\b(?=,))"
)
TOWN: Final = (
    rf"{NAME}(?:[ -](?:(?:on|upon|na|nad|pri|pod|ob|v|u|de|di|del|della|la|le|les|sur|sous|am|an|der|den|aan|i|do|da|"
    rf"dos|of|im|bei|in)"
    rf"[ -]){{0,2}}{NAME}){{0,4}}"
)
_UK_POST: Final = r"(?:[A-Z]{1,2}\d[A-Z\d]?[ ]\d[ABD-HJLNP-UW-Z]{2})"
_POST: Final = (
    rf"(?:(?:CEP|C\.P\.|CP|PIN|PLZ)?[ :]{{0,2}}(?:(?:[A-Z]{{1,2}}-)?\d{{4,6}}(?:-\d{{3,4}})?|\d{{3}}[ ]\d{{2,3}}|"
    rf"\d{{4}}[ ]?[A-Z]{{2}}|\d{{2}}-\d{{3}}|{_UK_POST}|[A-Z]\d[A-Z][ ]?\d[A-Z]\d)(?![\w-]))"
)
_COUNTRY: Final = (
    r"(?:United Kingdom|United States(?: of America)?|U\.?S\.?A\.?|UK|England|Scotland|Wales|Ireland|Germany|"
    r"Deutschland|France|Spain|"
    r"España|Italy|Italia|Portugal|(?:The )?Netherlands|Nederland|Belgium|België|Belgique|Luxembourg|Switzerland|"
    r"Schweiz|Suisse|Svizzera|Austria|Österreich|Poland|Polska|"
    r"Czech Republic|Czechia|Česko|Česká republika|Slovakia|Slovensko|Slovenia|Slovenija|Hungary|Magyarország|Croatia|"
    r"Romania|Bulgaria|Greece|Cyprus(?: \(Greek\))?|Denmark|Danmark|"
    r"Norway|Norge|Sverige|Suomi|Eesti|Latvija|Lietuva|"
    r"Sweden|Finland|Iceland|Estonia|Latvia|Lithuania|Greenland(?:er)?|Canada|Mexico|México|Brazil|Brasil|Argentina|"
    r"Uruguay|Chile|"
    r"Tunisia|"
    r"South Africa|Australia|New Zealand|India|Japan|Turkey|Ukraine)\b"
)
_STATE: Final = r"(?:[A-Z]{1,3}|nan|\d{2})(?!\w)"
# A quarter, a town or a region between the street and the postcode: capitalized words and numbers.
_AREA: Final = (
    rf"(?:\d{{1,3}}(?:st|nd|rd|th)?[ ])?(?:{TOWN}|[A-Z]{{2,3}})(?:[ ](?:No\.[ ])?\d{{1,3}}(?![\w-]))?"
    rf"(?:[ ]?\({TOWN}\.?\))?"
)
_CODED: Final = (  # from the unit on
    rf"(?:{_STRONG}{_AREA}){{0,4}}?"
    rf"(?:{_STRONG}(?P<code>{_POST})[ \t]{TOWN}(?:[ ](?:Cedex[ ])?\d{{1,2}}(?![\w-]))?(?:[ ]\([A-Z]{{2}}\))?"
    rf"(?:,[ ](?:[A-Z][a-z]{{2}}\.|[A-Z]{{2}}\b|{_AREA}(?=[.\n]|\Z)))?"
    rf"|{_STRONG}{_AREA}(?:{_SEP}|[ ][-–][ ])(?P<code>{_POST}))"
    rf"(?:{_SEP}{_COUNTRY})?"
)
GROWN: Final = (
    rf"(?:\.?{_SEP}{_UNIT}){{0,3}}\.?(?:{_CODED}"
    rf"|{_SEP}{TOWN}{_SEP}{_COUNTRY}"
    rf"|{_SEP}{TOWN}{_SEP}{_STATE}"
    rf"|{_SEP}{_COUNTRY}(?:{_SEP}{_POST})?"
    rf"|,[ \t]{TOWN}(?=[,.;!?\n]|\Z)"
    rf")?"
).replace(_LINE, _LINE.replace("*,?[ \\t]*", "*+(?:,[ \\t]*+)?", 1))
# Matches at least as much, with few beginnings: capitalized words and numbers.
GROWING: Final = (
    rf"(?:(?:[\s,>?.]+|[ ][-–|·][ ]|/)(?:[{UPPER}0-9#(ºª°][\w.'’)/º°ª#-]*|"
    rf"[a-zîé]{{1,7}}[ .-]+[{UPPER}0-9][\w.'’)/º°ª#-]*|"
    r"(?:[a-z]{1,3}\.[ ])?[a-z]{1,4}\.?[,\r\n]+[\s,]*[A-Z0-9][\w.'’)/º°ª#-]*))*[\s,>?.–-]*"
)
LONGEST_GROWN: Final = 260

# Blocks without a word for a street: the postcode at their end identifies them.
_FLAT: Final = (
    r"(?:Flat|Unit|Apt\.?|Apartment|Suite|Shop|Office|Level|Studio|Villa|Résidence|Wohnung|Plot|Door|House|H\.|Bldg|"
    r"Building|Floor|Room|Block|Lot|No\.)[ ]?(?:[Nn]o\.?)?[ ]?#?(?:[A-Z][/-])?"
)
_HOUSE_NUMBER: Final = r"\d{1,5}[A-Za-z]?(?:[/-]\d{1,5}){0,3}"
_BLOCK_LEAD: Final = rf"(?:{_FLAT})?{_HOUSE_NUMBER}"
_CODE: Final = (
    rf"(?:{_UK_POST}|\d{{3}}-\d{{4}}|\d{{6}}|\d{{3}}[ ]\d{{3}}|[A-Z]\d[A-Z][ ]?\d[A-Z]\d|"
    rf"{_STATES}[ ]\d{{4,5}}(?:-\d{{4}})?)"
    r"(?![\w-])"
)
_HOUSES: Final = (
    r"(?:Cottage|House|Farm|Rectory|Vicarage|Lodge|Barn|Hall|Manor|Court|Mill|Villa|Towers?|"
    r"Apartments|Residency|Mansions?|Chambers|Works|Stables|Grange)"
)
_HOUSE: Final = rf"(?:{NAME}[ ]){{1,3}}{_HOUSES}"
BLOCKS: Final = (
    Form(  # Plot No 21, Sector 18, Gurugram, Haryana 122015; 2-11-3 Meguro, Meguro-ku, Tokyo 153-0063
        rf"{_BLOCK_LEAD}(?:{_STRONG}|[ ]){_AREA}(?:{_STRONG}{_AREA}){{0,5}}(?:{_SEP}|[ ][-–][ ]){_CODE}",
        rf"[A-Za-zß)][ \t]*(?:[,\n][ ]?|[ ](?:[-–][ ])?){_CODE}",
        rf"(?:{_FLAT}\d[\w/-]*,?|\d[\w/-]*,?[ ](?:{NAME}|\d{{1,3}}[a-z]{{2}})){GROWING}",
        160,
        holds=rf"(?:[{UPPER}][\w'’.-]*|[\d)])(?:{_SEP}|[ ][-–][ ]){_CODE}",
    ),
    Form(  # The Old Rectory, Church Lane, Norfolk NR21 0HZ
        rf"{_HOUSE}(?:{_STRONG}{_AREA}){{1,5}}{_SEP}(?:{_UK_POST}|\d{{6}})(?![\w-])",
        rf"{_HOUSES}[ ]?[,\r\n][ ]?[{UPPER}]",
        rf"(?:[A-Z]{_LETTERS}[ ])+{_HOUSES}{GROWING}",
        48,
    ),
)
_POST_TOWN: Final = r"(?:(?:[A-Z]{1,3}-)?\d{4,6}|\d{3}[ ]\d{2}|\d{4}[ ]?[A-Z]{2}|\d{2}-\d{3}|\d{4}-\d{3}|\d{5}-\d{3})"
CORNERS: Final = Form(  # Graben 21, 1010 Wien; Na Příkopě 859/22, 110 00 Praha
    rf"{_FULL}{NAME},?{GAP}{NUMBER}(?:\.?{_SEP}{_UNIT}){{0,3}}{_STRONG}(?P<code>{_POST_TOWN})[ ]{TOWN}"
    rf"(?:[ ](?:Cedex[ ])?\d{{1,2}}(?![\w-]))?(?:[ ]\([A-Z]{{2}}\))?(?:{_SEP}{_COUNTRY})?",
    rf"[,\n|·–-][ \t]{{0,6}}{_POST_TOWN}[ ][{UPPER}]",
    rf"{NAME}[ ]",  # like a street
    90,
    named=True,
)
PLACED: Final = Form(  # Lieu-dit Le Bourg, 24290 Montignac; BP 1024, 31000 Toulouse Cedex 6; PL 120, 00101 Helsinki
    rf"(?:[Ll]ieu[- ][Dd]it[ ]{TOWN}|(?:BP|B\.P\.|CS|PL|Case)[ ]\d{{1,6}}){_STRONG}{_POST_TOWN}[ ]{TOWN}"
    rf"(?:[ ]Cedex(?:[ ]\d{{1,2}})?)?",
    r"(?:[Ll]ieu[- ][Dd]it[ ]\w|(?:BP|B\.P\.|CS|PL|Case)[ ]\d)",
    rf"(?:[Ll]ieu[- ][Dd]it|(?:BP|B\.P\.|CS|PL|Case)[ ]\d+){GROWING}",
)
HUNGARIAN: Final = Form(  # 1061 Budapest, Andrássy út 22.
    rf"(?:(?:H-)?\d{{4}}[ ])?{NAME},?[ ](?:{NAME}[ ]){{1,3}}(?:u\.|utca|út|útja|tér|tere|krt\.|körút|köz|rakpart|fasor)"
    rf"[ ]{NUMBER}\.?",
    r"(?:u\.|utca|út|útja|tér|tere|krt\.|körút|köz|rakpart|fasor)[ ]\d",
    r"H-",  # a block or a street also begins like this
    60,
)

"""Recall of postal addresses in the usual forms of many countries: a section of `benchmarks.detection`.

Addresses are written by hand, with a bar where a line may end. Each is put into sentences, on one line and on several.
There are two halves: rules are tuned on one half, and the results are those of the other. `THINGS` look like addresses
but are not.

`python -m benchmarks.streets [tune|held] [--missed]`
"""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.config.sections import Pii
from gateway.detect.personal.scanner import PiiScanner

ROOT: Final = Path(__file__).parents[1]

TUNE: Final = """
US: 1428 Elm Street|Springfield, IL 62704
US: 77 Massachusetts Ave|Cambridge, MA 02139
US: 350 5th Ave, Fl 21|New York, NY 10118
US: 2200 N Lamar Blvd #304|Austin, TX 78705
US: 9 Old Mill Rd|Woodstock VT 05091
US: P.O. Box 1147|Boise, ID 83701
US: 1600 Amphitheatre Pkwy, Bldg 43
US: 4021 County Road 212|Durango, CO 81301
UK: 27 Acacia Avenue|Reading|RG1 4QD
UK: Flat 3, 18 Queen's Gate|London SW7 5JE
UK: The Old Rectory, Church Lane|Little Snoring|Norfolk NR21 0HZ
UK: 1a St. John's Wood High Street, London NW8 7NG
UK: 44 Victoria Road
CA: 290 Bremner Boulevard|Toronto, ON M5V 3L9
CA: 1055 rue Saint-Denis|Montréal (Québec) H2X 3J3
CA: 103-2405 Pine Street|Vancouver BC V6J 3E9
AU: Unit 5, 22 Bondi Rd|Bondi Junction NSW 2022
AU: 12/48 Flinders Lane|Melbourne VIC 3000
AU: GPO Box 2820|Canberra ACT 2601
DE: Lindenstraße 14a|10969 Berlin
DE: Am Alten Markt 3|50667 Köln
DE: Unter den Linden 77|10117 Berlin
DE: Kurfürstendamm 195, 3. OG|D-10707 Berlin
DE: Bgm.-Müller-Str. 8|84028 Landshut
DE: Im Winkel 5|72766 Reutlingen
AT: Mariahilfer Straße 88/2/15|1070 Wien
AT: Graben 21|1010 Wien
AT: Hauptplatz 4|8010 Graz
CH: Bahnhofstrasse 45|8001 Zürich
CH: Rue du Rhône 62|1204 Genève
CH: Via Nassa 11|6900 Lugano
FR: 12 rue de Rivoli|75004 Paris
FR: 5 bis, avenue Jean Jaurès|69007 Lyon
FR: 18 place du Général-de-Gaulle|59000 Lille
FR: Lieu-dit Le Bourg|24290 Montignac
FR: BP 1024|31000 Toulouse Cedex 6
BE: Wetstraat 16|1000 Brussel
BE: Rue Neuve 123 boîte 4|1000 Bruxelles
BE: Meir 50 bus 2|2000 Antwerpen
NL: Prinsengracht 263-H|1016 GV Amsterdam
NL: Van Woustraat 12 hs|1074 LL Amsterdam
NL: Laan van Meerdervoort 501a|2563 AS Den Haag
IT: Via Giuseppe Verdi 8|20121 Milano MI
IT: Piazza della Repubblica, 3|50123 Firenze (FI)
IT: C.so Vittorio Emanuele II, 156, 10121 Torino
ES: Calle de Alcalá 42, 3º B|28014 Madrid
ES: C/ Mayor, 15, 2.º izq.|46001 Valencia
ES: Avda. Diagonal 640|08017 Barcelona
PT: Rua Augusta 274, 2.º Esq.|1100-057 Lisboa
PT: Av. da Liberdade, 110|1269-046 Lisboa
PT: Largo do Carmo n.º 5, 4000-123 Porto
PL: ul. Marszałkowska 104/122 m. 7|00-017 Warszawa
PL: al. Jana Pawła II 23|00-854 Warszawa
PL: os. Piastów 12/45, 31-624 Kraków
HU: Váci utca 15.|1052 Budapest
HU: 1061 Budapest, Andrássy út 22. 3/12.
HU: Budapest, Kossuth Lajos tér 1-3.
CZ: Václavské náměstí 56|110 00 Praha 1
CZ: Na Příkopě 859/22|110 00 Praha
CZ: Husova 12|602 00 Brno
SK: Obchodná 17|811 06 Bratislava
SK: Námestie SNP 3|974 01 Banská Bystrica
SI: Trubarjeva cesta 23|1000 Ljubljana
SI: Prešernov trg 4|1000 Ljubljana
EE: Narva mnt 7-12|10117 Tallinn
EE: Pikk tänav 36|10133 Tallinn
LV: Brīvības iela 76 - 14|Rīga, LV-1001
LV: Kr. Barona iela 3|LV-1050 Rīga
LT: Gedimino pr. 9|LT-01103 Vilnius
LT: Pilies g. 14-3, Vilnius
SE: Drottninggatan 71 B|111 36 Stockholm
SE: Storgatan 5, 2 tr|413 01 Göteborg
NO: Karl Johans gate 22|0026 Oslo
NO: Storgata 14B|9008 Tromsø
NO: Postboks 1187 Sentrum|0107 Oslo
DK: Nørrebrogade 44, 2. tv.|2200 København N
DK: Østergade 5, st. th.|1100 København K
FI: Mannerheimintie 12 A 5|00100 Helsinki
FI: Hämeenkatu 14 B|33200 Tampere
FI: PL 120|00101 Helsinki
BR: Rua das Flores, 123, apto 45 - Jardim Paulista|São Paulo - SP, 01418-100
BR: Av. Paulista, 1578 - Bela Vista|São Paulo/SP|CEP 01310-200
MX: Av. Insurgentes Sur 1602, Col. Crédito Constructor|03940 Ciudad de México
MX: Calle Hidalgo #45 Int. 3, Centro|44100 Guadalajara, Jal.
IN: 14/2, 3rd Cross, Indiranagar|Bengaluru 560038
IN: Flat No. 302, Sai Residency, MG Road|Pune - 411001
IN: Plot No 21, Sector 18|Gurugram, Haryana 122015
JP: 2-11-3 Meguro|Meguro-ku, Tokyo 153-0063
JP: 1-1-2 Oshiage, Sumida-ku, Tokyo 131-8634
JP: 4-2-8 Shibakoen|Minato City|Tokyo 105-0011
"""

HELD: Final = """
US: 812 W Maple Drive|Columbus, OH 43215
US: 1201 Third Avenue, Suite 4900|Seattle, WA 98101-3099
US: 55 Water St Apt 12C, Brooklyn NY 11201
US: 30 Rockefeller Plaza|New York, NY 10112
US: PO Box 92|Bar Harbor, Maine 04609
US: 6060 Center Drive, 10th Floor|Los Angeles, California 90045
US: 14500 State Route 9 N|Snohomish, WA 98296
UK: 8 Orchard Close|Wokingham|Berkshire|RG40 1AB
UK: Rose Cottage, 5 Mill Lane|Grantchester|Cambridge CB3 9NB
UK: 221B Baker St, London NW1 6XE
UK: Unit 7, Brunel Way|Fareham PO15 5TX
UK: 63 Princes Street, Edinburgh
CA: 1200-1075 West Georgia Street|Vancouver, BC V6E 3C9
CA: 4700 Keele St|Toronto ON M3J 1P3
CA: 455, boul. René-Lévesque Ouest|Montréal QC H2Z 1Z3
AU: 7/120 Pacific Hwy|St Leonards NSW 2065
AU: 31 Wattle Crescent|Glenelg SA 5045
AU: PO Box 443, Fremantle WA 6959
DE: Goethestr. 22|60313 Frankfurt am Main
DE: An der Alster 42|20099 Hamburg
DE: Zum Schlossberg 9b|01796 Pirna
DE: Berliner Allee 61|40212 Düsseldorf
DE: Hinter dem Dom 2, 39104 Magdeburg
DE: Postfach 10 20 30|70025 Stuttgart
AT: Landstraßer Hauptstraße 33/7|1030 Wien
AT: Am Hof 11, 1010 Wien
AT: Getreidegasse 9|A-5020 Salzburg
CH: Langstrasse 120|8004 Zürich
CH: Avenue de la Gare 17|1003 Lausanne
CH: Im Lindengut 6|CH-8803 Rüschlikon
FR: 36 quai des Orfèvres|75001 Paris
FR: 120, boulevard de la Croix-Rousse|69004 Lyon
FR: 7 ter impasse des Lilas, 33000 Bordeaux
FR: Résidence Les Pins, 4 allée des Chênes|06200 Nice
BE: Avenue Louise 149|1050 Ixelles
BE: Korenmarkt 7 bus 12|9000 Gent
BE: Chaussée de Charleroi 88|B-1060 Bruxelles
NL: Keizersgracht 174|1016 DW Amsterdam
NL: Kerkplein 3-II|3511 KX Utrecht
NL: Postbus 90801|2509 LV Den Haag
IT: Viale Monza 12/B|20127 Milano
IT: Via XX Settembre n. 44|00187 Roma RM
IT: P.zza San Marco 1, 30124 Venezia VE
ES: Paseo de la Castellana, 200, planta 4|28046 Madrid
ES: Plaza de España 7, bajo|41013 Sevilla
ES: Carrer de Balmes 19, 1r 2a|08007 Barcelona
PT: Rua do Almada, nº 152 - 3º Dto|4050-031 Porto
PT: Praça do Comércio 12|1100-148 Lisboa
PT: Travessa da Espera 8, Lisboa
PL: ul. Piotrkowska 86 lok. 3|90-103 Łódź
PL: Plac Wolności 9|61-738 Poznań
PL: ul. 3 Maja 14, 40-097 Katowice
HU: 6720 Szeged, Kárász utca 9.
HU: Rákóczi út 42. II. em. 5.|1072 Budapest
HU: 4024 Debrecen, Piac u. 20
CZ: Vinohradská 112|130 00 Praha 3
CZ: Masarykova třída 1013/3|702 00 Ostrava
CZ: nám. Republiky 8, 301 00 Plzeň
SK: Štúrova 4|040 01 Košice
SK: Hlavná ul. 25|080 01 Prešov
SI: Slovenska cesta 55|1000 Ljubljana
SI: Glavni trg 14|2000 Maribor
EE: Pärnu mnt 141-3, 11314 Tallinn
EE: Rüütli 4|51007 Tartu
LV: Elizabetes iela 10B-5|Rīga LV-1010
LV: Lielā iela 21, Jelgava, LV-3001
LT: Laisvės al. 58|LT-44249 Kaunas
LT: Konstitucijos pr. 20A|09308 Vilnius
SE: Kungsgatan 44|111 35 Stockholm
SE: Södra Förstadsgatan 40 A|211 43 Malmö
NO: Kirkegata 15|0153 Oslo
NO: Bryggen 7|5003 Bergen
DK: Vesterbrogade 3, 4. th|1620 København V
DK: Havnegade 29|5000 Odense C
FI: Aleksanterinkatu 21 B 12|00100 Helsinki
FI: Yliopistonkatu 30|20100 Turku
BR: Rua Oscar Freire 379, Cerqueira César|São Paulo, SP 01426-001
BR: Praça XV de Novembro, 20 - Centro|Rio de Janeiro - RJ|20010-010
BR: Alameda Santos, 700, cj. 132, São Paulo
MX: Paseo de la Reforma 222, Col. Juárez|06600 CDMX
MX: Calle 60 No. 491 x 57 y 59, Centro|97000 Mérida, Yuc.
IN: 221, 2nd Floor, Linking Road, Bandra West|Mumbai 400050
IN: H.No. 8-2-293, Road No. 12, Banjara Hills|Hyderabad 500034
IN: 5 Park Street, Kolkata 700016
JP: 3-7-1-2 Nishi-Shinjuku|Shinjuku-ku|Tokyo 163-1055
JP: 1-8-10 Umeda, Kita-ku, Osaka 530-0001
JP: 5-12 Sakuragaoka-cho, Shibuya-ku, Tokyo
"""

TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "tune": (
        "I live at {}.",
        "Address: {}",
        "Please ship it to {} by Friday.",
        "{}",
        "Ann Example\n{}\n",
        "adresse : {}",
    ),
    "held": (
        "My new address is {}.",
        "Send the parcel to {}, thanks.",
        "Ship to:\n{}\n\nRegards",
        "Adresse: {}",
        "We moved to {} last year.",
        '{{"address": "{}"}}',
    ),
}

THINGS: Final = (
    "See PR 12345 for details.", "He teaches Engineering 101 on Mondays.", "Ticket ID 48213 is closed.",
    "Released in Spring 2025.", "Windows 11 and Office 365 are supported.", "Version 12 Release Notes",
    "Figure 3 shows it.", "In Chapter 12 Alice meets the cat.", "Top 10 Best Practices for Python 3.12",
    "Route 53 serves the zone.", "We saw 20 Great Danes in Hyde Park.", "The 2024 World Cup Final",
    "See Section 4.2 and Table 7.", "Boeing 747 lands.", "Order 66 was given.", "Article 50 of the Treaty",
    "On 12 March 2024 Berlin was cold.", "Room 101 is free.", "He ran 5 km in 22 minutes.",
    "Apollo 11 landed in 1969.", "iPhone 15 Pro costs 999 EUR.", "Level 5 Leadership", "3 Ways to Win",
    "The 5 Stages of Grief", "Am 3. Mai 2024 beginnt es.", "Seite 12 von 40", "Kapitel 7 Einleitung",
    "Im Jahr 2024 stieg der Umsatz.", "Der Artikel 5 Absatz 3 gilt.", "Am Montag 12 Uhr", "Platz 3 der Liste",
    "Formel 1", "La page 12 du livre", "Au 18 siècle Paris grandit.", "Capítulo 4 Introducción",
    "El artículo 33 dice", "Via USB 3", "via HTTP 2 and TLS 13", "Python 3 Way of Doing Things", "Java 17 Drive",
    "Step 2 Place the part", "Run 3 Court cases", "404 Not Found", "500 Internal Server Error", "200 OK",
    "Port 8080 is open.", "HTTP 404", "RFC 9110 Section 8", "ISO 8601", "UTF 8", "PEP 484 Type Hints",
    "Issue 12 Fix the Way", "1 Corinthians 13", "Psalm 23", "Type 2 Diabetes", "COVID 19", "World War 2", "Henry 8",
    "Level 3 Support 24 7", "Sprint 42 Review", "Q3 2024 Results", "Class 12 Mathematics", "Block 5 Allocation",
    "Sector 7 Error 12", "GATE 12 Paris 18:40", "BP 120 over 80", "Sector 12 of the disk", "PL 0", "BP 2023 report",
    "Plot 3 shows the loss", "Building 7", "Windows Server 2019 Standard", "pages 12-14 Journal of Physics",
    "2-1-0 Release", "Win 3-2 Berlin", "1-2-3 Go", "Lakers 103-99 Boston", "3-2-1 Backup Rule", "10-20 Users",
    "Praha 1", "Paris 12", "Wien 2024", "Bayern 3 Köln 1", "12 Angry Men", "Area 51", "Studio 54", "Catch 22",
    "Blade Runner 2049", "Ocean's 11", "Debian 12 Bookworm", "Ubuntu 24.04", "MacBook Air 13",
    "PostgreSQL 16 Streaming Replication", "Node 20 Alpine",
)  # fmt: skip


def cases(part: str) -> list[tuple[str, str, str]]:
    """(country, text, address) of each address, once on one line and once on several."""
    chance = random.Random(7)
    made = []
    for line in (TUNE if part == "tune" else HELD).strip().splitlines():
        country, _, address = line.partition(": ")
        for between in (", ", "\n"):
            template = chance.choice(TEMPLATES[part])
            written = address.replace("|", "\\n" if "{{" in template and between == "\n" else between)
            made.append((country, template.format(written), written))
            if between not in written:
                break
    return made


def covered(scanner: PiiScanner, text: str, address: str) -> float:
    """The share of the address that is found as one finding."""
    at = text.index(address)
    end = at + len(address)
    places = {
        place
        for one in scanner.scan(text)
        if one.entity == "STREET_ADDRESS"
        for place in range(max(one.start, at), min(one.end, end))
    }
    return len(places) / len(address)


def recall(scanner: PiiScanner, part: str) -> tuple[dict[str, list[float]], list[tuple[str, float]]]:
    """The shares by country, and the texts whose address is found by less than half."""
    shares: dict[str, list[float]] = defaultdict(list)
    missed = []
    for country, text, address in cases(part):
        share = covered(scanner, text, address)
        shares[country].append(share)
        if share < 0.8:
            missed.append((f"{country} {text!r}", share))
    return shares, missed


def section(size: int, seed: int) -> list[str]:  # noqa: ARG001  # the addresses are what they are
    """The table as lines of Markdown, for addresses on which no rule was tuned."""
    config = Pii()
    scanner = PiiScanner(config.regions, config.score, ROOT / "var")
    shares, _ = recall(scanner, "held")
    lines = [f"## Addresses of {len(shares)} countries", ""]
    lines += ["| country | texts | found by half | characters found |", "|---|---|---|---|"]
    lines += [_row(country, some) for country, some in sorted(shares.items())]
    lines.append(_row("all", [share for some in shares.values() for share in some]))
    taken = sum(any(one.entity == "STREET_ADDRESS" for one in scanner.scan(text)) for text in THINGS)
    return [*lines, "", f"Found in {taken} of {len(THINGS)} texts that look like an address and are none.", ""]


def _row(country: str, some: Sequence[float]) -> str:
    half = sum(share >= 0.5 for share in some) / len(some)
    return f"| {country} | {len(some)} | {half:.2f} | {sum(some) / len(some):.2f} |"


def main(argv: Sequence[str]) -> None:
    """Report on one half, and print the missed addresses."""
    config = Pii()
    scanner = PiiScanner(config.regions, config.score, ROOT / "var")
    shares, missed = recall(scanner, "held" if "held" in argv else "tune")
    if "--missed" in argv:
        print(*(f"{share:.2f} {text}" for text, share in missed), sep="\n")
    print(*(_row(country, some) for country, some in sorted(shares.items())), sep="\n")
    print(_row("all", [share for some in shares.values() for share in some]))
    for text in THINGS:
        for one in scanner.scan(text):
            if one.entity == "STREET_ADDRESS":
                print(f"no address: {text!r} [{text[one.start : one.end]!r}]")


if __name__ == "__main__":
    main(sys.argv[1:])

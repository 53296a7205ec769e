"""Numbers in ordinary files that identify no person: versions, coordinates, fingerprints, drawings, networks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner

small = st.integers(0, 40)
version = st.builds("{}.{}.{}".format, small, small, small)
coordinate = st.one_of(
    st.builds("{:+05d}{:+06d}".format, st.integers(-8959, 8959), st.integers(-17959, 17959)),
    st.builds("{:+07d}{:+08d}".format, st.integers(-895959, 895959), st.integers(-1795959, 1795959)),
    st.builds("{:+.4f}{:+.4f}/".format, st.floats(-90, 90), st.floats(-180, 180)),
    st.builds("{:.6f}, {:.6f}".format, st.floats(-90, 90), st.floats(-180, 180)),
)
pair = st.integers(0, 255).map("{:02X}".format)


def found(pii: PiiScanner, text: str) -> list[tuple[str, str]]:
    return [(one.entity, text[one.start : one.end]) for one in pii.scan(text)]


@given(versions=st.lists(version, min_size=3, max_size=12), joint=st.sampled_from([" ", ", ", "\t", "\n", "; "]))
def test_lists_of_versions(pii: PiiScanner, versions: list[str], joint: str) -> None:
    """Releases in a row are neither cards nor phone numbers."""
    assert found(pii, f"com.example:lib\t{joint.join(versions)} (of these)") == []


@example(place="-000101-1000000", before="MX\t")
@example(place="-007775-0000001", before="PH\t")
@given(place=coordinate, before=st.sampled_from(["MX\t", "PH\t", "at ", "geo:", "", "contact "]))
def test_coordinates(pii: PiiScanner, place: str, before: str) -> None:
    """Degrees, minutes and seconds (ISO 6709) and decimal degrees are neither phone numbers nor national numbers."""
    assert found(pii, f"{before}{place}\tEurope/Somewhere") == []


@given(
    pairs=st.lists(pair, min_size=7, max_size=64),
    line=st.sampled_from([99, 15, 18]),
    indent=st.sampled_from([" " * 8, " " * 20, "\t"]),
    joint=st.sampled_from(":-"),
)
def test_fingerprints(pii: PiiScanner, pairs: list[str], line: int, indent: str, joint: str) -> None:
    """Digests, key ids and moduli, on one line or in the layout of certificates, contain no hardware address."""
    rows = [joint.join(pairs[at : at + line]) for at in range(0, len(pairs), line)]
    text = "Fingerprint: " + f"{joint}\n{indent}".join(rows) + "\n"
    assert not [one for one in found(pii, text) if one[0] == "MAC_ADDRESS"]


@given(pairs=st.lists(pair, min_size=6, max_size=22), cuts=st.lists(st.integers(0, 80), max_size=6))
def test_fingerprints_in_streams(pii: PiiScanner, streams: StreamScanner, pairs: list[str], cuts: list[int]) -> None:
    """In pieces of any size, the findings equal those of the whole text."""
    text = f"device {':'.join(pairs)} up"
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    window, at, told = streams.window(), 0, []
    for segment in [*(window.feed(text[low:high]) for low, high in pairwise(edges)), window.close()]:
        told += [(at + one.start, at + one.end, one.entity) for one in segment.findings]
        at += len(segment.text)
    assert told == [one[:3] for one in pii.scan(text)]


@pytest.fixture(scope="module")
def streams(pii: PiiScanner) -> StreamScanner:
    return StreamScanner(pii, None, {})


@pytest.mark.parametrize(
    "text",
    [
        '<path d="M8.246.503-.321.184.075.383.113.595.113.209 0 .392.036.549.108.156.071.288.169.394z"/>',
        "c.2688.4612.7292.7517 1.2422.9258-.2718.113",
        "a3.5 3.5 0 0 1-3.5-3.5 3.5 3.5 0 0 1 3.5-3.5 3.5 3.5 0 0 1 3.5 3.5 3.5 3.5 0 0 1-3.5 3.5",
        "-6.748a.8573.8573 0 0 0-.29-.4412.8748.8748 0 0 0",
        "s.0517.8962.0949 1.5506 18c0 1.52-.87 2.83-2.12 3.51.98.32 2.03.5",
        "quanta 2650 1514 1514 1514 1514 1514 1514 1514 priomap 3 4 0 1 2 5 6 7 7 7 7 7 7 7 7 7",
        "45.4796,-73.62,566.8333333333117,4",
        "71.50,-3.00897208869,71.5,-9.24547745382,81.2,6.11993733263",
        '"10000000000-count-other": "00G", "100000000-count-one": "000M"',
        '<text rx="3" style="fill: #000000; stroke: #111222">',
        "0123456789:;<=>?@ABC",
        "152 251 152\t\tpale green\n255 240 245\t\tlavender",
        "0000040 377 377 377 377",
        "CVE-2026-125283, CVE-2019-1234567",
        "Closes: #1015984, fixes #972999",
        "shared-mime-info 1.7 (2016-09-05)",
        "%y-%m-%d, as in 06-05-15",
        "cleaned up with one call\n  1454  9.0.0412  compiler warning",
        "04EE;04EE;0423 0304;04EE;0423 0304; 30AB 0334 3099;",
        "call 192.168.1.1/16 or 1.3.6.1.4.1.3.1.1",
        "golang.org/x/oauth2 v0.0.0-20190604053449-0f29369cfe45/go.mod h1:",
        "OCZ ATV USB 2.0 Flash Drive, R.Gould 26",
        "PR 26945, PR 27456.",
        '<path d="M 303 280 L 368 280 Q 378 280 388 280 L 439"/>',
        "write to the Free Software\n * Foundation, Inc., 51 Franklin Street, Fifth Floor, Boston, MA 02110-1301, USA.",
    ],
)
def test_left_alone(pii: PiiScanner, text: str) -> None:
    """Paths of drawings, rows of figures, decimals, round numbers, colours, dumps and tickets."""
    assert found(pii, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Standards-Version: 4.5.0.2",
        "Bump to 1.0.99.1",
        "at-spi2-core (2.39.90.1-1) experimental",
        'ObjectIdentifier("1.3.101.112"), s("2.5.29.23", "code")',
        "4.0.100.22 4.0.100.23 4.0.100.24",
        "10.3.2.3. Interior nodes",
        "192.168.0.0/24 and 130.155.160.0/255.255.240.0",
        "fe80::/10, 2a03:2880:2110:df07::",
        "files 192.168.20.16; 10.1.2.3",
        "2.3.6.907c1.554--3.159.8.197-7.251l3.84.5.232.6054",
    ],
)
def test_no_machine_of_anybody(pii: PiiScanner, text: str) -> None:
    """Versions, object identifiers, sections, networks, and addresses that many private networks have."""
    assert found(pii, text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('81.2.69.142 - - [26/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200', "81.2.69.142"),
        ("Failed password for root from 45.83.64.1 port 22", "45.83.64.1"),
        ("client 10.20.30.40 was refused", "10.20.30.40"),
        ("IP: 4.16.10.9", "4.16.10.9"),
        ("seen at 2a02:6b8:b010:9020:1::1 today", "2a02:6b8:b010:9020:1::1"),
    ],
)
def test_a_machine_of_somebody(pii: PiiScanner, text: str, value: str) -> None:
    """Public addresses anywhere, other addresses next to a word that names them."""
    assert found(pii, text) == [("IP_ADDRESS", value)]


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("4111 1111 1111 1111", "CREDIT_CARD"),
        ("3782-822463-10005", "CREDIT_CARD"),
        ("4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1", "CREDIT_CARD"),
        ("17,4111111111111111,12", "CREDIT_CARD"),
        ("card 4111-1111 1111-1111", "CREDIT_CARD"),
        ("00:1A:2B:3C:4D:5E", "MAC_ADDRESS"),
        ("mac 00:11:22:33:44:55", "MAC_ADDRESS"),
    ],
)
def test_still_found(pii: PiiScanner, text: str, entity: str) -> None:
    """In the printed form and in the form of tables."""
    assert [one[0] for one in found(pii, text)] == [entity]


@pytest.mark.parametrize(
    "number",
    [
        "+52 1 55 1234 5678",
        "+5215512345678",
        "+52 (1) 55 1234 5678",
        "+54 9 11 4123-5678",
        "+54 11 15 4123-5678",
        "+55 11 8123-4567",
        "+39 6 6982 1234",
        "+225 07 12 34 56",
        "+229 97 12 34 56",
        "+33 (0)6 12 34 56 78",
        "+49 0171 2345678",
        "+61 (0)412 345 678",
        "1.415.555.2671",
    ],
)
def test_former_plans(pii: PiiScanner, number: str) -> None:
    """Former mobile and trunk prefixes, prefixes that are not dialed from abroad, and shorter former numbers."""
    before = "Tel: " if number[0] != "+" else "Use "
    assert found(pii, f"{before}{number} from now on.") == [("PHONE", number)]

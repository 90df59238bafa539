"""Inputs that wish the window ill: made from a seed, from our own twin and catalogue.

``inputs`` deals them from FAMILIES. A family is a function of a Maker that gives bytes; its
``must`` says what reading has to do with them: ``refused`` (the whole message, answered by CEB900),
``found`` (refused, or an error about a document), ``answered`` (read without harm, whatever is
found: the bytes may happen to say something lawful).
"""

import gzip
import hashlib
import io
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import polars as pl

from tongguan import messages, twin
from tongguan.clearance.kinds import KINDS

NAMESPACE = messages.message_type("CEB311").namespace
TRUNCATED_EVERY = 10
MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Input:
    """One hostile file. name: where it lies in the folder; zeros: bytes of nothing behind data."""

    name: bytes
    family: str
    must: str
    data: bytes
    zeros: int = 0

    def write(self, folder: bytes) -> None:
        path = folder + b"/" + self.name
        Path(path.decode("utf-8", "surrogateescape")).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.write(self.data)
            file.truncate(len(self.data) + self.zeros)

    def read(self, most: int) -> bytes:
        """What intake reads of it."""
        return (self.data + b"\0" * min(self.zeros, most))[:most]


@dataclass(slots=True)
class Maker:
    """What families draw from. good: whole messages by type; lure: an address that must not be
    asked for, canary: a file that must not be read."""

    rng: Random
    good: dict[str, list[bytes]]
    samples: dict[str, bytes]
    lure: str
    canary: str
    turn: int = 0

    def message(self, *types: str) -> bytes:
        return self.rng.choice(self.good[self.rng.choice(types or sorted(self.good))])

    def split(self, *types: str) -> tuple[str, str, str]:
        """A good message cut at its first document: before, document, behind."""
        text = self.message(*types).decode()
        name = re.search(r"<(ceb:\w+)>", text)
        assert name is not None
        end = text.index(f"</{name[1]}>") + len(name[1]) + 3
        return text[: name.start()], text[name.start() : end], text[end:]

    def leaf(self, text: str, pattern: str = r"\w+") -> re.Match[str]:
        """A leaf element of a text whose name fits the pattern."""
        found = list(re.finditer(rf"<ceb:({pattern})>([^<]*)</ceb:\1>", text))
        assert found, pattern
        return self.rng.choice(found)


Make = Callable[[Maker], bytes]


@dataclass(frozen=True, slots=True)
class Family:
    """weight: how often it is dealt. big: costs megabytes; dealt seldom, and once at least."""

    make: Make
    must: str
    weight: int
    big: bool


FAMILIES: dict[str, Family] = {}


def family(must: str, weight: int = 10, *, big: bool = False) -> Callable[[Make], Make]:
    def enlist(make: Make) -> Make:
        FAMILIES[make.__name__] = Family(make, must, weight, big)
        return make

    return enlist


# --- entities and everything else that fetches or grows -------------------------------------------


def _with_doctype(m: Maker, doctype: str, reference: str = "&e;") -> bytes:
    """A good message with a DOCTYPE, whose first free text is the reference."""
    text = m.message().decode()
    leaf = m.leaf(text, r"\w*Name")
    text = text[: leaf.start(2)] + reference + text[leaf.end(2) :]
    head, root = re.split(r"(?<=\?>)\s*", text, maxsplit=1)
    padding = m.rng.choice(("", "\n", "<!-- a --><?b c?>\n" * m.rng.randrange(60)))
    return f"{head}\n{padding}{doctype}\n{root}".encode()


@family("refused")
def billion_laughs(m: Maker) -> bytes:
    depth, width = m.rng.randint(3, 12), m.rng.randint(4, 30)
    entities = '<!ENTITY e0 "lol">' + "".join(
        f'<!ENTITY e{n} "{f"&e{n - 1};" * width}">' for n in range(1, depth)
    )
    return _with_doctype(m, f"<!DOCTYPE lolz [{entities}]>", f"&e{depth - 1};")


@family("refused")
def quadratic_blowup(m: Maker) -> bytes:
    size, times = m.rng.randint(1000, 100_000), m.rng.randint(100, 5000)
    return _with_doctype(m, f'<!DOCTYPE q [<!ENTITY e "{"a" * size}">]>', "&e;" * times)


@family("refused")
def recursive_entity(m: Maker) -> bytes:
    return _with_doctype(m, '<!DOCTYPE r [<!ENTITY e "&f;"><!ENTITY f "&e;">]>')


@family("refused", 20)
def external_entity(m: Maker) -> bytes:
    target = m.rng.choice((f"file://{m.canary}", m.canary, m.lure, m.lure.replace("http", "ftp")))
    kind = m.rng.choice((f'SYSTEM "{target}"', f'PUBLIC "-//x//{m.rng.random()}//EN" "{target}"'))
    return _with_doctype(m, f"<!DOCTYPE x [<!ENTITY e {kind}>]>")


@family("refused", 20)
def external_subset(m: Maker) -> bytes:
    target = m.rng.choice((f"{m.lure}{m.rng.random()}.dtd", f"file://{m.canary}"))
    return _with_doctype(m, f'<!DOCTYPE x SYSTEM "{target}">')


@family("refused", 20)
def parameter_entity(m: Maker) -> bytes:
    target = f"{m.lure}{m.rng.random()}.dtd"
    return _with_doctype(m, f'<!DOCTYPE x [<!ENTITY % p SYSTEM "{target}"> %p; <!ENTITY e "x">]>')


@family("refused", 5)
def default_attributes(m: Maker) -> bytes:
    return _with_doctype(m, '<!DOCTYPE x [<!ATTLIST x guid CDATA "hidden">]>', "x")


@family("refused", 5)
def doctype_within_envelope(m: Maker) -> bytes:
    return _enveloped(m, external_entity(m))


@family("refused", 5)
def doctype_in_disguise(m: Maker) -> bytes:
    data = external_entity(m)
    how = m.rng.randrange(4)
    if how == 0:
        return data.decode().encode("utf-16")
    if how == 1:
        return b"\xef\xbb\xbf" + data
    if how == 2:
        return data.replace(b"<!DOCTYPE", b"<!doctype")
    return data.replace(b'"UTF-8"', b'"GB18030"', 1).decode().encode("gb18030")


@family("answered")
def fetching_hints(m: Maker) -> bytes:
    """A style sheet and a schema location that a careless reader would go and get."""
    text = m.message().decode()
    style = f'<?xml-stylesheet type="text/xsl" href="{m.lure}{m.rng.random()}.xsl"?>'
    text = re.sub(r"(?<=\?>)\s*", f"\n{style}\n", text, count=1)
    space = "http://www.w3.org/2001/XMLSchema-instance"
    hint = f' xmlns:xsi="{space}" xsi:schemaLocation="{NAMESPACE} {m.lure}a.xsd" version='
    return text.replace(" version=", hint, 2).replace(hint, " version=", 1).encode()


@family("found")
def xinclude(m: Maker) -> bytes:
    before, document, behind = m.split()
    target = m.rng.choice((m.lure, f"file://{m.canary}"))
    text = (
        f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="{target}'
        f'{m.rng.random()}"/>'
    )
    leaf = m.leaf(document)
    return (before + document[: leaf.start()] + text + document[leaf.start() :] + behind).encode()


# --- encodings ------------------------------------------------------------------------------------


@family("refused")
def wide_characters(m: Maker) -> bytes:
    encoding = m.rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"))
    text = m.message().decode()
    if m.rng.random() < 0.5:
        text = text.replace("UTF-8", "UTF-16", 1)
    return text.encode(encoding)


@family("answered")
def declared_gb_is_utf8(m: Maker) -> bytes:
    name = m.rng.choice(("GB2312", "GBK", "GB18030", "gb18030"))
    return m.message().replace(b"UTF-8", name.encode(), 1)


@family("refused")
def declared_utf8_is_gb(m: Maker) -> bytes:
    return m.message().decode().encode("gb18030")


@family("refused")
def unknown_encoding(m: Maker) -> bytes:
    names = ("EBCDIC-CP-US", "UTF-7", "ISO-8859-1", "Shift_JIS", "KOI8-R", "rot13", "idna", "zlib")
    name = m.rng.choice((*names, "x" * m.rng.randint(1, 300), "..", "utf-8\u00e9"))
    return m.message().replace(b"UTF-8", name.encode(), 1)


@family("refused", 30)
def invalid_bytes(m: Maker) -> bytes:
    """Bytes that are no UTF-8: overlong, surrogates, beyond Unicode, cut characters."""
    bad = (
        b"\xff",
        b"\xfe",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe4\xb8",
        b"\x80",
    )
    text = m.message().decode()
    leaf = m.leaf(text)
    place = len(text[: m.rng.randint(leaf.start(2), leaf.end(2))].encode())
    data = text.encode()
    return data[:place] + m.rng.choice(bad) + data[place:]


@family("refused")
def stray_order_marks(m: Maker) -> bytes:
    mark = b"\xef\xbb\xbf"
    data = m.message()
    return m.rng.choice((b"\xff\xfe" + data, b" " + mark + data, mark + b" " + data, mark + mark))


@family("refused", 20)
def control_characters(m: Maker) -> bytes:
    """Characters that XML cannot hold, as they are or by number."""
    bad = ["\0", "\x01", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff"]
    bad += ["&#0;", "&#1;", "&#xB;", "&#xD800;", "&#xFFFF;", "&#x110000;", "&#99999999999;", "&#;"]
    text = m.message().decode()
    leaf = m.leaf(text)
    place = m.rng.randint(leaf.start(2), leaf.end(2))
    return (text[:place] + m.rng.choice(bad) + text[place:]).encode()


@family("refused")
def null_bytes(m: Maker) -> bytes:
    data = m.message()
    place = m.rng.randrange(len(data))
    return data[:place] + b"\0" * m.rng.randint(1, 5000) + data[place:]


# --- no message at all ----------------------------------------------------------------------------


@family("refused", 20)
def random_binary(m: Maker) -> bytes:
    return m.rng.randbytes(m.rng.choice((1, 2, 3, 4, 7, 64, 1000, 65_536, 300_000)))


@family("refused")
def other_files(m: Maker) -> bytes:
    starts = [
        b"\x89PNG\r\n\x1a\n",
        b"%PDF-1.7\n",
        b"\x7fELF",
        b"PK\x03\x04",
        b"{}",
        b"[[[[",
        b"---\n",
    ]
    starts += [b"<html><body>", b"a,b\n", b"<", b"<>", b"<?xml", b"<!--", b"<![CDATA[", b"&amp;"]
    starts += [b"\x1f\x8b", b"<?xml version='1.0'?>", b"<?xml version='9.9'?><a/>", b"<a/>"]
    return m.rng.choice(starts) + m.rng.randbytes(m.rng.choice((0, 0, 10, 2000)))


@family("refused")
def compressed(m: Maker) -> bytes:
    how = m.rng.randrange(3)
    if how == 0:
        return gzip.compress(m.message(), mtime=m.rng.randrange(2**31))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = m.rng.randbytes(8)
        if how == 1:
            archive.writestr(zipfile.ZipInfo("a.xml"), m.message())
            archive.writestr(zipfile.ZipInfo("nothing"), b"\0" * MB)
    return packed.getvalue()


@family("refused", 3)
def nothing(m: Maker) -> bytes:
    return m.rng.choice((b"", b" ", b"\n", b"\t\r\n ")) * m.rng.choice((1, 70, 4000))


@family("refused", 20)
def more_than_one(m: Maker) -> bytes:
    """Something before or behind the root."""
    data, junk = m.message(), m.rng.choice((b"x", b"<a/>", b"&#1;", m.message(), b"]]>", b"\0"))
    return m.rng.choice((data + junk, junk + data, data + b"\n" + data))


# --- too deep, too wide, too long -----------------------------------------------------------------


@family("refused", big=True)
def deep(m: Maker) -> bytes:
    depth = m.rng.choice((300, 10_000, 300_000, 1_000_000))
    tags = "<a>" * depth + m.rng.choice(("", "</a>" * depth))
    before, document, behind = m.split()
    leaf = m.leaf(document)
    inside = before + document[: leaf.start(2)] + tags + document[leaf.start(2) :] + behind
    return m.rng.choice((tags, inside)).encode()


@family("refused", big=True)
def many_attributes(m: Maker) -> bytes:
    count = m.rng.choice((1_000, 100_000, 1_000_000))
    form = m.rng.choice((' a{}="1"', ' xmlns:a{}="urn:{}"', ' a{}="&#65;"'))
    attributes = "".join(form.format(n, n) for n in range(count))
    return f'<ceb:CEB311Message xmlns:ceb="{NAMESPACE}"{attributes}/>'.encode()


@family("refused", big=True)
def repeated_attribute(m: Maker) -> bytes:
    return m.message().replace(b" version=", b" version=" + b'"1.0" version=' * 100_000, 2)


@family("refused", big=True)
def huge_text(m: Maker) -> bytes:
    size = m.rng.choice((10 * MB + 1, 15 * MB, 19 * MB))
    before, document, behind = m.split()
    leaf = m.leaf(document)
    form = m.rng.choice(("{}", "<![CDATA[{}]]>", "<!--{}-->", "<?a {}?>"))
    text = form.format("a" * size)
    return (before + document[: leaf.start(2)] + text + document[leaf.end(2) :] + behind).encode()


@family("found", 4)
def long_text(m: Maker) -> bytes:
    before, document, behind = m.split()
    leaf = m.leaf(document, r"\w*(?:No|Name|Code|Type|Time)")
    text = m.rng.choice(("a", "字", "&lt;", "\U0001f4e6")) * m.rng.choice((3_000, 500_000))
    return (before + document[: leaf.start(2)] + text + document[leaf.end(2) :] + behind).encode()


@family("refused", 3)
def long_names(m: Maker) -> bytes:
    name = "a" * m.rng.choice((60_000, MB))
    return f'<{name} xmlns="{NAMESPACE}" {name}="{m.rng.random()}"/>'.encode()


@family("found", big=True)
def crowd(m: Maker) -> bytes:
    """Hundreds of thousands of elements or pieces of text where a few are expected."""
    before, document, behind = m.split()
    many = m.rng.choice(("<ceb:a/>", "<b/>", "<ceb:guid>1</ceb:guid>", "<c d='1'/>"))
    crowd = many * m.rng.choice((20_000, 400_000))
    leaf = m.leaf(document)
    place = m.rng.choice((0, leaf.start(), leaf.start(2), len(document)))
    return (before + document[:place] + crowd + document[place:] + behind).encode()


@family("answered", big=True)
def text_in_pieces(m: Maker) -> bytes:
    before, document, behind = m.split()
    leaf = m.leaf(document)
    pieces = m.rng.choice(("a<!---->", "<![CDATA[a]]>", "&#65;", "a<?b?>", "&lt;"))
    text = pieces * m.rng.choice((10_000, 300_000))
    return (before + document[: leaf.start(2)] + text + document[leaf.end(2) :] + behind).encode()


@family("refused", 5)
def too_many_documents(m: Maker) -> bytes:
    before, document, behind = m.split()
    return (before + document * m.rng.choice((101, 102, 150, 1000)) + behind).encode()


@family("found", 10)
def too_many_lines(m: Maker) -> bytes:
    before, document, behind = m.split("CEB311", "CEB621")
    line = re.search(r"<ceb:(\w+List)>.*?</ceb:\1>", document, re.DOTALL)
    assert line is not None
    more = line[0] * m.rng.choice((100, 120, 1000))
    return (before + document[: line.start()] + more + document[line.end() :] + behind).encode()


# --- names and namespaces -------------------------------------------------------------------------


@family("refused")
def wrong_namespace(m: Maker) -> bytes:
    good = NAMESPACE.encode()
    wrong = (
        b"",
        b"urn:x",
        good + b"/",
        good.upper(),
        b" " + good + b" ",
        good[:-1],
        b"\xe4\xb8\xad",
    )
    return m.message().replace(good, m.rng.choice(wrong), 1)


@family("refused")
def unbound_prefix(m: Maker) -> bytes:
    return m.message().replace(b"xmlns:ceb=", m.rng.choice((b"xmlns:cab=", b"xmlns=", b"x=")), 1)


@family("refused", 5)
def reserved_prefix(m: Maker) -> bytes:
    wrong = (b'xmlns:xml="urn:x"', b'xmlns:xmlns="urn:x"', b'xmlns:a=""', b'xmlns:ceb="urn:ceb"')
    return m.message().replace(b" version=", b" " + m.rng.choice(wrong) + b" version=", 2)


@family("found")
def namespace_changes_inside(m: Maker) -> bytes:
    before, document, behind = m.split()
    leaf = m.leaf(document)
    tag = m.rng.choice(
        (
            f'<{leaf[1]} xmlns="">x</{leaf[1]}>',
            f'<ceb:{leaf[1]} xmlns:ceb="urn:x">x</ceb:{leaf[1]}>',
            f'<d:{leaf[1]} xmlns:d="urn:y">x</d:{leaf[1]}>',
        )
    )
    return (before + document[: leaf.start()] + tag + document[leaf.end() :] + behind).encode()


@family("refused")
def wrong_root(m: Maker) -> bytes:
    text = m.message().decode()
    root = re.search(r"CEB\d+Message", text)
    assert root is not None
    wrong = ("CEB303Message", "CEB603Message", "CEB999Message", root[0].lower(), root[0][:-7], "x")
    return text.replace(root[0], m.rng.choice(wrong)).encode()


@family("refused")
def only_customs_sends(m: Maker) -> bytes:
    """Receipts and tax bills, which a company may not send, with a mark of their own."""
    kinds = {kind.message for kind in KINDS.values()}
    name = m.rng.choice(sorted(set(m.samples) - kinds))
    return m.samples[name] + f"<!--{m.rng.random()}-->".encode()


@family("refused")
def wrong_frame(m: Maker) -> bytes:
    """The block behind the documents lacking, doubled, spoilt; attributes of the root lacking."""
    text = m.message().decode()
    block = re.search(r"<ceb:BaseTransfer>.*?</ceb:BaseTransfer>", text, re.DOTALL)
    guid = re.search(r' guid="[^"]*"', text)
    assert block is not None
    assert guid is not None
    return m.rng.choice(
        (
            text.replace(block[0], ""),
            text.replace(block[0], block[0] * 2),
            text.replace(block[0], block[0] + "<ceb:x/>"),
            text.replace("<ceb:copCode>", "<ceb:copCode>" + "9" * 99),
            text.replace(guid[0], ""),
            text.replace(guid[0], ' guid="../../etc"'),
        )
    ).encode()


# --- documents of the wrong form ------------------------------------------------------------------


def _spoilt(m: Maker, change: Callable[[re.Match[str]], str], pattern: str = r"\w+") -> bytes:
    before, document, behind = m.split()
    leaf = m.leaf(document, pattern)
    changed = document[: leaf.start()] + change(leaf) + document[leaf.end() :]
    return (before + changed + behind).encode()


@family("found", 20)
def doubled(m: Maker) -> bytes:
    return _spoilt(m, lambda leaf: leaf[0] * m.rng.randint(2, 60))


@family("found", 20)
def foreign(m: Maker) -> bytes:
    added = m.rng.choice(("<ceb:x>1</ceb:x>", "<x/>", "<ceb:OrderHead/>", "<ceb:CEB311Message/>"))
    return _spoilt(m, lambda leaf: m.rng.choice((added + leaf[0], leaf[0] + added)))


@family("found", 20)
def reordered(m: Maker) -> bytes:
    before, document, behind = m.split()
    leaves = list(re.finditer(r"<ceb:(\w+)>[^<]*</ceb:\1>", document))
    place = m.rng.randrange(len(leaves) - 1)
    one, other = leaves[place : place + 2]
    if document[one.end() : other.start()].strip():
        return doubled(m)
    swapped = document[: one.start()] + other[0] + one[0] + document[other.end() :]
    return (before + swapped + behind).encode()


@family("found")
def lacking(m: Maker) -> bytes:
    return _spoilt(
        m, lambda leaf: m.rng.choice(("", f"<ceb:{leaf[1]}/>")), "guid|app\\w+|gnum|ebpCode"
    )


@family("found")
def markup_in_leaf(m: Maker) -> bytes:
    return _spoilt(m, lambda leaf: f"<ceb:{leaf[1]}>{leaf[2]}<b>x</b></ceb:{leaf[1]}>")


@family("found")
def hollow(m: Maker) -> bytes:
    """Documents without a head, with two, with lines before it, or with nothing in them."""
    before, document, behind = m.split("CEB311", "CEB621")
    outer = re.search(r"<ceb:\w+>", document)
    head = re.search(r"<ceb:(\w+Head)>.*?</ceb:\1>", document, re.DOTALL)
    assert outer is not None
    assert head is not None
    return (
        before
        + m.rng.choice(
            (
                document.replace(head[0], ""),
                document.replace(head[0], head[0] * 2),
                document.replace(head[0], "").replace(
                    "</" + outer[0][1:], head[0] + "</" + outer[0][1:]
                ),
                outer[0] + f"<!--{m.rng.random()}--></" + outer[0][1:],
                document.replace(outer[0], outer[0] + f"text {m.rng.random()}", 1).replace(
                    head[0], ""
                ),
            )
        )
        + behind
    ).encode()


# --- values ---------------------------------------------------------------------------------------


NUMBERS = (
    "1e999",
    "1e5",
    "NaN",
    "INF",
    "-INF",
    "１２３",
    "٣",
    "1_000",
    "0x10",
    "1,000",
    "--1",
    ".",
)
NUMBERS += ("½", "9" * 40, "0." + "0" * 30 + "1", "1.2.3", "1/2", "10%", "￥1", "1 000", "一", "+")


@family("found", 30)
def no_number(m: Maker) -> bytes:
    value = m.rng.choice(NUMBERS)
    pattern = (
        "goodsValue|freight|discount|taxTotal|acturalPaid|qty|price|totalPrice|amountPaid|gnum"
    )
    return _spoilt(m, lambda leaf: f"<ceb:{leaf[1]}>{value}</ceb:{leaf[1]}>", pattern)


@family("answered")
def odd_number(m: Maker) -> bytes:
    value = m.rng.choice(
        ("-0", "-1", "+1", " 1", "1 ", "01", "1.", "0.00000", "99999999999999.99999")
    )
    return _spoilt(
        m,
        lambda leaf: f"<ceb:{leaf[1]}>{value}</ceb:{leaf[1]}>",
        "freight|discount|price|amountPaid|qty",
    )


WIDTHS = ("32768", "70000", "-70000", "4000000000", "99999999999", str(2**63 - 1), str(2**63))


@family("answered", 30)
def wide_number(m: Maker) -> bytes:
    """Whole numbers that do not fit where a column would have them."""
    value = m.rng.choice(WIDTHS)
    pattern = "app(?:Type|Status)|gnum|qty\\d?|packNo|price|totalPrice|freight|\\w+Type|amountPaid"
    return _spoilt(m, lambda leaf: f"<ceb:{leaf[1]}>{value}</ceb:{leaf[1]}>", pattern)


@family("found", 20)
def no_time(m: Maker) -> bytes:
    value = m.rng.choice(
        (
            "20220230120000",
            "99999999999999",
            "0" * 14,
            "2022-06-01",
            "-20220601120000",
            "now",
            "２０２２",
        )
    )
    return _spoilt(m, lambda leaf: f"<ceb:{leaf[1]}>{value}</ceb:{leaf[1]}>", "appTime")


TEXTS = ("\u202egnp.exe", "\u200b\u2060\ufeff", "a\u0301" * 20, "\U0001f4e6\U0010fffd", "\ue000")
TEXTS += (
    "\\N",
    "\\.",
    "\\",
    "a\tb\nc\rd",
    '"',
    "'; DROP TABLE document; --",
    "%s%n",
    "{0.__class__}",
)
TEXTS += (
    "[/red]",
    "[bold",
    "[link=file:///x]",
    "../../../x",
    "&lt;script&gt;",
    "null",
    "\x7f\x85\x9f",
)
TEXTS += (
    "$(reboot)",
    "{}",
    "{1,2}",
    "NULL",
    "=1+1",
    "\u2028\u2029",
    "ﬁ",
    "İ",
    "ß" * 30,
    " ",
    "]]&gt;",
)


@family("answered", 60)
def odd_text(m: Maker) -> bytes:
    """Text that is lawful, but that a careless program gives a meaning."""
    return _spoilt(
        m,
        lambda leaf: f"<ceb:{leaf[1]}>{m.rng.choice(TEXTS)}</ceb:{leaf[1]}>",
        r"\w*(?:No|Name|Code|note|Address|Telephone|IdNumber|guid)",
    )


@family("answered", 10)
def odd_envelope(m: Maker) -> bytes:
    data = _enveloped(m, m.message())
    how = m.rng.randrange(6)
    if how == 0:
        return data.replace(b"<dxp:Data>", b"<dxp:Data>!" * 2, 1)
    if how == 1:
        return data.replace(b"<dxp:Data>", b"<dxp:Data>A", 1)
    if how == 2:
        return re.sub(rb"<dxp:Data>.*</dxp:Data>", b"", data)
    if how == 3:
        return _enveloped(m, data)
    if how == 4:
        return _enveloped(m, m.rng.randbytes(300))
    return re.sub(rb"<dxp:TransInfo>.*</dxp:TransInfo>", b"<dxp:TransInfo>x</dxp:TransInfo>", data)


def _enveloped(m: Maker, data: bytes) -> bytes:
    number = str(m.rng.randrange(10**9))
    return messages.envelope(
        data,
        number,
        "DXPENT0000000001",
        ["DXPEDCCEB0000002"],
        "2022-06-01T09:30:00",
        "CEB311Message",
    )


# --- dealing --------------------------------------------------------------------------------------


def goods(seed: int) -> dict[str, list[bytes]]:
    """Good messages of one to three documents by type, ceb: prefixed, from the twin."""
    found: dict[str, list[bytes]] = {}
    with tempfile.TemporaryDirectory() as folder:
        twin.write(Path(folder), seed=seed, parcels=60, faults=0, documents_per_message=2)
        for path in sorted(Path(folder, "messages").iterdir()):
            data = path.read_bytes()
            if b"<ceb:CEB" in data and b'encoding="UTF-8"' in data:
                found.setdefault(path.stem[-6:], []).append(data)
    assert set(found) == {"CEB311", "CEB411", "CEB511", "CEB621"}
    return found


def samples() -> dict[str, bytes]:
    """One small message of every type of the standard, each element there; values need not fit."""
    made = {}
    for name in messages.types():
        kind = messages.message_type(name)
        if not name.startswith("CEB"):
            continue
        heads = pl.DataFrame({field.name: ["1"] for field in kind.head_fields})
        lines = None
        if kind.line:
            lines = pl.DataFrame({field.name: ["1"] for field in kind.line_fields})
            lines = lines.with_columns(document=pl.lit(0))
        fragments = messages.render(name, heads, lines).to_list()
        blocks = {block.name for block in kind.blocks if block.least}
        transfer = {"copCode": "1", "copName": "甲", "dxpMode": "DXP", "dxpId": "DXPENT0000000001"}
        made[name] = messages.message(
            name,
            fragments,
            "4CDE1CFD-EDED-46B1-946C-B8022E42FC94",
            transfer=transfer if "BaseTransfer" in blocks else None,
        )
    return made


ODD_NAMES = (
    "空 格.xml",
    "-rf",
    "--help",
    "a\nb.xml",
    "\u202elmx.xml",
    "\U0001f4e6.xml",
    "[/red].xml",
    "%s{}$(x)`y`.xml",
    "'\";\\.xml",
    "n" * 240 + ".xml",
    "字" * 80,
    "deep/" * 40 + "a.xml",
    "no extension",
    "~",
    "x.XML",
    "a\x01\x7f.xml",
)
NAMES_NO_TEXT = (b"\xff\xfe.xml", b"caf\xe9/\xe4\xb8.xml")


def inputs(seed: int, count: int, lure: str, canary: str) -> Iterator[Input]:
    """``count`` different hostile inputs: truncations about a third, each family once at least."""
    rng = Random(f"hostile {seed}")
    maker = Maker(rng, goods(seed), samples(), lure, canary)
    plan = _plan(maker, rng, count)
    seen: set[str] = set()
    for number in range(count):
        made = next(one for one in plan if _new(one, seen))
        yield Input(_name(number, made.family), made.family, made.must, made.data, made.zeros)


def _plan(m: Maker, rng: Random, count: int) -> Iterator[Input]:
    yield Input(b"", "hundred_megabytes_of_zeros", "refused", b"", 100 * MB)
    yield Input(b"", "message_and_then_zeros", "refused", m.message(), 100 * MB)
    yield Input(b"", "hundred_megabytes_of_spaces", "refused", b" " * (100 * MB))
    for name, each in FAMILIES.items():
        yield Input(b"", name, each.must, each.make(m))
    cuts = [
        Input(b"", f"truncated_{name}", "refused", data[:end])
        for name, data in m.samples.items()
        for end in range(1, len(data), TRUNCATED_EVERY)
    ]
    yield from rng.sample(cuts, min(len(cuts), count * 2 // 5))
    small = {name: each for name, each in FAMILIES.items() if not each.big}
    big = [name for name in FAMILIES if name not in small]
    weights = [each.weight for each in small.values()]
    while True:
        m.turn += 1
        if m.turn % 60 == 0:
            name = big[m.turn // 60 % len(big)]
        else:
            [name] = rng.choices(list(small), weights)
        yield Input(b"", name, FAMILIES[name].must, FAMILIES[name].make(m))


def _new(one: Input, seen: set[str]) -> bool:
    digest = hashlib.sha256(one.data).hexdigest() + str(one.zeros)
    if digest in seen:
        return False
    seen.add(digest)
    return True


def _name(number: int, family: str) -> bytes:
    if number % 12 == 5:
        turn = number // 12
        odd = (*(name.encode() for name in ODD_NAMES), *NAMES_NO_TEXT)
        return f"odd{turn:04d}/".encode() + odd[turn % len(odd)]
    return f"{number * 7919 % 10_000:04d}-{number:04d}-{family}.xml".encode()

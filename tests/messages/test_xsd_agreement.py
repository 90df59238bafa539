"""The generated schemas and the official ones accept and refuse the same messages."""

import copy
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lxml import etree

from tongguan import messages

CEB = "{http://www.chinaport.gov.cn/ceb}"
DS = "{http://www.w3.org/2000/09/xmldsig#}"
SEED, EACH = 20220501, 120

#: Mutations on which the two schemas may disagree: name, what the official one says, why.
#: A schema that stands alone cannot declare the elements of another namespace, so ours looks no
#: further into ds:Signature than that it is there; verifying the signature does.
KNOWN = {
    ("signature emptied", "refuses"): "content of ds:Signature is left to its verification",
    ("signature part dropped", "refuses"): "content of ds:Signature is left to its verification",
    ("signature replaced", "refuses"): "any element of the signature's namespace may stand there",
}

Mutation = Callable[[etree._Element, random.Random], str | None]


def _samples(shared: Path, edition: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((shared / "ceb/samples").glob(f"official{edition}_*.xml")):
        name = path.stem.split("_")[1].removesuffix("Message")
        if name in messages.types():
            yield name, path


def _leaf(root: etree._Element, chance: random.Random) -> etree._Element:
    return chance.choice([one for one in root.iter(f"{CEB}*") if not len(one)])


def _inner(root: etree._Element, chance: random.Random) -> etree._Element:
    return chance.choice([one for one in root.iter(f"{CEB}*") if one is not root])


def dropped(root: etree._Element, chance: random.Random) -> str:
    one = _inner(root, chance)
    one.getparent().remove(one)
    return "dropped"


def doubled(root: etree._Element, chance: random.Random) -> str:
    one = _inner(root, chance)
    one.addnext(copy.deepcopy(one))
    return "doubled"


def reordered(root: etree._Element, chance: random.Random) -> str:
    one = _inner(root, chance)
    other = chance.choice(list(one.getparent()))
    one.getparent().insert(one.getparent().index(other), one)
    return "reordered"


def too_long(root: etree._Element, chance: random.Random) -> str:
    one = _leaf(root, chance)
    one.text = (one.text or "") + "长" * chance.choice([1, 2, 5, 17, 40, 200, 1000, 5000])
    return "too long"


def too_short(root: etree._Element, chance: random.Random) -> str:
    one = _leaf(root, chance)
    one.text = (one.text or "")[: chance.randrange(3)]
    return "too short"


def emptied(root: etree._Element, chance: random.Random) -> str:
    one = _inner(root, chance)
    one.text = None
    for child in list(one):
        one.remove(child)
    return "emptied"


_TYPES = ["x", "-1", "+7", "1e3", " 5 ", "0.123456", "12345678901234567890", "1234567890", "NaN"]
_TYPES += ["1,5", ".5", "5.", "0001", "-0", "00000000000000000000001.10000000", "١٢", "\t7\n"]


def wrong_type(root: etree._Element, chance: random.Random) -> str:
    numbers = [one for one in root.iter(f"{CEB}*") if (one.text or "").strip().isdecimal()]
    chance.choice(numbers).text = chance.choice(_TYPES)
    return "wrong type"


def wrong_count(root: etree._Element, chance: random.Random) -> str:
    """Up to and over each maximum: documents, lines, subscriptions."""
    containers = [one for one in root.iter(f"{CEB}*") if len(one) and one is not root]
    one = chance.choice(containers)
    there = len([child for child in one.getparent() if child.tag == one.tag])
    for _ in range(max(0, chance.choice([5, 6, 99, 100, 101]) - there)):
        one.addnext(copy.deepcopy(one))
    return "wrong count"


def unknown_element(root: etree._Element, chance: random.Random) -> str:
    one = _inner(root, chance)
    one.addnext(etree.Element(chance.choice([f"{CEB}extra", "extra", "{urn:other}note"])))
    return "unknown element"


def renamed(root: etree._Element, chance: random.Random) -> str:
    one = _inner(root, chance)
    local = etree.QName(one).localname
    one.tag = chance.choice([local, f"{CEB}{local.lower()}", f"{CEB}{local}x", f"{{urn:x}}{local}"])
    return "renamed"


def stray_text(root: etree._Element, chance: random.Random) -> str:
    chance.choice([one for one in root.iter(f"{CEB}*") if len(one)]).text = "stray"
    return "stray text"


def nested(root: etree._Element, chance: random.Random) -> str:
    etree.SubElement(_leaf(root, chance), f"{CEB}inner")
    return "element inside a value"


def attribute(root: etree._Element, chance: random.Random) -> str:
    where = chance.choice([root, root, root, _inner(root, chance)])
    name = chance.choice(["guid", "version", "other"])
    if chance.random() < 0.3 and name in where.attrib:
        del where.attrib[name]
    else:
        where.set(name, "A" * chance.choice([0, 1, 10, 11, 35, 36, 37]))
    return "attribute"


def extension(root: etree._Element, chance: random.Random) -> str | None:
    transfer = root.find(f"{CEB}BaseTransfer")
    if transfer is None:
        return None
    parts = [("name", 30), ("version", 30), ("Message", 0)]
    extend = etree.Element(f"{CEB}ExtendMessage")
    for name, most in chance.sample(parts, 3) if chance.random() < 0.3 else parts:
        one = etree.SubElement(extend, f"{CEB}{name}")
        one.text = "x" * chance.choice([1, most]) if most else None
        if not most:
            for _ in range(chance.choice([0, 1, 1, 2])):
                etree.SubElement(one, chance.choice(["anything", f"{CEB}note", "{urn:o}z"]))
    chance.choice([transfer, *transfer.itersiblings(f"{CEB}BaseSubscribe")]).addnext(extend)
    return "extension"


def signature(root: etree._Element, chance: random.Random) -> str | None:
    one = root.find(f"{DS}Signature")
    if one is None:
        return None
    what = chance.choice(["dropped", "doubled", "moved", "emptied", "part dropped", "replaced"])
    if what == "dropped":
        root.remove(one)
    elif what == "doubled":
        one.addnext(copy.deepcopy(one))
    elif what == "moved":
        root.insert(chance.randrange(len(root)), one)
        what += f" {root.index(one) == len(root) - 1}"
    elif what == "emptied":
        for child in list(one):
            one.remove(child)
    elif what == "part dropped":
        part = chance.choice([child for child in one.iter(f"{DS}*") if child is not one])
        part.getparent().remove(part)
    else:
        root.replace(one, etree.Element(f"{DS}KeyName"))
    return f"signature {what}"


MUTATIONS: list[Mutation] = [
    dropped,
    doubled,
    reordered,
    too_long,
    too_short,
    emptied,
    wrong_type,
    wrong_count,
    unknown_element,
    renamed,
    stray_text,
    nested,
    attribute,
    extension,
    signature,
]


@pytest.fixture(scope="module", params=messages.EDITIONS)
def edition(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def official(shared: Path, edition: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(shared / "ceb/xsd" / edition / "import.xsd"))


def _generated(name: str, edition: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.fromstring(messages.xsd(name, edition).encode()))


def _mutations(
    shared: Path, edition: str
) -> Iterator[tuple[str, str, etree._Element, etree.XMLSchema]]:
    chance = random.Random(f"{SEED} {edition}")
    for name, path in _samples(shared, edition):
        ours = _generated(name, edition)
        sample = etree.parse(path).getroot()
        for number in range(EACH):
            root = copy.deepcopy(sample)
            what = MUTATIONS[number % len(MUTATIONS)](root, chance)
            if what is not None:
                yield name, what, root, ours


def test_both_accept_every_official_sample(
    shared: Path, edition: str, official: etree.XMLSchema
) -> None:
    samples = list(_samples(shared, edition))
    assert len(samples) == {"202205": 8, "2018": 16}[edition]
    for name, path in samples:
        sample = etree.parse(path)
        assert official.validate(sample), path.name
        assert _generated(name, edition).validate(sample), path.name


def test_both_agree_on_mutated_samples(
    shared: Path, edition: str, official: etree.XMLSchema
) -> None:
    said: Counter[tuple[str, bool]] = Counter()
    disagreements = set()
    for name, what, root, ours in _mutations(shared, edition):
        verdict = official.validate(root)
        said[what, verdict] += 1
        if ours.validate(root) != verdict:
            case = (what, "accepts" if verdict else "refuses")
            disagreements.add(case)
            assert case in KNOWN, (name, case, etree.tostring(root)[:3000])
    # Together the editions see well over 2,000, and both verdicts are common among them.
    assert said.total() >= {"202205": 900, "2018": 1700}[edition]
    accepted = sum(count for (_, verdict), count in said.items() if verdict)
    assert accepted > said.total() / 10
    assert said.total() - accepted > said.total() / 3
    if edition == "202205":
        assert disagreements == set(KNOWN)


@pytest.mark.parametrize("name", ["CEB816", "CEB818", "CEB900"])
def test_types_without_a_sample_agree_on_written_ones(
    shared: Path,
    edition: str,
    name: str,
    official: etree.XMLSchema,
    documents: Callable[..., tuple],
    written: Callable[..., bytes],
) -> None:
    chance = random.Random(f"{SEED} {edition} {name}")
    sample = etree.fromstring(written(name, *documents(name, 1, 2, edition), edition))
    ours = _generated(name, edition)
    assert official.validate(sample), official.error_log
    for number in range(150):
        root = copy.deepcopy(sample)
        what = MUTATIONS[number % len(MUTATIONS)](root, chance)
        if what is not None:
            assert ours.validate(root) == official.validate(root), (what, etree.tostring(root))


@pytest.mark.parametrize("name", ["DxpMsg", "DxpRep"])
def test_envelopes_agree(shared: Path, edition: str, name: str) -> None:
    official = etree.XMLSchema(etree.parse(shared / "ceb/xsd" / edition / "terminal.xsd"))
    ours = _generated(name, edition)
    space = "{http://www.chinaport.gov.cn/dxp}"
    sample = etree.fromstring(_ENVELOPES[name])
    assert official.validate(sample), official.error_log
    chance = random.Random(f"{SEED} {edition} {name}")
    verdicts = Counter()
    for _ in range(300):
        root = copy.deepcopy(sample)
        one = chance.choice([child for child in root.iter(f"{space}*") if child is not root])
        what = chance.randrange(5)
        if what == 0:
            one.getparent().remove(one)
        elif what == 1:
            for _ in range(chance.randrange(1, 7)):
                one.addnext(copy.deepcopy(one))
        elif what == 2:
            one.text = chance.choice(["", "x", "2022-06-01", "x" * 17, "x" * 300, "x" * 33])
        elif what == 3:
            one.getparent().insert(0, one)
        elif one.attrib:
            one.set(next(iter(one.attrib)), "x" * chance.choice([0, 1, 32, 33, 51]))
        else:
            root.set("ver", chance.choice(["1.0", "2.0", ""]))
        verdict = official.validate(root)
        verdicts[verdict] += 1
        assert ours.validate(root) == verdict, etree.tostring(root)
    assert min(verdicts.values()) > 20


_ENVELOPES = {
    "DxpMsg": messages.envelope(
        b"<x/>",
        "copy-1",
        "DXPENT0000000001",
        ["DXPEDCCEB0000002"],
        "2022-06-01T09:30:00",
        "CEB311Message",
        {
            "FileName": "order.xml",
            "IcCard": "2100030001234",
            "BizKey": {"Key": [{"text": "1", "name": "DealFlag"}, {"text": "1"}]},
            "IsText": {"Encode": "UTF-8"},
            "RecMapId": "7",
        },
    ),
    "DxpRep": b"""<DxpRep xmlns="http://www.chinaport.gov.cn/dxp" ver="1.0">
        <RecevierId>DXPENT0000000001</RecevierId><AdNodeId>10</AdNodeId>
        <Response><NodeId>10</NodeId><ResponseCode>1001</ResponseCode>
        <ResponseInfo>no</ResponseInfo>
        <Results><Result><RecId>a</RecId><Code>1</Code><Info>i</Info><Note>n</Note></Result>
        </Results><NoticeTime>2022-06-01</NoticeTime><Note>n</Note>
        <OriHead><CopMsgId>1</CopMsgId><SenderId>s</SenderId><ReceiverIds>
        <ReceiverId>r</ReceiverId></ReceiverIds><CreatTime>2022-06-01T09:30:00</CreatTime>
        <MsgType>CEB311Message</MsgType></OriHead></Response></DxpRep>""",
}


def test_every_official_sample_is_read_completely(shared: Path, edition: str) -> None:
    """parse → build → parse gives the same values."""
    for name, path in _samples(shared, edition):
        first = messages.parse(path.read_bytes(), edition=edition)
        assert not first.findings, path.name
        batch = messages.collect([first])[name]
        again = messages.parse(
            messages.message(
                name,
                messages.render(name, batch.heads, batch.lines, edition).to_list(),
                first.guid or "",
                first.version or "",
                transfer=first.transfer or None,
                subscribes=first.subscribes,
                extend=first.extend,
                edition=edition,
            ),
            edition=edition,
        )
        for part in ("heads", "lines", "transfer", "subscribes", "extend", "guid", "version"):
            assert getattr(again, part) == getattr(first, part), (path.name, part)
        assert _all_texts(path) == _read_texts(first), path.name


def _all_texts(path: Path) -> Counter[tuple[str, str]]:
    """Every leaf of the file as a plain walk finds it, outside signature and extension."""
    root = etree.parse(path).getroot()
    return Counter(
        (etree.QName(one).localname, one.text or "")
        for one in root.iter(f"{CEB}*")
        if not len(one) and one.getparent().tag not in (f"{CEB}ExtendMessage", f"{CEB}Message")
    )


def _read_texts(parsed: messages.Parsed) -> Counter[tuple[str, str]]:
    columns = [*parsed.heads.items(), *parsed.lines.items()]
    values = [(name, text) for name, texts in columns for text in texts if name != "#position"]
    for block in (parsed.transfer, *parsed.subscribes):
        values += block.items()
    return Counter((name, text) for name, text in values if text is not None)


def test_export_samples_are_named_as_not_yet_taken(shared: Path) -> None:
    seen = 0
    for path in (shared / "ceb/samples").glob("*.xml"):
        parsed = messages.parse(path.read_bytes())
        name = path.stem.split("_")[1].removesuffix("Message")
        assert parsed.refused == (name not in messages.types()), path.name
        if parsed.refused:
            seen += 1
            assert "not yet taken" in (parsed.findings[0].actual or "")
    assert seen > 30

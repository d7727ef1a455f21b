"""What a mark says: that a machine made it, which system, and from what; as an XMP packet.

Source: IPTC Photo Metadata Standard 2025.1, Extension schema: Digital Source Type, AI System Used,
AI System Version Used, AI Prompt Information.
"""

import html
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from xml.etree import ElementTree

from gansweep import __version__
from gansweep.errors import visible

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE = f"{SOURCE_TYPES}trainedAlgorithmicMedia"
COMPOSITE = f"{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia"  # a real picture is kept in part

IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
XMP = "http://ns.adobe.com/xap/1.0/"
OWN = "urn:gansweep:mark"
TC260 = "http://www.tc260.org.cn/ns/AIGC/1.0/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
PREFIXES = {"Iptc4xmpExt": IPTC, "xmp": XMP, "gansweep": OWN, "TC260": TC260}
# the fields of a packet, in the words of `Mark`
FIELDS = {
    "source_type": "Iptc4xmpExt:DigitalSourceType",
    "system": "Iptc4xmpExt:AISystemUsed",
    "version": "Iptc4xmpExt:AISystemVersionUsed",
    "prompt": "Iptc4xmpExt:AIPromptInformation",
    "date": "xmp:CreateDate",
    "run": "gansweep:run",
    "model": "gansweep:model",
    "china": "TC260:AIGC",
}
HEAD = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
)
TAIL = '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
PLACES = ("\ue000prompt\ue000", "\ue000id\ue000")  # where each of many packets has its own words
MOST_XML = 1_000_000  # bytes of a packet that is read


@dataclass(frozen=True)
class Mark:
    """What is said of one file, in plain words.

    run: its group, name, checkpoint and the first digits of that checkpoint's SHA-256.
    model: the name of the model.   prompt: what was asked: seed, label, truncation.
    source_type: MADE, or COMPOSITE where part of a real picture is kept.
    china: the JSON of the GB 45438-2025 record; "" for none.
    """

    run: str
    model: str
    prompt: str = ""
    source_type: str = MADE
    system: str = "gansweep"
    version: str = __version__
    date: str = field(default_factory=lambda: now())
    china: str = ""

    def fields(self) -> dict[str, str]:
        """The fields that say something, by their XMP names, in their order."""
        found = {name: getattr(self, key) for key, name in FIELDS.items()}
        return {name: value for name, value in found.items() if value}

    def packet(self) -> bytes:
        """The XMP packet, UTF-8."""
        lines = "".join(
            f"<{name}>{_escaped(value)}</{name}>" for name, value in self.fields().items()
        )
        used = {name.partition(":")[0] for name in self.fields()}
        spaces = "".join(f' xmlns:{p}="{uri}"' for p, uri in PREFIXES.items() if p in used)
        body = f'<rdf:Description rdf:about=""{spaces}>{lines}</rdf:Description>'
        return f'{HEAD}<rdf:RDF xmlns:rdf="{RDF}">{body}{TAIL}'.encode()


class Packets:
    """The packets of many files that differ in their prompt, and in the id of a Chinese record.

    A packet is built once: it costs as much as the pixels of a small picture.
    """

    def __init__(self, mark: Mark) -> None:
        china = mark.china and china_with(mark.china, PLACES[1])
        whole = replace(mark, prompt=PLACES[0], china=china).packet().decode()
        self._parts = [part.encode() for part in re.split("|".join(PLACES), whole)]
        self._has_id = bool(china)

    def of(self, prompt: str) -> bytes:
        words = [_escaped(prompt).encode()]
        if self._has_id:
            words.append(secrets.token_hex(16).encode())
        rest = zip(words, self._parts[1:], strict=True)
        return self._parts[0] + b"".join(word + part for word, part in rest)


def _escaped(value: str) -> str:
    # names of files and classes may have what is no UTF-8, or what XML forbids
    return html.escape(visible(value), quote=False)


def now() -> str:
    """The time in UTC to the second, as XMP has it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def fields_of(packet: bytes) -> dict[str, str]:
    """What a packet says, in the words of `Mark`: of elements and of attributes alike.

    A packet of another program has other prefixes and other fields beside. One that declares
    entities is refused: they can make a few bytes grow without end.
    Raises: ValueError for what is no XMP.
    """
    if len(packet) > MOST_XML or re.search(rb"<!(DOCTYPE|ENTITY)", packet):
        raise ValueError("the XMP packet is too large or declares entities")
    text = packet.decode("utf-8", errors="replace").strip("\ufeff\0 \r\n\t")
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"the XMP packet is no XML ({error})") from error
    names = {_expanded(name): key for key, name in FIELDS.items()}
    found: dict[str, str] = {}
    for element in tree.iter():
        if element.tag in names:
            found.setdefault(names[element.tag], _text(element))
        for attribute, value in element.attrib.items():
            if attribute in names:
                found.setdefault(names[attribute], value)
    return found


def _text(element: ElementTree.Element) -> str:
    """The text of a property: its own, its resource, or that of its first alternative."""
    resource = element.get(f"{{{RDF}}}resource")
    return resource or "".join(element.itertext()).strip()


def _expanded(name: str) -> str:
    prefix, _, own = name.partition(":")
    return f"{{{PREFIXES[prefix]}}}{own}"


def prompt_of(said: Mapping[str, object]) -> str:
    """ "seed 0, image 12, label 7" of what was asked; None and "" are left out."""
    return ", ".join(f"{key} {value}" for key, value in said.items() if value not in (None, ""))


def china_record(producer: str) -> str:
    """The JSON of GB 45438-2025 for a file that a machine made, with an id of its own.

    producer: the name or code of who answers for the content; the law's, not this program's.
    """
    keys = ["Label", "ContentProducer", "ProduceID", "ReservedCode1"]
    keys += ["ContentPropagator", "PropagateID", "ReservedCode2"]
    said = {"Label": "1", "ContentProducer": visible(producer), "ProduceID": secrets.token_hex(16)}
    return json.dumps({key: said.get(key, "") for key in keys}, ensure_ascii=False)


def china_with(record: str, identity: str) -> str:
    """A record with another id."""
    return json.dumps({**json.loads(record), "ProduceID": identity}, ensure_ascii=False)

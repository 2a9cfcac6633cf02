"""Read XMP packets (XMP specification, parts 1 and 2), including damaged ones that other programs can read.

libxml2 recovers from invalid XML, such as undeclared prefixes, remains of an older packet, and control characters.
External references are not loaded, and entities are not expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

LARGEST = 16 << 20
"""The maximum number of bytes read from a packet."""
Properties = dict[str, list[str]]
"""The values of each property. The names have the usual prefixes of their namespaces."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PREFIXES = {
    _RDF: "rdf",
    "http://www.w3.org/XML/1998/namespace": "xml",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/elements/1.1": "dc",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://www.digikam.org/ns/1.0/": "digiKam",
    "http://ns.microsoft.com/photo/1.0/": "MicrosoftPhoto",
    "http://ns.microsoft.com/photo/1.0": "MicrosoftPhoto",
    "http://ns.microsoft.com/photo/1.2/": "MP",
    "http://ns.microsoft.com/photo/1.2/t/RegionInfo#": "MPRI",
    "http://ns.microsoft.com/photo/1.2/t/Region#": "MPReg",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.iview-multimedia.com/mediapro/1.0/": "mediapro",
    "http://ns.acdsee.com/iptc/1.0/": "acdsee",
}
_USUAL = frozenset(_PREFIXES.values())
_ALIASES = {"xap": "xmp", "iX": "xmp", "MicrosoftPhoto_1_": "MicrosoftPhoto", "microsoft": "MicrosoftPhoto"}
"""Prefixes that programs use without declaring them."""
_CONTAINERS = ("rdf:Bag", "rdf:Seq", "rdf:Alt")
_ITEM = re.compile(r"rdf:(?:li|_\d{1,9})")
"""A list item, which is either rdf:li or numbered, as in rdf:_1 (RDF 1.1 XML Syntax, 2.15)."""
_BARE_AMPERSAND = re.compile(r"&(?!(?:#\d{1,7}|#x[0-9A-Fa-f]{1,6}|amp|lt|gt|quot|apos);)")
_WRITTEN_ENCODING = re.compile(r"^\s*<\?xml\b[^>]{0,200}\?>")
_PEOPLE = ("mwg-rs:Regions", "MP:RegionInfo", "Iptc4xmpExt:PersonInImageWDetails")
"""Structures that contain the names of people, at any depth."""
_STRUCTURES = ("Iptc4xmpExt:LocationCreated", "Iptc4xmpExt:LocationShown", *_PEOPLE)


def read_xmp(packet: bytes) -> Properties | None:
    """Return the properties of a packet, or None if it cannot be read at all.

    If text is given in several languages, the default language comes first. The people in regions are under `people`,
    and the fields of a location under a combined name such as `Iptc4xmpExt:LocationShown/City`.
    """
    root = _parsed(_decoded(packet[:LARGEST]))
    if root is None:
        return None
    descriptions = list(_descriptions(root))
    found: Properties = {}
    for description in descriptions:
        for name, value in description.attrib.items():
            if not (prefixed := _name(name)).startswith(("rdf:", "xml:")):
                found.setdefault(prefixed, []).append(str(value))
        for element in description.iterchildren("*"):
            name = _name(element.tag)
            if name in _PEOPLE:
                found.setdefault("people", []).extend(_people(element))
            elif name in _STRUCTURES:
                for part, text in _structure(element):
                    found.setdefault(f"{name}/{part}", []).append(text)
            else:
                found.setdefault(name, []).extend(_texts(element))
    if not descriptions and not packet.strip(b"\0 \r\n\t"):
        return {}
    return found if descriptions or _is_rdf(root) else None


def _decoded(packet: bytes) -> str:
    """Decode a packet using its byte order mark or the zero bytes next to its first `<`."""
    for mark, encoding in (
        (b"\xff\xfe\0\0", "utf-32-le"),
        (b"\0\0\xfe\xff", "utf-32-be"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
        (b"<\0\0\0", "utf-32-le"),
        (b"\0\0\0<", "utf-32-be"),
        (b"<\0", "utf-16-le"),
        (b"\0<", "utf-16-be"),
    ):
        if packet.startswith(mark):
            text = packet.decode(encoding, errors="replace")
            break
    else:
        try:
            text = packet.decode("utf-8-sig")
        except UnicodeDecodeError:
            # Invalid bytes are decoded one by one, because older programs put cp1252 text into UTF-8 packets.
            text = packet.decode("utf-8", errors="surrogateescape")
            text = re.sub("[\udc80-\udcff]", lambda lone: _windows(ord(lone[0]) - 0xDC00), text)
    text = text.replace("\ufeff", "").strip("\0 \r\n\t")
    text = text[max(text.find("<"), 0) :]
    return _WRITTEN_ENCODING.sub("", text, count=1)


def _windows(byte: int) -> str:
    """Return the character for a byte in Windows code page 1252, or in Latin-1 if it is undefined there."""
    return bytes([byte]).decode("cp1252", errors="ignore") or chr(byte)


def _parsed(text: str) -> etree._Element | None:
    text = _BARE_AMPERSAND.sub("&amp;", text.replace("\0", " "))
    parser = etree.XMLParser(
        encoding="utf-8",
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return etree.fromstring(text.encode(errors="replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def _name(tag: object) -> str:
    """Return a tag or attribute as prefix:name, with the usual prefix of its namespace if one is declared."""
    tag = str(tag)
    if tag.startswith("{"):
        namespace, _, local = tag[1:].partition("}")
        return f"{_PREFIXES.get(namespace, namespace)}:{local}"
    prefix, colon, local = tag.rpartition(":")
    prefix = _ALIASES.get(prefix, prefix)
    return f"{prefix}{colon}{local}"


def _is_rdf(root: etree._Element) -> bool:
    return any(_name(element.tag) in ("rdf:RDF", "x:xmpmeta", "adobe:ns:meta/:xmpmeta") for element in root.iter("*"))


def _descriptions(root: etree._Element) -> Iterator[etree._Element]:
    """Yield the descriptions of the picture itself, without the nested descriptions of its sources."""
    for element in root.iter("*"):
        if _name(element.tag) != "rdf:Description":
            continue
        parent = element.getparent()
        if parent is None or _name(parent.tag) == "rdf:RDF":
            yield element


def _texts(element: etree._Element) -> list[str]:
    """Return the text of a simple property, or the text of each list item with the default language first."""
    items: list[tuple[str, str]] = []
    for child in element.iterchildren("*"):
        name = _name(child.tag)
        if name in _CONTAINERS:
            items += [
                (_language(item), text)
                for item in child.iterchildren("*")
                if _ITEM.fullmatch(_name(item.tag)) and (text := _text(item))
            ]
        elif name == "rdf:value" or _ITEM.fullmatch(name):
            items.append((_language(child), _text(child)))
        elif name == "rdf:Description":
            items += [("", text) for text in _values(child)]
    if not items:
        return [text] if (text := _text(element)) else []
    # The sort is stable: without a default language the first text stays first.
    return [text for language, text in sorted(items, key=lambda item: item[0].lower() != "x-default")]


def _values(element: etree._Element) -> Iterator[str]:
    """Yield the rdf:value of a property with qualifiers."""
    for name, value in element.attrib.items():
        if _name(name) == "rdf:value":
            yield str(value)
    for child in element.iterchildren("*"):
        if _name(child.tag) == "rdf:value" and (text := _text(child)):
            yield text


def _text(element: etree._Element) -> str:
    for name, value in element.attrib.items():
        if _name(name) in ("rdf:value", "rdf:resource"):
            return str(value)
    for child in element.iterchildren("*"):
        if _name(child.tag) in ("rdf:value", "rdf:Description") and (found := _text(child)):
            return found
    return element.text or ""


def _language(element: etree._Element) -> str:
    return next((str(value) for name, value in element.attrib.items() if _name(name) in ("xml:lang", "lang")), "")


def _structure(element: etree._Element) -> Iterator[tuple[str, str]]:
    """Yield the fields of a structure, at any depth, as pairs of a name without prefix and a value."""
    for inner in element.iter("*"):
        for name, value in inner.attrib.items():
            if not (prefixed := _name(name)).startswith(("rdf:", "xml:")):
                yield prefixed.rpartition(":")[2], str(value)
        if inner is not element and not _name(inner.tag).startswith("rdf:"):
            for text in _texts(inner):
                yield _name(inner.tag).rpartition(":")[2], text


def _people(element: etree._Element) -> Iterator[str]:
    """Yield the names of people in regions (Metadata Working Group, Microsoft) and in IPTC's PersonInImageWDetails.

    Regions that are not faces (pets, barcodes, focus points) are left out.
    """
    for region in element.iter("*"):
        fields = _fields(region)
        kind = fields.get("mwg-rs:Type", "Face")
        for name in ("mwg-rs:Name", "MPReg:PersonDisplayName", "Iptc4xmpExt:PersonName"):
            if fields.get(name) and kind.lower() == "face":
                yield fields[name]


def _fields(element: etree._Element) -> dict[str, str]:
    """Return the fields of a structure, which may be attributes or elements."""
    fields = {_name(name): str(value) for name, value in element.attrib.items()}
    for child in element.iterchildren("*"):
        if texts := _texts(child):
            fields.setdefault(_name(child.tag), texts[0])
    return fields

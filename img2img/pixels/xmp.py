"""XMP packets: what of one still holds for upright, changed pixels, and what must be added."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Literal
from xml.etree import ElementTree

DigitalSourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]
"""IPTC's words for pictures that a network made, and for those in which it made a part."""

_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_IPTC_EXT = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_HEAD = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_TAIL = b'<?xpacket end="w"?>'
# Properties that describe data behind or next to the pixels, which results do not carry.
_GAIN_MAP = ("http://ns.adobe.com/hdr-gain-map/1.0/", "http://ns.apple.com/HDRGainMap/1.0/")
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_CONTAINER = (
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/container/item/",
)
_DEPTH = tuple(
    f"http://ns.google.com/photos/1.0/{name}/"
    for name in ("depthmap", "image", "audio", "creations")
)
_NOTES = "http://ns.adobe.com/xmp/note/"
_KNOWN_PREFIXES = {"rdf": _RDF, "x": _META, "Iptc4xmpExt": _IPTC_EXT, "xmpNote": _NOTES}


def upright_xmp(packet: bytes | str | None) -> tuple[bytes | None, tuple[str, ...]]:
    """The packet without an orientation, and without what describes a gain map, a depth map or a
    video behind the picture; notes on the latter. A packet that is not XML is kept as it is,
    without its orientation."""
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    if not isinstance(packet, bytes) or not packet:
        return None, ()
    packet = re.sub(
        rb'tiff:Orientation="[0-9]"|<tiff:Orientation>[0-9]</tiff:Orientation>', b"", packet
    )
    root = _parsed(packet)
    if root is None:
        return packet, ()
    dropped = set(_drop_stale(root))
    return (_written(root) if dropped else packet), tuple(sorted(dropped - {""}))


def with_source_type(packet: bytes | None, kind: DigitalSourceType) -> bytes:
    """The packet saying by IPTC's DigitalSourceType that a network made pixels; one that is not XML
    is replaced.
    """
    root = _parsed(packet) if packet else None
    rdf = (
        None
        if root is None
        else root
        if root.tag == f"{{{_RDF}}}RDF"
        else root.find(f".//{{{_RDF}}}RDF")
    )
    if root is None or rdf is None:
        root = ElementTree.Element(f"{{{_META}}}xmpmeta")
        rdf = ElementTree.SubElement(root, f"{{{_RDF}}}RDF")
    name = f"{{{_IPTC_EXT}}}DigitalSourceType"
    for description in list(rdf):
        description.attrib.pop(name, None)
        for stated in description.findall(name):
            description.remove(stated)
        if not len(description) and set(description.attrib) <= {f"{{{_RDF}}}about"}:
            rdf.remove(description)
    described = ElementTree.SubElement(rdf, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    described.set(name, _SOURCE_TYPES + kind)
    return _written(root)


def source_type(packet: bytes | None) -> str | None:
    """The DigitalSourceType a packet states, without the address before it."""
    root = _parsed(packet) if packet else None
    name = f"{{{_IPTC_EXT}}}DigitalSourceType"
    for element in () if root is None else root.iter():
        stated = element.get(name) or (
            element.tag == name and (element.text or element.get(f"{{{_RDF}}}resource"))
        )
        if stated:
            return str(stated).strip().rpartition("/")[2]
    return None


def _drop_stale(root: ElementTree.Element) -> Iterator[str]:
    """Take stale properties out; yields what they were of."""
    for parent in list(root.iter()):
        for name in [name for name in parent.attrib if _stale(name)]:
            del parent.attrib[name]
            yield _note(name)
        for child in [child for child in parent if _stale(child.tag)]:
            yield from {_note(element.tag) for element in child.iter() if _stale(element.tag)}
            yield from {
                _note(str(value)) for element in child.iter() for value in element.attrib.values()
            }
            parent.remove(child)


def _stale(name: str) -> bool:
    space, _, local = name[1:].partition("}") if name.startswith("{") else ("", "", name)
    if space == _CAMERA:
        return local.startswith(("Motion", "MicroVideo"))
    if space == _NOTES:
        return local == "HasExtendedXMP"
    return space in (*_GAIN_MAP, *_CONTAINER, *_DEPTH)


def _note(name: str) -> str:
    """What a stale property belongs to, in words; "" for those that only hold others."""
    if "Motion" in name or "MicroVideo" in name:
        return "holds a motion photo: results carry the still picture alone"
    if any(space in name for space in _GAIN_MAP) or name == "GainMap":
        return "holds an HDR gain map: results carry the standard picture alone"
    if any(space in name for space in _DEPTH) or name in ("DepthMap", "Depth"):
        return "holds a depth map: results carry the picture alone"
    return ""


def _parsed(packet: bytes) -> ElementTree.Element | None:
    text = packet.strip(b"\0 \r\n\t")
    try:
        for _, (prefix, space) in ElementTree.iterparse(io.BytesIO(text), ["start-ns"]):
            _keep_prefix(prefix, space)
        return ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None


def _keep_prefix(prefix: str, space: str) -> None:
    """Have ElementTree write a namespace under the prefix it was read with."""
    if prefix and not re.fullmatch(r"ns\d+", prefix) and prefix not in _KNOWN_PREFIXES:
        ElementTree.register_namespace(prefix, space)


def _written(root: ElementTree.Element) -> bytes:
    for prefix, space in _KNOWN_PREFIXES.items():
        ElementTree.register_namespace(prefix, space)
    return _HEAD + ElementTree.tostring(root, encoding="utf-8") + _TAIL

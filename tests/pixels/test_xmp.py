"""XMP says what is true of the pixels that are written: no gain map, no motion photo, invented
pixels called so.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from img2img.pixels.images import from_array, read_photo, write_photo
from img2img.pixels.xmp import source_type, upright_xmp, with_source_type

RDF = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" {attributes}>'
    "{inside}</rdf:Description></rdf:RDF></x:xmpmeta>"
)
GAIN_MAP = RDF.format(
    attributes='dc:format="image/jpeg" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
    'hdrgm:Version="1.0"',
    inside='<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    'xmlns:Item="http://ns.google.com/photos/1.0/container/item/">'
    '<rdf:Seq><rdf:li rdf:parseType="Resource">'
    '<Container:Item Item:Semantic="GainMap" Item:Length="123"/></rdf:li></rdf:Seq>'
    "</Container:Directory>",
)
MOTION = RDF.format(
    attributes='xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1" '
    'dc:format="image/jpeg"',
    inside="",
)
PLAIN = RDF.format(attributes='dc:format="image/jpeg"', inside="")


def test_what_lies_behind_the_picture_is_dropped_with_its_description_and_a_note() -> None:
    for packet, word in ((GAIN_MAP, "gain map"), (MOTION, "motion photo")):
        kept, notes = upright_xmp(packet)
        assert kept is not None
        assert len(notes) == 1 and word in notes[0]
        for gone in (b"hdrgm", b"Container", b"Motion", b"GainMap"):
            assert gone not in kept
        assert b'dc:format="image/jpeg"' in kept
        ElementTree.fromstring(kept.decode())


def test_a_packet_with_nothing_of_the_kind_is_kept_to_the_byte_but_for_its_orientation() -> None:
    assert upright_xmp(PLAIN.encode()) == (PLAIN.encode(), ())
    turned = PLAIN.replace("dc:format", 'tiff:Orientation="6" dc:format')
    assert upright_xmp(turned.replace('tiff:Orientation="6" ', "")) == (PLAIN.encode(), ())
    assert upright_xmp(b"no XML at all") == (b"no XML at all", ())
    assert upright_xmp(None) == (None, ())


def test_the_source_is_stated_once_and_the_rest_stays() -> None:
    once = with_source_type(PLAIN.encode(), "trainedAlgorithmicMedia")
    twice = with_source_type(once, "compositeWithTrainedAlgorithmicMedia")
    assert source_type(once) == "trainedAlgorithmicMedia"
    assert source_type(twice) == "compositeWithTrainedAlgorithmicMedia"
    assert twice.count(b"DigitalSourceType") == 1
    assert b'dc:format="image/jpeg"' in twice
    assert (
        source_type(with_source_type(b"no XML", "trainedAlgorithmicMedia"))
        == "trainedAlgorithmicMedia"
    )
    assert source_type(PLAIN.encode()) is None


def test_a_camera_s_statement_gives_way() -> None:
    captured = RDF.format(
        attributes='xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/'
        'digitalCapture"',
        inside="",
    )
    assert source_type(captured.encode()) == "digitalCapture"
    edited = with_source_type(captured.encode(), "compositeWithTrainedAlgorithmicMedia")
    assert source_type(edited) == "compositeWithTrainedAlgorithmicMedia"
    assert b"digitalCapture" not in edited


def test_every_format_with_xmp_carries_the_statement(
    tmp_path: Path, photos: list[np.ndarray]
) -> None:
    from dataclasses import replace

    stated = replace(from_array(photos[0]), xmp=with_source_type(None, "trainedAlgorithmicMedia"))
    for suffix in ("png", "jpg", "tif", "webp"):
        path = tmp_path / f"a.{suffix}"
        write_photo(path, stated)
        assert source_type(read_photo(path).xmp) == "trainedAlgorithmicMedia", suffix
    too_large = PLAIN.replace("image/jpeg", "x" * 70000).encode()
    write_photo(
        tmp_path / "b.jpg",
        replace(stated, xmp=with_source_type(too_large, "trainedAlgorithmicMedia")),
    )
    assert source_type(read_photo(tmp_path / "b.jpg").xmp) == "trainedAlgorithmicMedia"


def test_an_ultra_hdr_photo_is_read_as_its_standard_picture(
    tmp_path: Path, photos: list[np.ndarray]
) -> None:
    path = tmp_path / "hdr.jpg"
    Image.fromarray(photos[0]).save(path, xmp=GAIN_MAP.encode())
    with path.open("ab") as file:  # the gain map: a second JPEG behind the first
        Image.fromarray(photos[1][:24, :24]).save(file, "JPEG")
    photo = read_photo(path)
    assert photo.size == (96, 96)
    assert any("gain map" in note for note in photo.notes)
    assert photo.xmp is not None and b"hdrgm" not in photo.xmp

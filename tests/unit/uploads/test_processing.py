"""An index from its bytes to its document store, and back; and indexes that are none."""

import gzip
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.blobs import BlobRef, BlobStore
from streams.uploads.errors import MalformedIndex
from streams.uploads.processing import Indexed, process_scip
from streams.uploads.raw import RawIndex
from streams.uploads.scip import Limits
from streams.uploads.store import Manifest
from tests.support.scip import document, index, message, metadata, occurrence, parsed, small_index, symbol


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs"))


def process(blobs: BlobStore, raw: bytes, **more: Any) -> Indexed:
    return process_scip(io.BytesIO(raw), blobs, **more)


def refused(blobs: BlobStore, raw: bytes, **more: Any) -> MalformedIndex:
    with pytest.raises(MalformedIndex) as caught:
        process(blobs, raw, **more)
    return caught.value


def test_documents_are_found_by_path_and_counted(blobs: BlobStore) -> None:
    raw = small_index(1_200)
    found = process(blobs, raw)
    assert (found.facts.documents, found.facts.symbols, found.facts.occurrences) == (1_200, 1_201, 3_600)
    assert (found.facts.tool_name, found.facts.text_document_encoding) == ("scip-test", "UTF8")
    assert found.facts.raw_bytes == len(gzip.decompress(raw))
    manifest = Manifest(blobs, found.manifest)
    assert found.packages == 2
    assert [one.name for one in manifest.directory.provided] == ["project"]
    assert [one.name for one in manifest.directory.referenced] == ["library"]
    for number in (0, 1, 511, 512, 513, 1_199):
        place = manifest.find(f"src/a{number}.py")
        assert place is not None
        kept = parsed("Document", manifest.read(place))
        assert kept.relative_path == ""
        assert kept.symbols[0].symbol == symbol(f"F{number}")
    assert manifest.find("src/a.py") is None
    assert manifest.find("zzz") is None
    assert len(list(manifest.entries())) == 1_200
    (external,) = manifest.directory.external
    assert parsed("Document", manifest.read(external)).symbols[0].symbol == symbol("used", "library", "2.1")


def test_the_same_index_is_the_same_blobs_compressed_or_not_in_one_member_or_in_many(
    blobs: BlobStore,
) -> None:
    raw = gzip.decompress(small_index(40))
    forms = [raw, gzip.compress(raw), gzip.compress(raw[:100]) + gzip.compress(raw[100:])]
    assert len({process(blobs, one).manifest for one in forms}) == 1


def test_documents_that_an_earlier_index_has_are_not_kept_twice(blobs: BlobStore, tmp_path: Path) -> None:
    first = process(blobs, small_index(300))
    before = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    again = process(blobs, small_index(303), earlier=first.manifest)
    assert again.reused == 301  # and the part with the external symbols
    grown = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) - before
    assert grown < again.manifest.size_bytes + 2_000
    manifest = Manifest(blobs, again.manifest)
    assert len(manifest.directory.packs) == 2
    assert all(manifest.read(entry.place) for entry in manifest.entries())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=12), st.integers(1, 5))
def test_documents_of_one_path_are_merged_wherever_they_stand(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, int]], last: int
) -> None:
    blobs = BlobStore(str(tmp_path_factory.mktemp("blobs")))
    made = [
        document(f"{path}.py", [occurrence([line, 0, last])], [symbol(f"S{line}")]) for path, line in parts
    ]
    found = process(blobs, index(made))
    said: dict[str, set[int]] = {}
    for path, line in parts:
        said.setdefault(f"{path}.py", set()).add(line)
    manifest = Manifest(blobs, found.manifest)
    kept = {entry.path: parsed("Document", manifest.read(entry.place)) for entry in manifest.entries()}
    assert {path: [one.range[0] for one in each.occurrences] for path, each in kept.items()} == {
        path: sorted(lines) for path, lines in said.items()
    }
    total = sum(map(len, said.values()))
    assert (found.facts.occurrences, found.facts.symbols) == (total, total)


def test_where_an_index_is_wrong(blobs: BlobStore) -> None:
    head = message("Index", metadata=metadata()).SerializeToString()
    broken = message("Index", documents=[document("src/b.py", [occurrence([3, 2, 1])])]).SerializeToString()
    error = refused(blobs, gzip.compress(head + broken))
    assert (error.code, error.document) == ("malformed-range", "src/b.py")
    assert error.byte_offset == len(head) + 2 + 10  # tag and length of the document, then its path
    assert "ends before it begins" in error.shown

    assert refused(blobs, broken).code == "malformed-metadata"
    assert refused(blobs, head + head).byte_offset == len(head)
    assert refused(blobs, b"").code == "malformed-metadata"
    assert refused(blobs, gzip.compress(b"")).code == "malformed-metadata"
    assert refused(blobs, b"this is no index at all").code in ("malformed-index", "truncated", "too-large")
    assert refused(blobs, b'{"id":1,"type":"vertex","label":"metaData"}').byte_offset is not None
    no_path = message("Index", documents=[document("")]).SerializeToString()
    assert refused(blobs, head + no_path).code == "malformed-path"


def test_an_index_that_did_not_arrive_whole(blobs: BlobStore) -> None:
    packed, plain = small_index(50), gzip.decompress(small_index(50))
    assert refused(blobs, packed[:-20]).code == "malformed-gzip"
    assert refused(blobs, packed + b"more").code == "malformed-gzip"
    assert refused(blobs, packed[:500] + b"\0" * 40 + packed[540:]).code.startswith("malformed")
    error = refused(blobs, plain[:-3])
    assert (error.code, error.byte_offset is None) == ("truncated", False)


def test_limits_end_what_would_take_all_memory(blobs: BlobStore) -> None:
    raw = small_index(5)
    assert refused(blobs, raw, limits=Limits(document_bytes=50)).code == "too-large"
    assert refused(blobs, raw, limits=Limits(raw_bytes=100)).code == "too-large"
    assert refused(blobs, raw, limits=Limits(documents=2)).code == "too-large"
    many = index([document("a.py", [occurrence([line, 0, 1])]) for line in range(40)])
    assert refused(blobs, many, limits=Limits(document_bytes=60)).document == "a.py"


def test_unknown_fields_are_skipped(blobs: BlobStore) -> None:
    raw = gzip.decompress(small_index(2))
    later = b"\xfa\x01\x03abc" + b"\xf0\x01\x05" + b"\xfd\x01abcd" + b"\xf9\x01abcdefgh"
    found = process(blobs, raw + later)
    assert found.facts.documents == 2
    assert found.facts.raw_bytes == len(raw + later)


def test_a_raw_index_counts_every_byte() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(3, size if size and size > 0 else 3))

    content = bytes(range(256)) * 20
    for source in (content, gzip.compress(content)):
        raw = RawIndex(Slow(b"\x1f" * 0 + source))
        assert raw.read(10) == content[:10]
        raw.skip(100)
        assert raw.offset == 110
        assert raw.read(5_000) == content[110:5_110]
        assert not raw.at_end()
        raw.skip(10)
        assert raw.at_end()


def test_a_manifest_that_is_none_is_refused(blobs: BlobStore) -> None:
    from infra.blobs import BlobCorrupt

    with pytest.raises(BlobCorrupt):
        Manifest(blobs, blobs.put(b"x" * 100))
    found = process(blobs, small_index())
    other = msgspec.structs.replace(found.manifest, size_bytes=found.manifest.size_bytes - 1)
    assert isinstance(other, BlobRef)
    with pytest.raises(BlobCorrupt):
        Manifest(blobs, other)

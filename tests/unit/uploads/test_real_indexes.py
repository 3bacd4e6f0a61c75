"""Small indexes that real indexers have made (scip-python 0.6.6, scip-typescript 0.4.0) are read, and nothing of them is lost."""

from pathlib import Path

import pytest

from infra.blobs import BlobStore
from streams.uploads.processing import process_scip
from streams.uploads.store import Manifest
from tests.support.scip import parsed

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize(
    ("name", "own", "foreign"),
    [("scip-python", "shop", "python-stdlib"), ("scip-typescript", "shop", "typescript")],
)
def test_an_index_of_a_real_indexer(tmp_path: Path, name: str, own: str, foreign: str) -> None:
    file = DATA / f"{name}.scip"
    made = parsed("Index", file.read_bytes())
    blobs = BlobStore(str(tmp_path))
    with file.open("rb") as source:
        found = process_scip(source, blobs)
    assert found.facts.tool_name == name
    assert found.facts.documents == len(made.documents) > 0
    assert found.facts.occurrences == sum(len(one.occurrences) for one in made.documents) > 30
    assert found.facts.symbols == sum(len(one.symbols) for one in [*made.documents]) + len(
        made.external_symbols
    )
    manifest = Manifest(blobs, found.manifest)
    assert [one.name for one in manifest.directory.provided] == [own]
    assert foreign in [one.name for one in manifest.directory.referenced]
    for one in made.documents:
        place = manifest.find(one.relative_path)
        assert place is not None
        kept = parsed("Document", manifest.read(place))
        for part in ("occurrences", "symbols"):
            assert sorted(each.SerializeToString() for each in getattr(kept, part)) == sorted(
                each.SerializeToString() for each in getattr(one, part)
            )

"""murmur2 against the vectors of Kafka's own tests."""

import pytest

from infra.kafka.partitioner import murmur2, partition_for


@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_java_clients_vectors(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % (1 << 32)


def test_a_key_is_its_utf8() -> None:
    assert partition_for("größe", 32) == partition_for("größe".encode(), 32)


def test_all_partitions_are_used() -> None:
    counts = [0] * 8
    for key in range(8000):
        counts[partition_for(str(key), 8)] += 1
    assert min(counts) > 800

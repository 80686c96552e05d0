"""Every client must put a key into the same partition."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st
from murmurhash2 import murmurhash2

from shared.kafka import partitioner


# Kafka's own: org.apache.kafka.common.utils.UtilsTest, as signed 32-bit numbers.
@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_kafkas_own_clients(key: bytes, signed: int) -> None:
    assert partitioner.murmur2(key) == signed % 2**32
    assert partitioner.murmur2_in_python(key) == signed % 2**32


@given(st.binary(max_size=200))
def test_the_fast_hash_and_the_slow_one_agree(key: bytes) -> None:
    assert murmurhash2(key, 0x9747B28C) == partitioner.murmur2_in_python(key)


@given(st.binary(max_size=200), st.integers(1, 256))
def test_the_partition_is_that_of_aiokafka(key: bytes, partitions: int) -> None:
    every = list(range(partitions))

    assert partitioner.partition_of(key, partitions) == DefaultPartitioner()(key, every, every)

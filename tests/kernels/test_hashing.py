"""The hashes: their published values, and what holds of every value."""

import numpy as np
import pytest

from logloss_spark.kernels.hashing import (
    splitmix64,
    unit_interval,
    xxhash64_of_bytes,
    xxhash64_of_doubles,
    xxhash64_of_longs,
)

PUBLISHED = {
    b"": 0xEF46DB3751D8E999,
    b"a": 0xD24EC4F1A98C6E5B,
    b"abc": 0x44BC2CF5AD770999,
    b"Nobody inspects the spammish repetition": 0xFBCEA83C8A378BF1,
}
"""XXH64 of texts with seed 0, from the author's test values."""


def hashed(texts, seed=0):
    offsets = np.cumsum([0, *map(len, texts)])
    return xxhash64_of_bytes(np.frombuffer(b"".join(texts), dtype=np.uint8), offsets, seed).view(np.uint64).tolist()


def test_splitmix64_gives_the_published_numbers():
    found = splitmix64(np.arange(1, 4, dtype=np.uint64))
    assert [f"{number:X}" for number in found] == ["E220A8397B1DCDAF", "6E789E6AA1B965F4", "6C45D188009454F"]


def test_xxhash64_gives_the_published_numbers():
    assert hashed(list(PUBLISHED)) == list(PUBLISHED.values())


def test_a_text_has_one_hash_whatever_lies_beside_it():
    texts = [bytes(range(length)) for length in range(140)]
    assert hashed(texts) == [hashed([text])[0] for text in texts]
    assert len(set(hashed(texts))) == len(texts)


def test_a_long_is_hashed_as_its_eight_bytes():
    longs = np.array([0, 1, -1, 101, 2**63 - 1, -(2**63)])
    texts = [number.to_bytes(8, "little", signed=True) for number in longs.tolist()]
    assert xxhash64_of_longs(longs, seed=0).view(np.uint64).tolist() == hashed(texts)


def test_a_double_is_hashed_as_its_bits_and_equal_doubles_alike():
    doubles = np.array([1.5, 0.0, -0.0, np.nan, np.inf])
    odd_nan = np.array([0x7FF8_0000_0000_0001, -1]).view(np.float64)
    found = xxhash64_of_doubles(doubles)
    np.testing.assert_array_equal(found, xxhash64_of_longs(np.abs(doubles).view(np.int64)))
    np.testing.assert_array_equal(xxhash64_of_doubles(odd_nan), found[[3, 3]])


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros((0,), dtype=np.int64)])
def test_no_values_have_no_hashes(values):
    assert xxhash64_of_doubles(values).size == xxhash64_of_longs(values).size == 0
    assert hashed([]) == []


def test_inputs_are_not_written_to():
    doubles, longs, data, offsets = np.array([-0.0]), np.array([3]), np.arange(80, dtype=np.uint8), np.array([0, 3, 80])
    for array in (doubles, longs, data, offsets):
        array.setflags(write=False)
    xxhash64_of_doubles(doubles), xxhash64_of_longs(longs), xxhash64_of_bytes(data, offsets)


def test_hashes_fill_the_unit_interval():
    numbers = unit_interval(splitmix64(np.arange(1, 100_001, dtype=np.uint64)))
    assert 0.0 <= numbers.min() < numbers.max() < 1.0
    counts = np.histogram(numbers, 100, (0.0, 1.0))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 150  # chi-square of 99 degrees: beyond it once in a thousand

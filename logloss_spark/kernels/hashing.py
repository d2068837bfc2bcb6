"""Hashes that are the same in every process, version and engine: SplitMix64, and xxHash64 as Spark computes it.

References
----------
Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA (2014), for SplitMix64. Collet, xxHash fast
digest algorithm, specification of XXH64, for xxHash64.
"""

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.sums import Array

Bits = npt.NDArray[np.uint64]

SEED = 42
"""The seed of Spark's `xxhash64`."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, odd: the step of SplitMix64."""

_P1 = np.uint64(11400714785074694791)
_P2 = np.uint64(14029467366897019727)
_P3 = np.uint64(1609587929392839161)
_P4 = np.uint64(9650029242287828579)
_P5 = np.uint64(2870177450012600261)
_STRIPE, _WORD, _HALF = 32, 8, 4
_LOW_HALF, _LOW_BYTE = np.uint64(0xFFFFFFFF), np.uint64(0xFF)


def splitmix64(count: Bits) -> Bits:
    """The numbers of SplitMix64 at these counts.

    Examples
    --------
    >>> splitmix64(np.array([1, 2], dtype=np.uint64)).tolist()
    [16294208416658607535, 7960286522194355700]
    """
    return mixed(count * GOLDEN)


def mixed(bits: Bits) -> Bits:
    """Mix the bits of each number, so that each depends on all of them: the finalizer of SplitMix64."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def unit_interval(bits: Bits) -> Array:
    """Hashes as numbers in [0, 1), from their first 53 bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def xxhash64_of_longs(values: npt.NDArray[np.int64], seed: int = SEED) -> npt.NDArray[np.int64]:
    """Hash of 64-bit integers.

    Parameters
    ----------
    values : integer array of shape (n,)

    Returns
    -------
    integer array of shape (n,)

    Examples
    --------
    >>> xxhash64_of_longs(np.array([0, 101])).tolist()
    [-5252525462095825812, 5920841545911401779]
    """
    words = np.ascontiguousarray(values, dtype=np.int64).view(np.uint64)
    start = np.full(words.shape, np.uint64(seed) + _P5 + np.uint64(_WORD))
    return _finished(_with_word(start, words))


def xxhash64_of_doubles(values: Array, seed: int = SEED) -> npt.NDArray[np.int64]:
    """Hash of doubles, by their bits; -0.0 counts as 0.0, and every NaN as one.

    Parameters
    ----------
    values : array of shape (n,), any float

    Returns
    -------
    integer array of shape (n,)

    Examples
    --------
    >>> xxhash64_of_doubles(np.array([0.0, -0.0])).tolist() == xxhash64_of_longs(np.array([0, 0])).tolist()
    True
    """
    plain = np.where(np.isnan(values), np.nan, values + 0.0)
    return xxhash64_of_longs(plain.view(np.int64), seed)


def xxhash64_of_bytes(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.integer], seed: int = SEED
) -> npt.NDArray[np.int64]:
    """Hash of strings, whose bytes stand one after the other as in an Arrow array.

    Parameters
    ----------
    data : bytes of all strings
    offsets : integer array of shape (n + 1,), ascending; string i is data[offsets[i]:offsets[i + 1]]

    Returns
    -------
    integer array of shape (n,)

    Examples
    --------
    >>> text = np.frombuffer(b"abc", dtype=np.uint8)
    >>> [f"{hashed:x}" for hashed in xxhash64_of_bytes(text, np.array([0, 0, 3]), seed=0).view(np.uint64)]
    ['ef46db3751d8e999', '44bc2cf5ad770999']
    """
    at = np.asarray(offsets[:-1], dtype=np.int64)
    end = np.asarray(offsets[1:], dtype=np.int64)
    length = end - at
    words = _words_at_every_byte(data)
    with np.errstate(over="ignore"):
        hashed = np.full(length.shape, np.uint64(seed) + _P5)
        long = np.flatnonzero(length >= _STRIPE)
        hashed[long] = _of_stripes(words, at[long], length[long] // _STRIPE, np.uint64(seed))
        hashed += length.astype(np.uint64)
        at, rest = at + length // _STRIPE * _STRIPE, length % _STRIPE
        alike = np.argsort(rest.astype(np.uint8), kind="stable")
        ends = np.cumsum(np.bincount(rest, minlength=_STRIPE))
        for size in range(1, _STRIPE):
            rows = alike[ends[size - 1] : ends[size]]
            if rows.size:
                hashed[rows] = _with_rest(hashed[rows], words, at[rows], size)
    return _finished(hashed)


def _with_rest(hashed: Bits, words: Bits, at: npt.NDArray[np.int64], size: int) -> Bits:
    """Add the bytes after the last whole stripe to the state of strings that have equally many of them."""
    for _ in range(size // _WORD):
        hashed = _with_word(hashed, words[at])
        at = at + _WORD
    if size % _WORD >= _HALF:
        hashed = _with_half(hashed, words[at] & _LOW_HALF)
        at = at + _HALF
    if size % _HALF:
        last = words[at]
        for _ in range(size % _HALF):
            hashed = _with_byte(hashed, last & _LOW_BYTE)
            last = last >> np.uint64(8)
    return hashed


def _words_at_every_byte(data: npt.NDArray[np.uint8]) -> Bits:
    """The little-endian number of 8 bytes that begins at each byte; after the end there are zeros."""
    padded = np.concatenate([data, np.zeros(_WORD, dtype=np.uint8)])
    return np.ndarray((len(data) + 1,), dtype="<u8", buffer=padded.data, strides=(1,))


def _of_stripes(words: Bits, at: npt.NDArray[np.int64], stripes: npt.NDArray[np.int64], seed: np.uint64) -> Bits:
    """The state of strings after their whole stripes of 32 bytes, in four lanes that are then merged."""
    starts = (seed + _P1 + _P2, seed + _P2, seed, seed - _P1)
    lanes = [np.full(at.shape, start) for start in starts]
    for stripe in range(int(stripes.max(initial=0))):
        live = np.flatnonzero(stripes > stripe)
        for lane, bits in enumerate(lanes):
            bits[live] = _round(bits[live], words[at[live] + stripe * _STRIPE + lane * _WORD])
    total = _rotated(lanes[0], 1) + _rotated(lanes[1], 7) + _rotated(lanes[2], 12) + _rotated(lanes[3], 18)
    for bits in lanes:
        total = (total ^ _round(np.zeros_like(bits), bits)) * _P1 + _P4
    return total


def _rotated(bits: Bits, left: int) -> Bits:
    return (bits << np.uint64(left)) | (bits >> np.uint64(64 - left))


def _round(bits: Bits, word: Bits) -> Bits:
    return _rotated(bits + word * _P2, 31) * _P1


def _with_word(hashed: Bits, word: Bits) -> Bits:
    return _rotated(hashed ^ _round(np.zeros_like(word), word), 27) * _P1 + _P4


def _with_half(hashed: Bits, half: Bits) -> Bits:
    return _rotated(hashed ^ (half * _P1), 23) * _P2 + _P3


def _with_byte(hashed: Bits, byte: Bits) -> Bits:
    return _rotated(hashed ^ (byte * _P5), 11) * _P1


def _finished(hashed: Bits) -> npt.NDArray[np.int64]:
    """A state whose bits are mixed once more, as Spark's signed integers."""
    hashed = (hashed ^ (hashed >> np.uint64(33))) * _P2
    hashed = (hashed ^ (hashed >> np.uint64(29))) * _P3
    return (hashed ^ (hashed >> np.uint64(32))).view(np.int64)

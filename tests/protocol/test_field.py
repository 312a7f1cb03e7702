"""The field's arithmetic against Python's own integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from protoledger.protocol.code import field
from protoledger.protocol.errors import DecodeError

P = 2**31 - 1
EDGES = st.sampled_from([0, 1, 2, P - 1, P - 2, P // 2, P // 2 + 1, 2**16 - 1, 2**16, 2**30])
ELEMENT = EDGES | st.integers(0, P - 1)


def slow_product(matrix, symbols):
    return [
        [sum(int(a) * int(b) for a, b in zip(row, column, strict=True)) % P for column in symbols.T]
        for row in matrix
    ]


@given(st.data(), st.integers(1, 6), st.integers(1, 40), st.integers(1, 5), st.booleans())
def test_matmul_is_exact(data, rows, inner, columns, small):
    bound = 3 if small else field.HALF
    entries = st.integers(-bound, bound) | st.sampled_from([-bound, bound])
    matrix = data.draw(arrays(np.int64, (rows, inner), elements=entries))
    symbols = data.draw(arrays(np.uint32, (inner, columns), elements=ELEMENT))
    assert field.matmul(matrix, symbols).tolist() == slow_product(matrix, symbols)


def test_matmul_is_exact_at_the_largest_everything():
    matrix = np.full((2, 127), field.HALF)
    matrix[1] = -field.HALF
    for value in (field.HALF, field.HALF + 1, P - 1):
        symbols = np.full((127, 3), value, dtype=np.uint32)
        assert field.matmul(matrix, symbols).tolist() == slow_product(matrix, symbols)


@given(st.integers(1, 300), ELEMENT)
def test_add_wraps_at_p(count, value):
    rows = np.full((count, 2), value, dtype=np.uint32)
    assert field.add(rows).tolist() == [count * value % P] * 2


@given(st.integers(1, 8), st.randoms(use_true_random=False))
def test_inverse(size, random):
    points = random.sample(range(1, P), size)
    matrix = np.array([[pow(a, e, P) for e in range(size)] for a in points], dtype=np.int64)
    matrix[matrix > field.HALF] -= P
    product = np.array(slow_product(field.inverse(matrix), matrix))
    assert (product == np.eye(size)).all()


def test_a_singular_matrix_is_told():
    with pytest.raises(ZeroDivisionError):
        field.inverse(np.array([[1, 2], [2, 4]]))


def test_uniform_symbols_look_uniform():
    drawn = field.uniform(64_000)
    assert drawn.dtype == np.uint32
    assert drawn.max() < P
    counts, _ = np.histogram(drawn, bins=64, range=(0, P))
    chi_squared = float(((counts - 1000) ** 2 / 1000).sum())
    assert 20 < chi_squared < 140  # 63 degrees of freedom; one in 10⁷ beyond
    assert not np.array_equal(drawn[:8], field.uniform(8))


@pytest.mark.parametrize("count", [3, 300])
def test_uniform_draws_p_again(monkeypatch, count):
    draws = []

    def token_bytes(size):
        draws.append(size)
        return b"\xff" * size if len(draws) < 3 else b"\x05\0\0\0" * (size // 4)

    class Stream:
        def update_into(self, data, out):
            out[:] = b"\xff" * len(data)

    monkeypatch.setattr(field.secrets, "token_bytes", token_bytes)
    monkeypatch.setattr(
        field, "Cipher", lambda *_: type("C", (), {"encryptor": lambda _: Stream()})()
    )
    assert field.uniform(count).tolist() == [5] * count
    assert len(draws) == 3


@given(st.binary(max_size=64), st.integers(0, 16))
def test_decoding_takes_exact_lengths_and_symbols_below_p(data, count):
    try:
        symbols = field.from_bytes(data, count)
    except DecodeError:
        words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        assert len(data) != 4 * count or max(words) >= P
    else:
        assert field.to_bytes(symbols) == data

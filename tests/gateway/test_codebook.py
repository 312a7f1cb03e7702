"""The ledger's record format: algebra of deltas, strict decoding, and the same hash in Solidity."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.gateway.codebook.codebook import MAX_STEPS, STEPS_PER_RANGE, Codebook, RecordFormat
from protoledger.gateway.codebook.delta import split_delta
from protoledger.gateway.errors import CodebookError

FORM = RecordFormat(3, 4)
unhurried = settings(deadline=None)  # a noisy machine
record = st.tuples(
    st.integers(0, 3),
    st.integers(0, 65_535),
    st.tuples(*[st.integers(-MAX_STEPS, MAX_STEPS)] * 3),
)
books = st.dictionaries(st.integers(0, 65_535) | st.integers(0, 5), record, max_size=12).map(
    lambda rows: Codebook.from_prototypes(
        list(rows),
        [row[0] for row in rows.values()],
        [row[1] for row in rows.values()],
        np.array([row[2] for row in rows.values()], float).reshape(-1, 3) / STEPS_PER_RANGE,
        labels=4,
    ),
)


@unhurried
@given(books, books)
def test_a_delta_leads_where_it_was_written_for(old: Codebook, new: Codebook):
    delta = old.delta_to(new)
    assert old.apply(delta) == new
    assert old.apply(delta).state_hash() == new.state_hash()
    assert (not delta) == (old == new)
    written, removed = split_delta(delta, FORM)
    assert len(delta) <= len(written) * FORM.record_bytes + len(removed) * 3
    assert set(removed) == set(old.ids.tolist()) - set(new.ids.tolist())


@unhurried
@given(books)
def test_a_snapshot_reads_as_it_was_written(book: Codebook):
    again = Codebook.decode(book.encode(), FORM)
    assert again == book
    assert hash(again) == hash(book)
    assert len(book.encode()) == len(book) * FORM.record_bytes
    back = Codebook.from_prototypes(
        again.ids, again.classes, again.weights, again.features(), labels=4
    )
    assert back == book
    assert Codebook.empty(FORM).apply(book.encode()) == book  # a first delta is the snapshot


@unhurried
@given(books, books, st.floats(0, 0.2), st.floats(1, 3))
def test_what_a_tolerance_leaves_out_is_small_and_never_a_class(
    old: Codebook, new: Codebook, tolerance: float, ratio: float
):
    committed = old.apply(old.delta_to(new, tolerance=tolerance, weight_ratio=ratio))
    assert (committed.ids == new.ids).all()
    assert (committed.classes == new.classes).all()
    assert np.abs(committed.features() - new.features()).max(initial=0) <= tolerance + 1e-9
    low = np.minimum(committed.weights, new.weights)
    assert (np.maximum(committed.weights, new.weights) <= low * ratio).all()
    assert len(old.delta_to(new, tolerance=tolerance)) <= len(old.delta_to(new))
    assert not committed.delta_to(committed, tolerance=tolerance)


@unhurried
@given(books, st.binary(max_size=80))
def test_any_bytes_are_a_codebook_or_refused(book: Codebook, noise: bytes):
    for attempt in (lambda: Codebook.decode(noise, FORM), lambda: book.apply(noise)):
        try:
            found = attempt()
        except CodebookError:
            continue
        assert Codebook.decode(found.encode(), FORM) == found
        assert (np.diff(found.ids) > 0).all()
        assert (found.classes < 4).all()


@unhurried
@given(books, books, st.data())
def test_a_damaged_delta_never_leads_to_the_same_hash(
    old: Codebook, new: Codebook, data: st.DataObject
):
    delta = bytearray(old.delta_to(new))
    if not delta:
        return
    position = data.draw(st.integers(0, len(delta) - 1))
    delta[position] ^= data.draw(st.integers(1, 255))
    try:
        found = old.apply(bytes(delta))
    except CodebookError:
        return
    assert found != new
    assert found.state_hash() != new.state_hash()


inside = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 300), *[st.floats(0, 1)] * 3), max_size=12
).map(
    lambda rows: Codebook.from_prototypes(
        list(range(len(rows))),
        [row[0] for row in rows],
        [row[1] for row in rows],
        np.array([row[2:] for row in rows]).reshape(-1, 3),
        labels=4,
    )
)


@unhurried
@given(inside, inside)
def test_within_the_range_a_byte_a_feature_is_enough(old: Codebook, new: Codebook):
    delta = old.delta_to(new, tolerance=0.0021)
    written, removed = split_delta(delta, FORM)
    assert len(delta) == len(written) * FORM.narrow_bytes + len(removed) * 3
    committed = old.apply(delta)
    assert np.abs(committed.features() - new.features()).max(initial=0) <= 0.0021
    assert (committed.classes == new.classes).all()


def test_every_narrow_byte_stands_for_one_value():
    wide = Codebook.from_prototypes(
        range(256), [3] * 256, [9] * 256, np.arange(256)[:, None] / 255, labels=127
    )
    delta = Codebook.empty(wide.form).delta_to(wide)
    assert len(delta) == 256 * 6  # exact, so that no tolerance is needed
    assert {delta[at + 5] for at in range(0, len(delta), 6)} == set(range(256))
    assert Codebook.empty(wide.form).apply(delta) == wide


def test_narrow_records_are_refused_where_classes_need_the_bit():
    many = RecordFormat(3, 128)
    narrow = (1).to_bytes(2) + bytes([0x80]) + (7).to_bytes(2) + bytes(3)
    assert Codebook.empty(FORM).apply(narrow).records["class"].tolist() == [0]
    with pytest.raises(CodebookError, match="ends within"):
        Codebook.empty(many).apply(narrow)
    with pytest.raises(CodebookError, match="class 4"):
        Codebook.empty(FORM).apply(narrow[:2] + bytes([0x84]) + narrow[3:])
    book = Codebook.from_prototypes([1], [127], [7], [[0.0, 0.0, 0.0]], labels=128)
    assert Codebook.empty(many).delta_to(book) == book.encode()


@unhurried
@given(books, books, st.integers(1, 5))
def test_a_limited_delta_is_continued_by_the_next(old: Codebook, new: Codebook, most: int):
    committed, deltas = old, 0
    while delta := committed.delta_to(new, most=most):
        assert len(split_delta(delta, FORM)[0]) <= most
        committed, deltas = committed.apply(delta), deltas + 1
    assert committed == new
    assert deltas <= max(1, -(-len(new) // most))


def test_a_limited_delta_takes_the_largest_change_first():
    x = [[0.1, 0.1, 0.1], [0.5, 0.5, 0.5], [0.9, 0.9, 0.9]]
    old = Codebook.from_prototypes([1, 2, 3], [0, 1, 2], [4, 4, 4], x, labels=4)
    x[1] = [0.5, 0.6, 0.5]
    x[2] = [0.9, 0.92, 0.9]
    new = Codebook.from_prototypes([2, 3, 4], [1, 2, 0], [4, 4, 1], [x[1], x[2], x[0]], labels=4)
    for most, expected in ((1, [4]), (2, [2, 4]), (3, [2, 3, 4])):
        written, removed = split_delta(old.delta_to(new, most=most), FORM)
        assert sorted(written) == expected
        assert removed == [1]


def entry(number: int, label: int = 0, features: tuple[int, ...] = (1, 2, 3)) -> bytes:
    packed = number.to_bytes(2) + bytes([label]) + (7).to_bytes(2)
    return packed + b"".join(q.to_bytes(2, signed=True) for q in features)


def removal(number: int) -> bytes:
    return number.to_bytes(2) + b"\xff"


@pytest.mark.parametrize(
    ("delta", "why"),
    [
        (entry(1)[:-1], "ends within"),
        (entry(1) + b"\0", "ends within"),
        (removal(5)[:2], "ends within"),
        (entry(2) + entry(1), "after 2"),
        (entry(2) + entry(2), "after 2"),
        (entry(5) + removal(5), "after 5"),
        (removal(5) + entry(5), "after 5"),
        (removal(6), "does not exist"),
        (entry(1, label=4), "class 4"),
        (entry(1, features=(-32_768, -32_768, -32_768)), "lacks every"),
    ],
)
def test_a_delta_with_a_fault_is_refused(delta: bytes, why: str):
    book = Codebook.decode(entry(5), FORM)
    with pytest.raises(CodebookError, match=why):
        book.apply(delta)
    assert book.encode() == entry(5)


@pytest.mark.parametrize(
    "snapshot",
    [entry(1)[:-1], entry(2) + entry(1), entry(1) + entry(1), entry(1, 4), removal(1)],
)
def test_a_snapshot_with_a_fault_is_refused(snapshot: bytes):
    with pytest.raises(CodebookError):
        Codebook.decode(snapshot, FORM)


def test_a_feature_that_a_prototype_lacks_survives_records_and_deltas():
    x = [[0.25, math.nan, 0.5], [0.5, 0.75, math.nan]]
    book = Codebook.from_prototypes([1, 2], [0, 1], [3, 4], x, labels=4)
    again = Codebook.decode(book.encode(), FORM)
    assert np.array_equal(again.features(), np.array(x), equal_nan=True)
    empty = Codebook.empty(FORM)
    delta = empty.delta_to(book, tolerance=0.005)
    assert np.array_equal(empty.apply(delta).features(), np.array(x), equal_nan=True)
    found = Codebook.from_prototypes([1], [0], [3], [[0.25, 0.5, 0.5]], labels=4)
    assert len(book.delta_to(found, tolerance=0.005)) > 3  # it is written again: one came back


def test_features_are_rounded_and_clamped():
    x = [[0.0, 1.0, 0.5 / STEPS_PER_RANGE + 1e-9], [99.0, -99.0, -1.7]]
    book = Codebook.from_prototypes([1, 2], [0, 3], [70_000, 0.4], x, labels=4)
    assert book.records["q"].tolist() == [[0, 12_000, 1], [32_767, -32_767, -20_400]]
    assert book.weights.tolist() == [65_535, 0]
    assert not book.records.flags.writeable


@pytest.mark.parametrize(
    ("ids", "classes", "weights", "features"),
    [
        ([1, 1], [0, 0], [1, 1], [[0, 0], [0, 0]]),
        ([-1], [0], [1], [[0, 0]]),
        ([65_536], [0], [1], [[0, 0]]),
        ([0.5], [0], [1], [[0, 0]]),
        ([1], [2], [1], [[0, 0]]),
        ([1], [0], [-1], [[0, 0]]),
        ([1], [0], [math.nan], [[0, 0]]),
        ([1], [0], [1], [[0, math.inf]]),
        ([1], [0], [1], [0, 0]),
        ([1, 2], [0], [1], [[0, 0]]),
        ([[1]], [0], [1], [[0, 0]]),
        ([1], [0], [1], np.zeros((1, 256))),
        (range(2731), [0] * 2731, [1] * 2731, np.zeros((2731, 2))),
    ],
)
def test_prototypes_out_of_range_are_refused(ids, classes, weights, features):
    with pytest.raises(CodebookError):
        Codebook.from_prototypes(list(ids), classes, weights, features, labels=2)


def test_formats_do_not_mix():
    for features, labels in ((0, 2), (2, 0), (256, 2), (2, 256)):
        with pytest.raises(CodebookError):
            RecordFormat(features, labels)
    with pytest.raises(CodebookError, match="from"):
        Codebook.empty(FORM).delta_to(Codebook.empty(RecordFormat(3, 3)))
    assert Codebook.empty(FORM) != Codebook.empty(RecordFormat(3, 3))


def test_the_format_holds_as_many_records_as_the_contract_does():
    assert RecordFormat(18, 7).max_records == 24_575 // 41

"""The rules that every attack keeps; see `CodebookAttack` and `DataAttack`.

python -m protoledger.conformance attacks my_package:MyAttack
"""

from collections.abc import Callable

import numpy as np

from protoledger.conformance import Suite, expect, plain
from protoledger.experiments.variants.attacks import CodebookAttack, DataAttack
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat

FEATURES, LABELS = 3, 4

Make = Callable[[], CodebookAttack | DataAttack]


def _book(seed: int, prototypes: int = 30) -> Codebook:
    rng = np.random.default_rng(seed)
    return Codebook.from_prototypes(
        np.arange(prototypes),
        rng.integers(LABELS, size=prototypes),
        rng.integers(1, 200, size=prototypes),
        rng.random((prototypes, FEATURES)),
        labels=LABELS,
    )


def is_an_attack(make: Make) -> None:
    """It is a subclass of CodebookAttack or DataAttack, not both, made without arguments."""
    made = make()
    kinds = isinstance(made, CodebookAttack), isinstance(made, DataAttack)
    expect(sum(kinds) == 1, f"it is {made!r}")


def commits_what_a_ledger_takes(make: Make) -> None:
    """A codebook attack returns a codebook of the same form, that a commit can hold."""
    attack = make()
    if isinstance(attack, CodebookAttack):
        own, others = _book(1), [_book(2), _book(3)]
        made = attack.codebook(own, others, np.random.default_rng(5))
        expect(isinstance(made, Codebook), f"it returned {type(made).__name__}")
        expect(made.form == own.form, f"its form is {made.form}, not {own.form}")
        expect(Codebook.decode(made.encode(), made.form) == made, "its bytes are another codebook")
        expect(own.apply(own.delta_to(made)) == made, "no commit leads from the own one to it")


def attacks_from_the_first_commit(make: Make) -> None:
    """A codebook attack works when nobody has committed anything."""
    attack = make()
    if isinstance(attack, CodebookAttack):
        empty = Codebook.empty(RecordFormat(FEATURES, LABELS))
        for own, others in ((empty, []), (empty, [empty]), (empty, [_book(2)]), (_book(1), [])):
            made = attack.codebook(own, others, np.random.default_rng(5))
            expect(made.form == own.form, f"its form is {made.form}")


def gives_samples_that_can_be_learnt(make: Make) -> None:
    """A data attack returns a finite sample and a declared label, and writes to no argument."""
    attack, rng = make(), np.random.default_rng(5)
    if isinstance(attack, DataAttack):
        for x in np.random.default_rng(1).random((200, FEATURES)):
            before = x.copy()
            seen, label = attack.sample(x, 1, LABELS, rng)
            expect(np.array_equal(x, before), "it wrote to the honest sample")
            expect(seen.shape == (FEATURES,) and np.isfinite(seen).all(), f"it returned {seen}")
            right = isinstance(label, int) and 0 <= label < LABELS
            expect(right, f"it returned the label {label!r}")


def is_deterministic(make: Make) -> None:
    """The same generator of random numbers leads to the same attack."""
    told = list[list[bytes]]()
    for _ in range(2):
        attack, rng = make(), np.random.default_rng(5)
        if isinstance(attack, CodebookAttack):
            told.append([attack.codebook(_book(1), [_book(2)], rng).encode() for _ in range(2)])
        else:
            x = np.full(FEATURES, 0.3)
            seen = [attack.sample(x, 1, LABELS, rng) for _ in range(50)]
            told.append([value.tobytes() + bytes([label]) for value, label in seen])
    expect(told[0] == told[1], "two runs attack otherwise")


SUITE = Suite(
    plain,
    (
        is_an_attack,
        commits_what_a_ledger_takes,
        attacks_from_the_first_commit,
        gives_samples_that_can_be_learnt,
        is_deterministic,
    ),
)

"""Classify rows with the model that a gateway stored, beside or after the running gateway."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from protoledger.contracts.keys import address_of, load_key
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.ledger.store import LedgerStore
from protoledger.gateway.training.history.explanation import explain
from protoledger.gateway.training.history.provenance import Provenance
from protoledger.gateway.training.store import Store
from protoledger.gateway.training.trainer import Trainer
from protoledger.runtime.site import SiteConfig


class Predictor:
    """A stored model, read once.

    Raises:
        ConfigurationError: if there is no usable store.
    """

    def __init__(self, config: GatewayConfig, site: SiteConfig) -> None:
        schema = site.as_schema()
        self._channels = [channel.name for channel in schema.channels]
        self._labels = schema.labels
        with Store(config.store_file, schema.digest) as store:
            self._trainer = Trainer(config, schema, store)
        self._provenance = Provenance(config.store_file, self._trainer.model.form)
        if config.ledger is not None:
            own = address_of(load_key(config.ledger.key_file, config.ledger.key_password_file))
            self._take_over(config, RecordFormat(len(schema.channels), len(schema.labels)), own)

    def _take_over(self, config: GatewayConfig, form: RecordFormat, own: str) -> None:
        """Give the model the other owners' codebooks, as the ledger client last folded them."""
        ledger = LedgerStore(config.store_file)
        try:
            for owner, newest in ledger.copy.counting().items():
                if owner != own:
                    codebook = Codebook.decode(newest.snapshot, form)
                    self._trainer.model.union.set(owner, codebook)
            self._trainer.model.settle()
        finally:
            ledger.close()

    def classes(self, values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Predict rows of channel values, float64 (n, C).

        Returns:
            What the site answers here, and anywhere: int64 (n,) each, −1 for no answer.
        """
        answers = [self._trainer.answer(row) for row in values]
        return (
            _indices(None if answer is None else answer.label for answer in answers),
            _indices(None if answer is None else answer.anywhere for answer in answers),
        )

    def label_rows(self, rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
        """Predict rows of text cells by channel name; an empty cell is a channel without a value.

        Raises:
            ValueError: naming the line and the cell that is no number, or the missing column.
        """
        for values in self._values(rows):
            predicted = self._trainer.predict(values)
            yield "" if predicted is None else self._labels[predicted]

    def answer_rows(
        self, rows: Iterable[Mapping[str, str]]
    ) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Yield each row's label, empty if there is none, and all labels' probabilities, float64.

        Raises:
            ValueError: as `label_rows`.
        """
        for values in self._values(rows):
            answer = self._trainer.answer(values)
            if answer is None:
                yield "", np.zeros(len(self._labels))
            else:
                label = "" if answer.label is None else self._labels[answer.label]
                yield label, answer.probabilities

    def explain_rows(self, rows: Iterable[Mapping[str, str]]) -> Iterator[dict[str, object]]:
        """Explain what is answered to each row; see `training.history.explanation`.

        Raises:
            ValueError: as `label_rows`.
        """
        for values in self._values(rows):
            x = self._trainer.prepared(values)
            yield {} if x is None else explain(self._trainer.model, x, self._provenance)

    def _values(self, rows: Iterable[Mapping[str, str]]) -> Iterator[NDArray[np.float64]]:
        for line, row in enumerate(rows, start=2):
            try:
                cells = [row[name].strip() for name in self._channels]
                values = np.array([float(cell) if cell else np.nan for cell in cells])
            except (KeyError, AttributeError, ValueError) as error:
                raise ValueError(f"line {line}: {error}") from error
            yield values


def _indices(labels: Iterable[int | None]) -> NDArray[np.int64]:
    return np.array([-1 if label is None else label for label in labels], np.int64)

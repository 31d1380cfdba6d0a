"""What is learned of one column while the table streams past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from circuitprobe.adapters.data.blocks import Reading
from circuitprobe.adapters.data.number_stats import NumberStats
from circuitprobe.adapters.data.number_text import NumberStyle, number_label, parse_numbers
from circuitprobe.adapters.data.text_stats import TextStats

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray, IntArray

    BoolArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

EXAMPLES = 3


class CellReader:
    """Reads the cells of one column: which are missing, which are numbers.

    Args:
        reading: what the column's batches hold.
        missing: tokens that mean missing in a text.
        declared: the tokens that the schema declares; those that are numbers hold for numbers too.
        style: how numbers are written.
    """

    def __init__(
        self, reading: Reading, missing: tuple[str, ...], declared: tuple[str, ...], style: NumberStyle
    ) -> None:
        self.reading = reading
        tokens = (*missing, *declared) if reading is Reading.ANY else declared
        self._tokens = pa.array(tokens, pa.string())
        self._style = style
        numbers = parse_numbers(pa.array(declared, pa.string()), NumberStyle())
        self._missing_numbers = numbers[~np.isnan(numbers)]

    def numbers(self, array: Any) -> FloatArray:  # noqa: ANN401 - pyarrow has no type stubs
        """Cells as numbers: shape (rows,), nan where missing or no number."""
        if self.reading is Reading.NUMBER:
            values: FloatArray = np.array(array.to_numpy(zero_copy_only=False), dtype=np.float64)
        else:
            values = parse_numbers(array, self._style)
        if len(self._missing_numbers):
            values = np.where(np.isin(values, self._missing_numbers), np.nan, values)
        return values

    def texts(self, array: Any) -> Any:  # noqa: ANN401
        """Cells as texts, trimmed: a string array, null where missing."""
        trimmed = pc.utf8_trim_whitespace(array)
        missing = pc.is_in(trimmed, self._tokens)
        if len(self._missing_numbers) and self.reading is Reading.ANY:
            values = parse_numbers(trimmed, self._style)
            missing = pc.or_(missing, pa.array(np.isin(values, self._missing_numbers)))
        return pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)


class ColumnProfile:
    """One column over all blocks so far.

    Attributes:
        cells: how its cells are read.
        count: rows seen.
        numbers: statistics of the cells that are numbers.
        texts: distinct cells, as texts.
        text_cells: present cells that are no number.
        first_text: row and value of the first of them.
        text_examples: the first few different ones.
    """

    def __init__(self, cells: CellReader) -> None:
        self.cells = cells
        self.count = 0
        self.numbers = NumberStats()
        self.texts = TextStats()
        self.text_cells = 0
        self.first_text: tuple[int, str] | None = None
        self.text_examples: list[str] = []

    @property
    def present(self) -> int:
        """Cells with a value."""
        return self.numbers.present + self.text_cells

    @property
    def all_numbers(self) -> bool:
        """Whether every cell with a value is a number."""
        return self.present > 0 and self.text_cells == 0

    def update(self, array: Any) -> None:  # noqa: ANN401
        """Take in the column's cells of the next block, a pyarrow array of shape (rows,)."""
        if self.cells.reading is Reading.NUMBER:
            self._update_numbers(self.cells.numbers(array))
        elif self._wants_texts or not self._update_fast(array):
            self._update_by_dictionary(array)
        self.count += len(array)

    @property
    def _wants_texts(self) -> bool:
        undecided = self.texts.levels is not None or self.text_cells > 0 or self.numbers.beyond_exact
        return self.cells.reading is Reading.TEXT or undecided

    def _update_numbers(self, values: FloatArray) -> None:
        self.numbers.update(values, self.count)
        if self.texts.levels is not None or self.numbers.beyond_exact:
            distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
            labels = pa.array([number_label(value) for value in distinct.tolist()], pa.string())
            self.texts.update(labels, counts.astype(np.int64))

    def _update_fast(self, array: Any) -> bool:  # noqa: ANN401
        """A numeric column with more distinct values than are counted: no need to look at the texts."""
        values = self.cells.numbers(array)
        if int(np.isnan(values).sum()) != array.null_count:
            return False
        self.numbers.update(values, self.count)
        return True

    def _update_by_dictionary(self, array: Any) -> None:  # noqa: ANN401
        """Look at each distinct text of the block once."""
        encoded = array.dictionary_encode()
        codes: IntArray = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        labels = self.cells.texts(encoded.dictionary)
        counts = np.bincount(codes[codes >= 0], minlength=len(labels)).astype(np.int64)
        is_text: BoolArray = labels.is_valid().to_numpy(zero_copy_only=False)
        kept = np.flatnonzero(is_text)
        self.texts.update(labels.take(pa.array(kept)), counts[kept])
        if self.cells.reading is Reading.ANY:
            numbers = self.cells.numbers(labels)
            is_text = is_text & np.isnan(numbers)
            self.numbers.update(np.append(numbers, np.nan)[codes], self.count)
        if is_text.any():
            self._note_texts(labels, is_text, codes)
            self.text_cells += int(counts[is_text].sum())

    def _note_texts(self, labels: Any, is_text: BoolArray, codes: IntArray) -> None:  # noqa: ANN401
        if self.first_text is None:
            row = int(np.argmax(np.append(is_text, False)[codes]))
            self.first_text = (self.count + row, labels[int(codes[row])].as_py())
        for position in np.flatnonzero(is_text)[: EXAMPLES + 1]:
            value = labels[int(position)].as_py()
            if len(self.text_examples) < EXAMPLES and value not in self.text_examples:
                self.text_examples.append(value)

"""Rows of a matrix added up, added to, or multiplied, in registers. The kernels include this text.

A plain loop over a row is compiled with a test that its arrays do not overlap, before every row; for rows of a few
hundred numbers that test takes as long as the work. Here LLVM is given the vectors themselves: a stretch of columns
stays in registers while all events pass, wide stretches first, then what is left of the row.

All arrays must be C-contiguous, those of numbers of one floating type, and no index may be out of range.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding
import llvmlite.ir
import numba
import numba.core.cgutils as code
import numba.extending

_STRETCHES = ((16, 4), (16, 1), (4, 1), (1, 1))  # numbers in a vector, vectors side by side
_TOGETHER = 8 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 4  # sums of 16 numbers that have room
_LOOSE = ("contract", "nsz", "reassoc")


@numba.extending.intrinsic
def add_rows(_typing: Any, vector: Any, matrix: Any, which: Any, scales: Any, begin: Any, end: Any) -> Any:  # noqa: ARG001 (`emit` gets their values)
    """vector[:] += the sum of scales[e] * matrix[which[e], :] over begin <= e < end; `scales` None are ones."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = _Rows(context, builder, signature.args, values)
        for width, columns in rows.columns():
            sums = [code.alloca_once_value(builder, rows.load(rows.vector, column, width)) for column in columns]
            with rows.events() as (_, start, scale):
                for column, kept in zip(columns, sums, strict=True):
                    term = rows.load(rows.matrix, builder.add(start, column), width)
                    builder.store(rows.sum(builder.load(kept), term, scale), kept)
            for column, kept in zip(columns, sums, strict=True):
                rows.store(builder.load(kept), rows.vector, column)
        return context.get_dummy_value()

    return numba.types.void(vector, matrix, which, scales, numba.int64, numba.int64), emit


@numba.extending.intrinsic
def add_to_rows(_typing: Any, vector: Any, matrix: Any, which: Any, scales: Any, begin: Any, end: Any) -> Any:  # noqa: ARG001 (`emit` gets their values)
    """matrix[which[e], :] += scales[e] * vector[:] for begin <= e < end; `scales` None are ones."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = _Rows(context, builder, signature.args, values)
        for width, columns in rows.columns():
            terms = [rows.load(rows.vector, column, width) for column in columns]
            with rows.events() as (_, start, scale):
                for column, term in zip(columns, terms, strict=True):
                    place = builder.add(start, column)
                    rows.store(rows.sum(rows.load(rows.matrix, place, width), term, scale), rows.matrix, place)
        return context.get_dummy_value()

    return numba.types.void(vector, matrix, which, scales, numba.int64, numba.int64), emit


@numba.extending.intrinsic
def dot_rows(_typing: Any, vector: Any, matrix: Any, which: Any, products: Any, begin: Any, end: Any) -> Any:  # noqa: ARG001 (`emit` gets their values)
    """products[e] = the product of matrix[which[e], :] and vector, for begin <= e < end."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = _Rows(context, builder, (*signature.args[:3], numba.types.none), (*values[:3], None, *values[4:]))
        products = context.make_array(signature.args[3])(context, builder, values[3]).data
        with rows.events() as (event, start, _):
            total = code.alloca_once_value(builder, products.type.pointee(0))
            for width, columns in rows.columns():
                terms = [
                    builder.fmul(
                        rows.load(rows.matrix, builder.add(start, column), width),
                        rows.load(rows.vector, column, width),
                        flags=_LOOSE,
                    )
                    for column in columns
                ]
                both = terms[0]
                for term in terms[1:]:
                    both = builder.fadd(both, term, flags=_LOOSE)
                builder.store(rows.reduced(both, builder.load(total)), total)
            builder.store(builder.load(total), builder.gep(products, [event]))
        return context.get_dummy_value()

    return numba.types.void(vector, matrix, which, products, numba.int64, numba.int64), emit


@numba.extending.intrinsic
def add_products(_typing: Any, sums: Any, vectors: Any, matrix: Any, n_vectors: Any) -> Any:  # noqa: ARG001 (`emit` gets their values)
    """sums[i, :] += vectors[i, :] times matrix, for i < n_vectors."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lanes = _Lanes(context, builder, signature.args, values)
        sums, vectors, matrix = (lanes.array(index).data for index in range(3))
        n_rows, n_columns = code.unpack_tuple(builder, lanes.array(2).shape, 2)

        def place(row: Any, width: Any, column: Any) -> Any:
            return builder.add(builder.mul(row, width), column)

        for width, (column,) in lanes.stretches(n_columns, ((16, 1), (1, 1))):
            for _, together in lanes.stretches(values[3], ((1, _TOGETHER), (1, 1))):
                places = [place(i, n_columns, column) for i in together]
                kept = [code.alloca_once_value(builder, lanes.load(sums, each, width)) for each in places]
                with code.for_range(builder, n_rows) as row:
                    term = lanes.load(matrix, place(row.index, n_columns, column), width)
                    for i, each in zip(together, kept, strict=True):
                        scale = builder.load(builder.gep(vectors, [place(i, n_rows, row.index)]))
                        builder.store(lanes.sum(builder.load(each), term, scale), each)
                for each, where in zip(kept, places, strict=True):
                    lanes.store(builder.load(each), sums, where)
        return context.get_dummy_value()

    return numba.types.void(sums, vectors, matrix, numba.int64), emit


class _Lanes:
    """What they all write into a kernel."""

    def __init__(self, context: Any, builder: Any, types: Any, values: Any) -> None:
        self.context, self.builder, self.types, self.values = context, builder, types, values

    def array(self, index: int) -> Any:
        """An argument."""
        return self.context.make_array(self.types[index])(self.context, self.builder, self.values[index])

    def stretches(self, total: Any, kinds: Any) -> Iterator[tuple[int, list[Any]]]:
        """For each kind of stretch, in a loop over those that fit: the width of its vectors and where they begin."""
        builder, done = self.builder, total.type(0)
        for width, count in kinds:
            size = total.type(width * count)
            fitting = builder.sdiv(builder.sub(total, done), size)
            with code.for_range(builder, fitting) as loop:
                first = builder.add(done, builder.mul(loop.index, size))
                yield width, [builder.add(first, first.type(width * part)) for part in range(count)]
            done = builder.add(done, builder.mul(fitting, size))

    def load(self, array: Any, place: Any, width: int) -> Any:
        """`width` numbers from `place` on."""
        kind = array.type.pointee
        pointer = self._pointer(array, place, llvmlite.ir.VectorType(kind, width))
        return self.builder.load(pointer, align=_size(kind))

    def store(self, value: Any, array: Any, place: Any) -> None:
        """The numbers from `place` on."""
        pointer = self._pointer(array, place, value.type)
        self.builder.store(value, pointer, align=_size(array.type.pointee))

    def sum(self, value: Any, term: Any, scale: Any) -> Any:
        """Add scale * term to a value."""
        builder = self.builder
        if scale is not None:
            width = term.type.count
            one = llvmlite.ir.Constant(term.type, llvmlite.ir.Undefined)
            lanes = llvmlite.ir.Constant(llvmlite.ir.VectorType(llvmlite.ir.IntType(32), width), [0] * width)
            spread = builder.insert_element(one, scale, llvmlite.ir.IntType(32)(0))
            term = builder.fmul(builder.shuffle_vector(spread, one, lanes), term, flags=_LOOSE)
        return builder.fadd(value, term, flags=_LOOSE)

    def reduced(self, vector: Any, value: Any) -> Any:
        """A value and the numbers of a vector, in any order."""
        kind, name = value.type, "f64" if isinstance(value.type, llvmlite.ir.DoubleType) else "f32"
        function = code.get_or_insert_function(
            self.builder.module,
            llvmlite.ir.FunctionType(kind, [kind, vector.type]),
            f"llvm.vector.reduce.fadd.v{vector.type.count}{name}",
        )
        return self.builder.call(function, [value, vector], fastmath=_LOOSE)

    def _pointer(self, array: Any, place: Any, kind: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(array, [place]), kind.as_pointer())


class _Rows(_Lanes):
    """The rows that events choose."""

    def __init__(self, context: Any, builder: Any, types: Any, values: Any) -> None:
        super().__init__(context, builder, types, values)
        self.vector, self.matrix, self.which = (self.array(index).data for index in range(3))
        self.scales = None if isinstance(types[3], numba.types.NoneType) else self.array(3).data
        self.n_columns = code.unpack_tuple(builder, self.array(0).shape, 1)[0]
        self.begin, self.end = values[4:]

    def columns(self) -> Iterator[tuple[int, list[Any]]]:
        """Stretches of a row."""
        return self.stretches(self.n_columns, _STRETCHES)

    @contextmanager
    def events(self) -> Iterator[tuple[Any, Any, Any]]:
        """A loop over the events: their numbers, where the row begins, and its scale or None."""
        builder, step = self.builder, self.begin.type(1)
        with code.for_range_slice(builder, self.begin, self.end, step) as (event, _):
            unit = builder.sext(builder.load(builder.gep(self.which, [event])), event.type)
            scale = None if self.scales is None else builder.load(builder.gep(self.scales, [event]))
            yield event, builder.mul(unit, self.n_columns), scale


def _size(kind: Any) -> int:
    return 8 if isinstance(kind, llvmlite.ir.DoubleType) else 4

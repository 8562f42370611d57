"""The places of the few numbers in a vector that are not zero, listed. The kernels include this text.

LLVM does not turn a loop that writes a list into vector code, and one number at a time takes longer than a whole step
of a neuron's states. Here a comparison of 32 numbers gives a word of 32 bits, and only bits that are set cost more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.ir
import numba
import numba.core.cgutils as code
import numba.extending

_AT_ONCE = (32, 8, 1)  # numbers looked at together


@numba.extending.intrinsic
def list_hits(_typing: Any, flags: Any, places: Any) -> Any:
    """Write to `places`, int32, where `flags` are not zero, in ascending order, and return how many.

    Both C-contiguous; `places` has room for as many as there are flags.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        flags, places = (context.make_array(signature.args[i])(context, builder, values[i]) for i in range(2))
        length = code.unpack_tuple(builder, flags.shape, 1)[0]
        integer, kind, word = length.type, flags.data.type.pointee, llvmlite.ir.IntType(32)
        count = code.alloca_once_value(builder, integer(0))
        done = integer(0)
        for width in _AT_ONCE:
            vector = llvmlite.ir.VectorType(kind, width)
            fitting = builder.sdiv(builder.sub(length, done), integer(width))
            with code.for_range(builder, fitting) as loop:
                first = builder.add(done, builder.mul(loop.index, integer(width)))
                pointer = builder.bitcast(builder.gep(flags.data, [first]), vector.as_pointer())
                some = builder.load(pointer, align=4)
                is_hit = builder.fcmp_unordered("!=", some, llvmlite.ir.Constant(vector, [kind(0)] * width))
                bits = builder.bitcast(is_hit, llvmlite.ir.IntType(width))
                left = code.alloca_once_value(builder, bits if width == word.width else builder.zext(bits, word))
                with _until_zero(builder, left) as bits:
                    place = builder.add(builder.trunc(first, word), builder.cttz(bits, code.true_bit))
                    n = builder.load(count)
                    builder.store(place, builder.gep(places.data, [n]))
                    builder.store(builder.add(n, integer(1)), count)
                    builder.store(builder.and_(bits, builder.sub(bits, word(1))), left)
            done = builder.add(done, builder.mul(fitting, integer(width)))
        return builder.load(count)

    return numba.types.int64(flags, places), emit


@contextmanager
def _until_zero(builder: Any, left: Any) -> Iterator[Any]:
    """A loop over what is in `left`, which its body changes, until that is zero."""
    test, body, end = (builder.append_basic_block(name) for name in ("test", "hit", "none_left"))
    builder.branch(test)
    builder.position_at_end(test)
    bits = builder.load(left)
    builder.cbranch(builder.icmp_unsigned("!=", bits, bits.type(0)), body, end)
    builder.position_at_end(body)
    yield bits
    builder.branch(test)
    builder.position_at_end(end)

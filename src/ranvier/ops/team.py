"""Chunks of a kernel in torch's OpenMP team, started from compiled code: no thread waits for the interpreter's lock.

A thread that comes from Python holds that lock before its kernel and after it, and so waits for the others' turns. Here
the calling thread gives it up once, for all. GOMP_parallel takes a C function and a pointer; the function written here
finds behind the pointer what the caller put there, and calls the kernel for its share of the chunks. It does so by
address: linked with the caller, the kernel would be compiled a second time. The address is told once and kept in the
compiled code, which there is one of for each set of types: nobody need look the types up at every call.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_new_ref
from numba.cpython.listobj import ListInstance
from numba.extending import intrinsic

_BYTES, _INT, _LONG = ir.IntType(8).as_pointer(), ir.IntType(32), ir.IntType(64)
_ASK = ir.FunctionType(_INT, []).as_pointer()


@intrinsic
def in_team(typing: Any, kernel: Any, address: Any, team: Any, bounds: Any, arguments: Any) -> Any:
    """What `kernel(chunk, bounds[chunk], bounds[chunk + 1], *arguments)` returns for every chunk, in order.

    Args:
        typing: Numba's, not the caller's.
        kernel: a compiled function; if it returns nothing, nothing is returned.
        address: where its code for these arguments lies, or 0 where it was told before (else a LookupError).
        team: addresses of GOMP_parallel, omp_get_thread_num and omp_get_num_threads, int64 [3].
        bounds: where chunks begin and end, int64 [chunks + 1].
        arguments: a tuple.
    """
    taken = (types.int64, types.int64, types.int64, *arguments)
    result = typing.resolve_function_type(kernel, taken, {}).return_type
    returned = types.none if result == types.none else types.List(result)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, address, team, bounds, arguments = values
        address = _known(context, builder, address)
        team = context.make_array(signature.args[2])(context, builder, team).data
        bounds = context.make_array(signature.args[3])(context, builder, bounds)
        n_chunks = builder.sub(builder.extract_value(bounds.shape, 0), _LONG(1))
        results = builder.alloca(context.get_value_type(result), n_chunks)
        failures = builder.alloca(ir.IntType(1), n_chunks)
        given = [builder.extract_value(arguments, place) for place in range(len(signature.args[4]))]
        put = [address, team, bounds.data, n_chunks, results, failures, *given]
        packed = ir.LiteralStructType([value.type for value in put])
        pack = cgutils.alloca_once(builder, packed)
        for place, value in enumerate(put):
            builder.store(value, cgutils.gep_inbounds(builder, pack, 0, place))
        share = _share(context, builder.module, packed, result, taken)
        start_type = ir.FunctionType(ir.VoidType(), [share.type, _BYTES, _INT, _INT])
        start = builder.inttoptr(builder.load(team), start_type.as_pointer())
        builder.call(start, [share, builder.bitcast(pack, _BYTES), builder.trunc(n_chunks, _INT), _INT(0)])
        with cgutils.for_range(builder, n_chunks) as loop:
            failed = builder.load(builder.gep(failures, [loop.index]))
            with builder.if_then(failed, likely=False):
                context.call_conv.return_user_exc(builder, MemoryError, ("A kernel found no memory.",))
        if result == types.none:
            return context.get_dummy_value()
        found = ListInstance.allocate(context, builder, returned, n_chunks)
        found.size = n_chunks
        with cgutils.for_range(builder, n_chunks) as loop:
            found.setitem(loop.index, builder.load(builder.gep(results, [loop.index])), incref=False)
        return impl_ret_new_ref(context, builder, returned, found.value)

    return returned(kernel, address, team, bounds, arguments), generate


def _known(context: Any, builder: Any, address: Any) -> Any:
    """The address told now or before; that of now is kept."""
    kept = cgutils.add_global_variable(builder.module, _LONG, builder.module.get_unique_name("ranvier_address"))
    kept.linkage = "internal"
    kept.initializer = _LONG(0)  # pyright: ignore[reportAttributeAccessIssue] (typed as what it is at first)
    before = builder.load(kept)
    known = builder.select(builder.icmp_signed("!=", address, _LONG(0)), address, before)
    with builder.if_then(builder.icmp_signed("==", known, _LONG(0)), likely=False):
        context.call_conv.return_user_exc(builder, LookupError, ("The kernel's address was not told yet.",))
    builder.store(known, kept)
    return known


def _share(context: Any, module: Any, packed: ir.LiteralStructType, result: Any, taken: tuple[Any, ...]) -> ir.Function:
    """One thread's share: a C function of the pointer to what the caller has put together."""
    kind = ir.FunctionType(ir.VoidType(), [_BYTES])
    share = ir.Function(module, kind, module.get_unique_name("ranvier_share"))
    share.linkage = "internal"
    builder = ir.IRBuilder(share.append_basic_block())
    put = builder.bitcast(share.args[0], packed.as_pointer())
    address, team, bounds, n_chunks, results, failures, *given = (
        builder.load(cgutils.gep_inbounds(builder, put, 0, place)) for place in range(len(packed.elements))
    )
    kernel = builder.inttoptr(address, context.call_conv.get_function_type(result, taken).as_pointer())
    mine, threads = (
        builder.sext(builder.call(builder.inttoptr(builder.load(builder.gep(team, [_INT(place)])), _ASK), []), _LONG)
        for place in (1, 2)
    )
    with cgutils.for_range_slice(builder, mine, n_chunks, threads, _LONG) as (chunk, _):
        first, last = (builder.load(builder.gep(bounds, [builder.add(chunk, _LONG(more))])) for more in (0, 1))
        status, found = context.call_conv.call_function(builder, kernel, result, taken, [chunk, first, last, *given])
        builder.store(found, builder.gep(results, [chunk]))
        builder.store(status.is_error, builder.gep(failures, [chunk]))
    builder.ret_void()
    return share

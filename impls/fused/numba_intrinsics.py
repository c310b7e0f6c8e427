"""What the generated CPU kernels call: memory by address, and the operations of `lang`. Imported only to compile.

No fast-math flag is set anywhere: nothing is reassociated or contracted, so an element's result depends neither on
the place of the element in its tensor nor on the machine's vector width.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# More arrays than any rule has. Each array of a kernel is its own alias scope, or LLVM would give up on vectorising
# loops over many arrays for the number of overlap checks.
MOST_ARRAYS = 12
_INT = ir.IntType(64)
_STORAGE = {
    "float16": (ir.HalfType(), 2),
    "bfloat16": (ir.IntType(16), 2),
    "float32": (ir.FloatType(), 4),
    "float64": (ir.DoubleType(), 8),
}


def _pointer(builder: Any, kind: Any, address: Any, index: Any) -> Any:
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])


def _plain_load(numba_type: Any, kind: Any) -> Any:
    def load(typing_context: Any, address: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(_pointer(builder, kind, *arguments))

        return numba_type(types.int64, types.int64), generate

    return intrinsic(load)


def _plain_store(numba_type: Any, kind: Any) -> Any:
    def store(typing_context: Any, address: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(arguments[2], _pointer(builder, kind, *arguments[:2]))
            return arguments[2]

        return numba_type(types.int64, types.int64, numba_type), generate

    return intrinsic(store)


load_int = _plain_load(types.int64, _INT)
load_float32 = _plain_load(types.float32, ir.FloatType())
load_float64 = _plain_load(types.float64, ir.DoubleType())
store_int = _plain_store(types.int64, _INT)
store_float32 = _plain_store(types.float32, ir.FloatType())
store_float64 = _plain_store(types.float64, ir.DoubleType())


@intrinsic
def fetch_add(typing_context: Any, address: Any, index: Any) -> Any:
    """Add one to a counter that threads share; the value before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _pointer(builder, _INT, *arguments), ir.Constant(_INT, 1), "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def ask(typing_context: Any, function: Any, handle: Any, answer: Any) -> Any:
    """Call the C function `int32 function(handle, answer)` at an address; then the int64 at `answer`, -1 on failure."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [_INT, _INT]).as_pointer()
        failed = builder.icmp_signed(
            "!=", builder.call(builder.inttoptr(arguments[0], kind), arguments[1:]), ir.IntType(32)(0)
        )
        return builder.select(failed, _INT(-1), builder.load(builder.inttoptr(arguments[2], _INT.as_pointer())))

    return types.int64(types.int64, types.int64, types.int64), generate


def _scope(module: Any, instruction: Any, row: int) -> None:
    domain = module.add_metadata(["optbench"])
    scopes = [module.add_metadata([f"array {index}", domain]) for index in range(MOST_ARRAYS)]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[row]]))
    instruction.set_metadata("noalias", module.add_metadata(scopes[:row] + scopes[row + 1 :]))


def _working(storage: str) -> Any:
    return types.float64 if storage == "float64" else types.float32


def _widen(builder: Any, value: Any, storage: str) -> Any:
    if storage == "float16":
        return builder.fpext(value, ir.FloatType())
    if storage == "bfloat16":
        word = builder.zext(value, ir.IntType(32))
        return builder.bitcast(builder.shl(word, ir.Constant(ir.IntType(32), 16)), ir.FloatType())
    return value


def _narrow(builder: Any, value: Any, storage: str) -> Any:
    """To the nearest, ties to even; a NaN stays a NaN."""
    if storage == "float16":
        return builder.fptrunc(value, ir.HalfType())
    if storage != "bfloat16":
        return value
    word = ir.IntType(32)
    bits = builder.bitcast(value, word)
    odd = builder.and_(builder.lshr(bits, word(16)), word(1))
    # Rounding could carry a NaN over to infinity, so a NaN is cut off instead. Its upper half says NaN by itself:
    # arithmetic sets the highest bit of the fraction, and what was loaded has no lower half.
    known = builder.sext(builder.fcmp_ordered("ord", value, value), word)
    carry = builder.and_(builder.add(odd, word(0x7FFF)), known)
    return builder.trunc(builder.lshr(builder.add(bits, carry), word(16)), ir.IntType(16))


@intrinsic(prefer_literal=True)
def prefetch(typing_context: Any, address: Any, index: Any, storage: Any) -> Any:
    """Ask for the cache line of element `index`, which need not exist."""
    if not isinstance(storage, types.StringLiteral):
        return None
    name = storage.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        place = builder.bitcast(_pointer(builder, _STORAGE[name][0], *arguments[:2]), byte)
        # to read, to be kept in all caches, data
        builder.call(function, [place, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, storage), generate


# Bytes of a scratch line, and of what a vector instruction stores at once and aligned.
_LINE, _VECTOR = 128, 64


@intrinsic(prefer_literal=True)
def scratch_line(typing_context: Any, storage: Any) -> Any:
    """The address of 128 bytes that this call of the kernel has for itself."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(ir.IntType(8), _LINE))
            memory.align = _VECTOR
        return builder.ptrtoint(memory, _INT)

    return types.int64(storage), generate


@intrinsic(prefer_literal=True)
def aligned(typing_context: Any, address: Any, index: Any, storage: Any) -> Any:
    """Whether element `index` of an array is where a vector can be stored past the caches."""
    if not isinstance(storage, types.StringLiteral):
        return None
    size = _STORAGE[storage.literal_value][1]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.add(arguments[0], builder.mul(arguments[1], _INT(size)))
        return builder.icmp_unsigned("==", builder.and_(place, _INT(_VECTOR - 1)), _INT(0))

    return types.boolean(types.int64, types.int64, storage), generate


@intrinsic(prefer_literal=True)
def stream_line(typing_context: Any, address: Any, index: Any, line: Any, storage: Any) -> Any:
    """Copy a scratch line to the aligned elements from `index` on, past the caches."""
    if not isinstance(storage, types.StringLiteral):
        return None
    kind, size = _STORAGE[storage.literal_value]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(kind, _VECTOR // size)
        target = builder.bitcast(_pointer(builder, kind, *arguments[:2]), vector.as_pointer())
        source = builder.inttoptr(arguments[2], vector.as_pointer())
        for place in range(_LINE // _VECTOR):
            value = builder.load(builder.gep(source, [_INT(place)]))
            value.align = _VECTOR
            stored = builder.store(value, builder.gep(target, [_INT(place)]))
            stored.align = _VECTOR
            stored.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, storage), generate


@intrinsic(prefer_literal=True)
def load_element(typing_context: Any, address: Any, index: Any, row: Any, storage: Any) -> Any:
    """Element `index` of an array, in the working type."""
    if not isinstance(row, types.IntegerLiteral) or not isinstance(storage, types.StringLiteral):
        return None
    name, number = storage.literal_value, row.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, size = _STORAGE[name]
        value = builder.load(_pointer(builder, kind, *arguments[:2]))
        value.align = size
        _scope(builder.module, value, number)
        return _widen(builder, value, name)

    return _working(name)(types.int64, types.int64, row, storage), generate


@intrinsic(prefer_literal=True)
def store_element(typing_context: Any, address: Any, index: Any, row: Any, storage: Any, value: Any) -> Any:
    """Round to the storage type and store as element `index` of an array."""
    if not isinstance(row, types.IntegerLiteral) or not isinstance(storage, types.StringLiteral):
        return None
    name, number = storage.literal_value, row.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, size = _STORAGE[name]
        stored = builder.store(_narrow(builder, arguments[4], name), _pointer(builder, kind, *arguments[:2]))
        stored.align = size
        _scope(builder.module, stored, number)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, row, storage, _working(name)), generate


@intrinsic
def where_(typing_context: Any, condition: Any, first: Any, second: Any) -> Any:
    """See `lang.where`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return first(types.boolean, first, first), generate


@intrinsic
def sqrt_(typing_context: Any, value: Any) -> Any:
    """See `lang.sqrt`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [arguments[0].type]), arguments)

    return value(value), generate


@intrinsic
def div_(typing_context: Any, numerator: Any, denominator: Any) -> Any:
    """See `lang.div`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fdiv(*arguments)

    return numerator(numerator, numerator), generate


@intrinsic
def floor_(typing_context: Any, value: Any) -> Any:
    """See `lang.floor`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.floor", [arguments[0].type]), arguments)

    return value(value), generate


def _extreme(comparison: str) -> Any:
    def operation(typing_context: Any, first: Any, second: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            left, right = arguments
            chosen = builder.fcmp_ordered(comparison, left, right)
            return builder.select(builder.or_(chosen, builder.fcmp_unordered("uno", left, left)), left, right)

        return first(first, first), generate

    return intrinsic(operation)


maximum_ = _extreme(">")
minimum_ = _extreme("<")


@intrinsic
def absolute_(typing_context: Any, value: Any) -> Any:
    """See `lang.absolute`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.fabs", [arguments[0].type]), arguments)

    return value(value), generate


@intrinsic
def sign_(typing_context: Any, value: Any) -> Any:
    """See `lang.sign`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        below = builder.select(builder.fcmp_ordered("<", arguments[0], kind(0.0)), kind(-1.0), kind(0.0))
        return builder.select(builder.fcmp_ordered(">", arguments[0], kind(0.0)), kind(1.0), below)

    return value(value), generate


def _library_call(name: str, arity: int) -> Any:
    def call(builder: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.DoubleType(), [ir.DoubleType()] * arity)
        module = builder.module
        return builder.call(module.globals.get(name) or ir.Function(module, kind, name), arguments)

    def unary(typing_context: Any, value: Any) -> Any:
        return types.float64(types.float64), lambda _, builder, __, arguments: call(builder, arguments)

    def binary(typing_context: Any, first: Any, second: Any) -> Any:
        return types.float64(types.float64, types.float64), lambda _, builder, __, arguments: call(builder, arguments)

    return intrinsic(unary if arity == 1 else binary)


expm1_ = _library_call("expm1", 1)
log_ = _library_call("log", 1)
sin_ = _library_call("sin", 1)
power_ = _library_call("pow", 2)


def _rounded(builder: Any, value: Any, storage: str) -> Any:
    """A float64 as a number stored in this dtype."""
    if storage == "float64":
        return value
    single = builder.fptrunc(value, ir.FloatType())
    return builder.fpext(_widen(builder, _narrow(builder, single, storage), storage), ir.DoubleType())


@intrinsic(prefer_literal=True)
def stored_product_(typing_context: Any, stored: Any, factor: Any, storage: Any) -> Any:
    """See `lang.stored_product`."""
    if not isinstance(storage, types.StringLiteral):
        return None
    name = storage.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # The product of two float32 is exact in float64.
        factor_taken = _rounded(builder, arguments[1], "float64" if name == "float64" else "float32")
        return _rounded(builder, builder.fmul(arguments[0], factor_taken), name)

    return types.float64(types.float64, types.float64, storage), generate


@intrinsic(prefer_literal=True)
def load_stored(typing_context: Any, address: Any, storage: Any) -> Any:
    """A number of this dtype at an address, as float64."""
    if not isinstance(storage, types.StringLiteral):
        return None
    name = storage.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_pointer(builder, _STORAGE[name][0], arguments[0], _INT(0)))
        widened = _widen(builder, value, name)
        return widened if name == "float64" else builder.fpext(widened, ir.DoubleType())

    return types.float64(types.int64, storage), generate


@intrinsic(prefer_literal=True)
def store_stored(typing_context: Any, address: Any, storage: Any, value: Any) -> Any:
    """Round a float64 to this dtype and store it at an address."""
    if not isinstance(storage, types.StringLiteral):
        return None
    name = storage.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = arguments[2] if name == "float64" else builder.fptrunc(arguments[2], ir.FloatType())
        place = _pointer(builder, _STORAGE[name][0], arguments[0], _INT(0))
        builder.store(_narrow(builder, number, name), place)
        return context.get_dummy_value()

    return types.void(types.int64, storage, types.float64), generate


@intrinsic
def accumulate(typing_context: Any, total: Any, term: Any) -> Any:
    """A sum whose terms may be taken in another order, so that a loop over them becomes vector code."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments, flags=("reassoc", "nsz"))

    return total(total, total), generate

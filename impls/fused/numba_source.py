"""Write the CPU kernels of one rule as self-contained Python source that Numba compiles.

The rule's body stands inside the loop, with its flags folded, its literals in the working type and its operations
replaced by the intrinsics of `numba_intrinsics`. So nothing is left to type inference, and the text is all that a
cache key must cover.
"""

from __future__ import annotations

import ast
import inspect
import struct
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .lang import OPERATIONS, Rule

# Places in the array of int64 that a kernel gets the address of. Two threads write the last two: each has its own
# cache line.
JOB_SIZE = 32
NEXT_CHUNK, CHUNKS_DONE = 16, 24

# Elements of a block, of a cache line, and from a block to what is asked for meanwhile.
_AHEAD = {"float32": (32, 16, 256), "float64": (16, 8, 128)}

# Arrays of so many elements, which no cache holds, are written around the caches where they are not read: a processor
# else reads what it is about to overwrite.
STREAMED = 1 << 22

_OPERATION_NAMES = {operation.__name__ for operation in OPERATIONS}

_PREPARE = """
def prepare(_job):
    _tensors, _steps, _wide = load_int(_job, 0), load_int(_job, 1), load_int(_job, 2)
    _numbers, _hyper, _scalars = load_int(_job, 3), load_int(_job, 4), load_int(_job, 5)
    _stored = load_int(_job, 6)
    _previous, _row = 0.0, 0
{seen}
    for _tensor in range(_tensors):
        _place = 0 if _steps == 0 else load_int(_steps, _tensor)
        if _place == 0:
            step = load_float64(_numbers, _tensor)
        elif _wide != 0:
            step = store_float64(_place, 0, load_float64(_place, 0) + 1.0)
        else:
            step = float64(store_float32(_place, 0, load_float32(_place, 0) + 1.0))
        # most tensors share their step and hyperparameters with the tensor before
        _same = _tensor > 0 and step == _previous
{load_stored}
        for _index in range({hyper_count}):
            _value = load_float64(_hyper, _row * {hyper_count} + _index)
            _same = _same and load_float64(_hyper, _tensor * {hyper_count} + _index) == _value
        if _same:
            for _index in range({scalar_count}):
                _value = load_float64(_scalars, _row * {scalar_count} + _index)
                store_float64(_scalars, _tensor * {scalar_count} + _index, _value)
{store_stored}
            continue
        _previous, _row = step, _tensor
{see}
{load_hyper}
{body}
{store_scalars}
{keep}
"""

_UPDATE = """
def update(_job):
    _arrays, _tensors, _numel, _scalars = load_int(_job, 0), load_int(_job, 1), load_int(_job, 2), load_int(_job, 3)
    _chunk_tensor, _chunk_start, _chunks = load_int(_job, 4), load_int(_job, 5), load_int(_job, 6)
    _unscale = {work}(load_float64(_job, 7))
    while True:
        _chunk = fetch_add(_job, {next_chunk})
        if _chunk >= _chunks:
            return
        _tensor, _start = load_int(_chunk_tensor, _chunk), load_int(_chunk_start, _chunk)
        _last, _stop = load_int(_chunk_tensor, _chunk + 1), load_int(_chunk_start, _chunk + 1)
        while _tensor <= _last:
            _end = _stop if _tensor == _last else load_int(_numel, _tensor)
{load_pointers}
{load_scalars}
{loops}
            _tensor, _start = _tensor + 1, 0
        fetch_add(_job, {chunks_done})
"""


def prepare_source(rule: Rule, flags: Sequence[int], stored: str = "float32") -> str:
    """Source of `prepare(job)`: advance the steps of all tensors and fill their table of scalars.

    Args:
        stored: dtype of `rule.tensor_state`.
    """
    constants: dict[str, int | str] = {**dict(zip(rule.flags, flags, strict=True)), "STORED": stored}
    body, returned = _specialise(rule.prepare, constants, "float64")
    count, names = len(rule.scalars), rule.tensor_state
    stores = [f"store_stored(_at_{name}, {stored!r}, _new_{name})" for name in names]
    kept = [f"_new_{name} = {result}" for name, result in zip(names, returned[count:], strict=True)]
    return _PREPARE.format(
        seen=_lines(4, (f"_seen_{name} = _new_{name} = 0.0" for name in names)),
        load_stored=_lines(
            8,
            (
                f"_at_{name} = load_int(_stored, _tensor + {row} * _tensors)\n"
                f"{name} = load_stored(_at_{name}, {stored!r})\n"
                f"_same = _same and {name} == _seen_{name}"
                for row, name in enumerate(names)
            ),
        ),
        store_stored=_lines(12, stores),
        see=_lines(8, (f"_seen_{name} = {name}" for name in names)),
        keep=_lines(8, (*kept, *stores)),
        hyper_count=len(rule.hyper),
        scalar_count=count,
        load_hyper=_lines(
            8,
            (
                f"{name} = load_float64(_hyper, _tensor * {len(rule.hyper)} + {index})"
                for index, name in enumerate(rule.hyper)
            ),
        ),
        body=textwrap.indent(body, " " * 8),
        store_scalars=_lines(
            8,
            (
                f"store_float64(_scalars, _tensor * {count} + {index}, {name})"
                for index, name in enumerate(returned[:count])
            ),
        ),
    )


def update_source(rule: Rule, flags: Sequence[int], storage: str) -> str:
    """Source of `update(job)`: take chunks of work until none is left.

    Args:
        storage: "float16", "bfloat16", "float32" or "float64".
    """
    work = "float64" if storage == "float64" else "float32"
    present = (True, True, *rule.present(tuple(flags)))
    used = [(row, name) for row, name in enumerate(("param", "grad", *rule.state)) if present[row]]
    count = len(rule.scalars)
    return _UPDATE.format(
        work=work,
        next_chunk=NEXT_CHUNK,
        chunks_done=CHUNKS_DONE,
        load_pointers=_lines(12, (f"_at_{name} = load_int(_arrays, _tensor + {row} * _tensors)" for row, name in used)),
        load_scalars=_lines(
            12,
            (
                f"{name} = {work}(load_float64(_scalars, _tensor * {count} + {index}))"
                for index, name in enumerate(rule.scalars)
            ),
        ),
        loops=textwrap.indent(_branches(rule, flags, storage, work, used, list(rule.read_if), []), " " * 12),
    )


def _branches(
    rule: Rule, flags: Sequence[int], storage: str, work: str, used: list[tuple[int, str]], open_: list[str],
    unread: list[str],
) -> str:  # fmt: skip
    """The loops, in a branch for each way of reading the state that need not be read."""
    if not open_:
        names = [name for _, name in used]
        plain = _loops(_element(rule, flags, storage, work, used, unread), names, storage)
        if len(unread) != 1 or storage not in _AHEAD:
            return plain
        streamed = _element(rule, flags, storage, work, used, unread, streamed=True)
        return _streaming(streamed, names, storage, unread[0], plain)
    name, *rest = open_
    branches = [_branches(rule, flags, storage, work, used, rest, more) for more in ([*unread, name], unread)]
    without, with_it = (textwrap.indent(branch, "    ") for branch in branches)
    return f"if {rule.read_if[name]} == {work}(0.0):\n{without}\nelse:\n{with_it}"


def _element(
    rule: Rule, flags: Sequence[int], storage: str, work: str, used: list[tuple[int, str]], unread: list[str],
    streamed: bool = False,
) -> str:  # fmt: skip
    """What happens to the element `_index`; what is streamed goes into a line of scratch memory first."""
    body, returned = _specialise(rule.update, dict(zip(rule.flags, flags, strict=True)), work)
    results = dict(zip(("param", *rule.state), returned, strict=True))
    names = {name for _, name in used if name not in unread}
    stored = {name: work if name in rule.wide else storage for _, name in used}
    loads = [
        f"{name} = load_element(_at_{name}, _index, {row}, {stored[name]!r})" for row, name in used if name in names
    ]
    absent = [f"{name} = {work}(0.0)" for name in rule.state if name not in names]
    stores = [
        f"store_element({'_line, _index - _block' if streamed and name in unread else f'_at_{name}, _index'}, {row}, "
        f"{stored[name]!r}, {results[name]})"
        for row, name in used
        if name != "grad"
    ]
    return "\n".join([*loads, *absent, "grad = grad * _unscale", body, *stores])


def _loops(element: str, names: list[str], storage: str) -> str:
    """The loop over the elements from `_start` to `_end` of a tensor, with its arrays asked for ahead of time.

    Processors fetch ahead by themselves, but not over the end of a page. Asking them gains 5 to 10% on a large Adam in
    float32; it costs 10% where there are two arrays only, and 15% in bfloat16, where conversions take the time.
    """
    lines = ["_whole = _start"]
    if storage in _AHEAD and len(names) > 2:
        lines = _blocks(element, names, storage)
    lines += ["for _index in range(_whole, _end):", textwrap.indent(element, " " * 4)]
    return "\n".join(lines)


def _blocks(element: str, names: list[str], storage: str, last: str = "pass") -> list[str]:
    """The loop over whole blocks, up to `_whole`; `last` is done behind each."""
    block, line, distance = _AHEAD[storage]
    return [
        f"_whole = _start + ((_end - _start) & -{block})",
        f"for _block in range(_start, _whole, {block}):",
        *(
            f"    prefetch(_at_{name}, _block + {distance + offset}, {storage!r})"
            for name in names
            for offset in range(0, block, line)
        ),
        f"    for _index in range(_block, _block + {block}):",
        textwrap.indent(element, " " * 8),
        f"    {last}",
    ]


def _streaming(element: str, names: list[str], storage: str, written: str, plain: str) -> str:
    """The loops, and before them one over large arrays of which `written` is not read."""
    read = [name for name in names if name != written]
    blocks = _blocks(element, read, storage, f"stream_line(_at_{written}, _block, _line, {storage!r})")
    return "\n".join(
        [
            f"_line = scratch_line({storage!r})",
            f"if load_int(_numel, _tensor) >= {STREAMED} and aligned(_at_{written}, _start, {storage!r}):",
            *(textwrap.indent(line, " " * 4) for line in blocks),
            "    _start = _whole",
            plain,
        ]
    )


def _lines(indent: int, lines: Any) -> str:
    return textwrap.indent("\n".join(lines), " " * indent)


def _specialise(function: Callable[..., Any], flags: Mapping[str, int | str], work: str) -> tuple[str, list[str]]:
    """The function's body without its return, and the names that it returns."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    folder = _Folder(function, flags, work)
    body = [node for statement in tree.body for node in folder.statements(statement)]
    last = body.pop()
    if not isinstance(last, ast.Return) or any(
        isinstance(node, ast.Return) for part in body for node in ast.walk(part)
    ):
        raise ValueError(f"rule {function.__qualname__} must have one return, at its end")
    values = last.value.elts if isinstance(last.value, ast.Tuple) else [last.value]
    if not all(isinstance(value, ast.Name) for value in values):
        raise ValueError(f"rule {function.__qualname__} must return names: {ast.unparse(last)}")
    lines = [ast.unparse(ast.fix_missing_locations(node)) for node in body]
    return "\n".join(lines) or "pass", [value.id for value in values]  # type: ignore[union-attr]


class _Folder(ast.NodeTransformer):
    """Folds flags, types literals, and turns operations into the names of intrinsics."""

    def __init__(self, function: Callable[..., Any], flags: Mapping[str, int | str], work: str) -> None:
        self.flags, self.work, self.name = flags, work, function.__qualname__
        self.operations = {name: value.__name__ for name, value in function.__globals__.items() if value in OPERATIONS}

    def statements(self, node: ast.stmt) -> list[ast.stmt]:
        """What is left of a statement once the flags are known."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return []
        if isinstance(node, ast.If):
            chosen = node.body if self._flag(node.test) else node.orelse
            return [result for statement in chosen for result in self.statements(statement)]
        if not isinstance(node, ast.Assign | ast.AugAssign | ast.Return):
            raise ValueError(f"rule {self.name} may hold assignments, ifs over flags and a return: {ast.unparse(node)}")
        if isinstance(node, ast.Return):
            return [node]
        return [self.visit(node)]

    def _flag(self, test: ast.expr) -> bool:
        names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
        if not names <= self.flags.keys():
            raise ValueError(f"rule {self.name}: an if may test flags only, use where: {ast.unparse(test)}")
        return bool(eval(compile(ast.Expression(test), self.name, "eval"), {"__builtins__": {}}, dict(self.flags)))

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise ValueError(f"rule {self.name} may hold numbers only, not {node.value!r}")
        if struct.unpack("f", struct.pack("f", node.value))[0] != node.value:
            raise ValueError(f"rule {self.name} may hold numbers of float32 only: make {node.value} a hyperparameter")
        return ast.Call(ast.Name(self.work, ast.Load()), [ast.Constant(float(node.value))], [])

    def visit_Call(self, node: ast.Call) -> ast.expr:
        operation = self.operations.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if operation not in _OPERATION_NAMES or node.keywords:
            raise ValueError(f"rule {self.name} may call {sorted(_OPERATION_NAMES)} only: {ast.unparse(node)}")
        arguments = [self.visit(argument) for argument in node.args]
        return ast.Call(ast.Name(f"{operation}_", ast.Load()), arguments, [])

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.flags.get(node.id)
        if isinstance(value, str):
            return ast.Constant(value)
        if value is not None:
            return ast.Call(ast.Name(self.work, ast.Load()), [ast.Constant(float(value))], [])
        return node

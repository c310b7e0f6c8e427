"""The operators on source: what each makes of an expression or a statement."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .nodes import all_but_last, asks_whether_zero, called, is_whole, refuses, untouched, with_part, works_in_place

# Three binary digits below a thousandth: numbers that float32 holds stay such, as the language of rules demands.
FOURTH_DIGIT = 1 + 2.0**-11
# What a number is called that counts steps, epochs or models.
_COUNTS = ("step", "epoch", "num_averaged", "count", "n_averaged")
_COUNTING = ("range", "min", "max", "minimum", "maximum", "at_least")
_INDICES = ("index", "i", "place", "position")
_COPIES = ("copied", "deepcopy", "clone", "detach")
_OPPOSITES = {"maximum": "minimum", "minimum": "maximum", "max": "min", "min": "max"}
_NARROWER = {"float64": "float32", "float32": "bfloat16", "complex128": "complex64"}
_IN_PLACE_TOO = ("add", "sub", "mul", "div", "neg", "sqrt", "sign", "abs", "clamp", "masked_fill", "lerp", "addcmul")
_ORDERED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}


@dataclass(frozen=True)
class Context:
    """What an operator may know of where it works.

    Args:
        defaults: of the options, by the names that they have in the function: numbers and truth values only.
        bound: names that are bound before the statement.
        has_self: whether the function is a method.
        constructs: whether it is a constructor.
    """

    defaults: dict[str, Any] = field(default_factory=dict)
    bound: frozenset[str] = frozenset()
    has_self: bool = False
    constructs: bool = False


Change = Iterator[ast.AST]
Operator = Callable[[ast.AST, Context], Change]


def drop_term(node: ast.AST, context: Context) -> Change:
    """A sum without one of its terms, a product without a factor, an `and` without a condition, no call in place."""
    if isinstance(node, ast.BinOp):
        yield node.left
        if isinstance(node.op, ast.Add | ast.Mult):
            yield node.right
        elif isinstance(node.op, ast.Sub):
            yield ast.UnaryOp(ast.USub(), node.right)
        elif isinstance(node.op, ast.Div) and not (isinstance(node.left, ast.Constant) and node.left.value == 1):
            yield ast.BinOp(ast.Constant(1.0), node.op, node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield node.operand
    elif isinstance(node, ast.BoolOp):
        for left_out, condition in enumerate(node.values):
            # What only asks for a type guards what stands behind it.
            if isinstance(condition, ast.Call) and called(condition) == "isinstance":
                continue
            values = [value for place, value in enumerate(node.values) if place != left_out]
            yield ast.BoolOp(node.op, values) if len(values) > 1 else values[0]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        if works_in_place(called(node.value)):
            yield ast.Pass()
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and works_in_place(node.func.attr):
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"):
            yield node.func.value
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in context.bound:
        # Not `pass`, which the language of rules does not know.
        yield untouched(node.targets[0])


def swap_order(node: ast.AST, context: Context) -> Change:
    """Operands, branches, or a maximum and a minimum, the other way round; statements are swapped in `edits`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.Pow):
        yield ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.If) and node.orelse and not refuses(node):
        yield ast.If(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Call):
        name = called(node)
        if name == "where" and len(node.args) == 3:
            yield ast.Call(node.func, [node.args[0], node.args[2], node.args[1]], node.keywords)
        elif name in _OPPOSITES and isinstance(node.func, ast.Name):
            yield ast.Call(ast.Name(_OPPOSITES[name], ast.Load()), node.args, node.keywords)


def off_by_one(node: ast.AST, context: Context) -> Change:
    """A bound that is in where it was out, a whole number or a count that is one too large."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _ORDERED:
        yield ast.Compare(node.left, [_ORDERED[type(node.ops[0])]()], node.comparators)
    elif _holds_counts(node):
        yield from with_part(node, is_whole, lambda part: ast.Constant(part.value + 1))
    if isinstance(node, ast.BinOp | ast.Call):
        yield from with_part(node, _is_count, lambda part: ast.BinOp(part, ast.Add(), ast.Constant(1)))


def fourth_digit(node: ast.AST, context: Context) -> Change:
    """A constant that is wrong by a two-thousandth."""
    if isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value:
        yield ast.Constant(node.value * FOURTH_DIGIT)
    elif isinstance(node, ast.BinOp) and not isinstance(node.op, ast.FloorDiv | ast.Mod):
        yield from with_part(node, is_whole, lambda part: ast.Constant(part.value * FOURTH_DIGIT))


def dead_option(node: ast.AST, context: Context) -> Change:
    """A branch that is never taken, and an option that is its default whatever was asked for."""
    if isinstance(node, ast.If) and not refuses(node):
        yield ast.If(ast.Constant(False), node.body, node.orelse)
    elif isinstance(node, ast.IfExp):
        yield node.orelse
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if isinstance(node.value, ast.Name) and node.value.id == "group" and key in context.defaults:
            yield ast.Constant(context.defaults[key])
    elif isinstance(node, ast.BinOp | ast.Call) and not _asks(node):
        yield from with_part(
            node, lambda part: _is_option(part, context), lambda part: ast.Constant(context.defaults[part.id])
        )


def dead_check(node: ast.AST, context: Context) -> Change:
    """What is illegal is taken."""
    if isinstance(node, ast.If) and refuses(node):
        yield ast.If(ast.Constant(False), node.body, node.orelse)
    elif isinstance(node, ast.Expr) and _asks(node.value):
        yield ast.Pass()


def wrong_group(node: ast.AST, context: Context) -> Change:
    """The first group's option, or the first entry of a list, instead of its own."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
        return
    if isinstance(node.slice, ast.Name) and node.slice.id in _INDICES:
        yield ast.Subscript(node.value, ast.Constant(0), node.ctx)
    elif context.has_self and isinstance(node.value, ast.Name) and node.value.id == "group":
        groups = ast.Attribute(ast.Name("self", ast.Load()), "param_groups", ast.Load())
        first = ast.Subscript(groups, ast.Constant(0), ast.Load())
        if isinstance(node.slice, ast.Constant) and node.slice.value in context.defaults:
            yield ast.Subscript(first, node.slice, node.ctx)


def stale_state(node: ast.AST, context: Context) -> Change:
    """What is to be kept is not."""
    if context.constructs:
        return
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    if targets and all(isinstance(target, ast.Attribute | ast.Subscript) for target in targets):
        yield ast.Pass()


def shared_storage(node: ast.AST, context: Context) -> Change:
    """What should be a copy is not."""
    if isinstance(node, ast.Call) and called(node) in _COPIES:
        if isinstance(node.func, ast.Attribute) and not node.args:
            yield node.func.value
        elif len(node.args) == 1 and not node.keywords:
            yield node.args[0]
    elif isinstance(node, ast.List) and len(node.elts) == 1 and isinstance(node.elts[0], ast.Starred):
        yield node.elts[0].value
    elif isinstance(node, ast.keyword) and node.arg == "copy" and isinstance(node.value, ast.Constant):
        yield ast.keyword("copy", ast.Constant(not node.value.value))


def wrong_dtype(node: ast.AST, context: Context) -> Change:
    """The next narrower dtype, or the dtype of one operand instead of the wider of two."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
        if node.attr in _NARROWER:
            yield ast.Attribute(node.value, _NARROWER[node.attr], node.ctx)
    elif isinstance(node, ast.Call) and called(node) == "promote_types":
        yield node.args[0]


def skipped_tail(node: ast.AST, context: Context) -> Change:
    """A loop that ends before the last of its items."""
    if isinstance(node, ast.For):
        yield ast.For(node.target, all_but_last(node.iter), node.body, node.orelse, node.type_comment)
    elif isinstance(node, ast.comprehension):
        yield ast.comprehension(node.target, all_but_last(node.iter), node.ifs, node.is_async)


def mutated_input(node: ast.AST, context: Context) -> Change:
    """An operation on tensors that overwrites its operand."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Name):
        yield ast.Call(ast.Attribute(node.operand, "neg_", ast.Load()), [], [])
    elif isinstance(node, ast.keyword) and node.arg == "in_place":
        yield ast.keyword("in_place", ast.Constant(True))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        if name in _IN_PLACE_TOO and isinstance(node.func.value, ast.Name) and node.func.value.id != "torch":
            yield ast.Call(ast.Attribute(node.func.value, f"{name}_", ast.Load()), node.args, node.keywords)
        elif name.startswith("_foreach_") and not name.endswith("_") and name not in ("_foreach_norm", "_foreach_max"):
            # The call gives nothing: the operand is what it has changed.
            call = ast.Call(ast.Attribute(node.func.value, f"{name}_", ast.Load()), node.args, node.keywords)
            both = ast.Tuple([call, node.args[0]], ast.Load())
            yield ast.Subscript(both, ast.Constant(1), ast.Load())


OPERATORS: dict[str, Operator] = {
    "drop-term": drop_term,
    "swap-order": swap_order,
    "off-by-one": off_by_one,
    "fourth-digit": fourth_digit,
    "dead-option": dead_option,
    "dead-check": dead_check,
    "wrong-group": wrong_group,
    "stale-state": stale_state,
    "shared-storage": shared_storage,
    "wrong-dtype": wrong_dtype,
    "skipped-tail": skipped_tail,
    "mutated-input": mutated_input,
}


def _asks(node: ast.expr) -> bool:
    """Whether it is a call of a function that refuses what is illegal."""
    return isinstance(node, ast.Call) and called(node).startswith(("check", "_check"))


def _holds_counts(node: ast.AST) -> bool:
    """Whether a whole number that stands there counts something, or says which."""
    if isinstance(node, ast.Call):
        return called(node) in _COUNTING
    return isinstance(node, ast.BinOp | ast.Compare | ast.Slice | ast.Subscript) and not asks_whether_zero(node)


def _is_count(node: Any) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in _COUNTS


def _is_option(node: Any, context: Context) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in context.defaults

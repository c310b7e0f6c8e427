"""Whether swapping two statements can change anything: what each reads, binds and writes."""

from __future__ import annotations

import ast

from .nodes import called, works_in_place


def depend(first: ast.AST, second: ast.AST, bound: frozenset[str]) -> bool:
    """Whether swapping two statements can change anything, and leaves every name bound before it is read."""
    writes, others = _writes(first), _writes(second)
    reads, read_second = _reads(first), _reads(second)
    if not (binds(first) & {name.partition("[")[0] for name in read_second}) <= bound:
        return False
    return _meet(writes, read_second | others) or _meet(others, reads)


def _meet(some: frozenset[str], others: frozenset[str]) -> bool:
    """Whether any place is in both: a whole and an entry of it meet."""
    return any(
        one == other or one.partition("[")[0] == other or one == other.partition("[")[0]
        for one in some for other in others
    )  # fmt: skip


def _reads(node: ast.AST) -> frozenset[str]:
    """What is read: names, and of what is read by attribute or by a constant key that part alone."""
    if isinstance(node, ast.Call):
        # A method may read whatever its object has.
        found = _reads(node.func.value) if isinstance(node.func, ast.Attribute) else _reads(node.func)
        return found.union(*map(_reads, node.args), *(_reads(keyword.value) for keyword in node.keywords))
    if isinstance(node, ast.Attribute | ast.Subscript) and _part(node):
        return _place(node) if isinstance(node.ctx, ast.Load) else frozenset()
    if isinstance(node, ast.Name):
        return frozenset([node.id] if isinstance(node.ctx, ast.Load) else [])
    return frozenset().union(*map(_reads, ast.iter_child_nodes(node)))


def binds(node: ast.AST) -> frozenset[str]:
    """Names that a statement surely binds."""
    if isinstance(node, ast.If):
        branches = [frozenset().union(*map(binds, body)) for body in (node.body, node.orelse)]
        return branches[0] & branches[1]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return frozenset(
        part.id for target in targets for part in ast.walk(target)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    )  # fmt: skip


def held_by(node: ast.AST) -> frozenset[str]:
    """Names that a loop or a `with` binds for its body."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.For):
        targets = [node.target]
    elif isinstance(node, ast.With):
        targets = [item.optional_vars for item in node.items if item.optional_vars is not None]
    return frozenset(part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))


def _writes(node: ast.AST) -> frozenset[str]:
    """Names that a statement binds, or whose value a call in place may change."""
    found = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and works_in_place(called(part)):
            changed = part.func.value if isinstance(part.func, ast.Attribute) else None
            if changed is None or (isinstance(changed, ast.Name) and changed.id == "torch"):
                changed = part.args[0] if part.args else None
            found |= _place(changed)
        elif isinstance(part, ast.Attribute | ast.Subscript) and isinstance(part.ctx, ast.Store):
            found |= _place(part)
    return frozenset(found)


def _place(node: ast.AST | None) -> frozenset[str]:
    """What is written with a node; what a call has made is nobody's yet."""
    if isinstance(node, ast.Name):
        return frozenset([node.id])
    if isinstance(node, ast.Attribute | ast.Subscript) and _part(node):
        return frozenset([_part(node)])
    if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        return _place(node.value)
    if isinstance(node, ast.List | ast.Tuple):
        return frozenset().union(*map(_place, node.elts))
    return frozenset()


def _part(node: ast.Attribute | ast.Subscript) -> str:
    """ "self[lr]" for self.lr, "state[step]" for state["step"]; "" where it is not told which part it is."""
    if not isinstance(node.value, ast.Name) or node.value.id == "torch":
        return ""
    if isinstance(node, ast.Attribute):
        return f"{node.value.id}[{node.attr}]"
    return f"{node.value.id}[{node.slice.value!r}]" if isinstance(node.slice, ast.Constant) else ""

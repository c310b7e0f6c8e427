"""The vocabulary of declarations. A declaration is data about one algorithm; it needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

REAL = ("float32", "float64", "bfloat16", "float16")
COMPLEX = ("complex64", "complex128")


class Required:
    """The default of an option that has none."""

    def __str__(self) -> str:
        return "required"

    __repr__ = __str__


REQUIRED = Required()


@dataclass(frozen=True)
class Illegal:
    """A constructor call that has to be refused.

    Args:
        options: the arguments.
        error: name of the exception type that torch raises.
        names: text that the message has to contain: the offending value.
    """

    options: Mapping[str, Any]
    error: str
    names: str


@dataclass(frozen=True)
class Option:
    """A hyperparameter.

    Args:
        name: as in torch's constructor.
        default: torch's default; REQUIRED where there is none.
        values: legal values that the laws combine pairwise.
        legal: the legal range in words or as an inequality.
        meaning: one line.
        settled: a change in the middle of a run is not asked for, because it decides what the constructor or the first
            step makes.
        tensors: its numbers may be tensors, which `values` does not tell of lr alone.
        needs: options beside which it changes an update.
        idle: why it changes no number; "" where it does.
        decays: it moves a parameter whose gradient is zero; at 0 it does not.
    """

    name: str
    default: Any
    values: tuple[Any, ...]
    legal: str
    meaning: str
    settled: bool = False
    tensors: bool = False
    needs: Mapping[str, Any] = field(default_factory=dict)
    idle: str = ""
    decays: bool = False


Kind = Literal["optimizer", "scheduler", "averager"]
# What a subject is timed on: what all of its kind are, or what its update needs.
Ground = Literal[Kind, "matrices", "rows"]
# The submodule of torch.optim, and of every tier's package, where a class lives.
Module = Literal["", "lr_scheduler", "swa_utils"]
Span = Literal["", "rows", "columns", "no matrix", "vector", "pairs"]
Form = Literal["element", "own", "counter", "integer", "number"]


@dataclass(frozen=True)
class StateEntry:
    """What the optimizer keeps for each parameter under one key.

    Args:
        name: key in `optimizer.state[p]`.
        form: "element", shaped like the parameter; "own", a tensor of another shape; "counter", the steps taken as a
            0-d tensor; "integer", the same as a Python int; "number", a 0-d tensor that is no counter.
        meaning: one line.
        when: name of the option that must be true (non-zero) for it to exist; None: always.
        reads: whether a step reads it; if not, it costs one pass over memory, not two.
        idle: why changing it changes no later update; "" where it does.
        drives: it moves the parameter on when the gradient has become zero.
        span: what an entry of its own shape spans: the "rows" or "columns" of a parameter that has both, a parameter
            that is "no matrix", all parameters as one "vector", as many of those as a history has "pairs"; empty:
            numbers.
    """

    name: str
    form: Form
    meaning: str
    when: str | None = None
    reads: bool = True
    idle: str = ""
    drives: bool = False
    span: Span = ""

    @property
    def extent(self) -> Span | Literal["parameter"]:
        """What its elements are those of."""
        return "parameter" if self.per_element else self.span

    @property
    def per_element(self) -> bool:
        return self.form == "element"

    @property
    def counts(self) -> bool:
        """Whether it is the number of steps taken."""
        return self.form in ("counter", "integer")

    def exists(self, options: Mapping[str, Any]) -> bool:
        return self.when is None or bool(options.get(self.when))


@dataclass(frozen=True)
class Exempt:
    """Cases that a law does not ask of an algorithm.

    Args:
        law: id of the law.
        case: text that a case's id contains.
        reason: one line, why the law means nothing there.
    """

    law: str
    case: str
    reason: str


@dataclass(frozen=True)
class Paper:
    authors: str
    title: str
    year: int
    url: str


@dataclass(frozen=True)
class Subject:
    """One algorithm: what it is called, what it takes, what it keeps.

    Args:
        name: lower case, as on the command line.
        class_name: as in torch.optim.
        kind: "optimizer", "scheduler" or "averager".
        module: the submodule of torch.optim, and of every tier's package, where the class lives; "": the package.
        summary: one line; how it differs from its neighbour.
        papers: the sources of the rule.
        rule: the update rule in plain ASCII, a line a statement; "": nobody knows it, and no law that needs it asks.
        options: hyperparameters.
        state: state entries.
        forbidden: pairs of (option, value) that torch refuses together, e.g. nesterov without momentum.
        illegal: constructor calls that must raise.
        edges: options at the edge of what is legal, which are taken.
        sees: what an element's update depends on: that "element" alone (then tensors may be judged as one), its whole
            "tensor", or "all" tensors.
        base: options of every case that does not set them, where a default costs too much time.
        fullest: options under which it keeps all the state it can, for laws about state.
        dtypes: storage dtypes that it takes.
        dimensions: number of dimensions that a parameter has to have; None: any.
        sparse: gradients have to be sparse.
        sparse_without: gradients may be sparse where these options are zero; None: never.
        closure: a step calls its closure several times, and cannot be taken without one.
        state_at_start: the constructor makes the state, not a parameter's first step.
        rests: options under which a step leaves parameters as they are; None: there are none.
        later: entries of a group that checkpoints of older releases lack; their absence stands for the default.
        steps: number of steps in which every branch of the rule is met.
        results: what a run is for: the parameters, and state entries that are read by the user.
        tuned: options under which it reaches the optimum of each task of `opt.converges`, by the task's name.
        eps: values of the option `eps` that the law about it tries.
        coarse: quantity -> the dtype in which part of it is computed whatever the storage dtype is.
        cancels: units of float64 that torch's for-loop may itself lose to cancellation (D-009, D-093).
        calls: operations of torch's that the fused tier's step calls as well, as for products of matrices.
        launches: kernels of its own that a fused step launches on a CPU for each dtype, whatever the number of tensors;
            None: as many as a search takes.
        per_tensor: passes over elements that a foreach step takes for each tensor besides, because no operation of
            torch's takes them for several.
        temporaries: most copies that a step holds at one time, where they are not the usual few: path -> copies of the
            largest parameter on a "for-loop" that sees one alone, of all parameters elsewhere.
        in_torch: torch.optim has it.
        exempt: cases that a law does not ask of it, each with its reason.
        absolute: a scheduler that sets its closed form whatever the rate was; others scale the rate that stands.
        degenerate: options at the edge of what is legal, where a limit or a refusal at construction is asked for.
        lacks: options of the algorithm that the code under test has not, and that no case has.
    """

    name: str
    class_name: str
    kind: Kind
    summary: str
    papers: tuple[Paper, ...]
    rule: str
    options: tuple[Option, ...]
    state: tuple[StateEntry, ...]
    forbidden: tuple[tuple[tuple[str, Any], tuple[str, Any]], ...] = ()
    illegal: tuple[Illegal, ...] = ()
    edges: tuple[Mapping[str, Any], ...] = ()
    sees: Literal["element", "tensor", "all"] = "element"
    base: Mapping[str, Any] = field(default_factory=dict)
    fullest: Mapping[str, Any] = field(default_factory=dict)
    dtypes: tuple[str, ...] = REAL + COMPLEX
    dimensions: int | None = None
    sparse: bool = False
    sparse_without: tuple[str, ...] | None = None
    closure: bool = False
    state_at_start: bool = False
    rests: Mapping[str, Any] | None = field(default_factory=lambda: {"lr": 0.0})
    later: tuple[str, ...] = ()
    steps: int = 3
    results: tuple[str, ...] = ("param",)
    lacks: frozenset[str] = frozenset()
    tuned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    eps: tuple[Any, ...] = (0.0, 1e-8, 1e-3, 1.0)
    coarse: Mapping[str, str] = field(default_factory=dict)
    cancels: float = 256.0
    calls: tuple[str, ...] = ()
    # To prepare, and to update.
    launches: int | None = 2
    per_tensor: int = 0
    temporaries: Mapping[str, int] = field(default_factory=dict)
    in_torch: bool = True
    module: Module = ""
    exempt: tuple[Exempt, ...] = ()
    absolute: bool = False
    degenerate: tuple[Mapping[str, Any], ...] = ()

    @property
    def ground(self) -> Ground:
        """What it is timed on where nobody says."""
        return "rows" if self.sparse else "matrices" if self.sees == "tensor" else self.kind

    @property
    def elementwise(self) -> bool:
        """Whether each element's update sees that element alone."""
        return self.sees == "element"

    @property
    def still(self) -> dict[str, Any]:
        """Options under which nothing but gradients, and what is left of them in the state, moves a parameter."""
        return {option.name: 0.0 for option in self.options if option.decays}

    def crowd(self, *left_out: str) -> dict[str, Any]:
        """Every option at its second value, as far as they are legal together, but what is left out or idle."""
        chosen: dict[str, Any] = {}
        for option in self.options:
            if option.idle or option.name in left_out or len(option.values) < 2:
                continue
            if self.legal({**chosen, option.name: option.values[1]}):
                chosen[option.name] = option.values[1]
        return chosen

    def legal(self, options: Mapping[str, Any]) -> bool:
        """Whether no pair of these options, and of the defaults of others, is forbidden."""
        full = self.complete(options)
        return not any(full[a] == first and full[b] == second for (a, first), (b, second) in self.forbidden)

    @property
    def differentiable(self) -> bool:
        """Whether it has the flag of that name, as where in torch each element is updated from dense gradients."""
        return self.kind == "optimizer" and self.elementwise and not self.sparse

    @property
    def defaults(self) -> dict[str, Any]:
        return {option.name: option.default for option in self.options}

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with every default filled in."""
        return {**self.defaults, **options}

    def changed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that differ from their defaults, or from what every case has instead."""
        usual = {**self.defaults, **(self.base if self.kind == "scheduler" else {})}
        asked = {name: value for name, value in options.items() if name not in self.lacks}
        return {name: value for name, value in asked.items() if not _same(value, usual[name])}

    def own(self, **options: Any) -> dict[str, Any]:
        """Those of the options that it has."""
        return {name: value for name, value in options.items() if name in self.defaults}

    def limited(self, options: Collection[str]) -> Subject:
        """The same subject as code sees it that takes these options only, without what needs one of the others."""
        options = {option.name for option in self.options if {option.name, *option.needs} <= set(options)}

        def taken(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in values.items() if name in options}

        return replace(
            self,
            lacks=self.lacks.union(set(self.defaults) - options),
            base=taken(self.base),
            fullest=taken(self.fullest),
            rests=None if self.rests is None or set(self.rests) - set(options) else self.rests,
            options=tuple(option for option in self.options if option.name in options),
            forbidden=tuple(pair for pair in self.forbidden if all(name in options for name, _ in pair)),
            illegal=tuple(illegal for illegal in self.illegal if set(illegal.options) <= set(options)),
            edges=tuple(edge for edge in self.edges if set(edge) <= set(options)),
            degenerate=tuple(edge for edge in self.degenerate if set(edge) <= set(options)),
            tuned={task: values for task, values in self.tuned.items() if set(values) <= set(options)},
        )

    def narrowed(self, only: Mapping[str, tuple[Any, ...]], dtypes: Collection[str] = ()) -> Subject:
        """The same subject with these values only of some options, and in these dtypes.

        An option of one value is none any more: every case has that value.
        """
        fixed = {name: values[0] for name, values in only.items() if name in self.defaults and len(values) == 1}
        rest = self.limited(set(self.defaults) - set(fixed)) if fixed else self
        return replace(
            rest,
            options=tuple(replace(each, values=only.get(each.name, each.values)) for each in rest.options),
            base={**rest.base, **{name: value for name, value in fixed.items() if value != self.defaults[name]}},
            eps=only.get("eps", self.eps),
            dtypes=tuple(dtype for dtype in self.dtypes if dtype in dtypes) if dtypes else self.dtypes,
        )

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the per-element state entries that exist under these options."""
        return self._names(options, "element")

    def tensor_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of all state tensors that are no single numbers; those of their own shape need not exist for all."""
        return self._names(options, "element", "own")

    def number_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the 0-d state tensors that are no counters."""
        return self._names(options, "number")

    @property
    def counter(self) -> StateEntry | None:
        """The entry that counts steps, if there is one."""
        return next((entry for entry in self.state if entry.counts), None)

    def takes_sparse(self, options: Mapping[str, Any]) -> bool:
        """Whether a gradient may be sparse under these options."""
        full, without = self.complete(options), self.sparse_without
        return self.sparse or (without is not None and not any(full.get(name) for name in without))

    def exempts(self, law: str, case: str) -> str:
        """Why a law does not ask a case (its id) of this algorithm; empty where it does."""
        return next((item.reason for item in self.exempt if item.law == law and item.case in case), "")

    def _names(self, options: Mapping[str, Any], *forms: Form) -> tuple[str, ...]:
        full = self.complete(options)
        return tuple(entry.name for entry in self.state if entry.form in forms and entry.exists(full))

    def streams(self, options: Mapping[str, Any]) -> tuple[int, int]:
        """Arrays that are only read, and arrays that are read and written, by a step that touches each element once."""
        return 1, 1 + len(self.state_names(options))

    def bytes_per_element(self, options: Mapping[str, Any], itemsize: int) -> int:
        """The fewest bytes a step moves for each parameter element: every stream read or written once."""
        read_only, read_write = self.streams(options)
        full = self.complete(options)
        unread = sum(entry.per_element and not entry.reads and entry.exists(full) for entry in self.state)
        return itemsize * (read_only + 2 * read_write - unread)


def _same(a: Any, b: Any) -> bool:
    # 0 == False, but they are no values of one option.
    return type(a) is type(b) and bool(a == b)

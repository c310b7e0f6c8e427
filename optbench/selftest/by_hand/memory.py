"""Faults of what a step reads and writes: elements, layouts, buffers, launches."""

from __future__ import annotations

from typing import Any

from ..fault import Fault
from .around import around_step, params_of, with_gradients, without_gradient

# Elements that a launch takes at a time.
_CHUNK = 1 << 16


def zero_element_tail_stops(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        params = list(params_of(self))
        if params[-1].numel():
            return original()
        with without_gradient(params):
            return original()

    return around_step(cls, step)


def pairs_by_memory_order(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        walked = {}
        for param in params_of(self):
            grad = param.grad
            dense = grad is not None and grad.numel() == grad.untyped_storage().nbytes() // grad.element_size()
            if dense and grad.stride() != param.stride() and param.numel() == grad.numel():
                walked[param] = grad.as_strided(param.shape, param.stride())
        with with_gradients(walked):
            return original()

    return around_step(cls, step)


def sixteen_bit_not_updated(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        skipped = [param for param in params_of(self) if param.element_size() == 2 and param.numel() >= 16]
        with without_gradient(skipped):
            return original()

    return around_step(cls, step)


def tail_skipped(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        kept = {
            param: param.detach().reshape(-1)[param.numel() // 16 * 16 :].clone()
            for param in params_of(self)
            if param.grad is not None and param.numel() > 16 and param.is_contiguous()
        }
        result = original()
        with torch.no_grad():
            for param, tail in kept.items():
                param.view(-1)[param.numel() // 16 * 16 :] = tail
        return result

    return around_step(cls, step)


def last_block_lost(cls: type[Any]) -> type[Any]:
    import importlib

    import numpy as np

    from optbench import registry

    def step(self: Any, original: Any) -> Any:
        triton_backend: Any = importlib.import_module(f"{registry.IMPLEMENTATIONS['fused'].module}.triton_backend")
        whole = triton_backend._block_map

        def lost(numel: Any, chosen: Any, block: int) -> Any:
            full = np.where(numel > block, numel // block * block, numel)
            return whole(full, chosen, block)

        triton_backend._block_map = lost
        try:
            return original()
        finally:
            triton_backend._block_map = whole

    return around_step(cls, step)


def version_not_raised(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        params = tuple(params_of(self))
        versions = tuple(param._version for param in params)
        result = original()
        torch._C._autograd._unsafe_set_version_counter(params, versions)
        return result

    return around_step(cls, step)


def moment_from_fresh_memory(cls: type[Any]) -> type[Any]:
    import torch

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def _init_state(self, param: Any, group: dict[str, Any]) -> dict[str, Any]:
            return {**super()._init_state(param, group), "exp_avg": torch.empty_like(param)}

    Faulty.__name__ = cls.__name__
    return Faulty


def end_of_a_part_skipped(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        parts = torch.get_num_threads()
        shared = [param for param in params_of(self) if parts > 1 and param.numel() > 1 << 15]
        ends = [torch.arange(1, parts) * (param.numel() // parts) - 1 for param in shared]
        kept = [param.detach().view(-1)[end] for param, end in zip(shared, ends, strict=True)]
        result = original()
        with torch.no_grad():
            for param, end, values in zip(shared, ends, kept, strict=True):
                param.view(-1)[end] = values
        return result

    return around_step(cls, step)


def memory_of_all_optimizers(cls: type[Any]) -> type[Any]:
    import time

    place: list[Any] = []

    def step(self: Any, original: Any) -> Any:
        params = [param for param in params_of(self) if param.grad is not None]
        place[:] = [param.grad.clone() for param in params]
        # As long as it takes another thread to come here.
        time.sleep(0.02)
        for param, grad in zip(params, place, strict=True):
            param.grad = grad
        return original()

    return around_step(cls, step)


def thread_of_its_own(cls: type[Any]) -> type[Any]:
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(1)

    def step(self: Any, original: Any) -> Any:
        return pool.submit(original).result(timeout=1.0)

    return around_step(cls, step)


def launch_for_each_tensor(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        params = list(params_of(self))
        for param in params:
            with without_gradient([other for other in params if other is not param]):
                original()

    return around_step(cls, step)


def loop_called_foreach(cls: type[Any]) -> type[Any]:
    from optbench import registry

    loop: Any = registry.find("reference").load(cls.__name__)

    # The loop's own class must keep its name.
    class Faulty(loop):  # type: ignore[misc, valid-type]
        pass

    return Faulty


def scratch_of_all_parameters(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        held = [param.detach().numpy().copy() for param in params_of(self)]
        result = original()
        del held
        return result

    return around_step(cls, step)


def last_gradient_kept(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        result = original()
        for param in params_of(self):
            if param.grad is not None:
                self.state[param]["last_grad"] = param.grad.clone()
        return result

    return around_step(cls, step)


def old_parameters_never_freed(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        self.__dict__.setdefault("_old", []).append([param.detach().clone() for param in params_of(self)])
        return original()

    return around_step(cls, step)


def rest_of_a_large_tensor_skipped(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        rests = [param.detach().view(-1)[param.numel() // _CHUNK * _CHUNK :] for param in params_of(self)
                 if param.numel() > _CHUNK and param.is_contiguous()]  # fmt: skip
        held = [rest.clone() for rest in rests]
        result = original()
        for rest, value in zip(rests, held, strict=True):
            rest.copy_(value)
        return result

    return around_step(cls, step)


def gradient_negated_and_back(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        grads = [param.grad for group in self.param_groups if group["maximize"] for param in group["params"]
                 if param.grad is not None]  # fmt: skip
        for _ in range(2):
            for grad in grads:
                grad.neg_()
        return original()

    return around_step(cls, step)


def gradients_held(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        self._seen = [param.grad for param in params_of(self)]
        return original()

    return around_step(cls, step)


def thousand_tensors_at_most(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        with without_gradient(list(params_of(self))[1024:]):
            return original()

    return around_step(cls, step)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "adam-decay-into-grad",
        "weight decay is written into the caller's gradient",
        "adam", "foreach", "opt.pure", "gradient of parameter",
        shipped_in="pytorch#83858",
        patches=(
            (
                'grads = add(grads, params, weight_decay, in_place=group["maximize"])',
                "grads = add(grads, params, weight_decay, in_place=True)",
            ),
        ),
    ),
    Fault(
        "sgd-maximize-into-grad",
        "the sign of maximize is written into the caller's gradient",
        "sgd", "reference", "opt.pure", "gradient of parameter",
        shipped_in="pytorch#83858",
        patches=(("grad = -grad", "grad = grad.neg_()"),),
    ),
    Fault(
        "adam-zero-element-tail-stops",
        "a trailing tensor without elements stops the launch",
        "adam", "fused", "opt.shapes", "parameter",
        shipped_in="pytorch#100701",
        wrap=zero_element_tail_stops,
    ),
    Fault(
        "adam-pairs-by-memory-order",
        "parameter and gradient are walked in memory order when their strides differ",
        "adam", "fused", "opt.layouts", "exp_avg",
        shipped_in="torch 2.13, fused on CPU",
        wrap=pairs_by_memory_order,
    ),
    Fault(
        "sgd-16-bit-not-updated",
        "16-bit tensors of 16 elements or more stay as they were",
        "sgd", "fused", "opt.shapes", "parameter",
        shipped_in="torch 2.13, fused SGD on CPU (pytorch#191763)",
        wrap=sixteen_bit_not_updated,
    ),
    Fault(
        "sgd-tail-skipped",
        "the elements after the last full vector of 16 are not updated",
        "sgd", "fused", "opt.shapes", "parameter",
        wrap=tail_skipped,
    ),
    Fault(
        "sgd-triton-last-block-lost",
        "Triton's launch has no program for a last block that is not full",
        "sgd", "fused-triton", "opt.shapes", "parameter",
        wrap=last_block_lost,
    ),
    Fault(
        "adam-version-not-raised",
        "parameters are written behind autograd's back",
        "adam", "fused", "opt.version", "version",
        wrap=version_not_raised,
    ),
    Fault(
        "sgd-end-of-a-part-skipped",
        "where several threads share a tensor, the last element of each one's part is not updated",
        "sgd", "fused", "opt.threads", "steps on 2 and 4 threads",
        wrap=end_of_a_part_skipped,
    ),
    Fault(
        "adam-memory-of-all-optimizers",
        "all optimizers collect their gradients in the same place",
        "adam", "foreach", "opt.threads", "Python thread",
        wrap=memory_of_all_optimizers,
    ),
    Fault(
        "sgd-thread-of-its-own",
        "steps are taken by a thread that no forked child has",
        "sgd", "reference", "opt.threads", "a forked child goes on",
        wrap=thread_of_its_own,
    ),
    Fault(
        "adam-launch-for-each-tensor",
        "each tensor is updated by a launch of its own",
        "adam", "fused", "opt.launch", "times the tensors",
        wrap=launch_for_each_tensor,
    ),
    Fault(
        "adamw-loop-called-foreach",
        "what is called foreach goes over parameters in a loop",
        "adamw", "foreach", "opt.launch", "of the kind that its name says",
        wrap=loop_called_foreach,
    ),
    Fault(
        "adam-scratch-of-all-parameters",
        "a step copies all parameters into arrays of NumPy's",
        "adam", "fused", "opt.memory", "held besides",
        wrap=scratch_of_all_parameters,
    ),
    Fault(
        "sgd-last-gradient-kept",
        "the state has a copy of the last gradient, too",
        "sgd", "reference", "opt.memory", "bytes of the state",
        wrap=last_gradient_kept,
    ),
    Fault(
        "adam-old-parameters-never-freed",
        "every step leaves a copy of the parameters behind",
        "adam", "foreach", "opt.memory", "what the first step leaves",
        wrap=old_parameters_never_freed,
    ),
    Fault(
        "adam-moment-from-fresh-memory",
        "the first moment starts from whatever was in memory",
        "adam", "foreach", "opt.deterministic", "exp_avg of parameter",
        wrap=moment_from_fresh_memory,
    ),
    Fault(
        "sgd-rest-of-a-large-tensor-skipped",
        "of a tensor of many elements only whole chunks of 65,536 are updated",
        "sgd", "fused", "opt.shapes", "param from element",
        wrap=rest_of_a_large_tensor_skipped,
    ),
    Fault(
        "adam-gradient-negated-and-back",
        "for maximize the gradient is negated where it is, and put back after the step",
        "adam", "foreach", "opt.pure", "not written and put back",
        wrap=gradient_negated_and_back,
    ),
    Fault(
        "adam-gradients-held",
        "gradients that were set to None stay in memory until the next step",
        "adam", "foreach", "opt.memory", "gradients that were set to None",
        wrap=gradients_held,
    ),
    Fault(
        "sgd-thousand-tensors-at-most",
        "a launch has room for 1,024 tensors, and the rest are left out",
        "sgd", "fused", "opt.shapes", "param of 2500",
        wrap=thousand_tensors_at_most,
    ),
)  # fmt: skip

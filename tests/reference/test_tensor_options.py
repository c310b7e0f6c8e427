"""Tensors as hyperparameters, steps that read nothing on the host, steps that autograd records."""

import pytest
import torch
from optbench.reference import _base
from torch.utils._python_dispatch import TorchDispatchMode

from optbench import reference
from tests.reference.support import assert_same, build, capturable_cases, names, snapshot, tensors, train


@capturable_cases
@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensor_hyperparameters_act_as_numbers_and_stay_themselves(name, options, capturable, shape, dtype):
    tensor_options = {"lr": torch.full(shape, 0.125, dtype=dtype)}
    if name != "SGD":
        tensor_options["betas"] = (torch.full(shape, 0.75, dtype=dtype), torch.full(shape, 0.875, dtype=dtype))
        tensor_options["capturable"] = capturable
    numbers = {"lr": 0.125} | ({} if name == "SGD" else {"betas": (0.75, 0.875)})
    ours = build(reference, name, tensors(), **options, **tensor_options)
    assert_same(train(ours), train(build(reference, name, tensors(), **options, **numbers)))
    lr = ours.param_groups[0]["lr"]
    assert lr is tensor_options["lr"]
    assert lr._version == 0
    # The caller goes on writing to it.
    lr.fill_(0.25)
    numbers["lr"] = 0.25
    plain = build(reference, name, snapshot(ours)[0], **options, **numbers)
    plain.load_state_dict(ours.state_dict())
    plain.param_groups[0].update(numbers, capturable=False)
    assert_same(train(ours, seeds=[4]), train(plain, seeds=[4]))


class Operations(TorchDispatchMode):
    """Records the operations that run, with their types of arguments."""

    def __init__(self):
        super().__init__()
        self.ran = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.ran.append((function, [type(value) for value in (*args, *(kwargs or {}).values())]))
        return function(*args, **(kwargs or {}))

    @property
    def host_reads(self):
        return sum(function is torch.ops.aten._local_scalar_dense.default for function, _ in self.ran)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("tensor", [False, True])
def test_capturable_reads_nothing_on_the_host(name, tensor):
    options = {"amsgrad": True, "weight_decay": 0.1, "maximize": True}
    if tensor:
        options |= {"lr": torch.tensor(0.1), "betas": (torch.tensor(0.9), torch.tensor(0.99))}
    counts = []
    for capturable in (True, False):
        optimizer = train(build(reference, name, tensors(), capturable=capturable, **options))
        with Operations() as operations:
            optimizer.step()
        counts.append(operations.host_reads)
    assert counts[0] == 0
    assert counts[1] > 0


@pytest.mark.parametrize("flag", ["capturable", "fused"])
def test_a_step_for_the_device_lives_there(flag):
    group = {"capturable": False, "fused": None}
    param = torch.zeros(2, device="meta")
    assert _base.new_step(param, group).device.type == "cpu"
    assert _base.new_step(param, group | {flag: True}).device.type == "meta"


def test_integers_run_the_operations_of_floats():
    ran = []
    for number in (int, float):
        options = {"lr": number(1), "momentum": number(1), "dampening": number(2), "weight_decay": number(1)}
        optimizer = train(build(reference, "SGD", tensors(), **options))
        with Operations() as operations:
            optimizer.step()
        ran.append(operations.ran)
    assert ran[0] == ran[1]


@names
def test_hyperparameters_may_be_written_before_the_backward_pass(name):
    def scalar(value):
        return torch.tensor(value, dtype=torch.float64, requires_grad=True)

    options = {"lr": scalar(0.5)}
    if name != "SGD":
        options |= {"betas": (scalar(0.75), scalar(0.875)), "eps": 0.0, "weight_decay": 0.0}
    param = torch.zeros(3, dtype=torch.float64)
    param.grad = torch.full((3,), -2.0, dtype=torch.float64)
    build(reference, name, [param], differentiable=True, **options).step()
    hyperparameters = [options["lr"], *options.get("betas", ())]
    with torch.no_grad():
        for tensor in hyperparameters:
            tensor.fill_(0.25)
    gradients = torch.autograd.grad(param.sum(), hyperparameters)
    # Adam's first step is lr*sign(g), whatever the betas.
    expected = [6.0] if name == "SGD" else [3.0, 0.0, 0.0]
    assert [gradient.item() for gradient in gradients] == pytest.approx(expected, rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_capturable_agrees_with_the_plain_path_in_every_dtype(name):
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.complex64):
        options = {"eps": 1e-3, "amsgrad": True, "weight_decay": 0.1, "lr": 1e-3}
        plain, capturable = (
            train(build(reference, name, tensors(dtype=dtype), capturable=flag, **options)) for flag in (False, True)
        )
        tolerance = 4 * torch.finfo(dtype).eps
        assert_same(capturable, plain, rtol=tolerance, atol=tolerance)


def differentiated(module, name, inputs, options, tensor_options=()):
    """Two steps from the given parameter, gradients and state; the parameter and the state after them."""
    param, *grads_and_state = (tensor.clone() for tensor in inputs)
    grads, entries = grads_and_state[:2], grads_and_state[2:]
    keys = ["momentum_buffer"] if name == "SGD" else ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]
    optimizer = build(module, name, [param], differentiable=True, **options, **dict(tensor_options))
    state = dict(zip(keys, entries, strict=False))
    if name != "SGD" and entries:
        state["step"] = torch.tensor(3.0)
    if state:
        optimizer.state[param].update(state)
    for grad in grads:
        param.grad = grad
        optimizer.step()
    return param, *(optimizer.state[param][key] for key in keys if key in optimizer.state[param])


def differentiable_inputs(count):
    generator = torch.Generator().manual_seed(5)
    values = [torch.rand(3, generator=generator, dtype=torch.float64) + 0.5 for _ in range(count)]
    return [value.requires_grad_() for value in values]


DIFFERENTIABLE = [
    ("Adam", {"weight_decay": 0.1}, 5),
    ("Adam", {"amsgrad": True, "maximize": True}, 6),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True}, 6),
    ("AdamW", {}, 3),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1}, 4),
    ("SGD", {"momentum": 0.9, "dampening": 0.3}, 3),
    ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}, 3),
    ("SGD", {}, 3),
]


@pytest.mark.parametrize(("name", "options", "count"), DIFFERENTIABLE)
def test_gradients_flow_through_two_steps(name, options, count):
    inputs = differentiable_inputs(count)
    assert torch.autograd.gradcheck(lambda *tensors: differentiated(reference, name, tensors, options), inputs)


@pytest.mark.parametrize(("name", "options", "count"), DIFFERENTIABLE)
def test_gradients_flow_into_hyperparameters(name, options, count):
    inputs = differentiable_inputs(count)
    hyperparameters = {"lr": 0.1, "weight_decay": 0.2}
    if name != "SGD":
        hyperparameters |= {"beta1": 0.8, "beta2": 0.9}
    tensors = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in hyperparameters.values()]

    def function(*values):
        tensor_options = dict(zip(hyperparameters, values, strict=True))
        if name != "SGD":
            tensor_options["betas"] = (tensor_options.pop("beta1"), tensor_options.pop("beta2"))
        rest = {key: value for key, value in options.items() if key != "weight_decay"}
        return differentiated(reference, name, inputs, rest, tensor_options)[0]

    assert torch.autograd.gradcheck(function, tensors)


@pytest.mark.parametrize(("name", "options", "count"), [case for case in DIFFERENTIABLE if not case[1].get("amsgrad")])
def test_gradients_are_torchs(name, options, count):
    def jacobian(module):
        inputs = differentiable_inputs(count)
        total = differentiated(module, name, inputs, options)[0].sum()
        return torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True)

    ours, theirs = list(jacobian(reference)), list(jacobian(torch.optim))
    if name == "SGD" and options.get("momentum") and count == 3:
        # torch detaches the buffer that the first gradient starts. What is left of its derivative is nesterov's.
        assert not torch.allclose(ours[1], theirs[1])
        ours[1] = theirs[1]
    # torch's bias corrections are in float32 here.
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_a_step_that_requires_grad_is_refused_as_by_torch(name):
    for module in (torch.optim, reference):
        param = torch.ones(3)
        param.grad = torch.ones(3)
        optimizer = build(module, name, [param], differentiable=True)
        optimizer.step()
        optimizer.state[param]["step"].requires_grad_()
        with pytest.raises(RuntimeError, match="requires_grad"):
            optimizer.step()

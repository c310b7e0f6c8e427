"""Tensors as hyperparameters, steps that read nothing on the host, steps that autograd records."""

import pytest
import torch
from optbench.reference import _base
from torch.utils._python_dispatch import TorchDispatchMode

from optbench import reference
from tests.reference.support import (
    ADAMS,
    assert_same,
    build,
    capturable_cases,
    capturable_names,
    names,
    snapshot,
    takes,
    tensors,
    train,
)


@capturable_cases
@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensor_hyperparameters_act_as_numbers_and_stay_themselves(name, options, capturable, shape, dtype):
    tensor_options = {"lr": torch.full(shape, 0.125, dtype=dtype)}
    if name in ADAMS:
        tensor_options["betas"] = (torch.full(shape, 0.75, dtype=dtype), torch.full(shape, 0.875, dtype=dtype))
    if capturable:
        tensor_options["capturable"] = True
    numbers = {"lr": 0.125} | ({"betas": (0.75, 0.875)} if name in ADAMS else {})
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


@capturable_names
@pytest.mark.parametrize("tensor", [False, True])
def test_capturable_reads_nothing_on_the_host(name, tensor):
    all_options = {"amsgrad": True, "weight_decay": 0.1, "maximize": True, "momentum": 0.9, "centered": True}
    options = {option: value for option, value in all_options.items() if takes(name, option)}
    if tensor:
        options["lr"] = torch.tensor(0.1)
        if name in ADAMS:
            options["betas"] = (torch.tensor(0.9), torch.tensor(0.99))
    counts = []
    for capturable in (True, False):
        optimizer = train(build(reference, name, tensors(), capturable=capturable, **options))
        with Operations() as operations:
            optimizer.step()
        counts.append(operations.host_reads)
    assert counts[0] == 0
    # These have no use for the step's number, and Rprop none for lr.
    assert counts[1] > 0 or name == "Rprop" or (name in ("Adadelta", "RMSprop") and not tensor)


@pytest.mark.parametrize("flag", ["capturable", "fused"])
def test_a_step_for_the_device_lives_there(flag):
    group = {"capturable": False, "fused": None}
    param = torch.zeros(2, device="meta")
    assert _base.new_scalar(param, group).device.type == "cpu"
    assert _base.new_scalar(param, group | {flag: True}).device.type == "meta"


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
    if name in ADAMS:
        options |= {"betas": (scalar(0.75), scalar(0.875)), "eps": 0.0, "weight_decay": 0.0}

    def stepped(**options):
        param = torch.zeros(3, dtype=torch.float64)
        param.grad = torch.full((3,), -2.0, dtype=torch.float64)
        build(reference, name, [param], **options).step()
        return param

    param = stepped(differentiable=True, **options)
    hyperparameters = [options["lr"], *options.get("betas", ())]
    with torch.no_grad():
        for tensor in hyperparameters:
            tensor.fill_(0.25)
    gradients = torch.autograd.grad(param.sum(), hyperparameters)
    # Every first step from 0 is proportional to lr, and that of Adam is lr*sign(g), whatever the betas.
    expected = [3.0, 0.0, 0.0] if name in ADAMS else [stepped(lr=1.0).sum().item()]
    assert [gradient.item() for gradient in gradients] == pytest.approx(expected, rel=1e-14, abs=1e-14)


@capturable_names
def test_capturable_agrees_with_the_plain_path_in_every_dtype(name):
    all_options = {"eps": 1e-3, "amsgrad": True, "weight_decay": 0.1, "lr": 1e-3}
    options = {option: value for option, value in all_options.items() if takes(name, option)}
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.complex64):
        plain, capturable = (
            train(build(reference, name, tensors(dtype=dtype), capturable=flag, **options)) for flag in (False, True)
        )
        tolerance = 4 * torch.finfo(dtype).eps
        assert_same(capturable, plain, rtol=tolerance, atol=tolerance)


STATE = {
    "Adadelta": ["square_avg", "acc_delta"],
    "Adagrad": ["sum"],
    "Adam": ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
    "AdamW": ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
    "Adamax": ["exp_avg", "exp_inf"],
    "ASGD": ["ax"],
    "NAdam": ["exp_avg", "exp_avg_sq"],
    "RAdam": ["exp_avg", "exp_avg_sq"],
    "RMSprop": ["square_avg", "grad_avg", "momentum_buffer"],
    "Rprop": ["prev", "step_size"],
    "SGD": ["momentum_buffer"],
}
# State without dimensions, where a run is not to begin at its beginning.
STARTED = {"NAdam": {"mu_product": 0.25}, "ASGD": {"eta": 0.125, "mu": 0.5}}


def differentiated(module, name, inputs, options, tensor_options=(), taken=3.0):
    """Two steps from the given parameter, gradients and state; the parameter and the state after them."""
    param, *grads_and_state = (tensor.clone() for tensor in inputs)
    grads, entries = grads_and_state[:2], grads_and_state[2:]
    # State without dimensions is as wide as all else: numerical derivatives would see it rounded.
    torch.set_default_dtype(torch.float64)
    try:
        optimizer = build(module, name, [param], differentiable=True, **options, **dict(tensor_options))
        if entries:
            scalars = ({} if name == "SGD" else {"step": taken}) | STARTED.get(name, {})
            scalars = {key: torch.tensor(value) for key, value in scalars.items()}
            optimizer.state[param].update(scalars, **dict(zip(STATE[name], entries, strict=False)))
        for grad in grads:
            param.grad = grad
            optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    return param, *(optimizer.state[param][key] for key in STATE[name] if key in optimizer.state[param])


def differentiable_inputs(count):
    generator = torch.Generator().manual_seed(5)
    values = [torch.rand(3, generator=generator, dtype=torch.float64) + 0.5 for _ in range(count)]
    return [value.requires_grad_() for value in values]


# Name, options, number of inputs: the parameter, two gradients, and as much state as there is, or none.
DIFFERENTIABLE = [
    ("Adam", {"weight_decay": 0.1}, 5),
    ("Adam", {"amsgrad": True, "maximize": True}, 6),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True}, 6),
    ("AdamW", {}, 3),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1}, 4),
    ("SGD", {"momentum": 0.9, "dampening": 0.3}, 3),
    ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}, 3),
    ("SGD", {}, 3),
    ("Adadelta", {"weight_decay": 0.1}, 5),
    ("Adadelta", {"maximize": True}, 3),
    ("Adagrad", {"weight_decay": 0.1, "lr_decay": 0.1}, 4),
    ("Adamax", {"weight_decay": 0.1}, 5),
    ("Adamax", {"maximize": True}, 3),
    ("ASGD", {"weight_decay": 0.1, "t0": 1.0, "lambd": 0.1}, 4),
    ("ASGD", {"maximize": True}, 3),
    ("NAdam", {"weight_decay": 0.1}, 5),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}, 3),
    ("RAdam", {"weight_decay": 0.1}, 5),
    ("RAdam", {"decoupled_weight_decay": True, "maximize": True}, 3),
    ("RMSprop", {"weight_decay": 0.1, "momentum": 0.9, "centered": True}, 3),
    ("RMSprop", {"maximize": True}, 4),
    ("Rprop", {}, 5),
    ("Rprop", {"maximize": True}, 3),
]


@pytest.mark.parametrize(("name", "options", "count"), DIFFERENTIABLE)
def test_gradients_flow_through_two_steps(name, options, count):
    inputs = differentiable_inputs(count)
    assert torch.autograd.gradcheck(lambda *tensors: differentiated(reference, name, tensors, options), inputs)


@pytest.mark.parametrize("taken", [1.0, 30.0])
def test_gradients_flow_through_radams_rectified_steps(taken):
    """Two steps that are not rectified, or that are."""
    inputs = differentiable_inputs(5)
    options = {"weight_decay": 0.1}
    assert torch.autograd.gradcheck(
        lambda *tensors: differentiated(reference, "RAdam", tensors, options, taken=taken), inputs
    )


@pytest.mark.parametrize(("name", "options", "count"), DIFFERENTIABLE)
def test_gradients_flow_into_hyperparameters(name, options, count):
    inputs = differentiable_inputs(count)
    hyperparameters = {"lr": 0.1}
    if takes(name, "weight_decay"):
        hyperparameters["weight_decay"] = 0.2
    if name in ADAMS:
        hyperparameters |= {"beta1": 0.8, "beta2": 0.9}
    tensors = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in hyperparameters.values()]

    def function(*values):
        tensor_options = dict(zip(hyperparameters, values, strict=True))
        if name in ADAMS:
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

    if name in ("Adamax", "Rprop") or options.get("centered"):
        # torch's second step overwrites what its first has saved.
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            jacobian(torch.optim)
        return
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

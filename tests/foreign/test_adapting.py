"""A bare update function as an optimizer: its contract, and that its faults are found."""

import copy
import doctest
import functools
import inspect
import pickle

import pytest
import torch

from optbench import adapt, registry
from optbench.errors import UsageError
from optbench.foreign import adapting, loading, undeclared


def adam(param, grad, exp_avg, exp_avg_sq, *, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """Adam, one parameter at a time."""
    grad = grad + weight_decay * param
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root = (exp_avg_sq / (1 - beta2**step)).sqrt() + eps
    param.addcdiv_(exp_avg, root, value=-lr / (1 - beta1**step))


def bare(param, grad, lr):
    param.sub_(grad, alpha=lr)


Adam = adapt(adam, ("exp_avg", "exp_avg_sq"), name="Adam")


def weights():
    return [torch.nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4)), torch.nn.Parameter(torch.ones(2))]


def steps(optimizer, params, count=3):
    for k in range(count):
        for i, param in enumerate(params):
            param.grad = None if i and not k else torch.cos(param.detach() + k)
        optimizer.step()


def test_the_example_of_its_docstring_runs():
    found = doctest.DocTestFinder().find(adapt, "adapt", globs=vars(adapting))
    assert [doctest.DocTestRunner().run(example) for example in found] == [(0, 8)]


def test_it_steps_as_the_function_says_and_counts_for_each_parameter():
    ours, theirs = weights(), weights()
    options = {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.25}
    mine, judge = Adam(ours, **options), torch.optim.Adam(theirs, foreach=False, **options)
    for optimizer, params in ((mine, ours), (judge, theirs)):
        steps(optimizer, params)
    for own, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, expected)
        assert mine.state[own]["step"] == judge.state[expected]["step"]
        torch.testing.assert_close(mine.state[own]["exp_avg_sq"], judge.state[expected]["exp_avg_sq"])


def test_its_constructor_takes_the_functions_options():
    signature = "(params, *, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)"
    assert str(inspect.signature(Adam)) == signature
    assert loading.accepted_options(Adam) == {"lr", "betas", "eps", "weight_decay"}
    assert (Adam.__name__, Adam.__module__, Adam.__doc__) == ("Adam", __name__, adam.__doc__)
    assert adapt(bare, options={"lr": 0.5})(weights()).param_groups[0]["lr"] == 0.5
    assert adapt(bare, options={"lr": 0.5}).__name__ == "bare"
    with pytest.raises(TypeError, match="Adam has no option 'rate', but lr, betas, eps, weight_decay"):
        Adam(weights(), rate=1)
    with pytest.raises(ValueError, match="1-element"):
        Adam(weights(), lr=torch.ones(2))


def test_state_may_begin_with_a_number_and_no_state_is_kept_where_there_is_none():
    def scaled(param, grad, scale, lr=1.0):
        param.sub_(lr * scale * grad)
        scale.mul_(2)

    params = weights()
    optimizer = adapt(scaled, {"scale": 0.5})(params)
    params[0].grad = torch.ones_like(params[0])
    optimizer.step()
    assert optimizer.state[params[0]]["scale"].eq(1).all() and "step" not in optimizer.state[params[0]]
    assert params[1] not in optimizer.state


@pytest.mark.parametrize("again", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_copies_go_on_alike(again):
    params = weights()
    optimizer = Adam(params, lr=0.1)
    steps(optimizer, params)
    other = again(optimizer)
    copies = other.param_groups[0]["params"]
    for each, own in ((optimizer, params), (other, copies)):
        steps(each, own)
    assert all(torch.equal(a, b) for a, b in zip(params, copies, strict=True)) and copies[0] is not params[0]


class Derived(adapt(adam, ("exp_avg", "exp_avg_sq"))):
    """With something of its own."""


def test_what_derives_from_it_stays_itself():
    optimizer = pickle.loads(pickle.dumps(Derived(weights())))
    assert type(optimizer) is Derived


def test_closures_sparse_gradients_and_what_is_returned():
    params = weights()
    optimizer = Adam(params)
    assert optimizer.step(lambda: torch.tensor(3.0)) == 3
    params[0].grad, params[1].grad = torch.ones(3, 4), torch.ones(2).to_sparse()
    with pytest.raises(RuntimeError, match="Adam does not support sparse gradients"):
        optimizer.step()
    assert not optimizer.state and torch.equal(params[0], weights()[0])
    returning = adapt(lambda param, grad, lr=0.1: param - lr * grad, name="Returning")(params)
    params[1].grad = None
    with pytest.raises(TypeError, match=r"<lambda> returned a (Parameter|Tensor): it has to write in place"):
        returning.step()


def two(param, grad):
    pass


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((two, ("m",)), "adapt(two): it is given param, grad and 1 state tensors, and takes param, grad."),
        ((bare,), "adapt(bare): 'lr' has no default: give one by options={'lr': …}."),
        ((bare, (), {"rate": 1.0}), "adapt(bare): 'rate' is none of its options, which are lr."),
        ((dict,), "adapt(dict): its arguments cannot be read: wrap it in a function."),
    ],
    ids=["tensors", "default", "option", "builtin"],
)
def test_what_does_not_fit_is_one_line(arguments, said):
    with pytest.raises(UsageError) as caught:
        adapt(*arguments)
    assert str(caught.value) == said


def test_partial_functions_and_more_arguments():
    fixed = functools.partial(bare, lr=0.25)
    assert adapt(fixed, name="Fixed")(weights()).param_groups[0]["lr"] == 0.25

    def anything(param, *tensors, lr=0.5):
        tensors[1].add_(1)

    params = weights()
    params[0].grad = torch.ones(3, 4)
    optimizer = adapt(anything, ("count",))(params)
    optimizer.step()
    assert optimizer.state[params[0]]["count"].eq(1).all()


def test_a_kernel_is_judged_as_any_class():
    told = undeclared.find(f"{__name__}:Adam")
    assert (told.subject.name, told.subject.sees, told.oracle.steps) == ("Adam", "element", True)
    assert [entry.name for entry in told.subject.state] == ["exp_avg", "exp_avg_sq", "step"]
    assert registry.find(f"{__name__}:Adam").load("Adam") is Adam

"""The faults: shipped bugs as small patches of one of our tiers, and operators of the kind that reviewers miss."""

from __future__ import annotations

from . import alone, averaging, dropin_wraps, math_wraps, schedules, state_wraps, wraps
from .fault import Fault

__all__ = ["FAULTS", "Fault"]

FAULTS: tuple[Fault, ...] = (
    Fault(
        "adam-eps-before-bias-correction",
        "eps is added before the second moment's bias correction divides",
        "adam", "foreach", "opt.eps_regime", "parameter",
        shipped_in="pytorch#22628, transformers#35504",
        patches=(
            (
                "    torch._foreach_div_(denominators, constant(bias_correction2_sqrt, first))\n"
                '    add_number_(denominators, group["eps"])\n',
                '    add_number_(denominators, group["eps"])\n'
                "    torch._foreach_div_(denominators, constant(bias_correction2_sqrt, first))\n",
            ),
        ),
    ),
    Fault(
        "adam-amsgrad-never-stored",
        "the running maximum is used but never stored",
        "adam", "foreach", "opt.oracle", "max_exp_avg_sq",
        shipped_in="pytorch#78807",
        patches=(
            (
                "        torch._foreach_maximum_(max_exp_avg_sqs, exp_avg_sqs)\n"
                "        exp_avg_sqs = max_exp_avg_sqs\n",
                "        exp_avg_sqs = torch._foreach_maximum(max_exp_avg_sqs, exp_avg_sqs)\n",
            ),
        ),
    ),
    Fault(
        "sgd-dampening-on-first-step",
        "the momentum buffer's first gradient is dampened",
        "sgd", "reference", "opt.oracle", "momentum_buffer",
        shipped_in="pytorch#152833",
        patches=(("momentum_buffer.copy_(grad)", "momentum_buffer.copy_(grad * (1 - dampening))"),),
    ),
    Fault(
        "sgd-first-step-per-optimizer",
        "a late parameter's first step counts as a later one, because the optimizer has stepped before",
        "sgd", "reference", "opt.sparse_in_time", "momentum_buffer",
        shipped_in="pytorch#152833",
        wrap=wraps.first_step_per_optimizer,
    ),
    Fault(
        "adam-decoupled-for-coupled",
        "weight decay shrinks the parameter instead of joining the gradient",
        "adam", "reference", "opt.oracle", "exp_avg",
        shipped_in="FlagGems#4988",
        patches=(
            ("if weight_decay != 0 and decoupled_weight_decay:", "if weight_decay != 0:"),
            ("if weight_decay != 0 and not decoupled_weight_decay:", "if False:"),
        ),
    ),
    Fault(
        "adamw-decay-without-lr",
        "decoupled decay is not multiplied by lr",
        "adamw", "foreach", "opt.oracle", "parameter",
        shipped_in="timm, LaProp",
        wrap=wraps.decay_without_lr,
    ),
    Fault(
        "adamw-decay-once-per-bucket",
        "each dtype's bucket shrinks every parameter of the group",
        "adamw", "foreach", "opt.groups", "beside other dtypes",
        shipped_in="timm#2750",
        wrap=wraps.decay_once_per_dtype,
    ),
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
        wrap=wraps.zero_element_tail_stops,
    ),
    Fault(
        "adam-pairs-by-memory-order",
        "parameter and gradient are walked in memory order when their strides differ",
        "adam", "fused", "opt.layouts", "exp_avg",
        shipped_in="torch 2.13, fused on CPU",
        wrap=wraps.pairs_by_memory_order,
    ),
    Fault(
        "sgd-16-bit-not-updated",
        "16-bit tensors of 16 elements or more stay as they were",
        "sgd", "fused", "opt.shapes", "parameter",
        shipped_in="torch 2.13, fused SGD on CPU (pytorch#191763)",
        wrap=wraps.sixteen_bit_not_updated,
    ),
    Fault(
        "adam-complex-square",
        "the second moment takes g*g as a complex product",
        "adam", "reference", "opt.oracle", "exp_avg_sq",
        shipped_in="pytorch#59998",
        wrap=wraps.complex_square,
    ),
    Fault(
        "adam-load-shares-storage",
        "load_state_dict keeps the very tensors it was given",
        "adam", "foreach", "opt.snapshot", "has memory of its own",
        shipped_in="pytorch#196083",
        wrap=wraps.load_shares_storage,
    ),
    Fault(
        "adam-stale-pointer",
        "after p.data = ... the old memory is updated",
        "adam", "fused", "opt.replaced", "parameter",
        wrap=wraps.stale_pointer,
    ),
    Fault(
        "adam-step-off-by-one",
        "bias corrections count from the step before",
        "adam", "reference", "opt.oracle", "parameter",
        patches=(("one_minus_power(beta1, step)", "one_minus_power(beta1, step + 1.0)"),),
    ),
    Fault(
        "adam-counter-saturates",
        "the step counter stops at 16",
        "adam", "fused", "opt.matches_reference", "step of parameter",
        wrap=wraps.counter_saturates,
    ),
    Fault(
        "sgd-decay-off-by-a-thousandth",
        "weight decay is 0.1001 where 0.1 was asked for",
        "sgd", "reference", "opt.oracle", "parameter",
        patches=(("grad = add(grad, param, weight_decay)", "grad = add(grad, param, weight_decay * 1.001)"),),
    ),
    Fault(
        "adam-eps-off-by-a-tenth",
        "eps is a tenth too large",
        "adam", "reference", "opt.eps_regime", "parameter",
        patches=(("bias_correction2**0.5).add_(eps)", "bias_correction2**0.5).add_(eps * 1.1)"),),
    ),
    Fault(
        "sgd-first-groups-options",
        "every group uses the first group's options",
        "sgd", "reference", "opt.groups", "group with",
        patches=(("{name: group[name] for name in (", "{name: self.param_groups[0][name] for name in ("),),
    ),
    Fault(
        "sgd-tail-skipped",
        "the elements after the last full vector of 16 are not updated",
        "sgd", "fused", "opt.shapes", "parameter",
        wrap=wraps.tail_skipped,
    ),
    Fault(
        "sgd-nesterov-without-gradient",
        "Nesterov's step leaves the gradient out, in the rule as Triton compiles it",
        "sgd", "fused-triton", "opt.oracle", "parameter",
        patches=(("direction = grad + momentum * momentum_buffer", "direction = momentum * momentum_buffer"),),
    ),
    Fault(
        "sgd-triton-last-block-lost",
        "Triton's launch has no program for a last block that is not full",
        "sgd", "fused-triton", "opt.shapes", "parameter",
        wrap=wraps.last_block_lost,
    ),
    Fault(
        "sgd-state-without-gradient",
        "parameters that never had a gradient get state",
        "sgd", "foreach", "opt.sparse_in_time", "has no state",
        wrap=wraps.state_without_gradient,
    ),
    Fault(
        "adam-version-not-raised",
        "parameters are written behind autograd's back",
        "adam", "fused", "opt.version", "version",
        wrap=wraps.version_not_raised,
    ),
    Fault(
        "adam-negative-lr-accepted",
        "an illegal lr is accepted",
        "adam", "reference", "opt.errors", "ValueError",
        patches=(('"learning rate": lr, ', ""),),
    ),
    Fault(
        "adam-state-renamed",
        "state_dict calls the first moment m",
        "adam", "foreach", "opt.interchange", "state entries",
        wrap=wraps.state_renamed,
    ),
    Fault(
        "adam-counts-outside-its-state",
        "what decides the bias corrections is an attribute, which no checkpoint holds",
        "adam", "foreach", "opt.round_trip", "step of parameter",
        wrap=state_wraps.counts_outside_its_state,
    ),
    Fault(
        "sgd-state-dict-copied",
        "state_dict gives copies of the state",
        "sgd", "reference", "opt.snapshot", "is the optimizer's own",
        wrap=state_wraps.state_dict_copied,
    ),
    Fault(
        "adam-rate-shared-with-its-checkpoint",
        "a tensor lr that was loaded is the checkpoint's own",
        "adam", "reference", "opt.snapshot", "group['lr']",
        wrap=state_wraps.rate_shared_with_its_checkpoint,
    ),
    Fault(
        "sgd-end-of-a-part-skipped",
        "where several threads share a tensor, the last element of each one's part is not updated",
        "sgd", "fused", "opt.threads", "steps on 2 and 4 threads",
        wrap=state_wraps.end_of_a_part_skipped,
    ),
    Fault(
        "adam-memory-of-all-optimizers",
        "all optimizers collect their gradients in the same place",
        "adam", "foreach", "opt.threads", "Python thread",
        wrap=state_wraps.memory_of_all_optimizers,
    ),
    Fault(
        "sgd-thread-of-its-own",
        "steps are taken by a thread that no forked child has",
        "sgd", "reference", "opt.threads", "a forked child goes on",
        wrap=state_wraps.thread_of_its_own,
    ),
    Fault(
        "adam-launch-for-each-tensor",
        "each tensor is updated by a launch of its own",
        "adam", "fused", "opt.launch", "times the tensors",
        wrap=state_wraps.launch_for_each_tensor,
    ),
    Fault(
        "adamw-loop-called-foreach",
        "what is called foreach goes over parameters in a loop",
        "adamw", "foreach", "opt.launch", "of the kind that its name says",
        wrap=state_wraps.loop_called_foreach,
    ),
    Fault(
        "adam-scratch-of-all-parameters",
        "a step copies all parameters into arrays of NumPy's",
        "adam", "fused", "opt.memory", "held besides",
        wrap=state_wraps.scratch_of_all_parameters,
    ),
    Fault(
        "sgd-last-gradient-kept",
        "the state has a copy of the last gradient, too",
        "sgd", "reference", "opt.memory", "bytes of the state",
        wrap=state_wraps.last_gradient_kept,
    ),
    Fault(
        "adam-old-parameters-never-freed",
        "every step leaves a copy of the parameters behind",
        "adam", "foreach", "opt.memory", "what the first step leaves",
        wrap=state_wraps.old_parameters_never_freed,
    ),
    Fault(
        "adam-overflow-ignored-after-unscale",
        "an overflow is ignored where the gradients were unscaled before the step",
        "adam", "fused", "opt.amp_skip", "which is skipped",
        shipped_in="pytorch#95781",
        wrap=state_wraps.overflow_ignored_after_unscale,
    ),
    Fault(
        "sgd-momentum-of-a-skipped-step",
        "a first step that is skipped leaves a momentum buffer",
        "sgd", "fused", "opt.amp_skip", "momentum_buffer of parameter",
        shipped_in="torch 2.13, fused SGD",
        wrap=state_wraps.momentum_of_a_skipped_step,
    ),
    Fault(
        "adam-unscaled-into-grad",
        "the step writes the unscaled gradient into the caller's",
        "adam", "fused", "opt.amp_skip", "gradient of parameter",
        shipped_in="torch 2.13, fused on CPU",
        wrap=state_wraps.unscaled_into_grad,
    ),
    Fault(
        "adam-maximize-ignored-beside-amsgrad",
        "maximize does nothing where amsgrad is set",
        "adam", "foreach", "opt.knobs_alive", "maximize = True",
        wrap=math_wraps.maximize_ignored_beside_amsgrad,
    ),
    Fault(
        "adam-average-never-read",
        "the first moment is kept, but every step starts from none",
        "adam", "fused", "opt.knobs_alive", "exp_avg in the state",
        wrap=math_wraps.average_never_read,
    ),
    Fault(
        "sgd-last-of-a-group-not-decayed",
        "weight decay leaves the last parameter of a group out",
        "sgd", "foreach", "opt.partition", "parameter",
        wrap=math_wraps.last_of_a_group_not_decayed,
    ),
    Fault(
        "adam-conjugate-bit-overlooked",
        "a gradient that is a lazy conjugate is taken as it stands in memory",
        "adam", "foreach", "opt.complex", "exp_avg of parameter",
        wrap=math_wraps.conjugate_bit_overlooked,
    ),
    Fault(
        "adam-moment-from-fresh-memory",
        "the first moment starts from whatever was in memory",
        "adam", "foreach", "opt.deterministic", "exp_avg of parameter",
        wrap=math_wraps.moment_from_fresh_memory,
    ),
    Fault(
        "rmsprop-variance-below-zero",
        "centered: the root is taken of a variance that rounding made negative",
        "rmsprop", "reference", "opt.invariant", "is finite after",
        shipped_in="torch 2.13",
        patches=((".clamp(min=0.0)", ""),),
    ),
    Fault(
        "adam-tensors-with-nan-left-alone",
        "a gradient with one NaN leaves its whole tensor as it was",
        "adam", "fused", "opt.invariant", "but for element",
        wrap=math_wraps.tensors_with_nan_left_alone,
    ),
    Fault(
        "adam-zeroed-anew",
        "zero_grad puts new zeros where the gradient was",
        "adam", "foreach", "opt.zero_grad", "is the object that it was",
        wrap=dropin_wraps.zeroed_anew,
    ),
    Fault(
        "sgd-zeroed-with-its-graph",
        "a gradient that was set to zero still holds the graph that made it",
        "sgd", "reference", "opt.zero_grad", "holds no graph",
        wrap=dropin_wraps.zeroed_with_its_graph,
    ),
    Fault(
        "sgd-parameters-counted-first",
        "a generator of parameters is used up before they are taken",
        "sgd", "reference", "opt.params", "empty parameter list",
        wrap=dropin_wraps.parameters_counted_first,
    ),
    Fault(
        "adam-set-of-parameters",
        "a set of parameters is taken, in whatever order it has",
        "adam", "foreach", "opt.params", "a set is refused",
        shipped_in="torch 2.13",
        wrap=dropin_wraps.sets_put_in_a_list,
    ),
    Fault(
        "adam-closure-without-gradients",
        "the closure is called without autograd",
        "adam", "foreach", "opt.hooks", "gradients are enabled in the closure",
        wrap=dropin_wraps.closure_without_gradients,
    ),
    Fault(
        "sgd-answer-of-a-hook-ignored",
        "what a hook of state_dict returns is not what the caller gets",
        "sgd", "reference", "opt.hooks", "hooks of state_dict put in",
        wrap=dropin_wraps.answer_of_a_hook_ignored,
    ),
    Fault(
        "adagrad-one-of-two-rows",
        "of a row that is named twice one gradient counts",
        "adagrad", "reference", "opt.sparse", "sum of parameter",
        wrap=dropin_wraps.first_of_two_rows,
    ),
    Fault(
        "adagrad-sparse-bucket-ends-the-loop",
        "the first bucket of sparse gradients ends the loop over buckets",
        "adagrad", "foreach", "opt.sparse", "of parameter 1",
        shipped_in="pytorch#110444",
        patches=(
            (
                "                    _sparse(steps, params, grads, sums, group=group)\n                    continue\n",
                "                    _sparse(steps, params, grads, sums, group=group)\n                    break\n",
            ),
        ),
    ),
    Fault(
        "adam-newer-option-missed",
        "a checkpoint without amsgrad is loaded as it is",
        "adam", "foreach", "opt.old_checkpoints", "KeyError: 'amsgrad'",
        wrap=dropin_wraps.newer_option_missed,
    ),
    Fault(
        "adam-absence-stands-for-the-readers-option",
        "an option that a checkpoint lacks is taken from the optimizer that loads it",
        "adam", "fused", "opt.old_checkpoints", "group['amsgrad']",
        wrap=dropin_wraps.absence_stands_for_the_readers_option,
    ),
    Fault(
        "sgd-first-momentum-detached",
        "with differentiable=True the first momentum buffer has no past",
        "sgd", "reference", "opt.differentiable", "derivative by gradients",
        shipped_in="torch 2.13",
        patches=(("momentum_buffer.copy_(grad)", "momentum_buffer.copy_(grad.detach())"),),
    ),
    Fault(
        "sgd-rate-read-once",
        "a tensor lr is read when the optimizer is made",
        "sgd", "foreach", "opt.tensor_lr", "the group holds the tensor",
        wrap=dropin_wraps.rate_read_once,
    ),
    Fault(
        "lbfgs-step-length-is-the-rate",
        "the step length that is kept for the next pair is the caller's own tensor",
        "lbfgs", "reference", "opt.tensor_lr", "lr is written to before step",
        shipped_in="torch 2.13",
        wrap=dropin_wraps.step_length_is_the_rate,
    ),
    Fault(
        "adam-kernel-for-each-rate",
        "a kernel is compiled for every value of lr",
        "adam", "fused", "opt.tensor_lr", "compilers called in step",
        wrap=dropin_wraps.kernel_for_each_rate,
    ),
    Fault(
        "sgd-denormals-flushed",
        "a step flushes denormals to zero",
        "sgd", "reference", "opt.denormal", "parameter",
        wrap=math_wraps.denormals_flushed,
    ),
    Fault(
        "adamw-decay-factor-in-float32",
        "1 - lr*weight_decay is rounded to float32, which is 1 where there is hardly any decay",
        "adamw", "fused", "opt.precision", "parameter",
        wrap=math_wraps.decay_factor_in_float32,
    ),
    Fault(
        "adam-counter-in-the-default-dtype",
        "the step counter has the default dtype, which under bfloat16 counts to 256",
        "adam", "foreach", "opt.precision", "step of parameter",
        wrap=math_wraps.scalars_in_the_default_dtype,
    ),
    Fault(
        "adam-uphill-in-the-end",
        "from its sixtieth step on an optimizer ascends",
        "adam", "fused", "opt.converges", "of the loss is left",
        wrap=math_wraps.uphill_in_the_end,
    ),
    Fault(
        "swalr-shares-above-one",
        "the shares of the two rates, each rounded, add up to more than 1",
        "swalr", "foreach", "sch.formula", "is in its bounds",
        patches=(
            (
                "np.clip(start * rest + end * share, np.minimum(start, end), np.maximum(start, end))",
                "start * rest + end * share",
            ),
        ),
    ),
    Fault(
        "lbfgs-change-of-the-loss-not-looked-at",
        "a step goes on where the loss hardly changes any more",
        "lbfgs", "reference", "lbfgs.stopping", "goes on after evaluation",
        patches=(('                or abs(loss - state["prev_loss"]) < tolerance\n', ""),),
    ),
    Fault(
        "lbfgs-slope-hardly-flattened",
        "the line search is content with a slope of 0.999 of the first one",
        "lbfgs", "reference", "lbfgs.line_search", "flattens enough",
        patches=(("ARMIJO, CURVATURE = 1e-4, 0.9", "ARMIJO, CURVATURE = 1e-4, 0.999"),),
    ),
    Fault(
        "lbfgs-pair-too-many",
        "history_size + 1 pairs are kept",
        "lbfgs", "reference", "lbfgs.history", "pairs that are kept",
        patches=(
            (
                "del state[name][: max(0, len(state[name]) - history_size)]",
                "del state[name][: max(0, len(state[name]) - history_size - 1)]",
            ),
        ),
    ),
    Fault(
        "lbfgs-gradient-in-memory-order",
        "a matrix of gradients that lies by columns is read by columns",
        "lbfgs", "reference", "lbfgs.views", "of parameter 0",
        patches=(
            (
                "view_as_real(grad).reshape(-1) for grad in dense",
                "view_as_real(grad.mT if grad.dim() == 2 and not grad.is_contiguous() else grad).reshape(-1)\n"
                "            for grad in dense",
            ),
        ),
    ),
    Fault(
        "nadam-momentum-product-twice",
        "the momentum product takes each step's momentum twice",
        "nadam", "foreach", "opt.oracle", "mu_product",
        shipped_in="pytorch#92699",
        patches=(
            (
                "    product = gather(mu_products, device)\n",
                "    torch._foreach_mul_(mu_products, constant(factors(mu, mu_products[0], device), mu_products[0]))\n"
                "    product = gather(mu_products, device)\n",
            ),
        ),
    ),
    Fault(
        "lion-tuned-on-live-buffers",
        "the first step tries several launches on the tensors themselves and keeps them all",
        "lion", "fused", "opt.oracle", "exp_avg",
        shipped_in="lion-pytorch, PR 36",
        wrap=wraps.tuned_on_live_buffers,
    ),
    Fault(
        "lbfgs-any-fall-will-do",
        "the line search takes whatever lies lower than the start",
        "lbfgs", "reference", "lbfgs.search", "step 1",
        patches=(("start.loss + ARMIJO * trial.t * start.slope", "start.loss"),),
    ),
    *alone.FAULTS,
    *averaging.FAULTS,
    *schedules.FAULTS,
)  # fmt: skip

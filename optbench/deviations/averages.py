"""Where torch.optim.swa_utils breaks a law. Our tiers keep the law."""

from __future__ import annotations

from ._row import Deviation

ROWS: tuple[Deviation, ...] = (
    Deviation(
        "D-020",
        "swa",
        "avg.*",
        "torch-foreach",
        "the mean by lists of tensors raises RuntimeError where a model has buffers of whole numbers",
        "whole numbers are averaged in either form",
        """\
import torch
mean = torch.optim.swa_utils.get_swa_multi_avg_fn()
try: mean([torch.tensor([2])], [torch.tensor([4])], torch.tensor(1))
except RuntimeError as error: refused = error
assert "addcdiv" in str(refused)
""",
        effect="raises",
        proof="""\
get_swa_avg_fn, which computes the same average, takes these buffers. BatchNorm's num_batches_tracked is one, so
that use_buffers=True fails at the second update of the models that its documentation names.
""",
        cases=("use_buffers=True",),
    ),
    Deviation(
        "D-021",
        "ema swa",
        "avg.oracle avg.round_trip",
        "torch-*",
        "averages of whole numbers are cut off at every update: the mean of a counter that counts up stays at 0",
        "the average is kept in float64, and the buffer holds it rounded",
        """\
import torch
mean, averaged = torch.optim.swa_utils.get_swa_avg_fn(), torch.tensor([0])
for n in range(1, 100):
    averaged.copy_(mean(averaged, torch.tensor([n]), n))
assert averaged.item() == 0
""",
        effect="wrong result",
        proof="""\
The mean of 1 to 99 is 50. What is kept is cut off to whole numbers at each update, so that nothing below 1 ever
adds up; use_buffers=True is documented to average all buffers.
""",
        cases=("use_buffers=True",),
        says="whole numbers",
    ),
    Deviation(
        "D-022",
        "ema swa",
        "avg.precision",
        "torch-*",
        "an average has the digits of its tensors: 16-bit ones stand still, and float32 ones drift as rounding adds up",
        "16-bit averages are kept in float32, and what small updates lose in wider ones is kept too",
        """\
import torch
ema = torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
averaged = torch.zeros(1, dtype=torch.bfloat16)
for _ in range(10_000):
    ema([averaged], [torch.ones(1, dtype=torch.bfloat16)], torch.tensor(1))
assert averaged.item() <= 0.5
""",
        effect="digits lost",
        proof="""\
After 10,000 updates towards 1 the average is 1 - 0.999**10000, which is 0.99995; in bfloat16 it stops where one
update is below half a unit of the last place.
""",
    ),
    Deviation(
        "D-023",
        "swa",
        "avg.oracle page.examples",
        "torch-foreach",
        "the mean by lists of tensors takes its weight 1/(n + 1) from a float32 tensor, in float64 models too",
        "the weight is a float64 number",
        """\
import torch
averaged = torch.zeros(1, dtype=torch.float64)
mean = torch.optim.swa_utils.get_swa_multi_avg_fn()
mean([averaged], [torch.ones(1, dtype=torch.float64)], torch.tensor(2))
assert 1e-9 < abs(averaged.item() - 1 / 3) < 1e-7
""",
        effect="digits lost",
        proof="""\
Its own get_swa_avg_fn gives 1/3 to the last digit of float64: here the weight 1/(n + 1) passes through a
float32 tensor.
""",
        cases=("float64", "other_dtypes"),
    ),
    Deviation(
        "D-024",
        "ema swa",
        "avg.round_trip",
        "torch-*",
        "torch's averaging functions are local functions: an AveragedModel that has one cannot be pickled",
        "they are objects that can be pickled",
        """\
import pickle, torch
try: pickle.dumps(torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
except (AttributeError, pickle.PicklingError) as error: refused = error
assert "local" in str(refused)
""",
        effect="raises",
        proof="""\
AveragedModel is a module, and modules can be pickled, also this one with avg_fn=None: the function is defined
inside another function, where an object of a class would do.
""",
        cases=("pickle",),
    ),
    Deviation(
        "D-025",
        "swa",
        "avg.bn",
        "torch-*",
        "update_bn leaves momenta at None and the model in training mode where the loader or the model raises",
        "momenta and modes are restored, whatever is raised",
        """\
import torch
norm = torch.nn.BatchNorm1d(2).eval()
try: torch.optim.swa_utils.update_bn(["no tensor"], norm)
except Exception: pass
assert norm.momentum is None and norm.training
""",
        effect="state lost",
        proof="""\
The function sets momentum and mode for the time of its own pass. An exception, such as the end of memory,
leaves the model in a state that nobody asked for: with momentum None the statistics of later training are other
ones.
""",
        cases=("raises",),
    ),
    Deviation(
        "D-026",
        "swa",
        "avg.bn",
        "torch-*",
        "update_bn gives every module the mode of the whole: parts in another mode lose theirs",
        "each module's own mode is restored",
        """\
import torch
model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout()).train()
model[1].eval()
torch.optim.swa_utils.update_bn([torch.randn(4, 2)], model)
assert model[1].training
""",
        effect="state lost",
        proof="""\
A frozen part, put in evaluation mode by the user, trains after update_bn: train(was_training) sets all
submodules to the mode of the outermost.
""",
        cases=("mixed_modes",),
    ),
    Deviation(
        "D-027",
        "swa",
        "avg.bn",
        "torch-*",
        "update_bn with a loader that has no batch forgets the statistics: means become 0 and variances 1",
        "without data the statistics stay",
        """\
import torch
norm = torch.nn.BatchNorm1d(2)
norm.running_mean.fill_(3.0)
torch.optim.swa_utils.update_bn([], norm)
assert norm.running_mean.tolist() == [0.0, 0.0]
""",
        effect="state lost",
        proof="""\
The statistics are reset before the first batch is asked for; an empty loader, as of an iterator that is used
up, says nothing about the data, and nothing tells that they are gone.
""",
        cases=("empty_loader",),
    ),
    Deviation(
        "D-103",
        "ema swa",
        "avg.oracle",
        "torch-foreach",
        "an average that is kept in float32 of a model in 16 bits cannot be updated by lists of tensors",
        "the average has a dtype of its own",
        """\
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
model = torch.nn.Linear(1, 1, dtype=torch.bfloat16)
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
average.module.float()
average.update_parameters(model)
try: average.update_parameters(model)
except RuntimeError as error: refused = error
assert "expected dtype float" in str(refused)
""",
        effect="raises",
        proof="""\
The first update, which copies, goes through, as do all with get_ema_avg_fn. Averages of 16-bit models stand still
unless they have more digits than these (D-022).
""",
        cases=("a_wider_average",),
        says="expected dtype",
    ),
    Deviation(
        "D-104",
        "ema",
        "avg.oracle",
        "torch-forloop",
        "of a model in fewer bits than its average the new part is rounded to these: in bfloat16 to 3 digits",
        "it is added with all digits of the average",
        """\
import torch
ema = torch.optim.swa_utils.get_ema_avg_fn(0.999)
averaged, current = torch.zeros(1), torch.ones(1, dtype=torch.bfloat16)
error = ema(averaged, current, 1).item() / 0.001 - 1
assert 1e-4 < abs(error) < 1e-2
""",
        effect="digits lost",
        proof="""\
(1 - decay)*current is computed in the model's dtype before it meets the average: its own get_swa_avg_fn subtracts
first, and loses nothing.
""",
        cases=("a_wider_average",),
        says="scaled error",
    ),
)

"""optbench: is an implementation of torch.optim right, and how fast is it?

The tiers, suites and reports stand in top-level folders of the repository. Wheels and editable installs map them to
`optbench.reference`, `optbench.impls`, `optbench.suites` and `optbench.reports`; from a bare checkout the repository's
root is added to this package's search path, so all three ways import the same names.
"""

from pathlib import Path

__version__ = "0.1.0"

_root = Path(__file__).resolve().parent.parent
if (_root / "reference").is_dir() and (_root / "pyproject.toml").is_file():
    __path__.append(str(_root))

# After the path is whole; needs no torch.
from optbench.adapter import Adapter as Adapter  # noqa: E402
from optbench.foreign.adapting import adapt as adapt  # noqa: E402
from optbench.library import check as check  # noqa: E402

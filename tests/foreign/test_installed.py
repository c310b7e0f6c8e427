"""Entry points of installed packages: what is offered, what is wrong with it, and that none of their code runs."""

import json
import subprocess
import sys
import textwrap

import pytest

from optbench import registry
from optbench.cli.app import run
from optbench.errors import UsageError
from optbench.foreign import installed
from tests.cli.test_commands import environment

CODE = """
    import torch

    class Fancy(torch.optim.SGD):
        pass
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder on sys.path, and a function that installs a package with these entry points there."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def install(name, lines, version="1.0"):
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("\n".join([f"[{installed.GROUP}]", *lines, ""]))
        (tmp_path / f"{name}_code.py").write_text(textwrap.dedent(CODE))
        return tmp_path

    return install


def test_an_offer_is_an_implementation_of_its_name(packages):
    packages("fancy", ["fancy-sgd = fancy_code:Fancy"])
    assert installed.offers() == [installed.Offer("fancy-sgd", "fancy_code:Fancy", "fancy 1.0")]
    item = registry.find("fancy-sgd")
    assert (item.name, item.target, item.worker, item.ours) == ("fancy-sgd", "fancy_code:Fancy", True, False)
    assert item.summary == "fancy_code:Fancy of fancy 1.0"
    # Nobody takes part in a run by having been installed.
    assert "fancy-sgd" not in [each.name for each in registry.select([])]
    assert "fancy_code" not in sys.modules


def test_it_is_judged_as_foreign_code_under_its_name(packages, capsys):
    packages("fancy", ["fancy-sgd = fancy_code:Fancy"])
    arguments = ["check", "--algo", "sgd", "--impl", "fancy-sgd", "--law", "opt.shapes", "--dtype", "float32"]
    assert run([*arguments, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert {(row["implementation"], row["backend"], row["verdict"]) for row in rows} == {
        ("fancy-sgd", "foreign", "pass")
    }
    assert "--impl fancy-sgd" in rows[0]["reproduce"]


WRONG = [
    (["fused = fancy_code:Fancy"], "fused", "fancy 1.0 offers a name that is ours: write --impl fancy_code:Fancy."),
    (["odd = fancy_code"], "odd", "of fancy 1.0 names 'fancy_code', which is not package.module:Class."),
    (["odd = fancy_code:Fancy [extra]"], "odd", "names 'fancy_code:Fancy [extra]', which is not package.module:Class."),
    (["no equals sign"], "fancy 1.0", "its entry_points.txt cannot be read (TypeError): install it again."),
]


@pytest.mark.parametrize(("lines", "name", "said"), WRONG, ids=[case[0][0] for case in WRONG])
def test_what_is_wrong_with_an_offer_is_one_line(packages, capsys, lines, name, said):
    packages("fancy", lines)
    packages("other", ["other-sgd = other_code:Fancy"])
    found = {offer.name: offer.problem for offer in installed.offers(registry.IMPLEMENTATIONS)}
    assert said in found[name] and "\n" not in found[name]
    assert found["other-sgd"] == ""
    assert run(["list"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith(f"optbench: entry point {name!r}: ") and said in err and err.count("\n") == 1
    assert "other_code:Fancy" in out and "fancy_code" not in out
    if name == "odd":
        with pytest.raises(UsageError, match=r"^--impl 'odd': the entry point of fancy 1\.0 names"):
            registry.find("odd")


def test_a_name_that_two_packages_offer_is_nobodys(packages):
    packages("fancy", ["sgd2 = fancy_code:Fancy"])
    packages("other", ["sgd2 = other_code:Fancy"])
    with pytest.raises(UsageError) as caught:
        registry.find("sgd2")
    assert str(caught.value) == (
        "--impl 'sgd2': fancy 1.0 and other 1.0 offer this name: write --impl fancy_code:Fancy."
    )


def test_a_package_that_is_found_twice_is_no_clash(packages):
    packages("fancy", ["fancy-sgd = fancy_code:Fancy"])
    packages("fancy", ["fancy-sgd = fancy_code:Fancy"], version="2.0")
    assert [offer.problem for offer in installed.offers()] == [""]


def test_a_misspelt_name_is_told_the_nearest(packages):
    packages("fancy", ["fancy-sgd = fancy_code:Fancy"])
    with pytest.raises(UsageError, match="unknown implementation 'fancy-sdg': did you mean 'fancy-sgd'"):
        registry.find("fancy-sdg")


def test_a_class_that_is_not_there_is_wrong_usage_of_the_name(packages, capsys):
    packages("fancy", ["fancy-sgd = fancy_code:Gone"])
    assert run(["check", "--algo", "sgd", "--impl", "fancy-sgd"]) == 2
    err = capsys.readouterr().err
    assert "it has no 'Gone': its classes are: Fancy." in err and err.count("\n") == 1


def test_offers_are_listed_before_torch_is_imported(packages):
    folder = packages("fancy", ["fancy-sgd = fancy_code:Fancy"])
    # Whoever imports this torch, ends.
    (folder / "torch.py").write_text("raise SystemExit(9)\n")
    path = environment(PYTHONPATH=f"{environment()['PYTHONPATH']}:{folder}")
    outcomes = [
        subprocess.run([sys.executable, "-m", "optbench", *words], cwd=folder, env=path, capture_output=True, text=True)
        for words in (["list"], ["list", "impls"])
    ]
    for done in outcomes:
        assert "fancy-sgd" in done.stdout and "fancy_code:Fancy of fancy 1.0" in " ".join(done.stdout.split())
    assert [done.returncode for done in outcomes] == [0, 9]

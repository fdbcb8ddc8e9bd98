# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions that check, test and show the collection. ``make test`` runs them all, ``nox -s NAME`` runs one.

Those of antsibull-nox (lint, docs, licences, build) are configured in antsibull-nox.toml. Here is what it cannot do:
run ansible-test on the machine itself, with ansible-core from a package index, and test on the oldest Pythons.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from pathlib import Path

import antsibull_nox
import nox
from antsibull_nox.sessions import prepare_collections

ROOT = Path(__file__).parent
sys.path[:0] = [str(ROOT / "tests/tools"), str(ROOT / "tests")]
import environments  # noqa: E402
import pythons  # noqa: E402
from lab import whole_machine  # noqa: E402
from page import LINT as PAGE_LINT  # noqa: E402

nox.needs_version = ">=2026.8"
nox.options.default_venv_backend = "venv"  # the one that can make environments for Python 3.8
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True

# ansible-test and nox look for "python3.8" and so on by name. The Pythons come last, so that none of them brings its
# own "pip" or "python3"; pyenv's shims go, because they answer to versions that they then cannot run.
_path = [entry for entry in os.environ["PATH"].split(os.pathsep) if Path(entry).name != "shims"]
_path += [str(Path(found).parent) for found in map(pythons.find, pythons.VERSIONS) if found]
os.environ["PATH"] = os.pathsep.join(dict.fromkeys(_path))
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # many Pythons share this tree
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(ROOT / ".cache/hypothesis")
os.environ.pop("PYTHONPATH", None)
# As a URL, since pip splits the variable at spaces.
_constraints = (ROOT / "tests/requirements/constraints.txt").as_uri()
os.environ["PIP_CONSTRAINT"] = " ".join(
    filter(None, [os.environ.get("PIP_CONSTRAINT"), _constraints])
)
# git tells what belongs to the collection, and refuses to in a clone of another user, unless told so.
_git = {"COUNT": "1", "KEY_0": "safe.directory", "VALUE_0": str(ROOT)}
os.environ.update({f"GIT_CONFIG_{name}": value for name, value in _git.items()})
# Scratch servers end with this process, if nobody who started it has said otherwise.
os.environ.setdefault("LAB_OWNER", str(os.getpid()))
if os.environ.get("NOX_QUIET"):  # for what is run to be looked at (make demo)
    logging.getLogger().setLevel(logging.WARNING)

antsibull_nox.load_antsibull_nox_toml()


def core(version: str) -> str:
    """The requirement for the newest ansible-core of a line."""
    return f"ansible-core~={version}.0"


def newest_core(python: str) -> str | None:
    """The newest line of ansible-core whose controller runs on this Python."""
    return next((line for line in reversed(pythons.CORES) if python in pythons.CORES[line]), None)


def requirements(session: nox.Session) -> list[str]:
    """The requirements of a session, as options for pip."""
    return [word for path in environments.requirements(session.name) for word in ("-r", str(path))]


def tree() -> str:
    """A folder in which this checkout, whatever its own name, is the collection imagestore.lxd."""
    link = ROOT / ".cache/collections/ansible_collections/imagestore/lxd"
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to("../../../..")
    except FileExistsError:
        pass
    return str(ROOT / ".cache/collections")


def home(session: nox.Session) -> str:
    """A home for ansible-test sanity, which keeps its environments there: gone when the session's is made anew.

    It has the user's settings and cache for pip. (Not for playbooks: Ansible looks for ~ in /etc/passwd, too.)
    """
    place = Path(session.virtualenv.location) / "home"
    for name in (".config/pip", ".cache/pip"):
        own = place / name
        own.parent.mkdir(parents=True, exist_ok=True)
        # A cache that pip has made here, when the user had none yet, stays.
        if (Path.home() / name).is_dir() and not (own.is_symlink() or own.exists()):
            own.symlink_to(Path.home() / name)
    (place / ".pip").mkdir(exist_ok=True)
    (place / ".pip/pip.conf").write_text("[global]\nquiet = 2\n")  # errors only
    return str(place)


def user() -> dict[str, str]:
    """The environment of somebody who uses the collection from this checkout."""
    quiet = {f"ANSIBLE_{name}_WARNING": "false" for name in ("LOCALHOST", "INVENTORY_UNPARSED")}
    return {"ANSIBLE_COLLECTIONS_PATH": tree(), "PYTHONPATH": tree(), **quiet}


# --- ansible-test --------------------------------------------------------------------------------------------------


def collection_copy(session: nox.Session) -> Path | None:
    """A copy of the tracked and new files in …/ansible_collections/imagestore/lxd, as ansible-test wants it."""
    prepared = prepare_collections(
        session, install_in_site_packages=False, install_out_of_tree=True
    )
    return prepared.current_path if prepared else None


def provide_pip(session: nox.Session) -> None:
    """Give ansible-test the pip for its environments.

    It would fetch a script from a server of its own, which a machine with a package index alone does not reach. That
    script brings a wheel of pip and runs it; ours does the same with the wheel from the index.
    """
    script = "import ansible_test._internal.python_requirements as r; print(r.__file__)"
    code = session.run("python", "-c", script, silent=True)
    if code is None:  # only installing
        return
    found = re.search(r"\bpip='([\d.]+)'", Path(code.strip().splitlines()[-1]).read_text())
    if not found:
        session.error("ansible-test no longer says in python_requirements.py which pip it wants.")
    version = found[1]
    cache = Path(home(session), ".ansible/test/cache")
    wheel = cache / f"pip-{version}-py3-none-any.whl"
    if not wheel.exists():
        session.run(
            "python",
            "-m",
            "pip",
            "-q",
            "download",
            "--no-deps",
            "-d",
            str(cache),
            f"pip=={version}",
        )
    (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(
        "import runpy, sys\n"
        "words = [word for word in sys.argv[1:] if word not in ('--no-setuptools', '--no-wheel')]\n"
        "sys.argv = ['pip', 'install', *words]\n"
        f"sys.path.insert(0, {str(wheel)!r})\n"
        "runpy.run_module('pip', run_name='__main__', alter_sys=True)\n"
    )


def sanity(session: nox.Session, line: str) -> None:
    session.install(core(line))
    if copy := collection_copy(session):
        # Programs of this repository, no Ansible content: ruff and mypy judge them.
        for name in ("bench", "fuzz", "lab", "system", "tools"):
            shutil.rmtree(copy / "tests" / name, ignore_errors=True)
        provide_pip(session)
        with session.chdir(copy):
            words = ["--local", *(session.posargs or _checks(session, line))]
            session.run("ansible-test", "sanity", *words, env={"HOME": home(session)})


def _checks(session: nox.Session, line: str) -> list[str]:
    """Options that choose the checks: all, or for lines in between those that depend on ansible-core."""
    if line not in pythons.CORE_OF_FAMILY.values():
        chosen = ("action-plugin-docs", "ansible-doc", "runtime-metadata", "validate-modules")
        return [word for name in chosen for word in ("--test", name)]
    # Old versions require that __init__.py is empty. Here it says what the package offers.
    known = session.run("ansible-test", "sanity", "--list-tests", silent=True) or ""
    return ["--skip-test", "empty-init"] if "empty-init" in known.split() else []


_OF_THE_LAB = ("LAB_OWNER", "LAB_FAMILY", "LAB_LXD")


def integration(session: nox.Session, line: str) -> None:
    session.install(core(line), *requirements(session))
    if copy := collection_copy(session):
        foreign, alone = _prepared_targets(session, copy)
        words = ["--local", "--allow-destructive", "--allow-root"]
        without = [word for name in (*foreign, *alone) for word in ("--exclude", name)]
        with session.chdir(copy):
            session.run("ansible-test", "integration", *words, *(session.posargs or without))
            if alone and not session.posargs:
                with whole_machine():
                    session.run("ansible-test", "integration", *words, *alone)


def _prepared_targets(session: nox.Session, copy: Path) -> tuple[list[str], list[str]]:
    """Tell the targets of the lab. Those that are for other families of servers, and those that change the machine."""
    foreign, alone = [], []
    for aliases in sorted(copy.glob("tests/integration/targets/*/aliases")):
        name, text = aliases.parent.name, aliases.read_text()
        marks = set(text.split())
        if never := {"disabled", "unstable", "unsupported"} & marks:
            session.error(f"{name} is marked {', '.join(never)}: it would never run.")
        families = {mark for mark in marks if mark.startswith("families/")}
        if families and f"families/{os.environ.get('LAB_FAMILY', 'lxd')}" not in families:
            foreign.append(name)
        elif "machine" in marks:
            alone.append(name)
        # ansible-test hands none of our environment to the targets, but what a target asks for.
        told = [f"env/set/{name}/{os.environ[name]}" for name in _OF_THE_LAB if name in os.environ]
        aliases.write_text("\n".join([text.rstrip(), *told, ""]))
    return foreign, alone


# --- pytest --------------------------------------------------------------------------------------------------------


def units(session: nox.Session, version: str) -> None:
    """Import all that runs on managed hosts, and run the unit tests; again with the oldest requests, where that tells.

    The Ansible around a module is that of the controller which sends it, so an old Python gets the newest
    ansible-core that supports it on managed hosts: without its dependencies, of which module code has none.
    """
    controller = newest_core(version)
    if controller:
        session.install(core(controller))
    else:
        managed = core("2.19" if version == "3.8" else next(reversed(pythons.CORES)))
        session.install("--no-deps", "--ignore-requires-python", managed)
    newest, oldest = environments.requirements(session.name)
    session.install("-r", str(newest))
    beside = Path(session.virtualenv.location) / "requests-oldest"
    session.install("--target", str(beside), "-r", str(oldest))
    words = ["tests/unit", *session.posargs]
    if not controller:
        others = (path for path in (ROOT / "tests/unit/plugins").glob("*/") if path.is_dir())
        words += [
            f"--ignore={path}" for path in others if path.name not in ("modules", "module_utils")
        ]
    runs = [(tree(), words)]
    if not session.posargs:
        runs.append((os.pathsep.join([tree(), str(beside)]), _tests_of_requests()))
    for path, chosen in runs:
        session.run("python", "tests/tools/import_all.py", env={"PYTHONPATH": path})
        session.run("python", "-m", "pytest", "-q", *chosen, env={"PYTHONPATH": path})


def _tests_of_requests() -> list[str]:
    """The files of unit tests that import a package of the library which itself imports requests."""
    library = ROOT / "plugins/module_utils/_core"
    users = {
        path.relative_to(library).with_suffix("").parts[0]
        for path in library.rglob("*.py")
        if re.search(r"^\s*(?:import|from) requests\b", path.read_text(), re.M)
    }
    imports = re.compile(rf"\b_core(?:\.| import )(?:{'|'.join(users)})\b")
    found = [
        path
        for path in (ROOT / "tests/unit").rglob("test_*.py")
        if imports.search(path.read_text())
    ]
    return sorted(str(path.relative_to(ROOT)) for path in found)


for _version in filter(pythons.find, pythons.VERSIONS):

    @nox.session(name=f"units-{_version}", python=pythons.find(_version), tags=["units"])
    def _units(session: nox.Session, version: str = _version) -> None:
        units(session, version)


for _line in pythons.CORES:
    if not (_chosen := pythons.first(pythons.CORES[_line])):
        continue

    @nox.session(name=f"sanity-{_line}", python=pythons.find(_chosen), tags=["sanity"])
    def _sanity(session: nox.Session, line: str = _line) -> None:
        """Ansible's own checks."""
        sanity(session, line)

    @nox.session(name=f"integration-{_line}", python=pythons.find(_chosen), tags=["integration"])
    def _integration(session: nox.Session, line: str = _line) -> None:
        """Playbooks against real servers (root)."""
        integration(session, line)


_NEWEST = pythons.first(("3.13", "3.12", "3.11")) or "3.11"
_PYTHON = pythons.find(_NEWEST)
_CORE = newest_core(_NEWEST) or "2.19"


@nox.session(python=_PYTHON)
def system(session: nox.Session) -> None:
    """What a user fears, against real servers: faults, races, load (root)."""
    session.install(core(_CORE), *requirements(session))
    # pytest-ansible is to take the collection from ANSIBLE_COLLECTIONS_PATH, not from links that it would make.
    words = ["--ansible-unit-inject-only", "--durations=20"]
    words += session.posargs or ["tests/system"]
    session.run("python", "-m", "pytest", *words, env=user())


@nox.session(python=_PYTHON, default=False)
def check(session: nox.Session) -> None:
    """Format, lint, types and unit tests on one Python, side by side: for the time while you write."""
    session.install(core(_CORE), *requirements(session))
    session.run("python", "tests/tools/check.py", *session.posargs, env=user())


@nox.session(python=_PYTHON)
def page(session: nox.Session) -> None:
    """Lint the sources of an image server's page, and write them to the Python that ships them, except in CI."""
    session.install(*requirements(session))
    with session.chdir("docs/page"):
        session.run("biome", *PAGE_LINT)
    if not os.environ.get("CI"):
        session.run("python", "tests/tools/page.py", silent=True)


@nox.session(python=_PYTHON)
def changelog(session: nox.Session) -> None:
    """Check the changelog fragments."""
    session.install("antsibull-changelog", core(_CORE))
    session.run("antsibull-changelog", "lint")


@nox.session(python=_PYTHON, default=False)
def release(session: nox.Session) -> None:
    """Make a release of this version: changelog, commit, tag and tarball."""
    session.install(core(_CORE), *requirements(session))
    session.run("python", "tests/tools/release.py", *session.posargs)


#: The schema of each kind of GitHub's files.
_SCHEMAS = {
    ".github/dependabot.yml": "dependabot",
    ".github/ISSUE_TEMPLATE/config.yml": "github-issue-config",
    ".github/ISSUE_TEMPLATE/[!c]*.yml": "github-issue-forms",
    ".github/workflows/*.yml": "github-workflows",
}


@nox.session(python=_PYTHON)
def repository(session: nox.Session) -> None:
    """Check the workflows and forms for GitHub, and what an execution environment gets."""
    session.install(*requirements(session))
    for pattern, schema in _SCHEMAS.items():
        files = [str(path) for path in sorted(ROOT.glob(pattern))]
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)
    found = session.run("ansible-builder", "introspect", tree(), silent=True)
    if found is None:  # only installing
        return
    needed = [
        line.split()[0]
        for name in ("bindep.txt", "meta/ee-requirements.txt")
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith("#") and line != "PyYAML"  # every environment has it
    ]
    if missing := [name for name in needed if f"'{name}" not in found]:
        session.error(f"ansible-builder does not see {', '.join(missing)}:\n{found}")


@nox.session(python=_PYTHON, default=False)
def demo(session: nox.Session) -> None:
    """Show the collection at work on scratch servers (root)."""
    session.install(core(_CORE), *requirements(session))
    session.run("python", "tests/lab", "install", silent=True)
    words = ("playbooks/quickstart.yml", *session.posargs)
    readable = {
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
    }
    session.run("ansible-playbook", *words, env={**user(), **readable})


@nox.session(python=_PYTHON, default=False)
def pictures(session: nox.Session) -> None:
    """Draw the pictures of the README anew (root)."""
    session.install(core(_CORE), *requirements(session))
    session.run("python", "tests/lab", "install", silent=True)
    session.run("python", "tests/tools/pictures.py", env=user())


@nox.session(python=_PYTHON, default=False)
def bench(session: nox.Session) -> None:
    """Measure speed and memory against the command-line client (root)."""
    session.install(core(_CORE), *requirements(session))
    session.run("python", "tests/lab", "install", silent=True)
    session.run("python", "tests/bench/run.py", *session.posargs, env=user())


@nox.session(python=_PYTHON)
def fuzz(session: nox.Session) -> None:
    """Feed damaged input to the readers of all that comes from outside, for so many seconds."""
    session.install(core(_CORE), *requirements(session))
    session.run("python", "tests/fuzz", *(session.posargs or ["60"]), env=user())


@nox.session(python=_PYTHON, default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation as a site: .cache/docs/build/html."""
    session.install(core(_CORE), *requirements(session))
    session.run("python", "tests/tools/build_site.py", env=user())


@nox.session(python=_PYTHON, default=False)
def dev(session: nox.Session) -> None:
    """Make .nox/dev for an editor: run tests by hand with .nox/dev/bin/pytest."""
    session.install(core(_CORE), *requirements(session))

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the code of the documentation as it is printed: the examples of modules, guides and the README.

The directories, hosts and servers that it refers to are created for these tests only. If a new example needs more of
them, add them to ``Site``.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import cloud_vendors
import pytest
import yaml
from conftest import reset_server
from module_forkserver import module_forkserver
from pages import MODULES, PAGES, ROOT, Block, blocks, constant, examples
from published_site import PublishedSite
from replay import Replay
from simplestreams_tree import Tree

from lab import (
    Authority,
    KeyPair,
    Registry,
    Server,
    WebServer,
    build_directory,
    build_disk,
    build_image,
    build_rootfs,
    client_certificate,
    client_config,
    whole_machine,
)
from lab.addresses import free_host
from lab.packages import install
from lab.registry import OciImage
from lab.web import PACKAGES

PICTURES = runpy.run_path(str(ROOT / "tests/tools/pictures.py"))

#: The languages of code blocks that are run. Other blocks show output.
RUN = ("bash", "yaml", "yaml+jinja")


def runs(page: Path) -> bool:
    """Whether a page has code that is run."""
    return any(block.language in RUN for block in blocks(page))


# The documentation is written for LXD: its command-line client, directories and packages.
pytestmark = pytest.mark.families("lxd")

#: The inventory of the tests, beside that of a page.
OWN_INVENTORY = "machines-of-tests.yml"

#: The host on which the role sets up an image server.
IMAGES1 = "images1.example.com"

#: Where the role installs a program. It also removes it with its directory, which therefore is no mount point.
PROGRAMS = "/usr/local/lib"


#: A host that is an image server already.
IMAGES2 = "images2.example.com"

#: The name under which the web server asks for a password, for everything.
PRIVATE = "private.example.com"

#: The registries, which are one here. The last one is that behind docker.io.
REGISTRIES = ("registry.example.com", "docker.io", "registry-1.docker.io")

PASSWORD = "of the web server"
PASSWORD_HASH = (
    "$6$ofthetests$Xlzs2b2ZJ5lkOqDfkCIXISGROzobGZthJJz6hFO0CJElKe"
    "j2vtWfOO3vdE7fXPa6aykiB3MDMuUl7OMDI9a5I0"
)

#: Values that a module returns whenever it succeeds are documented as ``returned`` one of these.
ALWAYS = ("always", "success")

#: The fingerprint that the documentation uses as an example. No file has it.
SAMPLE = "3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061"


class Site:
    """A machine with everything that the documentation refers to. Its local server is ``lxd1``."""

    def __init__(
        self,
        folder: Path,
        lxd1: Server,
        build: Server,
        lxd2: Replay,
        incus1: Server,
        sample: str,
        images1: str,
    ) -> None:
        self.folder = folder
        self.images1 = images1
        self.sample = sample
        self.home = folder / "home"
        self.lxd1 = lxd1
        self.build = build
        self.lxd2 = lxd2
        self.incus1 = incus1
        self.variables: dict[str, str] = {}

    def prepare(self) -> None:
        """Create the initial state of servers and files."""
        for server in (self.lxd1, self.build, self.incus1):
            reset_server(server)
        for made in (self.folder / "play", Path("/srv/lxd-images")):
            shutil.rmtree(made, ignore_errors=True)
        (self.folder / "play/files").mkdir(parents=True)
        config = client_config(self.home / ".config/lxc", [self.lxd1, self.build])
        self.incus1.trust(config.pair.certificate)
        shutil.copy(config.pair.certificate, "/etc/lxd/client.crt")
        shutil.copy(config.pair.key, "/etc/lxd/client.key")
        self._add_remote_other(config.folder)
        shutil.copytree(config.folder, "/srv/lxc-config", dirs_exist_ok=True)
        made = self.folder / "images"
        now, after, web, web_after = (
            build_image("tar.xz", made, version=name).metadata
            for name in ("now", "next", "web", "web-next")
        )
        machine = build_image("vm", made)
        for path, names in (
            (now, self._both("busybox.tar.xz")),
            (after, ("/srv/images/busybox-next.tar.xz",)),
            (web, self._both("web.tar.xz")),
            (web_after, ("/srv/images/web-next.tar.xz",)),
            (machine.metadata, self._both("disk-meta.tar.gz")),
            (machine.rootfs, self._both("disk.qcow2")),
            (build_disk(made / "bare"), ("/srv/images/debian-13-generic-amd64.qcow2",)),
            (build_rootfs(made, "tar.zst"), ("/srv/images/debian-rootfs.tar.zst",)),
            (self.lxd1.certificate, (self.folder / "play/files/lxd1.example.com.crt",)),
        ):
            for name in names:
                shutil.copy(path, name)
        disk = build_disk(made)
        convert = ["qemu-img", "convert", "-O", "vmdk", str(disk), "/srv/images/cloud.vmdk"]
        subprocess.run(convert, check=True)
        for project in ("site", "build"):
            self.lxd1.run("project", "create", project)
        for name in ("busybox", "busybox-old", "testing"):
            self._add(self.lxd1, name)
        last_week = self._add(self.lxd1, "web-last")
        self.lxd1.run("image", "alias", "create", "web/2026-W47", last_week)
        self._add(self.lxd1, "web", "--project", "build")
        self._add(self.build, "internal")
        self.variables = {
            "disk_fingerprint": machine.fingerprint,
            "disk_sha256": sha256(machine.rootfs.read_bytes()).hexdigest(),
            "image_password": PASSWORD,
            "lxd_bearer_token": self.lxd2.bearer_token(),
            "registry_password": PASSWORD,
            "lxd1_certificate_fingerprint": self.lxd1.certificate_fingerprint,
            "web_fingerprint": self._add(self.build, "web", "--public"),
        }

    def _both(self, name: str) -> tuple[Path, Path]:
        """The paths of a file on the managed host and on the controller."""
        return Path("/srv/images", name), self.folder / "play/files" / name

    def _add_remote_other(self, folder: Path) -> None:
        """Add the remote ``other``, which is the build server as well, to a client configuration."""
        file = folder / "config.yml"
        config = yaml.safe_load(file.read_text())
        config["remotes"]["other"] = config["remotes"]["build"]
        file.write_text(yaml.safe_dump(config))
        shutil.copy(self.build.certificate, folder / "servercerts/other.crt")

    def _add(self, server: Server, name: str, *options: str) -> str:
        image = build_image("tar.gz", self.folder / "images", version=name)
        server.run("image", "import", str(image.metadata), "--alias", name, *options)
        return image.fingerprint

    def _add_instances(self) -> None:
        """Create the instances that are published: one is stopped, one runs and has a snapshot."""
        if self.lxd1.api("GET", "/1.0/instances"):
            return
        self.lxd1.run("init", "busybox", "template")
        self.lxd1.run("launch", "busybox", "build1")
        self.lxd1.run("snapshot", "build1", "release")

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "LXD_DIR": "/var/lib/lxd",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_INVENTORY": ",".join(self._inventories()),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "played",
            "PLAYED_RESULTS": str(self.folder / "play/results.jsonl"),
        }

    def save(self, block: Block) -> None:
        """Write a file of a page beside the playbooks."""
        path = self.folder / "play" / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def run(self, *found: Block) -> list[dict[str, Any]]:
        """Run code, which must succeed without warnings. Returns the results of its tasks.

        Several blocks must all be tasks or plays. They are run as one playbook, which is faster than many.
        """
        folder = self.folder / "play"
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        text = "\n".join(block.text for block in found)
        given = {"lxd_trust_token": self.lxd1.token("site")} if "trust_token" in text else {}
        variables = {**local, **self.variables, **given}
        if "lxd_image_publish" in text:
            self._add_instances()
        # It runs on this machine, with an address of its own.
        image_server = {
            "image_server_name": IMAGES1,
            "image_server_listen": [self.images1],
            "image_password_hash": PASSWORD_HASH,
        }
        hosts = {
            "lxd_hosts": {"hosts": {"lxd1.example.com": None}, "vars": variables},
            "image_servers": {"hosts": {IMAGES1: image_server}},
        }
        (folder / OWN_INVENTORY).write_text(
            yaml.safe_dump({"all": {"vars": local, "children": hosts}})
        )
        results = folder / "results.jsonl"
        results.unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text]
            if found[0].language == "bash"
            else self._playbook(folder, [block.text for block in found]),
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        said = f"{text}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        assert not re.search(r"\[(WARNING|DEPRECATION|ERROR)", said), said
        lines = results.read_text().splitlines() if results.exists() else []
        return [json.loads(line)[1] for line in lines]

    def _inventories(self) -> list[str]:
        """The inventory of a page, if it has one, and ours, by which its hosts are this machine."""
        found = [name for name in ("inventory.yml",) if (self.folder / "play" / name).exists()]
        return [*found, OWN_INVENTORY]

    def _playbook(self, folder: Path, texts: list[str]) -> list[str]:
        """Write a playbook of these plays and tasks. Returns the command to run it."""
        plays: list[dict[str, Any]] = []
        for number, text in enumerate(texts):
            ours = text.replace(SAMPLE, self.sample)
            items = yaml.safe_load(ours)
            name = f"{number}.yml"
            (folder / name).write_text(ours)
            if all("hosts" in item for item in items):
                plays.append({"ansible.builtin.import_playbook": name})
            else:
                tasks = [{"ansible.builtin.import_tasks": name}]
                facts = "ansible_facts" in text
                plays.append({"hosts": "lxd_hosts", "gather_facts": facts, "tasks": tasks})
        (folder / "play.yml").write_text(yaml.safe_dump(plays))
        return ["ansible-playbook", "play.yml"]


class Names(Authority):
    """An authority whose certificates are valid for all host names in the documentation."""

    names = (
        "images.example.com",
        "downloads.example.com",
        PRIVATE,
        "images.lxd.canonical.com",
        *cloud_vendors.HOSTS,
        IMAGES1,
        IMAGES2,
        *REGISTRIES,
    )

    def issue(self, name: str, *hosts: str) -> KeyPair:
        return super().issue(name, *hosts, *self.names)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    authority = Names(folder / "authority")
    image = build_image("tar.xz", folder / "www", version="now")
    image.metadata.rename(folder / "www/busybox.tar.xz")
    alpine, busybox, machine = (
        build_image(kind, folder / "images") for kind in ("split-xz", "split", "vm")
    )
    for path, name in ((machine.metadata, "disk-meta.tar.gz"), (machine.rootfs, "disk.qcow2")):
        shutil.copy(path, folder / "www" / name)
    rootfs = build_rootfs(folder / "images").rename(folder / "www/rootfs.tar.xz")
    digest = sha256(rootfs.read_bytes()).hexdigest()
    (folder / "www/SHA256SUMS").write_text(f"{digest}  rootfs.tar.xz\n")
    shutil.copytree("/usr/share/keyrings", folder / "keyrings")
    keyring = folder / "keyrings/ubuntu-cloudimage-keyring.gpg"
    cloud_vendors.publish(folder / "www", folder / "images", keyring)
    tree = Tree(folder / "www")
    tree.publish(alpine, "alpine/3.23", os="Alpine")
    tree.publish(busybox, "busybox")
    tree.publish(machine, "debian/12", os="Debian")
    headers = (
        f"add_header LXD-Image-Hash {image.fingerprint} always;"
        " add_header LXD-Image-URL https://images.example.com/busybox.tar.xz always;"
    )
    (folder / "passwords").write_text(f"ansible:{{PLAIN}}{PASSWORD}\n")
    protected = f"auth_basic private; auth_basic_user_file {folder}/passwords;"
    by_name = (
        f"set $realm off; if ($host = {PRIVATE}) {{ set $realm private; }}"
        f" auth_basic $realm; auth_basic_user_file {folder}/passwords;"
    )
    web = WebServer(
        authority,
        folder / "www",
        f"{by_name} location = /images/busybox {{ {headers} return 200; }}"
        # Not "return", which nginx executes before it requires a password.
        f"location = /private/busybox {{ {protected} {headers} try_files /busybox.tar.xz =404; }}",
    )
    for name in ("images", "build", "backup", "carry", "lxc-config", "nginx"):
        (folder / "srv" / name).mkdir(parents=True)
    for name in ("etc", "home", "published", "programs"):
        (folder / name).mkdir(parents=True)
    build_directory(folder / "built").rename(folder / "srv/build/busybox")
    install(PACKAGES)
    subprocess.run(["cp", "-a", "/etc/.", str(folder / "etc")], check=True)
    isolate_nginx(folder / "etc/nginx", folder / "nginx.pid")
    (folder / "etc/lxd").mkdir(exist_ok=True)
    # Ansible reads home directories from there, and not only from HOME.
    users = re.sub(
        r"^(root:(?:.*?:){4}).*?:", rf"\1{folder / 'home'}:", (folder / "etc/passwd").read_text()
    )
    (folder / "etc/passwd").write_text(users)
    with pytest.MonkeyPatch.context() as patch, private_mounts() as mount:
        patch.setenv("SSL_CERT_FILE", str(authority.certificate))
        mount(folder / "etc", "/etc")
        mount(folder / "srv", "/srv")
        shutil.copytree(PROGRAMS, folder / "programs", symlinks=True, dirs_exist_ok=True)
        mount(folder / "programs", PROGRAMS)
        mount(folder / "keyrings", "/usr/share/keyrings")
        lxd1, build = Server("lxd1"), Server("build")
        incus1 = Server("incus1", family="incus7")
        registry = Registry(authority, port=443)
        published = PublishedSite(folder / "published", authority, f"https://{IMAGES2}")
        lxd2 = Replay("6.9", client_certificate(folder, "lxd2"), host=free_host(), port=8443)
        addresses = {
            **dict.fromkeys(Names.names, web.host),
            "lxd2.example.com": lxd2.host,
            IMAGES1: free_host(),
            IMAGES2: published.server.host,
            **dict.fromkeys(REGISTRIES, registry.host),
        }
        for server in (lxd1, build, incus1):
            name = f"{server.name}.example.com"
            addresses[name] = server.url.removeprefix("https://").split(":")[0]
        with open("/etc/hosts", "a") as file:
            file.writelines(f"{host} {name}\n" for name, host in addresses.items())
        with web, published.server, lxd1, build, lxd2, incus1, registry:
            for name in ("library/nginx:1.27", "team/app:stable"):
                registry.push(name, OciImage(name))
            shutil.copy(incus1.certificate, "/etc/lxd/incus1.crt")
            mount(lxd1.directory, "/var/lib/lxd")
            shutil.copy(lxd1.certificate, "/etc/lxd/lxd1.crt")
            shutil.copy(build.certificate, "/etc/lxd/build.crt")
            shutil.copy(authority.certificate, "/etc/ssl/site-ca.pem")
            pair = authority.issue("images1", IMAGES1)
            shutil.copy(pair.certificate, "/etc/ssl/images1.crt")
            shutil.copy(pair.key, "/etc/ssl/images1.key")
            yield Site(folder, lxd1, build, lxd2, incus1, image.fingerprint, addresses[IMAGES1])
            stop = ["start-stop-daemon", "--stop", "--oknodo", "--quiet", "--retry", "10"]
            subprocess.run([*stop, "--pidfile", str(folder / "nginx.pid")], check=True)
            subprocess.run(["umount", "/var/lib/lxd"], check=True)


def isolate_nginx(folder: Path, pid: Path) -> None:
    """Change this copy of nginx's configuration to serve nothing and not to conflict with another nginx."""
    (folder / "sites-enabled/default").unlink(missing_ok=True)
    main = folder / "nginx.conf"
    main.write_text(re.sub(r"(?m)^pid .*;", f"pid {pid};", main.read_text()))


@contextmanager
def private_mounts() -> Iterator[Any]:
    """Replace directories of the machine for this process and its children only (``man 2 unshare``)."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts = 0x20000

    def do(name: str, *arguments: int) -> None:
        if getattr(libc, name)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")

    def mount(folder: Path, path: str) -> None:
        subprocess.run(["mount", "--bind", str(folder), path], check=True)

    # The process that runs modules for all tests must not be a child of this one's private view.
    module_forkserver()
    place = os.getcwd()
    before = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    do("unshare", new_mounts)
    try:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        yield mount
    finally:
        do("setns", before, new_mounts)
        os.close(before)
        os.chdir(place)


def each_task_twice(text: str) -> str:
    """These tasks as they are printed, each of them twice in a row."""
    tasks = [task for task in re.split(r"^(?=- )", text, flags=re.MULTILINE) if task.strip()]
    return "\n".join(f"{task.rstrip()}\n\n{task}" for task in tasks)


@pytest.fixture
def prepared(site: Site) -> Site:
    site.prepare()
    return site


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_examples_of_a_module_work(prepared: Site, module: Path) -> None:
    """They make no changes when they are run again, and return the values that the module documents."""
    name = f"imagestore.lxd.{module.stem}"
    text = examples(module).text
    tasks = yaml.safe_load(text)
    results = [
        result
        for result in prepared.run(Block("yaml", each_task_twice(text), 0))
        if "ansible_facts" not in result  # facts of the play
    ]
    returned = yaml.safe_load(constant(module, "RETURN"))
    documented = {key for key, value in returned.items() if value["returned"] in ALWAYS}
    for task, *both in zip(tasks, results[::2], results[1::2], strict=True):
        for result in both if name in task else []:
            told = {key for key in result if not key.startswith("_")} - {"changed", "invocation"}
            assert told - set(returned) <= {"diff"}, task["name"]
            assert documented - told == set(), task["name"]
            assert missing_fields(result, returned) == [], task["name"]
        assert not both[1]["changed"], task["name"]


def missing_fields(result: dict[str, Any], returned: dict[str, Any]) -> list[str]:
    """Fields that the module documents for every result, and that are not in this one."""
    missing = []
    for key, value in returned.items():
        fields = value.get("contains", {})
        for item in result[key] if isinstance(result.get(key), list) else [result.get(key)]:
            if item and fields:
                documented = {
                    name for name, own in fields.items() if own.get("returned", "always") in ALWAYS
                }
                missing += [f"{key}.{name}" for name in documented - set(item)]
                missing += [f"{key}.{name}" for name in missing_fields(item, fields)]
    return missing


@pytest.mark.parametrize("page", list(filter(runs, PAGES)), ids=lambda path: path.name)
def test_the_code_on_a_page_works(prepared: Site, page: Path) -> None:
    shown = (block for block in blocks(page) if block.language in RUN or block.file)
    for (is_file, is_bash), together in groupby(
        shown, lambda block: (bool(block.file), block.language == "bash")
    ):
        if is_file:
            for block in together:
                prepared.save(block)
        elif is_bash:
            for block in together:
                prepared.run(block)
        else:
            prepared.run(*together)


def test_the_playbook_of_the_guide_keeps_a_store_tidy(prepared: Site) -> None:
    """In the first week, in the following weeks, and when it runs again in the same week."""
    (printed,) = yaml.safe_load(blocks(ROOT / "docs/docsite/rst/guide_tidy.rst")[0].text)
    before = prepared.lxd1.images()
    # The last is another build of the same week.
    weeks = ("2026-W52", "2026-W53", "2027-W01", "2027-W01")
    made: dict[str, str] = {}
    plays: list[dict[str, Any]] = []
    for week, version in zip(weeks, "abcd", strict=True):
        image = build_image("tar.xz", prepared.folder / "images", version=version)
        made[image.fingerprint] = version
        file = {"src": str(image.metadata), "dest": f"{prepared.folder}/play/files/web.tar.xz"}
        build = {"name": "Build", "ansible.builtin.copy": {**file, "mode": "0644"}}
        plays.append({"hosts": "lxd_hosts", "gather_facts": False, "tasks": [build]})
        plays += [{**printed, "vars": {**printed["vars"], "build_week": week}}] * 2
    mark = prepared.lxd1.mark()
    results = prepared.run(Block("yaml", yaml.safe_dump(plays), 0))
    writes = prepared.lxd1.writes(mark)
    # The alias is created once and then moved, each time with one request. It always exists.
    assert [one.method for one in writes if "/aliases/web?" in one.path] == ["PUT"] * 3

    imports = [result for result in results if "transferred" in result]
    assert [result["changed"] for result in imports] == [True, False] * 4
    # The second run of each week sees the result of the first.
    lists = [result["images"] for result in results if "images" in result]
    assert [named(images, made) for images in lists[1::2]] == [
        {"a": {"web", "web/2026-W52"}},
        {"a": {"web/2026-W52"}, "b": {"web", "web/2026-W53"}},
        {"b": {"web/2026-W53"}, "c": {"web", "web/2027-W01"}},
        {"b": {"web/2026-W53"}, "d": {"web", "web/2027-W01"}},
    ]
    removed = [result["results"] for result in results if "results" in result]
    assert [[made[one["item"]] for one in result] for result in removed] == [["a"], ["c"]]
    after = prepared.lxd1.images()
    assert {name: after[name] for name in before} == before
    assert named([after[name] for name in set(after) - set(before)], made) == {
        "b": {"web/2026-W53"},
        "d": {"web", "web/2027-W01"},
    }


def named(images: list[dict[str, Any]], names: dict[str, str]) -> dict[str, set[str]]:
    """The aliases of images, by the names that this test uses for them."""
    return {
        names[image["fingerprint"]]: {alias["name"] for alias in image["aliases"]}
        for image in images
    }


def test_the_demo_works_as_the_picture_shows_it(tmp_path: Path) -> None:
    with whole_machine():
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), "playbooks/quickstart.yml"],
            cwd=ROOT,
            env={
                **os.environ,
                **PICTURES["ENVIRONMENT"],
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_LOCALHOST_WARNING": "0",
                "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    assert "Hello from c1, with BusyBox" in done.stdout
    assert "Hello from by-simplestreams" in done.stdout
    assert not Path("/etc/nginx/image-server").exists()
    # The picture of the README is renewed with "make pictures".
    shown = PICTURES["plain"]([*PICTURES["written"](), *PICTURES["printed"](done.stdout)])
    for picture in sorted(PICTURES["PICTURES"].glob("demo-*.svg")):
        assert PICTURES["text_of"](picture) == shown

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.client_config import ClientConfig
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    ConnectionFailed,
    FileError,
    OptionError,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.remotes import (
    image_server_address,
    local_socket,
    server_address,
)

CONFIG = """
default-remote: local
remotes:
  lab:
    addr: https://10.0.0.1:8443
    auth_type: tls
    project: web
    protocol: lxd
    public: false
  images:
    addr: https://mirror.example.com/
    protocol: simplestreams
    public: true
  sso:
    addr: https://10.0.0.2:8443
    auth_type: oidc
  both:
    addr: https://10.0.0.3:8443,https://10.0.0.4:8443,https://10.0.0.5:8443
    last_working_address: https://10.0.0.4:8443
"""


# Each name stands for nine of the one before it: some 500 bytes, and nine to the eighth texts.
NESTED_ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefg", "bcdefgh")
)


@pytest.fixture(autouse=True)
def empty_home(monkeypatch, tmp_path):
    for name in ("LXD_CONF", "INCUS_CONF", "LXD_SOCKET", "LXD_DIR", "INCUS_SOCKET", "INCUS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LXD_GLOBAL_CONF", str(tmp_path / "global"))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "lxc"
    (path / "servercerts").mkdir(parents=True)
    (path / "config.yml").write_text(CONFIG)
    for name in ("client.crt", "client.key", "servercerts/lab.crt"):
        (path / name).write_text("-----BEGIN …")
    return path


class TestRemote:
    def test_has_everything_from_the_configuration(self, folder):
        remote = ClientConfig(str(folder)).remote("lab")
        assert remote.address == "https://10.0.0.1:8443"
        assert remote.project == "web"
        assert remote.server_cert == str(folder / "servercerts/lab.crt")
        assert remote.identity.cert == str(folder / "client.crt")

    def test_of_the_configuration_takes_precedence_over_a_built_in_one(self, folder):
        assert ClientConfig(str(folder)).remote("images").address == "https://mirror.example.com"

    def test_that_is_built_in_needs_no_configuration(self):
        images = ClientConfig().remote("images")
        assert images.address == "https://images.lxd.canonical.com"
        assert images.serves_images_only

    def test_with_several_addresses_begins_with_the_one_used_last(self, folder):
        remote = ClientConfig(str(folder)).remote("both")
        assert remote.address == "https://10.0.0.4:8443"
        assert remote.others == ("https://10.0.0.5:8443", "https://10.0.0.3:8443")

    @pytest.mark.parametrize(
        "addr", ["'https://a:1, https://b:2/'", "['https://a:1', 'https://b:2']"]
    )
    def test_with_several_addresses_begins_with_the_first_otherwise(self, folder, addr):
        (folder / "config.yml").write_text(f"remotes: {{x: {{addr: {addr}}}}}")
        remote = ClientConfig(str(folder)).remote("x")
        assert (remote.address, remote.others) == ("https://a:1", ("https://b:2",))

    def test_with_interactive_authentication_is_an_error(self, folder):
        with pytest.raises(OptionError, match="oidc"):
            ClientConfig(str(folder)).remote("sso")

    def test_that_is_unknown_is_an_error_with_the_known_ones(self, folder):
        with pytest.raises(
            OptionError, match="Known remotes: both, images, lab, local, sso, ubuntu"
        ):
            ClientConfig(str(folder)).remote("lub")

    def test_of_the_system_configuration_is_found_too(self, folder, tmp_path):
        (tmp_path / "global").mkdir()
        (tmp_path / "global/config.yml").write_text("remotes: {site: {addr: 'https://s:8443'}}")
        assert ClientConfig(str(folder)).remote("site").address == "https://s:8443"

    def test_of_incus_has_its_protocol_and_can_have_its_own_certificate(self, tmp_path):
        folder = tmp_path / "incus"
        (folder / "clientcerts").mkdir(parents=True)
        (folder / "config.yml").write_text("remotes: {a: {addr: 'https://a:8443'}}")
        for name in ("clientcerts/a.crt", "clientcerts/a.key", "client.crt", "client.key"):
            (folder / name).touch()
        remote = ClientConfig(str(folder)).remote("a")
        assert remote.protocol == "incus"
        assert remote.identity.cert == str(folder / "clientcerts/a.crt")

    @pytest.mark.parametrize(
        ("entry", "said"),
        [
            ("addr: 10.0.0.1:8443", "'10.0.0.1:8443', which is not the URL of a server"),
            (
                "addr: 'https://[fd42::1'",
                "'https://[fd42::1', which is not the URL of a server",
            ),
            ("addr: [https://a, http://b]", "'http://b', which is not the URL of a server"),
            ("addr: 'http://a:8443'", "'http://a:8443', which is not the URL of a server"),
            ("addr: unix:///run/s, protocol: simplestreams", "not the URL of an image server"),
            ("addr: 'http://docker.io', protocol: oci", "not the URL of an OCI registry"),
            ("addr: 'https://a', protocol: ftp", "the remote a in .* speaks ftp"),
        ],
    )
    def test_with_an_unsupported_configuration_is_an_error(self, tmp_path, entry, said):
        (tmp_path / "config.yml").write_text(f"remotes: {{a: {{{entry}}}}}")
        with pytest.raises(OptionError, match=said.replace("[", "\\[")):
            ClientConfig(str(tmp_path)).remote("a")

    @pytest.mark.parametrize(
        "entry", ["addr: 'https://a'", "addr: 'http://a/b', protocol: simplestreams"]
    )
    def test_keeps_the_url_of_the_client_configuration(self, tmp_path, entry):
        (tmp_path / "config.yml").write_text(f"remotes: {{a: {{{entry}}}}}")
        assert f"'{ClientConfig(str(tmp_path)).remote('a').address}'" in entry

    def test_can_have_another_protocol(self, folder):
        config = ClientConfig(str(folder))
        assert config.remote("lab", "simplestreams").serves_images_only
        with pytest.raises(OptionError, match="'unix://', which is not the URL of an image server"):
            config.remote("local", "simplestreams")

    @pytest.mark.parametrize("content", ["remotes: [a]", "- a", "{", "remotes: {a: }"])
    def test_in_an_invalid_file_is_an_error(self, tmp_path, content):
        (tmp_path / "config.yml").write_text(content)
        with pytest.raises((FileError, OptionError), match=r"config\.yml"):
            ClientConfig(str(tmp_path)).remote("a")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (NESTED_ALIASES, "exceeds the limit of"),
            ("[" * 2000, "more than|nesting depth|exceeds the limit"),
            ("a: !!timestamp x\nremotes: {}", "Known remotes"),
            ("a: !!bool x\nremotes: {}", "Known remotes"),
            ("a: !!int ''\nremotes: {}", "Known remotes"),
            ("a: !!python/object:os.system x\nremotes: {}", "Known remotes"),
            ("remotes: {a: {addr: {b: 1}}}", "which is not the URL of a server"),
            ("remotes: {a: {addr: [[1]]}}", "which is not the URL of a server"),
            ("remotes: {a: {addr: !!binary x}}", "which is not the URL of a server"),
            ("remotes: {a: {addr: 'https://a:1', auth_type: [1]}}", "authenticates by"),
            ("remotes: {[a]: {}}", r"config\.yml"),
            ("\0", "is not valid YAML"),
        ],
    )
    def test_is_read_within_bounds(self, tmp_path, content, said):
        (tmp_path / "config.yml").write_text(content)
        with pytest.raises((FileError, OptionError), match=said):
            ClientConfig(str(tmp_path)).remote("a")

    def test_keeps_the_name_of_its_project_as_it_is_written(self, tmp_path):
        (tmp_path / "config.yml").write_text("remotes: {a: {addr: 'https://a:1', project: 1.10}}")
        assert ClientConfig(str(tmp_path)).remote("a").project == "1.10"


class TestConfigurationDirectory:
    def test_is_the_first_that_exists(self, tmp_path, monkeypatch):
        incus = tmp_path / "home/.config/incus"
        incus.mkdir(parents=True)
        assert ClientConfig().folder == str(incus)
        lxc = tmp_path / "home/.config/lxc"
        lxc.mkdir()
        assert ClientConfig().folder == str(lxc)
        chosen = tmp_path / "chosen"
        chosen.mkdir()
        monkeypatch.setenv("LXD_CONF", str(chosen))
        assert ClientConfig().folder == str(chosen)


class TestLocalServer:
    def test_is_found_by_its_socket_in_the_documented_order(self, tmp_path, monkeypatch):
        monkeypatch.setenv("INCUS_SOCKET", str(tmp_path / "incus"))
        monkeypatch.setenv("LXD_DIR", str(tmp_path))
        (tmp_path / "incus").touch()
        assert local_socket() == f"unix://{tmp_path}/incus"
        (tmp_path / "unix.socket").touch()
        assert local_socket() == f"unix://{tmp_path}/unix.socket"

    def test_that_is_missing_is_an_error_with_the_paths(self, monkeypatch, tmp_path):
        monkeypatch.setattr("os.path.exists", lambda path: False)
        monkeypatch.setenv("LXD_SOCKET", str(tmp_path / "absent"))
        with pytest.raises(
            ConnectionFailed, match=r"absent.*/var/lib/lxd/unix\.socket.*/run/incus"
        ):
            local_socket()


ODD = [
    "https://a:99999",
    "https://a:0",
    "https://[::1",
    "https://a b",
    "https://a ",
    "https://a..b",
    "https://.",
    "https://*",
    "https://%zz",
    "https://" + 64 * "a",
    "https://me:secret@a",
    "https://a?b",
    "https://a#b",
]


class TestUrl:
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("https://lxd.example.com", "https://lxd.example.com:8443"),
            ("https://lxd.example.com:443/", "https://lxd.example.com:443"),
            ("https://[fd42::1]", "https://[fd42::1]:8443"),
            ("unix:///run/lxd/unix.socket", "unix:///run/lxd/unix.socket"),
        ],
    )
    def test_has_a_default_port(self, given, meant):
        assert server_address(given, "server") == meant

    @pytest.mark.parametrize(
        "given",
        [
            "lxd.example.com",
            "http://a",
            "https://",
            "https://a:x",
            "https://a/b",
            "unix://",
            "unix:///run/\0/socket",
            "ssh://a",
            *ODD,
        ],
    )
    def test_that_is_invalid_is_an_error_with_the_option(self, given):
        with pytest.raises(OptionError, match="server is "):
            server_address(given, "server")

    @pytest.mark.parametrize("given", ["http://a/b", "unix:///run/lxd/unix.socket", *ODD])
    def test_of_an_image_server_that_is_invalid_is_an_error(self, given):
        assert image_server_address("https://a:444/b/", "source_server") == "https://a:444/b"
        with pytest.raises(OptionError, match="source_server is "):
            image_server_address(given, "source_server")


class TestRegistryInTheClientConfiguration:
    @staticmethod
    def remote(tmp_path, address):
        entry = f"addr: '{address}', protocol: oci, public: true"
        (tmp_path / "config.yml").write_text(f"remotes: {{hub: {{{entry}}}}}")
        return ClientConfig(str(tmp_path)).remote("hub")

    def test_has_an_address_and_its_protocol(self, tmp_path):
        remote = self.remote(tmp_path, "https://docker.io")
        assert (remote.address, remote.protocol) == ("https://docker.io", "oci")
        assert remote.credentials is None

    def test_may_have_credentials_in_its_address(self, tmp_path):
        remote = self.remote(tmp_path, "https://me:p%40ss@registry.example.com:5000/team")
        assert remote.address == "https://registry.example.com:5000/team"
        assert remote.credentials == ("me", "p@ss")
        assert "p@ss" not in repr(remote)

    def test_shows_no_credentials_if_its_address_is_wrong(self, tmp_path):
        with pytest.raises(OptionError, match="not the URL of an OCI registry") as caught:
            self.remote(tmp_path, "https://me:s3cret@[x")
        assert "s3cret" not in str(caught.value)


class TestBuiltInImages:
    """The remote images, which is another server in each client."""

    def test_is_that_of_the_client(self, tmp_path):
        remote = ClientConfig(str(tmp_path)).remote("images")
        assert remote.as_in("lxc").address == "https://images.lxd.canonical.com"
        assert remote.as_in("incus").address == "https://images.linuxcontainers.org"

    def test_is_what_the_client_configuration_says_if_that_has_it(self, tmp_path):
        entry = "addr: 'https://mirror.example.com', protocol: simplestreams"
        (tmp_path / "config.yml").write_text(f"remotes: {{images: {{{entry}}}}}")
        remote = ClientConfig(str(tmp_path)).remote("images")
        assert remote.as_in("incus").address == "https://mirror.example.com"

    def test_other_built_in_remotes_are_the_same_for_all(self, tmp_path):
        remote = ClientConfig(str(tmp_path)).remote("ubuntu")
        assert remote.as_in("incus") == remote.as_in("lxc") == remote

    def test_the_client_is_known_by_the_name_of_the_directory(self, tmp_path):
        assert ClientConfig(str(tmp_path)).client == "lxc"
        assert ClientConfig(str(tmp_path / "incus")).client == "incus"

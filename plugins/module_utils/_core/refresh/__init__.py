# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Renews a mirror as its options say. Knows no Ansible, so that a host can do it by itself, too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..connections import Connections, secrets_of
from ..deadline import Deadline
from ..images import normalized_address
from ..mirror import MirrorSource
from ..mirror.mirroring import Mirroring, MirrorResult
from ..options.mirror import MirrorOptions

if TYPE_CHECKING:
    from ..transfer_progress import TransferRecorder


class MirrorWork:
    """One renewal of a mirror, within the time that the options give."""

    def __init__(self, options: MirrorOptions, recorder: TransferRecorder | None = None) -> None:
        """``recorder`` records the downloads, if their progress is shown."""
        self._options = options
        self._recorder = recorder
        deadline = Deadline(options.connection.timeout)
        self._connections = Connections(options.connection, deadline)
        self._mirroring = Mirroring(options.location, options.policy, deadline)
        self.secrets = secrets_of(options.source.credentials)
        """Texts to mask in messages, besides the secret options."""

    @property
    def actions(self) -> list[str]:
        """What was done so far."""
        return self._mirroring.actions

    @property
    def transferred(self) -> int:
        """The bytes that were downloaded so far."""
        return self._mirroring.transferred

    def run(self, check_mode: bool = False) -> MirrorResult:
        """Mirror, or withdraw. Raises ImageStoreError."""
        options = self._options
        remote = self._connections.source(options.source)
        if remote is None:
            raise ValueError("the options name no source")
        self.secrets += secrets_of(remote.credentials)
        if remote.is_built_in_images:
            remote = remote.as_in(self._connections.config.client)
        address = remote.address
        if not address.startswith("unix:"):
            address = normalized_address(address)
        if options.absent:
            return self._mirroring.withdraw(address, remote.protocol, check_mode)
        staging, policy = self._mirroring.staging, options.policy
        source: MirrorSource
        if remote.protocol == "simplestreams":
            from ..mirror.listed import ListedSource

            server = self._connections.to_image_server(remote, options.source)
            now = int(time.time())
            source = ListedSource(
                server, self._mirroring.tree, staging, policy, now, self._recorder
            )
        else:
            from ..mirror.exported import ExportedSource

            store = self._connections.to_store(remote, options.source)
            source = ExportedSource(
                store, address, remote.protocol, staging, policy, self._recorder
            )
        return self._mirroring.update(source, options.select, check_mode)

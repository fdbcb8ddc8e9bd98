# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An Ansible module that says nothing of the credentials in addresses, whatever it says and whenever it ends."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from ansible.module_utils.basic import AnsibleModule

MIN_SECRET_CHARACTERS = 6
"""Characters from which on a text is masked wherever it turns up. A shorter one turns up in fingerprints, too."""


class MaskingModule(AnsibleModule):
    """For options that name addresses of web servers, and headers for them."""

    def __init__(self, **specification: Any) -> None:
        super().__init__(**specification)  # type: ignore[no-untyped-call]

    def _log_invocation(self) -> None:
        # In the system's log, which gets the options before anything else is done.
        params, self.params = self.params, self._shown()
        super()._log_invocation()  # type: ignore[no-untyped-call]
        self.params = params

    def exit_json(self, **values: Any) -> Any:
        """End with a result."""
        self._mask()
        return super().exit_json(**values)

    def fail_json(self, msg: str, **values: Any) -> Any:
        """End with an error; Ansible itself does so for options that do not fit together."""
        self._mask()
        return super().fail_json(msg, **values)

    def _mask(self) -> None:
        headers = self.params.get("url_headers") or {}
        if isinstance(headers, dict):
            # Ansible masks the values of such an option, however short.
            stored_note = {self.params.get(name) for name in ("url_password", "trust_token")}
            texts = {str(value) for value in headers.values()}
            self.no_log_values -= {
                text for text in texts - stored_note if len(text) < MIN_SECRET_CHARACTERS
            }
        for text in self._addresses().values():
            userinfo = text.partition("//")[2].rpartition("@")[0]
            for part in (userinfo, userinfo.partition(":")[2] or userinfo):
                self.no_log_values |= {
                    word for word in (part, unquote(part)) if len(word) >= MIN_SECRET_CHARACTERS
                }
        self.params = self._shown()

    def _addresses(self) -> dict[str, str]:
        """The options that are addresses with something like credentials in them."""
        names = ("url", "metadata_url", "rootfs_url")
        texts = {name: self.params.get(name) for name in names}
        return {name: text for name, text in texts.items() if isinstance(text, str) and "@" in text}

    def _shown(self) -> dict[str, Any]:
        """The options as they may be shown."""
        shown = dict(self.params)
        addresses = self._addresses()
        if addresses:
            from ..downloads import mask_credentials

            shown.update({name: mask_credentials(text) for name, text in addresses.items()})
        headers = self.params.get("url_headers")
        if isinstance(headers, dict):
            shown["url_headers"] = dict.fromkeys(headers, "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")
        return shown

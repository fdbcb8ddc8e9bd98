# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The AnsibleModule of this collection: it masks secrets, and says more about options that do not fit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Iterator, Mapping
from urllib.parse import unquote

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from ..transfer_progress import TransferRecorder

IN_INVOCATION = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"

SECRET_OPTIONS = ("url_headers", "url_password", "source_password", "source_bearer_token")
"""Options whose values are masked wherever they stand: also in entries, whose options Ansible does not know."""

MIN_QUERY_VALUE = 6
"""Characters from which on a single value of an address's query is masked, too; the whole query always is."""

MIN_TOKEN_PART = 16
"""Characters from which on what stands between the dots of a secret is masked by itself, too."""


class ImageModule(AnsibleModule):
    """Masks ``no_log`` options, values of ``url_headers``, and user parts and queries of all addresses.

    They are masked as whole words in all that the module returns and logs, so never inside a fingerprint. (Ansible
    alone would replace a short secret in the middle of any text.) Further secrets go into ``no_log_values``.
    """

    _is_valid = False

    def __init__(self, **specification: Any) -> None:
        super().__init__(**specification)  # type: ignore[no-untyped-call]
        self._is_valid = True

    def _load_params(self) -> None:
        super()._load_params()  # type: ignore[no-untyped-call]
        # Ansible's checks leave out of a list what does not fit.
        self._given = dict(self.params)

    def fail_json(self, msg: str, **values: Any) -> Any:
        """End with an error; Ansible itself does so for options that do not fit together."""
        if not self._is_valid:
            msg = self._explain_options(msg)
        return super().fail_json(msg, **values)

    def warn(self, warning: str, **options: Any) -> None:
        """Add a warning to the result."""
        super().warn(self._masked(warning, self._secrets()), **options)

    def _log_invocation(self) -> None:
        # Before anything else is done, Ansible writes the options to the system's log.
        params, self.params = self.params, self._shown_params()
        super()._log_invocation()  # type: ignore[no-untyped-call]
        self.params = params

    def _return_formatted(self, kwargs: dict[str, Any]) -> None:
        # The one way out of exit_json and fail_json.
        masked = self._masked(kwargs, self._secrets())
        self.params = self._shown_params()
        self.no_log_values = set()
        super()._return_formatted(masked)  # type: ignore[no-untyped-call]

    def _secrets(self) -> list[str]:
        """All texts to mask, the longest first, since one may contain another."""
        found = {str(value) for value in self.no_log_values}
        found |= set(_texts([value for _name, value in _secret_options(self.params)]))
        # White space around an option is not used.
        found |= {value.strip() for value in found}
        # A server may quote a part of a bearer token.
        found |= {
            part for value in found for part in value.split(".") if len(part) >= MIN_TOKEN_PART
        }
        for text in _texts(self.params):
            found.update(_secrets_of(text))
        return sorted(filter(None, found), key=len, reverse=True)

    def _shown_params(self) -> dict[str, Any]:
        """The options as they may be shown."""
        from ..urls import mask_credentials

        def shown(value: Any) -> Any:
            if isinstance(value, str):
                # Paths may have in them what is no text, and Ansible's log takes nothing else.
                text = value.replace("\0", "?").encode(errors="replace").decode()
                return mask_credentials(text) if "://" in text else text
            if isinstance(value, Mapping):
                return {
                    name: _hidden(one) if name in SECRET_OPTIONS and one is not None else shown(one)
                    for name, one in value.items()
                }
            return [shown(one) for one in value] if isinstance(value, (list, tuple)) else value

        masked: dict[str, Any] = shown(self.params)
        for name, option in self.argument_spec.items():
            if option.get("no_log") and self.params.get(name) is not None:
                masked[name] = _hidden(self.params[name])
        return masked

    def _masked(self, value: Any, secrets: list[str]) -> Any:
        """The value with all secrets masked in its texts."""
        if isinstance(value, str):
            if any(secret in value for secret in secrets):
                from ..masking import mask

                return mask(value, secrets)
            return value
        if isinstance(value, Mapping):
            return {name: self._masked(one, secrets) for name, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._masked(one, secrets) for one in value]
        return value

    def _explain_options(self, msg: str) -> str:
        """What Ansible says of options that are wrong, without internal names and with the way out, if there is one."""
        result = getattr(self, "validation_result", None)
        unsupported = set(result.unsupported_parameters) if result else set()
        if unsupported and all(isinstance(name, str) for name in unsupported):
            known = ", ".join(sorted(name for name in self.argument_spec if name[0] != "_"))
            listed = ", ".join(sorted(unsupported))
            msg = f"{self._name} has no option {listed}. It has: {known}."
            if any(name.startswith("source_") for name in unsupported):
                msg += (
                    " To set a source for several tasks, use module_defaults with group/imagestore.lxd.source: it"
                    " contains only the modules that have a source."
                )
        for name in self._not_lists_of_dicts():
            msg = (
                f"{name} is not a list of dictionaries. On the command line, write all options as JSON, for example"
                f""" -a '{{"{name}": [{{"name": "web"}}]}}'."""
            )
        choices = self.argument_spec.get("state", {}).get("choices", ())
        if self.params.get("state") == "absent" and "absent" not in choices:
            msg = f"{msg.rstrip('.')}. To delete an image, use imagestore.lxd.lxd_image with state: absent."
        return msg

    def _not_lists_of_dicts(self) -> Iterator[str]:
        """The options that should be lists of dictionaries, if Ansible has found a value of another type."""
        from ansible.module_utils.errors import (
            ArgumentTypeError,
            ElementError,
            NoLogError,
            SubParameterTypeError,
        )

        result = getattr(self, "validation_result", None)
        # The last is what its search for secrets says of dictionaries that are none.
        types = (ArgumentTypeError, ElementError, SubParameterTypeError, NoLogError)
        if not (result and result.errors and isinstance(result.errors[0], types)):
            return
        for name, option in self.argument_spec.items():
            value = self._given.get(name)
            if (
                option.get("elements") == "dict"
                and name in self._given
                and not (isinstance(value, list) and all(isinstance(one, Mapping) for one in value))
            ):
                yield name


def transfer_recorder(module: AnsibleModule) -> TransferRecorder | None:
    """What records transfers for the controller to show; None if it has not asked for that.

    To be called before ``module.tmpdir`` is used, which may make another directory than the controller knows.
    """
    number = module.params.get("_progress")
    directory = module._tmpdir or getattr(module, "_remote_tmp", None)
    if number is None or not directory:
        return None
    from ..transfer_progress import TransferRecorder

    return TransferRecorder(os.path.expanduser(os.path.expandvars(directory)), number)


def _hidden(value: Any) -> Any:
    """What stands in the place of a secret option; of a dict its names are shown."""
    return dict.fromkeys(value, IN_INVOCATION) if isinstance(value, dict) else IN_INVOCATION


def _secret_options(value: Any) -> Iterator[tuple[str, Any]]:
    """The secret options in a value, also those in entries of lists."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            if name in SECRET_OPTIONS:
                yield name, one
            else:
                yield from _secret_options(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _secret_options(one)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)


def _secrets_of(text: str) -> Iterator[str]:
    """User part, password, query and its longer values of an address; nothing of any other text."""
    if "://" not in text:
        return
    from ..urls import user_part

    user = user_part(text)
    if user:
        for part in (user, user.partition(":")[2]):
            yield from (part, unquote(part))
    query = text.partition("?")[2].partition("#")[0]
    yield query
    for pair in query.split("&"):
        value = pair.partition("=")[2]
        if len(value) >= MIN_QUERY_VALUE:
            yield from (value, unquote(value))

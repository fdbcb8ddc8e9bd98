# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at a store: each image and alias is asked for when it is first needed, and remembered from then on.

No question costs more in a large store than in a small one. All images are listed only where nothing else can tell.
Even then what a list lacks is asked for by itself: LXD cuts a list off in silence when it takes ten seconds, and
answers with what it has by then (5.0.2 and 6.9, from some 3,500 images on).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable, Iterable

from .contents import Contents
from .errors import ImageNotFound, OptionError
from .images import Image, Origin, is_fingerprint, is_prefix

if TYPE_CHECKING:
    from .store import Store


class StoreView:
    """What a store holds, at one moment as far as a task can tell. A task that meets a change makes a new one.

    It answers the questions that ``Contents`` answers. Whether another has changed the store since is found out by the
    step that relies on it.
    """

    def __init__(self, store: Store) -> None:
        self.likely_aliases: tuple[str, ...] = ()
        """Aliases of which one probably points to the image that is looked for: they are asked before a list is."""
        self._store = store
        self._images: dict[str, Image | None] = {}
        self._aliases: dict[str, str | None] = {}
        self._listed: Contents | None = None

    def by_fingerprint(self, fingerprint: str | None) -> Image | None:
        """The image with this whole fingerprint."""
        if fingerprint is None or not is_fingerprint(fingerprint):
            return None
        if fingerprint not in self._images:
            self._remember(fingerprint, self._store.find_image(fingerprint))
        return self._images[fingerprint]

    def by_alias(self, alias: str) -> Image | None:
        """The image that an alias points to."""
        if alias not in self._aliases:
            found = self._store.get_alias(alias)
            self._aliases[alias] = found[0] if found else None
        return self.by_fingerprint(self._aliases[alias])

    def resolve(self, name: str) -> Image | None:
        """The image that a person means by an alias, or by 12 or more digits of a fingerprint; None if there is none.

        An alias wins over a fingerprint, as with ``lxc``. Raises ImageNotFound if the digits fit several, and
        OptionError if the name is empty.
        """
        if not name:
            raise OptionError("the name of the image is empty", "Give an alias or a fingerprint.")
        aliased = self.by_alias(name)
        if aliased or not is_prefix(name.lower()):
            return aliased
        try:
            found = self._store.find_image(name.lower())
        except ImageNotFound:
            # It fits several. Only a list tells which, so that the error can say how many digits it takes.
            self._list().resolve(name)
            raise
        if found:
            self._remember(found.fingerprint, found)
        return found

    def by_origin(
        self,
        server: str,
        protocol: str,
        alias: Callable[[Origin, Image], bool],
        preferred: str | None = None,
    ) -> Image | None:
        """The image to keep that was fetched from a server under a name that ``alias`` accepts.

        Of several the one that the alias ``preferred`` points to, else the newest upload. Those that are merely
        cached do not count.
        """
        favored = self.by_alias(preferred) if preferred else None
        seen = Contents((favored,) if favored else ())
        return seen.by_origin(server, protocol, alias) or self._list().by_origin(
            server, protocol, alias
        )

    def by_archive(self, digest: str) -> Image | None:
        """The image that was made of the directory with this digest; rather one to keep than a cached one."""
        self.see(self.likely_aliases)
        return self.contents().by_archive(digest) or self._list().by_archive(digest)

    def by_instance(self, identity: str) -> Image | None:
        """The image to keep that was made of this instance or snapshot."""
        self.see(self.likely_aliases)
        return self.contents().by_instance(identity) or self._list().by_instance(identity)

    @property
    def has_archives(self) -> bool:
        """Whether any image was made of a directory."""
        self.see(self.likely_aliases)
        return self.contents().has_archives or self._list().has_archives

    @property
    def has_rootfs_keys(self) -> bool:
        """Whether any image was made of a bare disk or root file system."""
        self.see(self.likely_aliases)
        return self.contents().has_rootfs_keys or self._list().has_rootfs_keys

    def by_rootfs_key(self, key: str) -> Image | None:
        """The image that was made of this disk or root file system; rather one to keep than a cached one."""
        self.see(self.likely_aliases)
        return self.contents().by_rootfs_key(key) or self._list().by_rootfs_key(key)

    def not_found(self, name: str) -> ImageNotFound:
        """What to raise when there is no image of this name: it also says what there is, so it takes a list."""
        return self._list().not_found(name)

    def may_have_size(self, size: int) -> bool:
        """Whether an image can have just this many bytes. Without a list nobody knows."""
        return self._listed is None or self._listed.has_size(size)

    def contents(self) -> Contents:
        """All images that were seen up to now."""
        return Contents(tuple(image for image in self._images.values() if image))

    def list_all(self) -> Contents:
        """All images of the store, in one request, so that most later questions need none."""
        return self._list()

    def see(self, aliases: Iterable[str] = (), fingerprints: Iterable[str] = ()) -> None:
        """Ask for these now, so that ``contents`` has them."""
        for alias in aliases:
            self.by_alias(alias)
        for fingerprint in fingerprints:
            self.by_fingerprint(fingerprint)

    def _list(self) -> Contents:
        if self._listed is None:
            self._listed = self._store.contents()
            for image in self._listed.images:
                self._remember(image.fingerprint, image)
        return self._listed

    def _remember(self, fingerprint: str, image: Image | None) -> None:
        self._images[fingerprint] = image
        for alias in image.aliases if image else ():
            self._aliases.setdefault(alias.name, fingerprint)


class Prefetch(threading.Thread):
    """A view that looks for some aliases in a thread of its own, while the task imports and reads what it needs."""

    def __init__(self, store: Store, aliases: Iterable[str]) -> None:
        super().__init__(daemon=True)
        self._view = StoreView(store)
        self._aliases = tuple(aliases)
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Look. (Called by the thread.)"""
        try:
            self._view.see(self._aliases)
        except BaseException as error:
            # Whatever it is, it is for who asks for the result.
            self._error = error

    def result(self) -> StoreView:
        """The view. Raises what went wrong."""
        self.join()
        if self._error:
            raise self._error
        return self._view

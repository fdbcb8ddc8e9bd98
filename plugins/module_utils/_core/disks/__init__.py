# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks and root file systems that vendors publish without LXD's metadata. Also used on the controller.

``recognize`` says what a file is, and refuses whatever could lead to another file of the host. ``metadata_archive``
makes the metadata of its image, ``rootfs_key`` the text by which that is recognized in a store, and ``image_files`` the
files to upload or publish, converted if necessary.
"""

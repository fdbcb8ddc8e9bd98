# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Benchmarks: the modules compared with the command-line client, for the same work in the same run.

A scenario is a function that takes a ``Setting`` and yields ``Row``; add it to ``SCENARIOS`` in ``cli.py``. What counts
is ratios, of medians of rounds in which both sides take turns: the speed of the machine drops out.
"""

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module in this process as Ansible does on a managed host, and reports its cost.

``inside.py ZIP MODULE REPORT``, with the module's options on standard input. The time counts from here, which is before
the module's first import; the start of Python itself is not in it.
"""

from __future__ import annotations

from time import perf_counter

started = perf_counter()

import runpy  # noqa: E402
import sys  # noqa: E402

payload, module, report = sys.argv[1:]
sys.argv[1:] = []
# In a zip archive, as sent by Ansible, so that everything is compiled again.
sys.path.insert(0, payload)
try:
    runpy.run_module(
        module,
        init_globals={"_module_fqn": module, "_modlib_path": payload},
        run_name="__main__",
        alter_sys=True,
    )
finally:
    seconds = perf_counter() - started
    # Not ru_maxrss, which begins with the memory of the parent process.
    facts = ""
    for name in ("status", "io"):
        with open(f"/proc/self/{name}") as file:
            facts += file.read()
    values = dict(line.split(":", 1) for line in facts.splitlines())
    with open(report, "w") as file:
        print(seconds, int(values["VmHWM"].split()[0]) * 1024, int(values["rchar"]), file=file)

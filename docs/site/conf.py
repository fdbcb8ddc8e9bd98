# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configuration of Sphinx for the site (``make docs``)."""

from __future__ import annotations

project = "imagestore.lxd"
project_copyright = "Contributors to the imagestore.lxd project"
html_title = "imagestore.lxd"
html_short_title = "imagestore.lxd"

extensions = ["sphinx_antsibull_ext"]
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
default_role = "any"

html_theme = "furo"
html_theme_options = {
    "source_repository": "https://github.com/imagestore/imagestore.lxd/",
    "source_branch": "main",
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_use_smartypants = True
html_copy_source = False

# Labels of Ansible's own documentation, which is not part of this site.
nitpicky = False

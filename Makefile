# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Each target sets up all that it needs: Debian packages, .venv, and the environments of nox below .nox.

.PHONY: help check test fuzz demo bench docs pictures format dev release setup clean

help:
	@echo 'make demo    import an image into a scratch LXD server and start a container from it (root)'
	@echo 'make check   format, lint, types and unit tests on one Python, in seconds: for the time while you write'
	@echo 'make test    all checks and tests (root); some of them: make test ONLY="sanity-2.21 units-3.8"'
	@echo 'make fuzz    damaged input for all readers of files and answers, for SECONDS=60'
	@echo 'make bench   speed and memory, measured against the lxc client (root)'
	@echo 'make docs    the documentation as a site: .cache/docs/build/html'
	@echo 'make pictures   renew the pictures of the README (root)'
	@echo 'make format  format the code'
	@echo 'make release VERSION=1.2.3   changelog, version, commit, tag and tarball, without publishing them'
	@echo 'make dev     an environment for an editor or for pytest by hand: .nox/dev'
	@echo 'make clean   remove all that these made'
	@echo 'One session by its name, with arguments: .venv/bin/nox -Rs units-3.13 -- -k planning'

test: setup
	@.venv/bin/python tests/tools/steps.py $(ONLY)

check demo bench docs pictures dev: setup
	@.venv/bin/python tests/tools/steps.py --show $@

fuzz: setup
	@.venv/bin/python tests/tools/steps.py --show $@ $(SECONDS)

release: setup
	@.venv/bin/python tests/tools/steps.py --show $@ '$(VERSION)'

format: setup
	@.venv/bin/python tests/tools/steps.py --show page
	@.venv/bin/python tests/tools/steps.py --show formatters

setup:
	@tests/tools/setup

clean:
	rm -rf .cache .nox .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache collections tests/output

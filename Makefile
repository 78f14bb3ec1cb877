.DELETE_ON_ERROR:
.PHONY: help run demo stack verify check test fuzz unit lint checkov audit format
.PHONY: bench load picture pin clean

PYTHON ?= python3
PORT ?= 8080
export PORT
# Exported unexpanded, because make would expand a $ in them.
override export FILE := $(value FILE)
override export URL := $(value URL)
override export API_KEY := $(value API_KEY)
export PYTHONPATH := app

RUN := .venv/run/bin/python
TEST := .venv/test/bin/python
RUNTIME := .venv/runtime/bin/python
BENCH := .venv/bench/bin/python
NODE_TOOLS := PATH="$(CURDIR)/.venv/test/bin:$$PATH" .venv/page/node_modules/.bin

# Stops with a message if Python is missing or too old, before anything is installed or run.
define check_python
@command -v "$(PYTHON)" >/dev/null || { \
  echo "$(PYTHON) was not found. Python 3.11 or later is needed: make PYTHON=python3.12 ..." >&2; \
  exit 1; }
@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 ...")'
endef

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run/ready ## Serve the product on this machine, without AWS (PORT=8080 API_KEY=)
	@exec $(RUN) -m local

demo: .venv/run/ready ## Post a text file and print the report (FILE= URL= API_KEY=)
	@exec $(RUN) -m local.demo

stack: .venv/test/ready .venv/runtime/ready ## Deploy to an emulated AWS with Terraform, and serve it (PORT= API_KEY=)
	@exec $(TEST) -m local.stack

verify: .venv/test/ready .venv/runtime/ready ## Deploy to your AWS account, check, and destroy (YES=1 EMAIL=)
	@exec $(TEST) -m verify

check: ## Run the faster checks, which deploy nothing (about two minutes)
	@$(MAKE) --no-print-directory -j2 lint unit
	$(TEST) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow"

# The tests of a file share a deployment and use it in order. tests/test_interpreters.py runs the unit
# tests.
test: ## Set up and run every check
	@$(MAKE) --no-print-directory -j2 checkov lint .venv/runtime/ready
	$(TEST) -m pytest -n 4 --dist loadfile --no-loadscope-reorder

fuzz: .venv/test/ready ## Look for faults with new random input (some minutes)
	$(TEST) -m pytest -n 2 --hypothesis-profile=fuzz tests/test_fuzz.py tests/test_*_properties.py

unit: ## Run only the unit tests, which need nothing installed
	$(check_python)
	cd app && $(PYTHON) -m unittest discover -s tests

lint: .venv/test/ready .venv/page/ready ## Check format, lint, types and security
	$(TEST) -m ruff format --check
	$(TEST) -m ruff check
	$(TEST) -m mypy
	$(TEST) -m bandit --quiet --configfile pyproject.toml --recursive app/wordtally modules local verify
	$(NODE_TOOLS)/biome ci --colors=off --error-on-warnings --config-path=tests/page app/wordtally/page
	$(NODE_TOOLS)/tsc --project tests/page

checkov: .venv/checkov/ready ## Check the security of the Terraform files
	PYTHONPATH= .venv/checkov/bin/checkov --directory . --config-file .checkov.yaml

audit: .venv/audit/ready ## Look for known vulnerabilities of the pinned packages (needs the network)
	.venv/audit/bin/python tests/audit.py

format: .venv/test/ready .venv/page/ready ## Format every file
	$(TEST) -m ruff check --fix
	$(TEST) -m ruff format
	$(NODE_TOOLS)/biome format --write --config-path=tests/page app/wordtally/page
	! command -v terraform >/dev/null || terraform fmt -recursive

bench: .venv/bench/ready ## Measure everything, and write docs/bench.md and docs/plots
	@$(BENCH) -m bench

load: .venv/run/ready .venv/test/ready .venv/runtime/ready .venv/bench/ready ## Load-test make run and make stack, or URL= (USERS=32 SECONDS=60 API_KEY=)
	@$(BENCH) -m bench.load

picture: .venv/test/ready ## Redraw docs/page.png in a browser
	@PYTHONPATH=.:app:tests $(TEST) tests/picture.py

pin: .venv/test/ready ## Update the pinned versions in the requirements files
	$(TEST) -m pip install --quiet uv
	for file in */*requirements.in; do \
	  $(TEST) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header \
	    --no-emit-find-links --no-emit-index-url --no-annotate $$file -o $${file%.in}.txt; done
	.venv/test/bin/npm install --prefix tests/page --save-exact --package-lock-only --omit-lockfile-registry-resolved \
	  @biomejs/biome@latest axe-core@latest typescript@latest

clean: ## Remove everything that the other targets created
	@! ls build/verify/*/terraform.tfstate 2>/dev/null || { echo "make verify has not destroyed these deployments. Run terraform -chdir=build/verify/... destroy"; exit 1; }
	rm -rf .venv build .hypothesis .terraform .mypy_cache .pytest_cache .ruff_cache

# One virtual environment per purpose, recreated when its requirements change.
.venv/run/ready: local/requirements.txt
.venv/test/ready: tests/requirements.txt
.venv/runtime/ready: local/runtime-requirements.txt
.venv/checkov/ready: tests/checkov-requirements.txt
.venv/bench/ready: bench/requirements.txt
.venv/audit/ready: tests/audit-requirements.txt
.venv/%/ready:
	$(check_python)
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot create virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; }
	rm -rf .venv/$*
	$(PYTHON) -m venv .venv/$*
	.venv/$*/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# The tools that check the page, installed by the Node.js of .venv/test.
.venv/page/ready: tests/page/package-lock.json .venv/test/ready
	rm -rf .venv/page
	mkdir -p .venv/page
	cp tests/page/package.json tests/page/package-lock.json .venv/page
	.venv/test/bin/npm ci --prefix .venv/page --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

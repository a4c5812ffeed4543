# make demo     set up, then show the whole walk on rehearsal clouds
# make quick    linters and unit tests, in about a minute and a half; needs only Python
# make test     everything, with real parts: Kafka, helm, promtool, systemd
# make bench    the measurements, as ratios in one run
# make lock     renew requirements.txt from pyproject.toml (UPGRADE=1: to the newest versions)
# make venv     only set up .venv
# make clean    remove everything that these commands made

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo quick test bench lock venv clean lint parts system kafka helm

PYTHON ?= python3
GO ?= go
BIN := .venv/bin
HELM_VERSION := v3.22.0

# program:Debian package, for the tests that need the real thing
PROGRAMS := java:default-jre-headless mvn:maven openssl:openssl promtool:prometheus \
            systemd-analyze:systemd kill:procps setpriv:util-linux

# Says loudly what is missing: a failure where CI=true, elsewhere the tests that need it are skipped.
loud = { printf '\n!!! %s\n!!! The tests that need it are skipped; with CI=true this is a failure.\n\n' $(1) >&2; \
         test "$${CI:-}" != true; }

help:
	@sed -n 's/^\# \(make .*\)/\1/p' Makefile

demo: venv
	@$(BIN)/imageferry demo

quick: venv lint
	$(BIN)/pytest -n 4 --dist worksteal tests/unit

# Setting up is mostly waiting for downloads, and the tests mostly for real parts, so both go side by side. What holds
# a rate against the clock runs last, and alone.
test:
	@$(MAKE) --no-print-directory -j4 venv parts
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest -n 4 --dist worksteal --ignore tests/e2e/test_limits.py
	$(BIN)/pytest tests/e2e/test_limits.py

bench: venv kafka
	@PYTHONPATH=tests $(BIN)/python -m bench

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# --- Python ----------------------------------------------------------------------------------------------------------

venv: .venv/.stamp
	@:

.venv/.stamp: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "imageferry needs Python 3.11 or newer as $(PYTHON); name another: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -c 'import ensurepip, venv' \
	  || { echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# No addresses may stand in the result: it must serve behind any mirror.
lock:
	@uv=$$(type -P uv || type -P $(BIN)/uv) \
	  || { echo "uv is missing; install it first: $(BIN)/pip install uv" >&2; exit 1; }; \
	"$$uv" pip compile pyproject.toml $(if $(UPGRADE),--upgrade) --quiet --universal --generate-hashes \
	  --python-version 3.11 --all-extras --group dev --no-emit-index-url --no-header -o requirements.txt
	@! grep -n '://' requirements.txt || { echo "requirements.txt must not hold addresses" >&2; exit 1; }

# --- the real parts that tests start -----------------------------------------------------------------------------------

parts: kafka helm

# Present programs are left alone; missing ones are installed where that can be done without asking.
system:
	@programs=(); packages=(); \
	for pair in $(PROGRAMS); do \
	  type -P "$${pair%%:*}" >/dev/null || { programs+=("$${pair%%:*}"); packages+=("$${pair#*:}"); }; \
	done; \
	if test $${#packages[@]} -eq 0; then exit 0; fi; \
	if test "$$(id -u)" = 0 && type -P apt-get >/dev/null; then \
	  echo "installing $${packages[*]}"; \
	  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	  apt-get -qq -o DPkg::Lock::Timeout=120 update \
	    && apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$${packages[@]}" >/dev/null \
	    && exit 0; \
	fi; \
	$(call loud,"missing: $${programs[*]}; install them: apt-get install --no-install-recommends $${packages[*]}")

kafka: build/kafka-jars/.stamp

# Made beside and moved, so that jars of two versions never mix.
build/kafka-jars/.stamp: tests/kafka/pom.xml | system
	@rm -rf build/kafka-jars.new; \
	if type -P mvn >/dev/null && mvn -q -B -C -f tests/kafka/pom.xml dependency:copy-dependencies \
	     -DoutputDirectory='$(CURDIR)/build/kafka-jars.new'; then \
	  rm -rf build/kafka-jars; mv build/kafka-jars.new build/kafka-jars; touch $@; \
	else \
	  $(call loud,"no Kafka broker to test with: its jars could not be fetched by Maven"); \
	fi

helm:
	@for one in helm build/bin/helm "$${HOME:-/root}/go/bin/helm"; do type -P "$$one" >/dev/null && exit 0; done; \
	if type -P $(GO) >/dev/null && echo "building helm $(HELM_VERSION), a minute or two" \
	   && GOBIN='$(CURDIR)/build/bin' CGO_ENABLED=0 $(GO) install -trimpath \
	        -ldflags='-s -w -X helm.sh/helm/v3/internal/version.version=$(HELM_VERSION)' \
	        helm.sh/helm/v3/cmd/helm@$(HELM_VERSION); then exit 0; fi; \
	$(call loud,"helm is missing and could not be built; install helm 3 or Go 1.26 (the golang of Debian 12 is too old)")

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
	find daemon tests -name __pycache__ -type d -prune -exec rm -rf {} +

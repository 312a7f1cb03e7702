# Every target sets up what it needs, once; ARGS="…" hands options on.
# The work is in scripts/, so that a person, CI and make run the same thing.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup check test test-quick test-long test-pi test-fleet test-fleet-small test-fresh
.PHONY: prove emulate dist lock contracts docs figures coverage geth mochi validators clean test-page test-home-assistant screenshots soak
# A caller's environment must not lead Python elsewhere.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV

help: ## this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

setup: .venv/.ready node_modules/.ready node_modules/@safe-global/safe-contracts/.ready .venv/.broker ## Python packages, chain tools, MQTT broker

check: setup .venv/.slither ## style, types, layers, contracts
	@bash scripts/check.sh

test: setup ## all tests but the long ones; ARGS: pytest's
	@bash scripts/test.sh $(ARGS)

test-quick: setup ## half a minute: what tells most about a change
	@bash scripts/test.sh --quick $(ARGS)

prove: setup .venv/.halmos ## what the buffer holds to, for all inputs; ARGS: Halmos's
	@bash scripts/prove.sh $(ARGS)

test-long: setup ## all tests
	@bash scripts/test.sh --long $(ARGS)

test-pi: setup ## drivers and agent on arm64 Debian in QEMU, with simulated pins; minutes
	@bash scripts/setup.sh pi
	@bash scripts/test.sh --pi $(ARGS)

test-page: setup ## the page in Chromium, Prometheus with its rules; root, or both installed
	@bash scripts/need.sh "chromium chromium-driver" chromium chromedriver
	@bash scripts/need.sh prometheus prometheus promtool
	@.venv/bin/python -m pytest -m page tests/page $(ARGS)

test-home-assistant: setup .venv/.home-assistant ## what devices tell Home Assistant, by its own schema
	@.venv/bin/python -m pytest -m page tests/home_assistant $(ARGS)

screenshots: setup ## the documentation's pictures of the page; root, or Chromium installed
	@bash scripts/need.sh "chromium chromium-driver" chromium chromedriver
	@.venv/bin/python scripts/docs/screenshots.py $(ARGS)

test-fleet: setup ## ansible/ on a fleet of booted containers; root, Linux
	@bash scripts/fleet.sh tests/fleet $(ARGS)

test-fresh: setup ## the README's commands on clean Debian 12 and 13; root; ARGS: debian13 user …
	@bash scripts/fresh.sh $(ARGS)

test-fleet-small: setup ## the same with five hosts
	@bash scripts/fleet.sh tests/fleet/test_small.py $(ARGS)

emulate: setup ## a whole deployment on this machine
	@.venv/bin/protoledger emulate $(ARGS)

bench-%: setup ## a benchmark, for example bench-aggregation
	@.venv/bin/protoledger bench $* $(ARGS)

docs: setup ## the documentation as a site, in site/; runs the notebooks, a minute or two
	@NOTEBOOKS=run NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build $(ARGS)

figures: setup ## all experiments and benchmarks, hours, and their tables in docs/; goes on where it was
	@.venv/bin/python scripts/docs/figures.py $(ARGS)

soak: setup ## a small deployment for HOURS with power cuts; memory, stores, a plot, a verdict
	@.venv/bin/python -m tests.soak.run --hours $(or $(HOURS),24) $(ARGS)

coverage: setup ## what share of the code the tests run; ARGS: pytest's
	@bash scripts/coverage.sh $(ARGS)

dist: setup ## the wheel, built twice and equal, with its SBOM and sums, in dist/
	@.venv/bin/python scripts/locks/release.py $(ARGS)

lock: setup ## resolve the Python dependencies anew; ARGS=--upgrade: the newest
	@bash scripts/lock.sh $(ARGS)

contracts: setup ## compile the contracts and write their artifacts
	@.venv/bin/python -m protoledger.contracts.tools.build

geth: setup ## build Geth with Go: the ledger's tests and benchmark then use it too
	@bash scripts/setup.sh geth

validators: setup ## build Geth with Clique and avalanchego with Go: chains of several owners
	@bash scripts/setup.sh validators

mochi: setup ## build a broker of another make with Go, for the tests of brokers marked long
	@bash scripts/setup.sh mochi

clean: ## remove what the others made
	@rm -rf .venv .venv-bench .venv-pi .figures .fleet .fresh .soak node_modules contracts/out contracts/cache site .coverage* .*_cache .hypothesis

.venv/.ready: requirements.lock pyproject.toml scripts/setup.sh scripts/pip_settings.py
	@bash scripts/setup.sh python

node_modules/.ready: package.json package-lock.json scripts/setup.sh
	@bash scripts/setup.sh node

node_modules/@safe-global/safe-contracts/.ready: node_modules/.ready
	@bash scripts/setup.sh safe

.venv/.broker: | .venv/.ready
	@bash scripts/setup.sh broker

.venv/.halmos: scripts/locks/halmos.lock | .venv/.ready
	@bash scripts/setup.sh halmos

.venv/.home-assistant: scripts/locks/home-assistant.lock | .venv/.ready
	@bash scripts/setup.sh home-assistant

.venv/.slither: scripts/locks/slither.lock | .venv/.ready
	@bash scripts/setup.sh slither

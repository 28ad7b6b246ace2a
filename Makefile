# Every command of the project; .ci/run calls only these. `make help` lists them.
#
# VENV names the virtual environment, PYTHON the interpreter that makes it, ARGS what goes on to pytest:
#     make test-python ARGS="-k claim -x"
#     make VENV=.venv-3.13 PYTHON=python3.13 test-quick

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# A release is portable code: flags come from the targets below, not from the shell.
unexport RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET CONDA_PREFIX
export CARGO_TARGET_DIR := $(CURDIR)/target
export PYO3_PYTHON := $(abspath $(BIN)/python)
export PATH := $(PATH):$(HOME)/.cargo/bin

# The compiled module depends on these; Python files need no build, the install points at them. Folders are in the
# list too, so that a file taken away counts as a change.
RUST_SOURCES := Cargo.toml Cargo.lock pyproject.toml tools/backend.py $(shell find crates \( -path '*/src*' -o -name Cargo.toml -o -name build.rs \))
MATURIN := MATURIN_NO_MISSING_BUILD_BACKEND_WARNING=1 VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin
MATURIN_FLAGS := --release --target-dir target/maturin$(VENV)
LIBRARY := $(BIN)/python tools/backend.py --target-dir target/maturin$(VENV)
CORE_TESTS := cargo test --locked --package ringbus-core --profile checked
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# -- build ------------------------------------------------------------------------------------------------------------

.PHONY: build demo wheel
build: $(VENV)/.built ## make .venv with a release build, all that the demo needs

demo: build ## build, then run the trading pipeline on a real feed
	$(BIN)/ringbus demo

wheel: $(VENV)/.build ## make a wheel and a source distribution in dist/
	@tools/check-rust
	$(LIBRARY)
	$(MATURIN) build $(MATURIN_FLAGS) --sdist --interpreter $(BIN)/python --out dist

$(VENV)/.created: | tools/find-python tools/check-rust
	@tools/check-rust
	@python=$$(tools/find-python) && echo "making $(VENV) with $$python" && "$$python" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.%: requirements/%.txt | $(VENV)/.created
	$(PIP) install --requirement $<
	@touch $@

$(VENV)/.built: $(VENV)/.build $(RUST_SOURCES)
	@tools/check-rust
	$(LIBRARY)
	$(MATURIN) develop $(MATURIN_FLAGS)
	@touch $@

# -- tests ------------------------------------------------------------------------------------------------------------

.PHONY: test test-rust test-python test-slow test-quick crash-test loom tsan planted stress recovery-model verify
test: build $(VENV)/.test $(VENV)/.types test-rust crash-test test-python ## all tests: the core's, then pytest

test-rust: ## the core's tests in Rust
	@tools/check-rust
	$(CORE_TESTS)

test-python: build $(VENV)/.test $(VENV)/.types ## pytest without the long forms; ARGS="-k name" picks
	$(BIN)/python -m pytest -m "not slow" $(ARGS)
	$(BIN)/python -m pytest tests/packaging tests/typing $(ARGS) || [ $$? -eq 5 ]

test-slow: build $(VENV)/.test ## the long forms of the tests that have a short one
	$(BIN)/python -m pytest -m slow --ignore tests/packaging --ignore tests/typing $(ARGS)

test-quick: build $(VENV)/.test ## the unit and property tests, for a look and for other versions of Python
	$(BIN)/python -m pytest -m "not slow" tests/unit tests/property $(ARGS)

loom: export RUSTFLAGS := --cfg loom
loom: ## every interleaving of the protocol's steps, model-checked
	@tools/check-rust
	$(CORE_TESTS) --target-dir target/loom --test 'loom*'

planted: export RINGBUS_LOOM_TARGET := $(CURDIR)/target/loom
planted: ## plant each fault in the core; its loom test must catch it
	@tools/check-rust
	$(CORE_TESTS) --test planted -- --include-ignored --nocapture

stress: export RINGBUS_ROUNDS ?= 10000000
stress: ## the core's stress tests, each litmus test for 10^7 rounds
	@tools/check-rust
	$(CORE_TESTS) --test stress -- --test-threads 1

# The sanitizer is in the stable compiler, its switch is not: hence the bootstrap variable. Its models know no fence,
# so the standard library's own (which is not instrumented) are named in tools/tsan.supp.
tsan: export RUSTC_BOOTSTRAP := 1
tsan: export RUSTFLAGS := -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg tsan
tsan: export TSAN_OPTIONS := suppressions=$(CURDIR)/tools/tsan.supp halt_on_error=1
tsan: ## the core's stress tests under ThreadSanitizer
	@tools/check-rust
	$(CORE_TESTS) --target-dir target/tsan --target $(HOST) --test 'stress*'

crash-test: export RUNS ?= 1
crash-test: ## kill a process at each step of the protocol; RUNS=20 each so many times
	@tools/check-rust
	$(CORE_TESTS) --target-dir target/crash --features crash-points --test crash_points

recovery-model: ## every state of the recovery protocol, and of its broken variants
	@tools/check-rust
	cargo run --locked --quiet --package ringbus-verification --profile checked

verify: recovery-model loom planted tsan ## every proof: the model, loom, its planted twins, ThreadSanitizer

.PHONY: kill-test stop-test ctrl-c-test cycle-test fuzz-segment
kill-test: build ## N=1000 random SIGKILLs under load, and the bars
	$(BIN)/python tests/chaos/kill_test.py $(or $(N),1000) $(ARGS)

stop-test: build ## N=50 times SIGSTOP for 5 s under load: nobody counts as dead
	$(BIN)/python tests/chaos/stop_test.py $(or $(N),50) $(ARGS)

ctrl-c-test: build ## N=500 times Ctrl-C while another process holds the ring up
	$(BIN)/python tests/chaos/interrupts.py $(or $(N),500) $(ARGS)

cycle-test: build ## N=10000 shared rings made and closed: files, descriptors, memory
	$(BIN)/python tests/chaos/cycles.py $(or $(N),10000) $(ARGS)

fuzz-segment: build ## N=1000000 corruptions of a live segment: no crash, no hang
	$(BIN)/python tests/chaos/fuzz_segment.py $(or $(N),1000000) $(ARGS)

# -- quality ----------------------------------------------------------------------------------------------------------

.PHONY: lint types format
lint: $(VENV)/.lint ## ruff, rustfmt and clippy
	@tools/check-rust
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

types: build $(VENV)/.test $(VENV)/.types ## mypy, pyright, and the stub against the built module
	$(BIN)/mypy python/ringbus tools/*.py examples/*.py
	$(BIN)/python -m mypy.stubtest ringbus._core
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.lint ## put all sources into their form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	cargo fmt

# -- benchmarks and documentation -------------------------------------------------------------------------------------

.PHONY: bench bench-peers bench-check bench-keep bench-page bench-quick bench-processes docs clean
bench: build $(VENV)/.bench bench-peers ## the suite: all peers, all tables, the bars; ARGS=--quick for a look
	$(BIN)/python benches/bench.py $(ARGS)

bench-peers: ## build the peers in C++, Java, Go and Rust; what has no tool is skipped
	benches/contestants/build

bench-check: build ## compare the new record of `make bench` with the last one kept, ratio by ratio
	$(BIN)/python benches/bench.py check $(ARGS)

bench-keep: build ## keep the new record under its day, and make docs/benchmarks.md from it
	$(BIN)/python benches/bench.py keep

bench-page: build ## make docs/benchmarks.md and its pictures again, from the last record kept
	$(BIN)/python benches/bench.py page $(ARGS)

bench-quick: build ## the bars of calls in one process, in about two minutes
	$(BIN)/python benches/calls/run.py --quick $(ARGS)

bench-processes: build ## the bars of rings between processes, against multiprocessing
	$(BIN)/python benches/calls/run.py processes $(ARGS)

docs: $(VENV)/.docs ## build the documentation into site/, each warning an error
	$(BIN)/zensical build --clean --strict

clean: ## remove all that was built, .venv too
	rm -rf target dist site build benches/.built .cache .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf python/ringbus/*.so python/ringbus/lib
	find python tests tools benches examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

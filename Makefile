# Every target works from a clean clone: the environment and the system packages come first, and only when needed.

BIN := .venv/bin
STAMP := .venv/.installed
# Two processes, a file of tests at a time; threads that wait for work must not keep a core from the other process.
PYTEST := OMP_WAIT_POLICY=passive $(BIN)/pytest -n 2 --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: help demo test lint check check-all format golden clean test-packages

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## Audit the sample lending cases with a small real model and verify the signed report
	@tools/demo.sh

test: $(STAMP) test-packages ## Run the tests that take seconds, the real model included
	$(PYTEST) -m "not slow"

lint: $(STAMP) ## Check format, style, types and import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: lint test ## Run lint and test

check-all: lint test-packages ## Run lint and all tests, slow ones too, as CI does; a missing program fails
	ATTN_AUDIT_REQUIRE_PROGRAMS=1 ATTN_AUDIT_EXAMPLES=2000 $(PYTEST)

format: $(STAMP) ## Format the code and mend what can be mended safely
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: $(STAMP) ## Write the generated pages anew; read the diff before you keep it
	$(BIN)/python tools/models_page.py
	$(BIN)/python tools/schemas.py
	$(BIN)/python tools/docs_tables.py
	$(BIN)/python tools/licences.py
	$(BIN)/python tools/catalogue.py
	$(BIN)/python tools/golden.py

clean: ## Remove everything made here except .venv
	rm -rf .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name .venv -prune -o -name .git -prune -o -name __pycache__ -type d -print | xargs rm -rf

# Tests that need a program which is missing are skipped with a reason, except in check-all.
test-packages: $(STAMP)
	@tools/system-packages.sh test || echo "Tests that need these are skipped." >&2

$(STAMP): pyproject.toml constraints.txt tools/environment.sh
	@tools/environment.sh
	@touch $@

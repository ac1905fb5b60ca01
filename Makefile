# The only list of commands; `make help` prints it. CI calls `make check` and `make test`.

SHELL := /bin/bash
CARGO ?= cargo
# Where a fetched PostgreSQL would be; see scripts/get-postgres.sh.
OFFLINE := SQLX_OFFLINE=true

.DEFAULT_GOAL := help
.PHONY: help run test files-test s3-server chaos rolling-restart check fmt prepare openapi permissions settings sbom unused supply-chain-tools fuzz security-tests disk-full bench bench-quick deny tools postgres

help: ## print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

run: tools postgres ## build, then start everything on http://localhost:6688
	@$(OFFLINE) $(CARGO) run --release -p fechatter -- up

test: tools postgres s3-server ## all tests, on a private PostgreSQL of their own
	$(OFFLINE) $(CARGO) build --workspace --all-targets # some tests start the programs
	$(OFFLINE) $(CARGO) test --workspace

files-test: tools postgres ## a file of a gigabyte in and out, and what memory the server takes for it
	$(OFFLINE) $(CARGO) build --workspace --all-targets
	$(OFFLINE) $(CARGO) test -p fechatter_tests --test it -- --ignored --exact --nocapture files::large::a_gigabyte

chaos: tools postgres ## break everything for CHAOS_SECONDS (480, at most 600); CHAOS_SEED repeats a choice of faults
	$(OFFLINE) $(CARGO) build --workspace --all-targets
	$(OFFLINE) $(CARGO) test -p fechatter_tests --test it -- --ignored --exact --nocapture faults::storms::chaos

rolling-restart: tools postgres ## restart two of each server behind nginx in turn, ten times, while people write
	$(OFFLINE) $(CARGO) build --workspace --all-targets
	$(OFFLINE) $(CARGO) test -p fechatter_tests --test it -- --ignored --exact --nocapture rolling_restart::ten_rounds

check: tools postgres ## format, lints, checked-query data, and what is made from the code
	$(CARGO) fmt --all --check
	$(OFFLINE) $(CARGO) clippy --workspace --all-targets -- -D warnings
	@scripts/prepare-queries.sh --check
	@$(OFFLINE) $(CARGO) run --quiet -p fechatter -- openapi | diff -u openapi.json - \
	    || { echo 'openapi.json is not what the routes say: run `make openapi`' >&2; exit 1; }
	@$(OFFLINE) $(CARGO) run --quiet -p fechatter -- permissions | diff -u docs/permissions.md - \
	    || { echo 'docs/permissions.md is not what the matrix says: run `make permissions`' >&2; exit 1; }
	@$(OFFLINE) $(CARGO) run --quiet -p fechatter -- settings | diff -u docs/settings.md - \
	    || { echo 'docs/settings.md is not what the settings say: run `make settings`' >&2; exit 1; }

fmt: ## format the code
	$(CARGO) fmt --all

prepare: tools postgres ## renew .sqlx/ after a change of a query or migration
	@scripts/prepare-queries.sh

openapi: tools ## renew openapi.json after a change of a route
	@$(OFFLINE) $(CARGO) run --quiet -p fechatter -- openapi > openapi.json.part
	@mv openapi.json.part openapi.json

permissions: tools ## renew docs/permissions.md after a change of the permission matrix
	@$(OFFLINE) $(CARGO) run --quiet -p fechatter -- permissions > docs/permissions.md.part
	@mv docs/permissions.md.part docs/permissions.md

settings: tools ## renew docs/settings.md after a change of a setting
	@$(OFFLINE) $(CARGO) run --quiet -p fechatter -- settings > docs/settings.md.part
	@mv docs/settings.md.part docs/settings.md

fuzz: tools postgres ## send all sorts of requests to a server of its own, for some minutes; see docs/fuzzing.md
	@$(OFFLINE) $(CARGO) build --quiet -p fechatter
	@scripts/fuzz.sh

security-tests: tools postgres ## attack a server of its own for some minutes; see docs/security-tests.md
	@$(OFFLINE) $(CARGO) build --quiet --release -p fechatter
	@scripts/security-tests.sh

disk-full: tools postgres ## fill the disk under a database, and see that nothing acknowledged is lost (as root)
	@$(OFFLINE) $(CARGO) build --quiet -p fechatter
	@scripts/disk-full.sh

bench: tools postgres ## measure sends, streams and reads beside the machine's limits, for about half an hour
	@$(OFFLINE) $(CARGO) build --profile dist -p fechatter_server -p notify_server -p fechatter_bench
	@"$${CARGO_TARGET_DIR:-target}/dist/fechatter_bench" full $(BENCH)

bench-quick: tools postgres ## the same in some minutes; BENCH='--only sends,history' measures only these
	@$(OFFLINE) $(CARGO) build --profile dist -p fechatter_server -p notify_server -p fechatter_bench
	@"$${CARGO_TARGET_DIR:-target}/dist/fechatter_bench" quick $(BENCH)

supply-chain-tools: tools ## build cargo-deny, cargo-machete and cargo-cyclonedx, for the three below
	$(CARGO) install --locked cargo-deny@0.20.2 cargo-machete@0.9.2 cargo-cyclonedx@0.5.9

deny: ## licences, sources and advisories of the dependencies (needs cargo-deny)
	$(CARGO) deny check

unused: ## dependencies that nothing uses (needs cargo-machete)
	$(CARGO) machete --with-metadata

sbom: ## what the programs are made of, as CycloneDX, into target/sbom/ (needs cargo-cyclonedx)
	$(CARGO) cyclonedx --format json --spec-version 1.5 --target all --all
	@mkdir -p $${CARGO_TARGET_DIR:-target}/sbom
	@for crate in fechatter fechatter_server notify_server; do \
	    mv $$crate/$$crate.cdx.json $${CARGO_TARGET_DIR:-target}/sbom/; done
	@rm -f */*.cdx.json

tools:
	@command -v $(CARGO) >/dev/null || { echo 'Rust is missing: install it from https://rustup.rs' >&2; exit 1; }
	@command -v cc >/dev/null || { echo 'A C compiler is missing: install gcc or clang (Debian: apt install build-essential)' >&2; exit 1; }

postgres:
	@scripts/get-postgres.sh

s3-server:
	@scripts/get-s3-server.sh

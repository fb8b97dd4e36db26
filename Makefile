# Every target installs or builds what it needs first; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

GO := script/ensure-go go
GOLANGCI_VERSION := v2.15.0
GOLANGCI := .bin/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)

##@ Use

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Serve on port 8080, with a private PostgreSQL unless MARQUEE_DATABASE_URL is set
	@[[ -n "$${MARQUEE_DATABASE_URL:-}" ]] || script/ensure-postgres
	@exec bin/marquee serve $(ARGS)

.PHONY: build
build: ## Build the static binary bin/marquee
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w$(if $(VERSION), -X main.version=$(VERSION))' -o bin/marquee .

##@ Test

.PHONY: test
test: ensure-postgres ## Run all tests, against a real PostgreSQL
	$(GO) test ./...

.PHONY: test-race
test-race: ensure-postgres ## Run all tests under the race detector
	@script/ensure-cc
	CGO_ENABLED=1 $(GO) test -race ./...

.PHONY: smoke
smoke: build ensure-postgres ## Book a seat through the built binary, from nothing, as a client would
	$(GO) run ./internal/smoke

.PHONY: audit-http
audit-http: build ensure-postgres ## Every audit of graphql-http against the built binary; needs Node.js
	script/audit http

.PHONY: audit-ws
audit-ws: build ensure-postgres ## graphql-ws and raw frames against the built binary; needs Node.js
	script/audit ws

.PHONY: audit-clients
audit-clients: build ensure-postgres ## Apollo Client, urql and Relay against the built binary; needs Node.js
	script/audit clients

.PHONY: audit-oidc
audit-oidc: build ensure-postgres ## Sign in by oidc-provider to the built binary; needs Node.js
	script/audit oidc

.PHONY: test-console
test-console: build ensure-postgres ## The console of the built binary in headless Chromium; needs Node.js
	script/console test

.PHONY: prove-signin
prove-signin: build ensure-postgres ## 200 parallel sign-ins to the built binary, beside which movies stay quick
	$(GO) run ./internal/bench/signin $(ARGS)

.PHONY: prove-checks
prove-checks: ensure-postgres ## Plant mistakes into the heart: the race must notice each of them
	@$(GO) test -count=1 -v -timeout 10m -run '^TestRace_notices_planted_bugs$$' ./internal/booking | awk ' \
		/ VERDICT / { sub(/.* VERDICT /, ""); print; red++; next } \
		/^ +--- (PASS|FAIL): / { planted++ } \
		/^ +--- FAIL: / || /_test.go:.* is not among / { print } \
		END { printf "RESULT planted=%d red=%d\n", planted, red; exit planted == 0 || red != planted }'

.PHONY: prove-payments
prove-payments: ensure-postgres ## Let processes exit at every failpoint of payments, with 10 seeds: nothing remains at the gateway
	@MARQUEE_TEST_CRASH_SEEDS=10 $(GO) test -count=1 -v -timeout 15m -run '^TestP1_P2_crash_at_every_failpoint$$' ./internal/booking | awk ' \
		/_test.go:/ && !/ RESULT / { print } \
		/ RESULT / { sub(/.* RESULT/, "RESULT"); print; done = 1 } \
		END { if (!done) print "RESULT verdict=failed"; exit !done }'

.PHONY: bench-booking
bench-booking: build ensure-postgres ## Reservations per second beside pgbench; ARGS=-short for a minute's version
	$(GO) run ./internal/bench/booking $(ARGS)

.PHONY: bench-live
bench-live: build ensure-postgres ## Live seat maps to 5,000 sockets beside a bare broadcast; ARGS=-short for a minute's version
	$(GO) run ./internal/bench/live $(ARGS)

.PHONY: bench-feed
bench-feed: build ensure-postgres ## How soon 2,000 watchers of a showtime see 50 reservations a second
	$(GO) run ./internal/bench/live -feed $(ARGS)

.PHONY: migrate-check
migrate-check: ensure-postgres ## Compare the migrations with ent's schema
	$(GO) test -count=1 ./internal/drift

.PHONY: check-schema
check-schema: ## Check the names and descriptions of the GraphQL schema
	@$(GO) test -count=1 -v -run '^TestSchema' ./graph/... | awk '1; /^--- PASS: TestSchema/ { ran = 1 } \
		END { if (!ran) { print "No test of the schema ran."; exit 1 } }'

.PHONY: check-sdl
check-sdl: ## graphql-eslint on the schema, and what it breaks of the last release; needs Node.js
	script/audit schema

##@ Change

.PHONY: lint
lint: $(GOLANGCI) ## Run golangci-lint, whose first installation takes minutes
	script/ensure-go $(GOLANGCI) run ./...

.PHONY: fmt
fmt: $(GOLANGCI) ## Format Go code with gofumpt
	script/ensure-go $(GOLANGCI) fmt ./...

.PHONY: generate
generate: $(GOLANGCI) ## Regenerate ent's and gqlgen's code, the SDL file and the guide to the API
	$(GO) generate ./ent
	$(GO) tool gqlgen generate
	script/ensure-go $(GOLANGCI) fmt graph/*.resolvers.go
	$(GO) run ./graph/guide

.PHONY: check-generate
check-generate: generate ## Fail when the generated code is not what the schemas say
	@git diff --exit-code -- ent graph docs/payments.md docs/api.md docs/authorization.md docs/schema.graphql || { echo "Run 'make generate' and commit the result." >&2; exit 1; }
	@stray=$$(git ls-files --others --exclude-standard -- ent graph docs/payments.md docs/api.md docs/authorization.md docs/schema.graphql); \
		[[ -z $$stray ]] || { printf 'Generated, but not in git:\n%s\n' "$$stray" >&2; exit 1; }

.PHONY: release-sdl
release-sdl: ## Make the present schema the released one, which later changes must not break; needs Node.js
	script/audit release

.PHONY: migrate-new
migrate-new: ## Begin a migration: make migrate-new NAME=add_reviews
	@script/migrate-new '$(NAME)'

.PHONY: console
console: ## Rebuild the GraphiQL console into web/dist; needs Node.js
	script/console build

.PHONY: check-console
check-console: ## Fail when web/dist is not what web/console builds; needs Node.js
	script/console check

.PHONY: ensure-postgres
ensure-postgres:
	@script/ensure-postgres

$(GOLANGCI):
	GOBIN=$(CURDIR)/$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

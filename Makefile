# Bare `make` prints what there is to do. One set of build flags everywhere: Caddy takes minutes to compile, and only
# the same flags share its cache. They are xcaddy's own, so releases share it too.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO        ?= go
TAGS      := nobadger,nomysql,nopgx
FLAGS     := -trimpath -tags $(TAGS)
FUZZTIME  ?= 10s
SOAK      ?= 1h
GOTESTSUM := gotest.tools/gotestsum@v1.13.0

# A checkout is not always a repository that git agrees to read. Without cgo, as xcaddy builds; only the race detector
# needs it.
export GOFLAGS ?= -buildvcs=false
export CGO_ENABLED = 0

# What imports no Caddy runs under the race detector within a minute or two, and caddymodule within three more.
PURE := ./address/... ./drm/... ./entitlement/... ./geo/... ./inflight/... ./inspect/... ./internal/... ./keysource/... ./licensing/... ./manifest/... ./policy/... ./probe/... ./rights/... ./segcache/... ./segcrypt/... ./state/... ./token/...
# What starts browsers or measures time runs alone, one package after the other.
ALONE := /(web|e2e|bench)(/|$$)
LIST  := $(GO) list $(FLAGS) ./...
CONFIGS := Caddyfile.example $(wildcard examples/*.Caddyfile)

.PHONY: help build run test check lint fuzz bench clusters soak licenses release clean tools vet unit alone race configs smoke format

help: ## print this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build ./caddy from this checkout
	$(GO) build $(FLAGS) -ldflags "-w -s" -o caddy ./cmd/caddy

run: build ## run Caddyfile.example and print where the player page is
	@./caddy run --config Caddyfile.example & caddy=$$!; \
	trap 'kill $$caddy 2>/dev/null || true' EXIT; trap 'exit 130' INT TERM; \
	until (exec 3<>/dev/tcp/localhost/8080) 2>/dev/null; do kill -0 $$caddy 2>/dev/null || exit 1; sleep 0.2; done; \
	sleep 0.5; kill -0 $$caddy 2>/dev/null || exit 1; \
	printf '\n  The player page: http://localhost:8080/\n\n'; \
	wait $$caddy

test: ## everything, on a clean machine: installs tools, vets, tests, builds a release and looks at it
	@for step in tools build vet unit race alone smoke; do \
		echo "== $$step"; start=$$SECONDS; $(MAKE) --no-print-directory $$step; echo "== $$step took $$((SECONDS - start)) s"; \
	done
	@echo "ok  	make test	everything passed"

check: format build vet configs ## format, vet, the house's rules, and every configuration: before each commit
	$(GO) test $(FLAGS) ./internal/house/ ./docs/

lint: ## golangci-lint 2.15, which has to be installed, on everything
	golangci-lint run --build-tags $(TAGS)

fuzz: ## every fuzz target for FUZZTIME (10s)
	@grep -rnoE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's/^(.*)\/[^/]+_test\.go:[0-9]+:func (Fuzz.*)$$/\1 \2/' | sort | \
	while read -r package target; do \
		echo "== $$package $$target"; \
		$(GO) test $(FLAGS) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
	done

# Stock Caddy is the same version with the same flags, so most of it is compiled already.
bench: ## library and server against mp4ff, stock Caddy, nginx, openssl: one table; BENCH_QUICK=1 is short
	scripts/bench-tools.sh
	$(GO) build $(FLAGS) -ldflags "-w -s" -o .cache/bench/caddy ./cmd/caddy
	$(GO) build $(FLAGS) -ldflags "-w -s" -o .cache/bench/stock-caddy github.com/caddyserver/caddy/v2/cmd/caddy
	$(GO) test $(FLAGS) -c -o .cache/bench/segcrypt.test ./segcrypt
	$(GO) test $(FLAGS) -c -o .cache/bench/bench.test ./bench
	$(GO) build $(FLAGS) -o .cache/bench/bench ./bench
	.cache/bench/bench -tests .cache/bench/segcrypt.test=segcrypt,.cache/bench/bench.test=bench

clusters: build ## three gateways on each kind of Redis, which is lost under load: ten minutes, prints figures
	CADDY_DRM_BINARY='$(CURDIR)/caddy' CADDY_DRM_CLUSTERS=long $(GO) test $(FLAGS) -count 1 -timeout 60m -v -run 'TestNodesShare|TestNodesWithout' ./e2e | grep -E '^ *(---|ok|FAIL|PASS)|figures'

soak: build ## each player and scheme watches a live channel whose keys rotate for SOAK (1h), one after the other: prints figures
	CADDY_DRM_BINARY='$(CURDIR)/caddy' CADDY_DRM_SOAK='$(SOAK)' $(GO) test $(FLAGS) -count 1 -timeout 72h -v -run '^TestSoak$$' ./e2e | grep -E '^ *(---|ok|FAIL|PASS)|figures|_test.go'

licenses: build ## a million ClearKey licenses, without and with require_license: prints what memory they take
	CADDY_DRM_BINARY='$(CURDIR)/caddy' CADDY_DRM_LICENSES=1000000 $(GO) test $(FLAGS) -count 1 -timeout 60m -v -run '^TestLicensesTakeNoMemory$$' ./e2e | grep -E '^ *(---|ok|FAIL|PASS)|figures|_test.go'

release: ## build ./caddy as a release: ./xcaddy.sh, versions pinned
	./xcaddy.sh

clean: ## remove what the other targets made
	rm -rf caddy dist .cache

# The parts of `make test`, in its order. Each can be run on its own.

tools:
	scripts/test-tools.sh

format:
	@bad=$$(gofmt -l $$(find . -name '*.go' -not -path '*/node_modules/*')); \
	if [ -n "$$bad" ]; then echo "not formatted by gofmt:"; echo "$$bad"; exit 1; fi

vet: format
	$(GO) vet $(FLAGS) ./...

unit:
	packages=$$($(LIST) | grep -vE '$(ALONE)'); $(GO) test $(FLAGS) -timeout 15m $$packages
	$(GO) test -trimpath -tags $(TAGS),purego ./segcrypt/internal/aes128

# The gateways that end-to-end tests start are built here, so that each is built once. A test that fails is run once more by
# itself, unless it met a data race: a browser on a busy machine may lose a second that no gateway took. What needed its
# second try is listed at the end, so that nobody overlooks it.
alone: build .cache/caddy-race
	rm -f .cache/second-tries; packages=$$($(LIST) | grep -E '$(ALONE)'); \
	CADDY_DRM_BINARY='$(CURDIR)/caddy' CADDY_DRM_RACE_BINARY='$(CURDIR)/.cache/caddy-race' \
	$(GO) run $(GOTESTSUM) --format testname --no-color --packages "$$packages" \
		--rerun-fails=1 --rerun-fails-max-failures=20 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race --rerun-fails-report .cache/second-tries \
		-- $(FLAGS) -timeout 40m -p 1
	@if [ -s .cache/second-tries ]; then echo "== tests that needed a second try"; cat .cache/second-tries; fi

.PHONY: .cache/caddy-race
.cache/caddy-race:
	CGO_ENABLED=1 $(GO) build $(FLAGS) -race -o $@ ./cmd/caddy

race:
	CGO_ENABLED=1 $(GO) test $(FLAGS) -race -short -timeout 15m $(PURE) ./caddymodule

# Formatted, adapted and provisioned by the binary itself, without a word unless something is wrong. Values that the
# examples take from the environment are set here, and Caddy's storage is one of this checkout.
configs: export DRM_SECRET = test-secret-of-the-examples-0123456789abcdef
configs: export TOKEN_SECRET = token-secret-of-the-examples-0123456789abcdef
configs: export PULL_SECRET = pull-secret-of-the-examples-0123456789abcdef
configs: export REDIS_PASSWORD = redis-password-of-the-examples
configs: export AXINOM_KEY = a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=
configs: export XDG_DATA_HOME = $(CURDIR)/.cache/data
configs: export XDG_CONFIG_HOME = $(CURDIR)/.cache/config
configs:
	@quietly() { local out; out=$$("$$@" 2>&1) || { printf '%s\n' "$$*" "$$out"; return 1; }; }; \
	for config in $(CONFIGS); do \
		quietly ./caddy fmt --diff "$$config"; \
		quietly ./caddy adapt --config "$$config" --adapter caddyfile; \
		quietly ./caddy validate --config "$$config" --adapter caddyfile; \
		echo "ok  	$$config"; \
	done

smoke: release configs

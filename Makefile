# Azekura's tasks. `make` lists them.
SHELL := /bin/bash
export PATH := $(PATH):/usr/local/go/bin

N        ?= 100000
SEED     ?= 2015
FUZZTIME ?= 10s
BENCH    ?=
DRILL    ?=
# Where goroutines share state; all packages under the race detector take too long.
RACE_PKGS := ./auditlog ./auditlog/serve ./auditlog/check ./gate ./internal/db ./internal/pgtest ./witness/...

.PHONY: help build drill demo test soak bench fuzz setup go

help: ## list the tasks
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

drill: ## re-enact June 2015 on N=100000 made-up people with SEED=2015; DRILL="--staff 331 --days 14" for all of it
	@echo "Building Azekura: some seconds, or two to three minutes the first time (two cores, an empty cache)."
	@$(MAKE) --no-print-directory build
	@bin/azekura drill june-2015 -n $(N) --seed $(SEED) $(DRILL)

demo: ## a made-up register on this machine, with a session to try it
	@echo "Building Azekura: some seconds, or two to three minutes the first time."
	@$(MAKE) --no-print-directory build
	@bin/azekura demo

build: go ## bin/azekura
	CGO_ENABLED=0 go build -trimpath -o bin/azekura ./cmd/azekura

test: go setup ## everything that must pass, at small sizes
	@echo "gofmt"; unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go test -race $(RACE_PKGS)
	go test ./...

soak: go setup ## the same tests at full size, and every kill test at full count
	AZEKURA_SOAK=1 go test -count=1 -timeout 6h ./...

bench: go setup ## the figures, each beside its yardstick; BENCH="-scale full" at the targets' sizes
	go run ./internal/bench $(BENCH)

fuzz: go ## every fuzz target for FUZZTIME=10s
	@set -eo pipefail; go test -list '^Fuzz' ./... \
	| awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, name[i]; n = 0 }' \
	| while read -r package target; do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
	  done

setup: ## install the Debian packages that tests need, or name them
	@internal/setup/setup.sh

go:
	@said=$$(go list -m 2>&1) || { echo "$$said"; echo "Azekura needs Go as new as go.mod names, or newer: https://go.dev/dl/"; exit 1; }

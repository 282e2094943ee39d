# Needs Go and make, and for tests against PostgreSQL one of: Docker,
# PostgreSQL's programs, or LOCKSTEP_POSTGRES_URL in the environment. Without
# Docker or LOCKSTEP_MSSQL_URL, a simulator stands in for SQL Server.

GO ?= go
GO_TOOL = $(GO) tool -modfile=$(CURDIR)/tools/go.mod

# A program of our own rather than `go run`, which hides exit codes and does
# not pass every signal on.
WITH_SERVERS = bin/with-servers

# The race detector needs a C compiler. The go command says CGO_ENABLED=0 where
# it finds none.
RACE = $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

# Continuous integration sets CI; there a result from the cache proves nothing.
TESTFLAGS ?= $(if $(CI),-count=1)
PACKAGES ?= ./...

# Modules of their own, so that what they need is not asked of those who use the
# library. ./... ends before them.
MODULES ?= bench examples/migrate integration/peers

.DEFAULT_GOAL := help
.PHONY: help demo test lint chaos chaos-mutants model FORCE

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{ printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The line is not printed: the URL may have a password.
demo: ## run examples/quickstart on a file of SQLite; DB=URL runs it on PostgreSQL or SQL Server
	@$(GO) run ./examples/quickstart $(if $(DB),--db '$(DB)')

test: $(WITH_SERVERS) ## run every test, with the race detector where it works; PACKAGES, MODULES and TESTFLAGS narrow it
	$(if $(RACE),,@echo 'no C compiler: testing without the race detector')
	$(if $(PACKAGES),$(WITH_SERVERS) --postgres --mssql -- $(GO) test $(RACE) -timeout 30m $(TESTFLAGS) $(PACKAGES))
	$(if $(filter-out ./...,$(PACKAGES)),,$(foreach module,$(MODULES),$(call test_module,$(module))))

# PACKAGES= tests nothing but the modules.
define test_module
$(WITH_SERVERS) --postgres -- $(GO) -C $(1) test $(RACE) -timeout 30m $(TESTFLAGS) ./...

endef

# What the checker is run for: see docs/faults.md.
DURATION ?= 1m
SEED ?= 1
STAGE ?= faults

chaos: ## break everything around real units of work for DURATION, with SEED, on STAGE, and check what became of them
	$(GO) build -o bin/chaos ./integration/cmd/chaos
	bin/chaos -stage $(STAGE) -duration $(DURATION) -seed $(SEED)

chaos-mutants: ## break the library on purpose, one way after the other, and see the checker find it
	LOCKSTEP_CHAOS_MUTANTS=1 $(GO) test -count=1 -timeout 30m -v -run TestMutants ./integration/chaos

# The module of its own in bench/ keeps the peers out of ours.
BENCH ?= .
CONTESTANTS ?= .
ROUNDS ?= 10
DELAY ?= 0,200us,1ms
SYNC ?= off,on
BENCHFLAGS ?=

.PHONY: bench bench-overhead bench-growth bench-short bin/bench
bench: $(WITH_SERVERS) bin/bench ## measure Lockstep beside its peers, into docs/performance.md; BENCH and CONTESTANTS (regular expressions), ROUNDS, DELAY and SYNC narrow it
	$(WITH_SERVERS) --need -- bin/bench -works '$(BENCH)' -contestants '$(CONTESTANTS)' -rounds $(ROUNDS) \
		-delays '$(DELAY)' -synchronous-commit '$(SYNC)' -command 'make bench' -json bin/bench.json \
		-docs docs/performance.md -plot docs/performance.svg $(BENCHFLAGS)

COUNT ?= 6

bench-overhead: $(WITH_SERVERS) ## measure what the library itself costs, COUNT times, for benchstat
	@LOCKSTEP_POSTGRES_NONE='not needed here' $(GO) test -run '^$$' -bench . -count $(COUNT) ./uow ./applock ./internal/gate
	@$(WITH_SERVERS) --need -- $(GO) test -run '^$$' -bench . -count $(COUNT) ./dialect/postgres

UNITS ?= 10000000

bench-growth: $(WITH_SERVERS) ## show that nothing grows, over UNITS units on a database that does nothing and fewer on PostgreSQL, into docs/performance.md
	@cd bench && $(GO) build -o ../bin/growth ./growth
	$(WITH_SERVERS) --need -- bin/growth -units $(UNITS) -docs docs/performance.md -plot docs/growth.svg

# What the race detector hides is tested here as well.
bench-short: $(WITH_SERVERS) bin/bench ## see that the benchmarks work, and hold the limits on allocations
	cd bench && $(GO) vet ./... && $(GO) test ./...
	cd bench && $(GO) tool -modfile=../tools/go.mod staticcheck ./...
	$(WITH_SERVERS) --need -- bin/bench -rounds 1 -passes 1 -slice 1ms -window 20ms -json bin/bench-short.json -plot bin/bench-short.svg
	@cd bench && $(GO) build -o ../bin/growth ./growth
	$(WITH_SERVERS) --need -- bin/growth -units 100000 -served 10000 -effort 2000 -plot bin/growth-short.svg
	$(WITH_SERVERS) --need -- $(GO) test -count=1 -run 'Allocations|Grows' ./uow ./dialect/postgres

bin/bench:
	@cd bench && $(GO) build -o ../bin/bench .

# A fuzz target runs alone, so each has a run of its own.
FUZZTIME ?= 30s
FUZZ ?= .

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME; FUZZ, a regular expression of package and target, narrows it
	@set -e; grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's|/[^/]*:func | |' | grep -E '$(FUZZ)' | sort | \
	while read -r package target; do \
		echo "== $$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$package" </dev/null; \
	done

model: ## search the model of gates, locks and commits with more faults than the tests do
	LOCKSTEP_MODEL_LONG=1 $(GO) test -count=1 -timeout 60m -v -run TestNothingBreaks ./internal/model

lint: ## check formatting, vet, staticcheck, and that every exported name is documented
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO_TOOL) staticcheck ./...
	$(GO_TOOL) revive -config revive.toml ./...
	$(foreach module,$(MODULES),$(call lint_module,$(module)))

define lint_module
cd $(1) && $(GO) vet ./... && $(GO_TOOL) staticcheck ./... && $(GO_TOOL) revive -config $(CURDIR)/revive.toml ./...

endef

$(WITH_SERVERS): FORCE
	@$(GO) build -o $@ ./integration/cmd/with-servers

# gatewayd: the edge presence gateway.
#
#   make demo    the main job, with nothing installed and no hardware
#   make test    all tests (installs mosquitto first where it is missing)
#   make         the binary, in bin/

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
TOOL    := $(GO) tool -modfile=scripts/tools.mod

.PHONY: all build demo test test-deps lint cross qemu-demo bench torture fuzz clean

all: build

build:
	$(BUILD) -o bin/gatewayd ./gatewayd

demo: build
	./bin/gatewayd demo --for 20s

test: test-deps
	$(GO) test -race ./...

# What the tests need beside Go: a real broker.
test-deps:
	./scripts/install-test-deps.sh

lint:
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	@unformatted="$$($(TOOL) gofumpt -l .)"; if [ -n "$$unformatted" ]; then echo "not gofumpt-clean:"; echo "$$unformatted"; exit 1; fi
	shellcheck scripts/*.sh scripts/city/*.sh .ci/run

# Static binaries for every Pi: 64-bit, and ARMv6 for the Zero and the first one.
cross:
	GOOS=linux GOARCH=arm64 $(BUILD) -o bin/gatewayd-linux-arm64 ./gatewayd
	GOOS=linux GOARCH=arm GOARM=6 $(BUILD) -o bin/gatewayd-linux-armv6 ./gatewayd

# Those binaries at work, on emulated processors of a Pi 3 and a Pi Zero.
qemu-demo: cross
	./scripts/qemu-demo.sh

# Go's benchmarks, then a whole process beside a mosquitto bridge.
bench: test-deps
	$(GO) test -run '^$$' -bench . -benchtime 1s ./...
	$(GO) test -tags bench -run '^TestBench$$' -count=1 -v ./gatewayd

# Lets every write and sync of the journal fail in every way; lives ten thousand
# lives of a clock; kills a real gateway for a while, and says what was lost:
# make torture TORTURE_FOR=1h
TORTURE_FOR ?= 5m
torture: test-deps
	EVERY_FAULT=1 $(GO) test -run '^TestEveryFault$$' -count=1 ./gatewayd/internal/journal
	TORTURE_FOR=$(TORTURE_FOR) $(GO) test -run '^Test(NoEvent|MostAnchored)' -count=1 -v ./gatewayd/internal/clock
	TORTURE_FOR=$(TORTURE_FOR) $(GO) test -run '^TestTorture$$' -count=1 -timeout 24h -v ./gatewayd

# Each fuzz target for a while: make fuzz FUZZTIME=5m
FUZZTIME ?= 20s
fuzz:
	./scripts/fuzz.sh $(FUZZTIME)

clean:
	rm -rf bin dist

# gatewayd: the edge presence gateway. `make help` lists the targets.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
# The commit's time, so that two builds of one commit are identical to the byte.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
BUILT   ?= $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%Y-%m-%dT%H:%M:%SZ)
BUILD_VARIABLES := presence/gatewayd/internal/build
LDFLAGS := -s -w -X $(BUILD_VARIABLES).version=$(VERSION) -X $(BUILD_VARIABLES).commit=$(COMMIT) -X $(BUILD_VARIABLES).built=$(BUILT) -X main.version=$(VERSION)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'
TOOL    := $(GO) tool -modfile=scripts/tools.mod

.PHONY: all help deps build demo test test-inside test-outside city-test city-demo city-bench city-torture cover test-arm test-deps lint cross qemu-demo deb city city-deb city-kit-test vm-test image image-test telegraf-test bench bench-peers bench-presence torture torture-batches year fuzz clean

all: build

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the binary, in bin/
	$(BUILD) -o bin/gatewayd ./gatewayd

demo: build ## the main job, with nothing installed and no hardware
	./bin/gatewayd demo --for 20s

# Side by side, as one of them mostly computes and the other mostly waits. A line for
# each package as soon as it is through; of a test that fails, all that it said. A
# hundred programs are linked for it: without what only debuggers read, and without vet,
# which `make lint` does.
TEST := $(TOOL) gotestsum --format standard-quiet --hide-summary skipped -- -vet=off -ldflags=-w
test: test-deps ## the tests, after test-deps; at the end what is left out, and who runs it (under CI=true nothing is)
	$(TOOL) gotestsum --version
	@LEFT_OUT=$$(mktemp) && export LEFT_OUT && trap 'rm -f "$$LEFT_OUT"' EXIT && \
	{ $(MAKE) --no-print-directory -j2 test-inside test-outside; result=$$?; \
	  [ ! -s "$$LEFT_OUT" ] || echo "left out: tests that need $$(sort -u "$$LEFT_OUT" | paste -s -d, | sed 's/,/, /g')"; exit $$result; }

# Where everything has to be tested, what needs a PostgreSQL or a Telegraf is too: the
# city's programs then run there, and not here a second time.
CITY_TEST := ./scripts/city/...
ifeq ($(CI),true)
test: city-test telegraf-test
TEST_ELSEWHERE := -e '^presence/scripts/city\(/\|$$\)'
else
test-inside test-outside: export WITHOUT_POSTGRESQL = 1
endif

# Those that take longest come first, so that none of them is left alone at the end; and
# three at once, as some of them mostly wait. A process under the race detector would
# pause for a second as it ends, for other threads' reports: ours have ended by then.
TEST_FIRST := $(addprefix presence/,gatewayd/internal/journal gatewayd/internal/uplink gatewayd/internal/gateway \
	gatewayd/internal/doctor gatewayd/internal/health)
# Whole gateways and scripts, as processes of their own: the race detector would watch
# only who looks at them. The longest first here too.
TEST_OUTSIDE := $(addprefix presence/,gatewayd scripts gatewayd/internal/kittest scripts/deb systemd)
test-inside:
	GORACE=atexit_sleep_ms=0 $(TEST) -p 3 -race $(TEST_FIRST) \
		$$($(GO) list ./... | grep -v $(TEST_FIRST:%=-e '^%$$') $(TEST_OUTSIDE:%=-e '^%$$') $(TEST_ELSEWHERE))

test-outside:
	CGO_ENABLED=0 $(TEST) -trimpath -p 2 $(TEST_OUTSIDE)
	$(call COMPUTATIONS,drivers gatewayd $(if $(TEST_ELSEWHERE),,scripts/city))

# Long calculations of one goroutine, without the race detector, where there are some.
COMPUTATIONS = @names="$$(./scripts/computations.sh names $(1))"; [ -z "$$names" ] || \
	CGO_ENABLED=0 $(TEST) -trimpath -run "$$names" $$(./scripts/computations.sh packages $(1))

# What the city runs, beside the PostgreSQL and the brokers that it runs them with.
city-test: test-deps ## the city's programs, with a real PostgreSQL (installed where missing) and real brokers
	./scripts/install-test-deps.sh postgresql
	GORACE=atexit_sleep_ms=0 $(TEST) -p 3 -race $(CITY_TEST)
	$(call COMPUTATIONS,scripts/city)

# Needs nothing that it does not install, and leaves nothing running.
city-demo: ## a morning in a city: PostgreSQL, mosquitto, the recorder and twenty real gateways, and what the city can ask then
	./scripts/install-test-deps.sh city-demo
	mkdir -p bin/city-demo
	$(BUILD) -o bin/city-demo/ ./gatewayd ./scripts/city/recorder ./scripts/city/citydemo
	./bin/city-demo/citydemo -programs bin/city-demo

# How fast what waited at 500 gateways gets into the database, how soon receipts come on
# the morning's peak of 2,000, and what 400 real gateways take. Some minutes.
city-bench city-torture: SHELL := /bin/bash
city-bench city-torture: .SHELLFLAGS := -o pipefail -c
city-bench: test-deps ## the city's broker, recorder and database under the load of a whole city, in one table
	./scripts/install-test-deps.sh postgresql
	CITY_BENCH=1 CGO_ENABLED=0 $(GO) test -trimpath -run '^TestBench' -count=1 -p 1 -timeout 1h -v ./scripts/city/simfleet ./scripts/city/internal/month | grep -E '^(\||city-bench:|---|FAIL|ok|panic)|_test.go'

# Kills recorder, PostgreSQL, brokers and gateways again and again while people tap, and
# says what is missing then: make city-torture CITY_KILLS=100 CITY_SEED=1
CITY_KILLS ?= 20
CITY_SEED  ?=
city-torture: test-deps ## what the city loses when everything is killed: CITY_KILLS=20 CITY_SEED=1
	./scripts/install-test-deps.sh postgresql
	CITY_KILLS=$(CITY_KILLS) CITY_SEED=$(CITY_SEED) SAME_GATEWAYS=50 CGO_ENABLED=0 $(GO) test -trimpath -parallel 2 -run '^Test(Killed|OneBroker|WithoutReceipts|SameRows)' -count=1 -timeout 2h -v ./scripts/city/simfleet | grep -E '^(city-torture:|---|FAIL|ok|panic)|_test.go'

# How much of each package the tests run, the processes that they start counted in:
# what package main does, it does in those. COVER_PKGS says whose tests.
COVER      ?= $(CURDIR)/cover
COVER_PKGS ?= ./...
cover: test-deps ## how much the tests run, in their processes too
	rm -rf $(COVER) && mkdir -p $(COVER)/tests $(COVER)/processes
	chmod 777 $(COVER)/processes # some run as other users, and overwrite what others left
	COVER_PROCESSES=$(COVER)/processes $(GO) test -count=1 -timeout 30m -coverpkg=presence/... $(COVER_PKGS) -args -test.gocoverdir=$(COVER)/tests >$(COVER)/log || { cat $(COVER)/log; exit 1; }
	$(GO) tool covdata percent -i=$(COVER)/tests,$(COVER)/processes
	@echo "package main, what the tests themselves call:"
	@$(GO) tool covdata percent -i=$(COVER)/tests -pkg=presence/gatewayd
	@echo "package main, what the processes of the tests run as well:"
	@$(GO) tool covdata percent -i=$(COVER)/tests,$(COVER)/processes -pkg=presence/gatewayd

# What the tests need beside Go: a real broker and more; the script lists the packages.
test-deps: ## what tests and lint need beside Go: with apt-get where it is missing
	./scripts/install-test-deps.sh

lint: ## directions between packages, errors, comments, sizes, scripts (needs test-deps)
	$(TOOL) golangci-lint run
	@unformatted="$$($(TOOL) gofumpt -l .)"; if [ -n "$$unformatted" ]; then echo "not gofumpt-clean ($(TOOL) gofumpt -w . mends it):"; echo "$$unformatted"; exit 1; fi
	shellcheck $$(grep -rlE '^#!.*/(env )?(ba)?sh$$' scripts systemd .ci)

# Only what we ask for ourselves: what that asks for in turn comes with it.
deps: ## which direct dependencies, and tools, have newer versions
	@newer='{{with .Update}}  {{$$.Path}} {{$$.Version}}: there is {{.Version}}{{end}}{{with .Error}}  {{$$.Path}} {{$$.Version}}: the proxy does not tell{{end}}'; \
	echo "go.mod:"; $(GO) list -m -u -e -f "$$newer" \
		$$($(GO) list -m -f '{{if not (or .Main .Indirect)}}{{.Path}}{{end}}' all) | grep . || echo "  nothing"; \
	echo "scripts/tools.mod:"; $(GO) list -m -u -e -modfile=scripts/tools.mod -f "$$newer" \
		$$($(GO) list -modfile=scripts/tools.mod -f '{{.Module.Path}}' tool) | grep . || echo "  nothing"

# Static binaries for every Pi: 64-bit, and ARMv6 for the Zero and the first one.
cross: ## static binaries for every Pi, in bin/
	GOOS=linux GOARCH=arm64 $(BUILD) -o bin/gatewayd-linux-arm64 ./gatewayd
	GOOS=linux GOARCH=arm GOARM=6 $(BUILD) -o bin/gatewayd-linux-armv6 ./gatewayd

# The small packages' tests on an emulated processor of a Pi Zero, where a whole
# number has 32 bits. drivers/serial is not among them: qemu has no TIOCEXCL.
ARM_PKGS ?= ./drivers/beacon ./drivers/bus ./drivers/card ./drivers/cardtest ./drivers/lamp ./drivers/pi \
	./gatewayd/internal/alerts ./gatewayd/internal/backoff ./gatewayd/internal/health ./gatewayd/internal/hours \
	./gatewayd/internal/presence ./gatewayd/internal/roster ./gatewayd/internal/signed ./gatewayd/internal/sim \
	./gatewayd/internal/supervise
test-arm: test-deps ## the small packages' tests as on a Pi Zero, under emulation
	GOOS=linux GOARCH=arm $(GO) vet ./...
	GOOS=linux GOARCH=arm GOARM=6 CGO_ENABLED=0 $(GO) test -short -timeout 5m -exec 'qemu-arm-static -cpu arm1176' $(ARM_PKGS)

# Those binaries at work, on emulated processors of a Pi 3 and a Pi Zero.
qemu-demo: cross ## the demo on emulated processors of a Pi 3 and a Pi Zero
	./scripts/qemu-demo.sh

# Debian packages. Without a tag the version grows with the commit's time.
DIST              ?= dist
DEB_BUILD         := $(DIST)/build
DEB_ARCHES        ?= arm64 armhf amd64
DEB_VERSION       ?= $(shell echo '$(VERSION)' | grep -E '^v?[0-9]+\.' | sed 's/^v//; s/-/+/g' | grep . || \
	echo "0~$$(date -u -d @$(SOURCE_DATE_EPOCH) +%Y%m%d%H%M%S)+$(VERSION)" | tr - +)
export SOURCE_DATE_EPOCH DEB_VERSION DEB_BUILD

deb: $(DEB_ARCHES:%=$(DEB_BUILD)/%/gatewayd) ## Debian packages for every Pi and for amd64, in dist/
	rm -f $(DIST)/gatewayd_*.deb
	mkdir -p $(DEB_BUILD)/share
	$(BUILD) -o $(DEB_BUILD)/share/gatewayd ./gatewayd
	$(DEB_BUILD)/share/gatewayd manual mdoc | gzip -9n >$(DEB_BUILD)/share/gatewayd.8.gz
	gzip -9nc scripts/deb/gatewayd-provision.8 >$(DEB_BUILD)/share/gatewayd-provision.8.gz
	$(DEB_BUILD)/share/gatewayd manual bash >$(DEB_BUILD)/share/completion.bash
	$(GO) run ./scripts/deb/copyright >$(DEB_BUILD)/share/copyright
	for arch in $(DEB_ARCHES); do \
		DEB_ARCH=$$arch $(TOOL) nfpm package -f scripts/deb/nfpm.yaml -p deb -t $(DIST)/ || exit; \
	done

# What the city needs on its own machine: gatewayd-city, and what that calls.
CITY_PROGRAMS := ./gatewayd ./scripts/city/ask ./scripts/city/audit ./scripts/city/badgedocs ./scripts/city/badges ./scripts/city/cityclock ./scripts/city/fleet ./scripts/city/prove ./scripts/city/recap ./scripts/city/recorder
CITY_SCRIPTS  := scripts/city/gatewayd-city scripts/city/ca.sh scripts/city/sign.sh scripts/city/offices.sh scripts/provision.sh scripts/install.sh
CITY_ARCHES   ?= amd64 arm64
city: ## the city's programs, in bin/city/: scripts/city/gatewayd-city calls them
	mkdir -p bin/city
	$(BUILD) -o bin/city/ $(CITY_PROGRAMS)

city-deb: ## the Debian package of the city's machine, in dist/
	rm -f $(DIST)/gatewayd-city_*.deb
	mkdir -p $(DIST) $(DEB_BUILD)/share
	$(GO) run ./scripts/deb/copyright $(CITY_PROGRAMS) >$(DEB_BUILD)/share/copyright-city
	for arch in $(CITY_ARCHES); do \
		rm -rf $(DEB_BUILD)/$$arch/city && mkdir -p $(DEB_BUILD)/$$arch/city && \
		GOOS=linux GOARCH=$$arch $(BUILD) -o $(DEB_BUILD)/$$arch/city/ $(CITY_PROGRAMS) && \
		install -m 755 $(wildcard $(CITY_SCRIPTS)) $(DEB_BUILD)/$$arch/city/ && \
		install -m 644 scripts/city/mosquitto.conf scripts/city/gatewayd.acl scripts/city/dinas.toml $(DEB_BUILD)/$$arch/city/ && \
		DEB_ARCH=$$arch $(TOOL) nfpm package -f scripts/deb/nfpm-city.yaml -p deb -t $(DIST)/ || exit; \
	done

# GOARM=6 runs on every armhf Pi, also on a Zero.
$(DEB_BUILD)/arm64/gatewayd: export GOARCH = arm64
$(DEB_BUILD)/armhf/gatewayd: export GOARCH = arm
$(DEB_BUILD)/armhf/gatewayd: export GOARM = 6
$(DEB_BUILD)/amd64/gatewayd: export GOARCH = amd64
$(DEB_BUILD)/%/gatewayd: FORCE
	GOOS=linux $(BUILD) -o $@ ./gatewayd
FORCE:

# The life of a gateway in a machine of its own: set up from a FAT stick by what a
# technician types, renewed, renamed, upgraded to a version that does not work, replaced,
# retired, restored and purged, with a daemon that hangs, a receiver that is pulled, and power cuts
# in the middle of taps. Takes up to 25 minutes, and as root makes a Debian for it first,
# outside this folder. Only some parts, after the set-up: make vm-test VM_PARTS='rename|purge'
VM_PARTS ?= .
vm-test: test-deps deb ## a gateway's life in a virtual machine, with power cuts
	image=$$(./scripts/vm-image.sh) && \
	VM_IMAGE=$$image VM_DEB=$$(ls $(CURDIR)/$(DIST)/gatewayd_*_amd64.deb) \
	$(GO) test -tags vm -run '^TestVM$$/^($(VM_PARTS))' -count=1 -timeout 30m -v ./gatewayd

# The SD card of an office, from an image of Raspberry Pi OS:
# sudo make image IMG=raspios.img OFFICE=dinkes-01 CA_DIR=/home/city/ca
image: ## the SD card of an office: IMG=raspios.img OFFICE=dinkes-01 CA_DIR=ca
	./scripts/image.sh "$(IMG)" "$(OFFICE)" $(if $(OUT),"$(OUT)")

# The same with a Debian for a Pi's processor, made for it outside this folder: takes
# some minutes the first time, needs root, and boots the card on an emulated machine.
image-test: test-deps ## a prepared card, on an emulated Pi's processor; a hundred offices
	$(MAKE) --no-print-directory deb DEB_ARCHES=arm64
	image=$$(./scripts/pi-image.sh) && \
	CARD_IMAGE=$$image CARD_DEB=$$(ls $(CURDIR)/$(DIST)/gatewayd_*_arm64.deb) \
	$(GO) test -tags image -run '^TestImage$$' -count=1 -timeout 30m -v ./gatewayd/internal/kittest

# BROKER.md, block by block, in a Debian that has nothing else. As root it makes that
# Debian once, outside this folder.
city-kit-test: test-deps ## BROKER.md, word for word, in a fresh Debian
	tree=$$(./scripts/city-tree.sh) && \
	CITY_TREE=$$tree $(GO) test -run '^TestBrokerMDWordForWord$$' -count=1 -timeout 10m -v ./gatewayd/internal/kittest | grep -E '^(city-kit-test:|---|FAIL|ok|panic)|_test.go'

# The city's Telegraf configuration in a real Telegraf. Building it takes minutes
# the first time, so it is no part of `make test`; .ci/run asks for it.
telegraf-test: test-deps ## the city's Telegraf and its dashboard's queries, with a real Telegraf and PostgreSQL
	./scripts/install-test-deps.sh postgresql
	TELEGRAF_TEST=1 $(GO) test -run '^Test(Telegraf|Grafana)' -count=1 -v ./gatewayd/internal/health

# Go's benchmarks, then a whole process, then badges at a door in virtual time.
bench torture: SHELL := /bin/bash
bench torture: .SHELLFLAGS := -o pipefail -c
bench: test-deps ## benchmarks, of a whole process too
	$(GO) test -run '^$$' -bench . -benchtime 1s ./...
	$(GO) test -tags bench -run '^TestBench$$' -count=1 -v ./gatewayd
	CHAIN_ROUNDS=15 $(GO) test -run '^TestProcessorPriceOfTheChain$$' -count=1 -v ./gatewayd/internal/journal | grep -E '^(bench-chain:|---|FAIL|ok|panic)|_test.go'
	$(GO) test -run '^TestTapTimes$$' -count=1 -v ./gatewayd/internal/proof | grep -E '^(bench-badges:|---|FAIL|ok|panic)|_test.go'

# gatewayd beside others who deliver the same events over the same line. Takes some
# minutes, and builds a Telegraf first, which takes minutes more the first time. Only
# some of them: make bench-peers PEERS='gatewayd|bridge$$'
PEERS_ROUNDS ?= 3
PEERS_EVENTS ?= 100000
PEERS        ?=
bench-peers: test-deps ## gatewayd beside a mosquitto bridge and Telegraf, in one table
	PEERS='$(PEERS)' PEERS_ROUNDS=$(PEERS_ROUNDS) PEERS_EVENTS=$(PEERS_EVENTS) \
		$(GO) test -tags bench -run '^TestPeers$$' -count=1 -timeout 1h -v ./gatewayd | grep -E '^(\||bench-peers:|---|FAIL|ok|panic)|_test.go'

# A hundred weeks in a simulated office: who is accused falsely, and how soon the rest shows.
OFFICE_SEEDS ?= 100
bench-presence: ## a hundred weeks of a simulated office: who is accused
	OFFICE_SEEDS=$(OFFICE_SEEDS) $(GO) test -run '^TestOffice$$' -count=1 -timeout 1h -v ./gatewayd/internal/staff

# Lets every write and sync of the journal fail in every way; lets cards come and
# go before a reader chip in noise; shows 100,000 badges, copies and rogues to doors
# whose air and bus are bad; changes ten thousand months that an audit has to see
# through; lives ten thousand lives of a clock; kills a real gateway for a while, and
# says what was lost:
# make torture TORTURE_FOR=1h SCENES=1000000
TORTURE_FOR     ?= 5m
SCENES          ?= 200000
BADGE_TAPS      ?= 100000
AUDIT_MUTATIONS ?= 10000
torture: test-deps ## what is lost when everything fails: TORTURE_FOR=1h SCENES=1000000
	EVERY_FAULT=1 $(GO) test -run '^Test(Every(Fault|Cut|PageDamaged)|TheFileNeverOutgrowsItsBound|DeliveredEventsGoWithoutAClockChip)$$' -count=1 -timeout 1h ./gatewayd/internal/journal
	UPLINK_LONG=1 $(GO) test -run '^Test(HostileBrokerCannotFillTheMemory|AbsentCityIsNotFlooded)$$' -count=1 ./gatewayd/internal/uplink
	SCENES=$(SCENES) $(GO) test -run '^TestNoWrongUIDInNoise$$' -count=1 -timeout 24h -v ./drivers/mfrc522 ./drivers/pn532
	NOISY_DOORS=200 $(GO) test -run '^TestNoisyDoor$$' -count=1 ./gatewayd/internal/door
	BADGE_TAPS=$(BADGE_TAPS) $(GO) test -run '^TestNoBadgeIsAuthenticatedWithoutItsKey$$' -count=1 -timeout 24h -v ./gatewayd/internal/proof | grep -E '^(torture-badges:|FAIL|ok|panic)|_test.go'
	AUDIT_MUTATIONS=$(AUDIT_MUTATIONS) $(GO) test -run '^TestMutations$$' -count=1 -timeout 1h -v ./scripts/city/internal/chain | grep -E '^(torture-audit:|FAIL|ok|panic)|_test.go'
	HOTPLUG=100 $(GO) test -run '^TestARadioThatIsPulledIsFoundAgain$$' -count=1 -timeout 15m ./gatewayd
	TORTURE_FOR=$(TORTURE_FOR) $(GO) test -run '^Test(NoEvent|MostAnchored)' -count=1 -v ./gatewayd/internal/clock
	TORTURE_FOR=$(TORTURE_FOR) $(GO) test -run '^TestTorture$$' -count=1 -timeout 24h -v ./gatewayd
	@$(MAKE) --no-print-directory torture-batches

# 100,000 events wait, and gateway and broker are killed 20 times each while they drain
# in batches, with PUBACKs and with receipts: what is lost, and what is invented. Takes
# about two minutes, and is part of `make torture`.
BATCH_EVENTS ?= 100000
BATCH_KILLS  ?= 20
torture-batches: test-deps ## what kill -9 costs under batches: BATCH_EVENTS=100000 BATCH_KILLS=20
	BATCH_EVENTS=$(BATCH_EVENTS) BATCH_KILLS=$(BATCH_KILLS) \
		$(GO) test -run '^TestTortureBatches$$' -count=1 -timeout 30m -v ./gatewayd | grep -E '^(torture-batches:|---|FAIL|ok|panic)|_test.go'

# A year of a gateway without a clock chip, in virtual time: power cuts, a full
# journal, a line that is down for days. All that the gateway says is held against
# what happened: make year YEAR_SEED=7
YEAR_SEED ?= 1
year: ## a simulated year without a clock chip: YEAR_SEED=7
	YEAR=1 YEAR_SEED=$(YEAR_SEED) $(GO) test -run '^TestYear$$' -count=1 -timeout 2h -v ./gatewayd/internal/gateway

# Each fuzz target for a while: make fuzz FUZZTIME=5m
FUZZTIME ?= 20s
fuzz: ## each fuzz target for a while: FUZZTIME=5m
	./scripts/fuzz.sh $(FUZZTIME)

clean: ## remove what was built
	rm -rf bin dist cover

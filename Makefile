# `make demo` shows the whole working, by packets, in five minutes; `make test` is what CI runs. Each does its own set-up:
# npm packages, the build, and the Debian packages that are missing (listed before they are installed).
PROOFS := spine bgp ipvs firewall routing informers agent sdk
.PHONY: build demo lab test lint docs proof $(PROOFS:%=proof-%)

build:
	@scripts/setup.sh
	@npm run --silent build

# the lab of examples/lab, in a kernel of its own
demo lab:
	@scripts/setup.sh lab
	@npm run --silent build:js
	@node_modules/node/bin/node examples/lab/run.ts $@

test:
	@scripts/setup.sh lab peers
	@scripts/test.sh

lint:
	@scripts/setup.sh
	@npm run --silent typecheck
	@npm run --silent lint

docs:
	@scripts/setup.sh
	@npm run docs

# the long proofs: everything at once, or one block's share
proof: $(PROOFS:%=proof-%)

$(PROOFS:%=proof-%):
	@scripts/setup.sh lab peers $(if $(filter proof-agent,$@),browser image) $(if $(filter proof-sdk,$@),browser) $(if $(filter proof-routing proof-ipvs,$@),qemu)
	@npm run --silent build
	@node_modules/node/bin/node scripts/proof.ts $(@:proof-%=%)

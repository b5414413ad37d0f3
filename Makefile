# The two commands of the README: `make demo` shows the whole working, `make test` is what CI runs.
.PHONY: demo lab test proof build lint docs bench

build:
	@scripts/setup.sh
	npm run build

lint:
	@scripts/setup.sh
	npm run typecheck
	npm run lint

test:
	@scripts/setup.sh lab peers
	@scripts/test.sh

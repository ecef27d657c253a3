# Two commands do everything: `make run` and `make test`. Both install what is missing.
.PHONY: run test lint bench dist help

help:
	@echo "make run     start a development server (ARGS='config.json' or any option)"
	@echo "make test    run every test beside real components"
	@echo "make lint    formatting and clippy"
	@echo "make bench   measure beside npm parse-server"
	@echo "make dist    packages in dist/: an archive of the program, and the npm package"

run:
	@scripts/run.sh $(ARGS)

test:
	@scripts/test.sh $(ARGS)

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings

bench:
	@bench/run.sh $(ARGS)

dist:
	@scripts/dist.sh

# The commands of the project. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help demo test check api-test screenshots simulate fuzz recovery soak latency elasticity sqlx

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Build and run the whole service on a simulated cloud
	@scripts/demo.sh

test: ## Everything that must hold: format, lints, documentation, tests, scripts, Terraform
	@scripts/test.sh

check: ## The quick part of it: format and lints, without the AWS SDK
	@scripts/check.sh

api-test: ## Ask the API what its own description promises, thousands of times over: CASES=150 of each resource
	@scripts/schemathesis.sh

screenshots: ## Take the pictures of the documents anew, with a real browser: docs/screenshots
	@scripts/screenshots.sh

simulate: ## Simulated days: SEED=7 replays one, SEEDS=10000 runs many, BUG=name (or list) plants a bug, CELL=all tells the crash matrix
	@scripts/simulate.sh

fuzz: ## A minute of fuzzing for each parser of what strangers and operators write
	@scripts/fuzz.sh

recovery: ## Kill the real program KILLS=200 times while a fleet scales, and measure how it comes back
	@scripts/trial.sh recovery

soak: ## Run real replicas on a failing cloud for MINUTES=60, killing and stopping them, and check every promise
	@scripts/trial.sh soak

latency: ## Ask the API of 50 fleets with a month of history, and measure how long it takes
	@scripts/latency.sh

elasticity: ## Judge the shipped decision beside models of other autoscalers, on recorded load: TRACES=DIR, or the benchmark's own; CHARTS=DIR draws it
	@CHARTS="$(CHARTS)" scripts/elasticity.sh "$(TRACES)"

sqlx: ## Make the offline data of the SQL queries anew
	@scripts/sqlx-prepare.sh

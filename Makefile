# make demo [ARGS=--exit] [REPO="<path or clone URL> ..."] [QUERY='...']   the whole system, on sample repositories or on yours
# make test [ARGS='-k words']      the whole suite, on a real Kafka and a real PostgreSQL, in three processes (ARGS='-n 0': in one)
# make soak [ARGS=...]             the crash suite, fifty rounds of every fault: more than an hour
# make lint | bench | browser | promtool | clean | clean-data
# PYTHON=python3.12 chooses the Python (3.11 to 3.14).

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint bench browser promtool clean clean-data .venv

PY := .venv/bin/python
REPO ?=
QUERY ?=
ARGS ?=
PYTHON ?=
export PYTHON

# Handed on as they were typed: no make variable, no shell quoting touches what is in them.
export MILLSTREAM_DEMO_REPO := $(value REPO)
export MILLSTREAM_DEMO_QUERY := $(value QUERY)
unexport REPO QUERY

help:
	@sed -n 's/^# \(make \)/\1/p' Makefile

.venv:
	@infra/embedded/make_venv.sh

demo: .venv
	@$(PY) -m api.cli.main demo $(ARGS)

test: .venv browser promtool
	@$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

soak: .venv
	@MILLSTREAM_TEST_CRASH_ROUNDS=50 $(PY) -m pytest -m crash $(ARGS)

lint: .venv
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -m schemas.compatibility

# Every benchmark on a small sample; python -m bench.NAME REPO... measures your own.
bench: .venv
	@set -e; for file in $$(grep -l '^if __name__' bench/*.py); do name=$$(basename "$$file" .py); \
	    case "$$name" in \
	    agreement) small="--moments 4" ;; \
	    fanout) small="--repositories 1000 --small 200" ;; \
	    latency) small="--events 5000 --pushes 5" ;; \
	    monitors) small="--monitors 20 --repositories 10 --quiet 2000" ;; \
	    projector) small="--events 20000 --rounds 1" ;; \
	    rebuild) small="--results 16000 --rounds 1 --least 1000" ;; \
	    upload) small="--sizes 5 20" ;; \
	    *) small="" ;; esac; \
	    echo "== $$file"; $(PY) -m "bench.$$name" $(if $(ARGS),$(ARGS),$$small); done

browser:
	@infra/embedded/install_browser.sh

promtool:
	@infra/embedded/install_prometheus.sh

# What can be made again; the data of the stack stays.
clean:
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The data too: stops the stack and begins afresh.
clean-data: .venv
	@$(PY) -m api.cli.main stack stop
	@rm -rf .millstream

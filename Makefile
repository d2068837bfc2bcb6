# Python of the virtualenv; made from $(PYTHON).
PYTHON ?= python3
BIN := .venv/bin

# The extras that every virtualenv has.
extras := report,mlflow,openlineage

# The virtualenv of Airflow, whose packages are not ours.
AIRFLOW := build/airflow

# What Spark needs to know before it starts: its own folder (a path with a space needs it), the Python of its workers, a
# Java, the system's where there is one, and the archive of classes from which that Java starts, if the virtualenv has
# one. A Java that cannot use it says nothing and loads its classes one by one. -x shows the command that follows.
silent := -Xlog:disable -Xlog:all=error:stderr
archive = $(CURDIR)/$(BIN)/../classes.jsa
spark = @SPARK_HOME="$$($(BIN)/python -c 'import pyspark; print(*pyspark.__path__)')" && JAVA_HOME="$$($(BIN)/python -m logloss_spark.io.java $(java))" \
	&& SPARK_SUBMIT_OPTS="$$SPARK_SUBMIT_OPTS "'$(options)' && if [ -s "$(archive)" ]; then SPARK_SUBMIT_OPTS="$$SPARK_SUBMIT_OPTS "'"-XX:SharedArchiveFile=$(archive)" $(silent)'; fi \
	&& export SPARK_HOME JAVA_HOME SPARK_SUBMIT_OPTS PYSPARK_PYTHON="$(CURDIR)/$(BIN)/python" && set -x &&

# A job with the settings of conf. SPARK_CONF_DIR=conf would give them too, but Java takes no archive where a folder is on
# its class path. What else starts Java for a short while is told as much by `short`.
submit = $(BIN)/spark-submit --properties-file conf/spark-defaults.conf
short := -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$(CURDIR)/conf/log4j2.properties"

# Tests run in two processes, a file of tests in one of them; each process has one Spark session, which uses one core.
side_by_side := --numprocesses 2 --dist loadfile

# Tests that kill processes, or start a cluster of them, have the machine to themselves.
alone := tests/app/test_cluster.py tests/app/test_killed.py tests/app/test_submitted.py

# The demo's last months, evaluated twice: the simple forecast and the fitted model.
scored := --set input.path=build/demo/scored --set 'evaluate.by=[["month"]]' --set output.reliability= --set output.state= --set output.invalid= --set output.report=
of_forecast := --set output.metrics=build/demo/metrics-of-forecast
of_model := --set columns.prediction=fitted --set output.metrics=build/demo/metrics-of-model

# Versions of Spark and of pandas that the package runs on, each pair in an environment of its own; and the pair that
# Delta and Iceberg run on.
matrix := $(foreach older,4.0.5 4.1.4 4.2.1 4.3.0,$(older)-2.2 $(older)-2.3)
lakes := 4.1.4-2.3

.PHONY: help setup jars test test-slow test-crash test-crash-lakes test-lakes test-matrix test-airflow demo mornings docs bench bench-fit coverage errors lint types check clean
.PRECIOUS: .venvs/%/.installed

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile

setup: .venv/.installed .venv/classes.jsa ## make the virtualenv with everything in it, once

.venv/.installed: pyproject.toml conf/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; $(PYTHON) is %d.%d. Name another: make PYTHON=python3.13 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c conf/constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c conf/constraints.txt --group dev -e '.[spark,java,$(extras)]'
	@touch $@

.venv/classes.jsa: options = $(short) "-XX:ArchiveClassesAtExit=$(CURDIR)/$@" $(silent)
.venv/classes.jsa: conf/classes.py .venv/.installed
	@rm -f $@
	$(spark) $(submit) conf/classes.py
	@touch $@ # empty, so that it is not tried again, of a Java that makes none

.venvs/%/.installed: pyproject.toml conf/constraints.txt
	$(PYTHON) -m venv .venvs/$*
	grep -Ev '^(pandas|py4j|pyspark)=' conf/constraints.txt > .venvs/$*/constraints.txt
	.venvs/$*/bin/python -m pip install --quiet --disable-pip-version-check -c conf/constraints.txt --upgrade pip
	.venvs/$*/bin/python -m pip install --quiet --disable-pip-version-check -c .venvs/$*/constraints.txt --group test -e '.[java,$(extras)]' 'pyspark[connect]==$(word 1,$(subst -, ,$*))' 'pandas==$(word 2,$(subst -, ,$*)).*'
	@touch $@

jars: .jars/.fetched ## fetch the jars of Delta and Iceberg by Maven, once

.jars/.fetched: logloss_spark/io/lakes.py | .venvs/$(lakes)/.installed
	for jar in $$(.venvs/$(lakes)/bin/python -c 'from logloss_spark.io.lakes import coordinates; print(*coordinates())'); do mvn --quiet --batch-mode dependency:copy -Dartifact=$$jar -DoutputDirectory=.jars || exit; done
	@touch $@

test: setup ## run the tests but the slow ones, then a marked part of them over Spark Connect
	$(spark) $(BIN)/python -m pytest $(side_by_side) -m 'not slow and not crash and not lakes'
	$(spark) LOGLOSS_SPARK_MODE=connect $(BIN)/python -m pytest $(side_by_side) -m 'connect and not slow and not lakes'

test-slow: setup ## run the slow tests: further cases, large references, the wheel; then killed processes; then over Spark Connect
	$(spark) $(BIN)/python -m pytest $(side_by_side) -m 'slow and not lakes' $(alone:%=--ignore=%)
	$(spark) $(BIN)/python -m pytest -m 'slow and not lakes' $(alone)
	$(spark) LOGLOSS_SPARK_MODE=connect $(BIN)/python -m pytest $(side_by_side) -m 'connect and slow and not lakes'

test-lakes: BIN := .venvs/$(lakes)/bin
test-lakes: jars ## run the tests of Delta and Iceberg on the newest Spark that has both, then again over Spark Connect
	$(spark) LOGLOSS_SPARK_LAKES=1 $(BIN)/python -m pytest -m 'lakes and not crash'
	$(spark) LOGLOSS_SPARK_LAKES=1 LOGLOSS_SPARK_MODE=connect $(BIN)/python -m pytest -m 'lakes and connect and not crash'

test-matrix: $(matrix:%=test-on-%) ## run the tests on older versions of Spark and pandas; test-on-4.1.4-2.3 runs one pair

test-on-%: BIN = .venvs/$*/bin
test-on-%: .venvs/%/.installed
	$(spark) $(BIN)/python -m pytest $(side_by_side) -m 'not slow and not crash and not lakes'
	$(spark) LOGLOSS_SPARK_MODE=connect $(BIN)/python -m pytest $(side_by_side) -m 'connect and not slow and not crash and not lakes'

test-crash: setup test-crash-lakes ## kill runs on a store, let two meet, fill disks; a part of the clean run of CI
	$(spark) $(BIN)/python -m pytest -m 'crash and not lakes'

test-crash-lakes: BIN := .venvs/$(lakes)/bin
test-crash-lakes: jars
	$(spark) LOGLOSS_SPARK_LAKES=1 $(BIN)/python -m pytest -m 'crash and lakes'

test-airflow: $(AIRFLOW)/.installed ## run the DAG of docs/airflow with the real Airflow, in an environment of its own
	AIRFLOW_HOME="$(CURDIR)/$(AIRFLOW)/home" AIRFLOW__CORE__LOAD_EXAMPLES=False $(AIRFLOW)/bin/python -m pytest -c /dev/null --noconftest -p no:cacheprovider tests/docs/check_airflow.py

$(AIRFLOW)/.installed: conf/airflow.txt
	$(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip install --quiet --disable-pip-version-check -c conf/airflow.txt apache-airflow pytest
	@touch $@

demo mornings: java := --quiet
demo mornings: options := $(short)
demo: setup ## evaluate a forecast of real flights, fit a model, compare both, draw pictures, and live through a fortnight of mornings
	$(spark) $(BIN)/python docs/demo/flights.py build/demo/predictions
	$(spark) $(submit) jobs/evaluate.py --config conf/evaluate.toml
	$(spark) $(submit) jobs/fit.py --config conf/fit.toml
	$(spark) $(submit) jobs/score.py --config conf/fit.toml
	$(spark) $(submit) jobs/evaluate.py --config conf/evaluate.toml $(scored) $(of_forecast)
	$(spark) $(submit) jobs/evaluate.py --config conf/evaluate.toml $(scored) $(of_model)
	$(spark) $(submit) jobs/compare.py --config conf/compare.toml
	$(spark) $(BIN)/python docs/demo/pictures.py build/demo
	@$(MAKE) --no-print-directory mornings
	@echo "The reports are build/demo/report.html and build/demo/mornings/report.html: open them in a browser."
	@echo "The pictures are in build/demo/pictures. The tables in build/demo are Parquet. To look at one: $(BIN)/python -ic 'import pandas; table = pandas.read_parquet(\"build/demo/metrics\"); print(table)'"

ifdef LOGLOSS_SPARK_LAKES
mornings: BIN := .venvs/$(lakes)/bin
mornings: jars
endif
mornings: ## the end of the demo, if the rest of it has run; with LOGLOSS_SPARK_LAKES=1 states are kept in Delta
	$(spark) $(BIN)/python docs/demo/mornings.py build/demo

docs: setup ## build the documentation into build/docs; open build/docs/index.html
	$(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going docs build/docs

bench: setup ## time the engines beside their peers, small tables, windows of a year, and a gate
	$(spark) $(BIN)/python benchmarks/evaluate.py
	$(spark) $(BIN)/python benchmarks/small.py
	$(spark) $(BIN)/python benchmarks/windows.py
	$(spark) $(BIN)/python benchmarks/gate.py

bench-fit: setup ## time the fitter beside MLlib and scikit-learn
	$(spark) $(BIN)/python benchmarks/fit.py

coverage: setup ## measure how often intervals cover what they estimate, and how often gates raise false alarms
	$(BIN)/python -m benchmarks.coverage
	$(BIN)/python -m benchmarks.false_alarms

errors: setup ## measure the largest error of a row against mpmath
	$(spark) $(BIN)/python benchmarks/errors.py

lint: setup ## check style and format
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup ## check types
	$(BIN)/mypy

check: lint types docs test test-slow test-crash test-lakes ## all that .ci/run runs

clean: ## remove all that the other targets made
	rm -rf .venv .venvs .jars build dist *.egg-info .*_cache .hypothesis spark-warehouse artifacts

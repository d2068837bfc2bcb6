"""Every morning: evaluate the units that are due, judge them, and publish what the dashboards read.

Copy this file into the folder of your DAGs. Workers need `logloss-spark` on their PATH and the config of the job.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

CONFIG = "/etc/log_loss/daily.toml"
METRICS = "/data/dashboards/log_loss"

FAILED_GATE = 99
"""The exit code of a gate that fails. 99 skips the publication, and the run is a success; 3 fails the run."""

with DAG(
    dag_id="log_loss",
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # what is due follows from the store, so one run makes up for all that were missed
    max_active_runs=1,
) as dag:
    command = {"append_env": True, "env": {"CONFIG": CONFIG, "METRICS": METRICS, "RUN_DATE": "{{ ds }}"}}

    # Exit code 5 says that the predictions are not there yet: try again later. The gate is a task of its own, and must
    # not fail this one.
    evaluate = BashOperator(
        task_id="evaluate",
        bash_command='logloss-spark evaluate --config "$CONFIG" --run-date "$RUN_DATE" --fail-exit 0',
        retries=6,
        retry_delay=timedelta(minutes=20),
        **command,
    )

    # The same states are judged alike however often: a retry would only be late.
    gate = BashOperator(
        task_id="gate",
        bash_command=f'logloss-spark gate --config "$CONFIG" --run-date "$RUN_DATE" --fail-exit {FAILED_GATE}',
        retries=0,
        skip_on_exit_code=99,
        **command,
    )

    publish = BashOperator(
        task_id="publish",
        bash_command='logloss-spark metrics --config "$CONFIG" --run-date "$RUN_DATE" --windows 1d,7d,28d --over dt '
        '--long --to "$METRICS" --overwrite',
        retries=2,
        **command,
    )

    evaluate >> gate >> publish

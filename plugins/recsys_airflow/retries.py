"""Which failures are worth another try: the outside world's are, wrong data and refused models are not."""

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from recsys.errors import ConfigError, DataError, GateError

POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception=DataError, action=RetryAction.FAIL, reason="the same data fails again"),
        RetryRule(exception=GateError, action=RetryAction.FAIL, reason="the same model is refused again"),
        RetryRule(exception=ConfigError, action=RetryAction.FAIL, reason="the same settings fail again"),
    ]
)

DEFAULT_ARGS: dict[str, Any] = {  # Any: Airflow's own type
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_policy": POLICY,
}

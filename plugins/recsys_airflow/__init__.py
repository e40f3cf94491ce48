"""What extends Airflow: assets, retry policy, links, and how a DAG run becomes a pipeline call."""

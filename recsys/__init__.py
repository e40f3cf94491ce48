"""A platform for hyper-personalised content recommendations, orchestrated by Airflow."""

# SPDX-License-Identifier: MIT
"""The tasks that celery_scenario.py sends, for both its ends."""
import os

from celery import Celery

URL = "redis://127.0.0.1:%s/0" % os.environ["REDIS_PORT"]
app = Celery("demikv", broker=URL, backend=URL)
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True, result_expires=600)


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=5)
def hard(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.05)
    return self.request.retries


@app.task
def fails():
    raise ValueError("never")

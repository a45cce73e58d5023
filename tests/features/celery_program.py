"""A Celery application, its worker and a client of it: what teams run, in one process.

``python -m tests.features.celery_program URL QUEUE_TYPE PREFIX`` prints what became of each task.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery  # type: ignore[import-untyped]
from celery.contrib.testing.worker import start_worker  # type: ignore[import-untyped]
from celery.exceptions import TaskRevokedError  # type: ignore[import-untyped]

from tests.features.clients import kombu

PATIENCE_S = 30.0


def say(*words: object) -> None:
    """Print a line at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def application(url: str, queue_type: str, prefix: str) -> Any:
    """Return an application with one queue, and with delayed queues of its own."""
    app = Celery("program", broker=url, backend="rpc://", set_as_current=False)
    queue = kombu.Queue(
        prefix,
        kombu.Exchange(prefix, type="topic"),
        routing_key=prefix,
        queue_arguments={"x-queue-type": queue_type},
    )
    app.conf.update(
        task_queues=[queue],
        task_default_queue=prefix,
        task_default_exchange=prefix,
        task_default_exchange_type="topic",
        task_default_routing_key=prefix,
        task_acks_late=True,
        worker_detect_quorum_queues=True,
        broker_native_delayed_delivery_queue_type=queue_type,
        broker_transport_options={"confirm_publish": True},
        broker_connection_retry_on_startup=True,
        worker_enable_remote_control=True,
    )

    @app.task(bind=True, name="add", max_retries=3)  # type: ignore[untyped-decorator]
    def add(self: Any, left: int, right: int, failures: int = 0) -> list[int]:
        if self.request.retries < failures:
            raise self.retry(countdown=1)
        return [left + right, self.request.retries]

    return app


def run(app: Any) -> None:
    """Run tasks of all kinds and print what they return."""
    add = app.tasks["add"]
    say("now", add.apply_async((1, 2)).get(timeout=PATIENCE_S))
    start = time.monotonic()
    later = [
        ("countdown", add.apply_async((2, 3), countdown=1)),
        ("eta", add.apply_async((3, 4), eta=datetime.now(UTC) + timedelta(seconds=2))),
    ]
    for seconds, (kind, result) in enumerate(later, 1):
        value = result.get(timeout=PATIENCE_S)
        is_late = time.monotonic() - start >= seconds - 0.1
        say(kind, value, "on time" if is_late else "too early")
    say("retries", add.apply_async((4, 5, 2)).get(timeout=PATIENCE_S))
    revoked = add.apply_async((5, 6), countdown=2)
    app.control.revoke(revoked.id)
    try:
        say("revoked", revoked.get(timeout=PATIENCE_S))
    except TaskRevokedError as error:
        say(f"revoked: {error}")


def main(url: str, queue_type: str, prefix: str) -> None:
    """Start a worker, run tasks, and end without waiting for the worker: that takes ten seconds."""
    app = application(url, queue_type, prefix)
    with start_worker(app, pool="solo", perform_ping_check=False):
        run(app)
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

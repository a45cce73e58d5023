"""The broker's tests: one folder per layer, and ``features`` over real sockets."""

import pytest

pytest.register_assert_rewrite("tests.amqp_bytes", "tests.helpers", "tests.raw_client")

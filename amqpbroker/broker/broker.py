"""The broker: vhosts, users, connections. Everything that is not one client's business."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpbroker.auth.users import UserStore
from amqpbroker.broker.vhost import VHost

if TYPE_CHECKING:
    from amqpbroker.broker.direct_reply_to import ReplyConsumer
    from amqpbroker.broker.journal import Journal
    from amqpbroker.broker.session import Session
    from amqpbroker.config import Config


class Broker:
    """One broker; any number may live in a process."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.users = UserStore(loopback_users=config.loopback_users)
        self.users.add_default_user(config.default_user, config.default_pass, config.default_vhost)
        self.vhosts = {config.default_vhost: VHost(config.default_vhost)}
        self.sessions: set[Session] = set()
        self.touched: list[Session] = []
        """Sessions with something to write since the last flush."""
        self.reply_consumers: dict[str, ReplyConsumer] = {}
        self.journal: Journal | None = None
        """The log of durable queues; None if everything is in memory."""

    def permissions_changed(self) -> None:
        """Have every publish checked again: call it after a change of users or permissions."""
        for vhost in self.vhosts.values():
            vhost.forget_routes()

    def flush(self) -> None:
        """End a batch: everybody who got something is woken once."""
        while self.touched:
            touched, self.touched = self.touched, []
            for session in touched:
                session.flush()

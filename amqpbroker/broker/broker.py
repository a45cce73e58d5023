"""The broker: vhosts, users, connections. Everything that is not one client's business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqpbroker.auth.backends.chain import Chain
from amqpbroker.auth.credential_validator import CredentialValidator
from amqpbroker.auth.passwords import Passwords
from amqpbroker.auth.sasl.mechanism import SaslSettings
from amqpbroker.auth.scram_keys import SCRAM_MECHANISMS, load_scramp
from amqpbroker.auth.users import ALL, UserStore
from amqpbroker.broker.alarms import Alarms
from amqpbroker.broker.confirms import waits_for_confirms
from amqpbroker.broker.consumer_timeout import ConsumerTimeouts
from amqpbroker.broker.imports import Imports
from amqpbroker.broker.interceptors import Interceptors
from amqpbroker.broker.metadata import VHostMetadata
from amqpbroker.broker.quotas import Counts
from amqpbroker.broker.rates import Rates
from amqpbroker.broker.streams import Streams
from amqpbroker.broker.timers import SYSTEM_CLOCK, Clock, Timers
from amqpbroker.broker.vhost import VHost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from amqpbroker.broker.direct_reply_to import ReplyConsumer
    from amqpbroker.broker.journal import Journal
    from amqpbroker.broker.message import Message
    from amqpbroker.broker.session import Session
    from amqpbroker.broker.spill import Spill
    from amqpbroker.broker.store import Store
    from amqpbroker.config import Config


class Broker:
    """One broker; any number may live in a process."""

    def __init__(
        self, config: Config, store: Store | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.config = config
        self.store = store
        """Where durable definitions go; None if everything is in memory."""
        self.alarms = Alarms(self._tell_of_alarms)
        passwords = Passwords(
            config.password_hashing_module,
            scram_mechanisms=tuple(
                name for name in config.auth_mechanisms if name in SCRAM_MECHANISMS
            ),
        )
        if passwords.scram_mechanisms:
            load_scramp()
        self.users = UserStore(passwords, loopback_users=config.loopback_users)
        self.credential_validator = CredentialValidator(
            config.credential_validator,
            config.credential_validator_min_length,
            config.credential_validator_regexp or "",
        )
        self.logins = Chain(self.users)
        """Who lets users in: by default only the broker's own database."""
        self.sasl = SaslSettings(
            anonymous_login_user=config.anonymous_login_user,
            ssl_cert_login_from=config.ssl_cert_login_from,
            ssl_cert_login_san_type=config.ssl_cert_login_san_type,
            ssl_cert_login_san_index=config.ssl_cert_login_san_index,
        )
        self.vhosts: dict[str, VHost] = {}
        self.global_parameters: dict[str, Any] = {}
        """JSON by name: kept for others, the broker itself reads none of them."""
        self.imports = Imports()
        self.sessions: set[Session] = set()
        self.counts = Counts()
        self.rates = Rates()
        self.touched: list[Session] = []
        """Sessions with something to write since the last flush."""
        self.timers = Timers(self.flush, *clock)
        self.streams = Streams(self.timers, self.flush)
        self.interceptors = Interceptors(config, clock.wall_ms)
        self.consumer_timeouts = ConsumerTimeouts(
            config.consumer_timeout_s, self.sessions, self.timers
        )
        self.reply_consumers: dict[str, ReplyConsumer] = {}
        self.journal: Journal | None = None
        """The log of durable queues; None if everything is in memory."""
        self.spill: Spill | None = None
        """Where transient messages go that memory has no room for."""

    def add_defaults(self) -> None:
        """Make what an empty broker starts with: a vhost, and a user who may do all in it."""
        config = self.config
        self.add_vhost(config.default_vhost)
        user = self.users.add_default_user(
            config.default_user, config.default_pass, config.default_vhost
        )
        if self.store is not None:
            self.store.put_user(user)
            self.store.put_permissions(user.name, config.default_vhost, ALL)

    def add_vhost(self, name: str) -> VHost:
        """Make a vhost with its pre-declared exchanges."""
        vhost = self.vhosts[name] = self.new_vhost(name)
        if self.store is not None:
            self.store.put_vhost(vhost)
        return vhost

    def new_vhost(self, name: str) -> VHost:
        """Return a vhost that is not one of the broker's yet."""
        vhost = VHost(name, self.store, self.timers, self.streams)
        if self.journal is not None:
            vhost.page(self.journal.pager)
        vhost.metadata = VHostMetadata(default_queue_type=self.config.default_queue_type)
        return vhost

    def permissions_changed(self) -> None:
        """Have every publish checked again: call it after a change of users or permissions."""
        for vhost in self.vhosts.values():
            vhost.forget_routes()

    def messages_of(self, queue_ids: Iterable[int]) -> Iterator[tuple[int, Message]]:
        """Yield (queue id, message) of all messages in durable queues, ready, unsettled or dead.

        Those on loan from a queue that was deleted are among them: they share what is known of
        where they lie with copies in other queues.
        """
        if self.store is None:
            return
        ids = set(queue_ids)
        for queue_id in ids & self.store.queues.keys():
            for message in self.store.queues[queue_id].ready:
                yield queue_id, message
        for vhost in self.vhosts.values():
            for letter in vhost.dead_letters.held:
                if letter.queue.id in ids:
                    yield letter.queue.id, letter.message
        for session in self.sessions:
            for channel in session.channels.values():
                for delivery in channel.deliveries():
                    if delivery.queue.id in ids:
                        yield delivery.queue.id, delivery.message

    def _tell_of_alarms(self) -> None:
        """Tell publishers who wait for confirms that they may wait long, and when that is over.

        Those who publish only now are told by the server, which reads no further from them.
        """
        for session in self.sessions:
            if not self.alarms:
                session.unblocked()
            elif waits_for_confirms(session):
                session.blocked(self.alarms.reason)
        self.flush()

    def flush(self) -> None:
        """End a batch: everybody who got something is woken once."""
        if self.journal is not None:
            self.journal.divide()
        while self.touched:
            touched, self.touched = self.touched, []
            for session in touched:
                session.flush()

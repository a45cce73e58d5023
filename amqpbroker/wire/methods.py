"""The methods of AMQP 0-9-1 with RabbitMQ's extensions, one class each.

Reserved fields accept anything and are written as zero (FEATURES T30). Names keep bytes that are
not UTF-8 through ``surrogateescape`` (T2, T3). Source: RabbitMQ's amqp0-9-1.extended.xml.
"""

from __future__ import annotations

from amqpbroker.wire.codec import (
    Bit,
    Long,
    LongLong,
    LongStr,
    Method,
    Octet,
    Short,
    ShortStr,
    TableField,
    method,
)


@method(10, 10, "connection.start")
class ConnectionStart(Method):
    version_major: Octet
    version_minor: Octet
    server_properties: TableField
    mechanisms: LongStr
    locales: LongStr


@method(10, 11, "connection.start_ok")
class ConnectionStartOk(Method):
    client_properties: TableField
    mechanism: ShortStr
    response: LongStr
    locale: ShortStr


@method(10, 20, "connection.secure")
class ConnectionSecure(Method):
    challenge: LongStr


@method(10, 21, "connection.secure_ok")
class ConnectionSecureOk(Method):
    response: LongStr


@method(10, 30, "connection.tune")
class ConnectionTune(Method):
    channel_max: Short
    frame_max: Long
    heartbeat: Short


@method(10, 31, "connection.tune_ok")
class ConnectionTuneOk(Method):
    channel_max: Short
    frame_max: Long
    heartbeat: Short


@method(10, 40, "connection.open")
class ConnectionOpen(Method):
    virtual_host: ShortStr
    reserved_1: ShortStr = ""
    reserved_2: Bit = False


@method(10, 41, "connection.open_ok")
class ConnectionOpenOk(Method):
    reserved_1: ShortStr = ""


@method(10, 50, "connection.close")
class ConnectionClose(Method):
    reply_code: Short
    reply_text: ShortStr
    failing_class_id: Short = 0
    failing_method_id: Short = 0


@method(10, 51, "connection.close_ok")
class ConnectionCloseOk(Method):
    pass


@method(10, 60, "connection.blocked")
class ConnectionBlocked(Method):
    reason: ShortStr


@method(10, 61, "connection.unblocked")
class ConnectionUnblocked(Method):
    pass


@method(10, 70, "connection.update_secret")
class ConnectionUpdateSecret(Method):
    new_secret: LongStr
    reason: ShortStr


@method(10, 71, "connection.update_secret_ok")
class ConnectionUpdateSecretOk(Method):
    pass


@method(20, 10, "channel.open")
class ChannelOpen(Method):
    reserved_1: ShortStr = ""


@method(20, 11, "channel.open_ok")
class ChannelOpenOk(Method):
    reserved_1: LongStr = b""


@method(20, 20, "channel.flow")
class ChannelFlow(Method):
    active: Bit


@method(20, 21, "channel.flow_ok")
class ChannelFlowOk(Method):
    active: Bit


@method(20, 40, "channel.close")
class ChannelClose(Method):
    reply_code: Short
    reply_text: ShortStr
    failing_class_id: Short = 0
    failing_method_id: Short = 0


@method(20, 41, "channel.close_ok")
class ChannelCloseOk(Method):
    pass


@method(30, 10, "access.request")
class AccessRequest(Method):
    realm: ShortStr
    exclusive: Bit
    passive: Bit
    active: Bit
    write: Bit
    read: Bit


@method(30, 11, "access.request_ok")
class AccessRequestOk(Method):
    ticket: Short = 1


@method(40, 10, "exchange.declare")
class ExchangeDeclare(Method):
    reserved_1: Short
    exchange: ShortStr
    type: ShortStr
    passive: Bit
    durable: Bit
    auto_delete: Bit
    internal: Bit
    nowait: Bit
    arguments: TableField


@method(40, 11, "exchange.declare_ok")
class ExchangeDeclareOk(Method):
    pass


@method(40, 20, "exchange.delete")
class ExchangeDelete(Method):
    reserved_1: Short
    exchange: ShortStr
    if_unused: Bit
    nowait: Bit


@method(40, 21, "exchange.delete_ok")
class ExchangeDeleteOk(Method):
    pass


@method(40, 30, "exchange.bind")
class ExchangeBind(Method):
    reserved_1: Short
    destination: ShortStr
    source: ShortStr
    routing_key: ShortStr
    nowait: Bit
    arguments: TableField


@method(40, 31, "exchange.bind_ok")
class ExchangeBindOk(Method):
    pass


@method(40, 40, "exchange.unbind")
class ExchangeUnbind(Method):
    reserved_1: Short
    destination: ShortStr
    source: ShortStr
    routing_key: ShortStr
    nowait: Bit
    arguments: TableField


@method(40, 51, "exchange.unbind_ok")
class ExchangeUnbindOk(Method):
    pass


@method(50, 10, "queue.declare")
class QueueDeclare(Method):
    reserved_1: Short
    queue: ShortStr
    passive: Bit
    durable: Bit
    exclusive: Bit
    auto_delete: Bit
    nowait: Bit
    arguments: TableField


@method(50, 11, "queue.declare_ok")
class QueueDeclareOk(Method):
    queue: ShortStr
    message_count: Long
    consumer_count: Long


@method(50, 20, "queue.bind")
class QueueBind(Method):
    reserved_1: Short
    queue: ShortStr
    exchange: ShortStr
    routing_key: ShortStr
    nowait: Bit
    arguments: TableField


@method(50, 21, "queue.bind_ok")
class QueueBindOk(Method):
    pass


@method(50, 30, "queue.purge")
class QueuePurge(Method):
    reserved_1: Short
    queue: ShortStr
    nowait: Bit


@method(50, 31, "queue.purge_ok")
class QueuePurgeOk(Method):
    message_count: Long


@method(50, 40, "queue.delete")
class QueueDelete(Method):
    reserved_1: Short
    queue: ShortStr
    if_unused: Bit
    if_empty: Bit
    nowait: Bit


@method(50, 41, "queue.delete_ok")
class QueueDeleteOk(Method):
    message_count: Long


@method(50, 50, "queue.unbind")
class QueueUnbind(Method):
    reserved_1: Short
    queue: ShortStr
    exchange: ShortStr
    routing_key: ShortStr
    arguments: TableField


@method(50, 51, "queue.unbind_ok")
class QueueUnbindOk(Method):
    pass


@method(60, 10, "basic.qos")
class BasicQos(Method):
    prefetch_size: Long
    prefetch_count: Short
    is_global: Bit


@method(60, 11, "basic.qos_ok")
class BasicQosOk(Method):
    pass


@method(60, 20, "basic.consume")
class BasicConsume(Method):
    reserved_1: Short
    queue: ShortStr
    consumer_tag: ShortStr
    no_local: Bit
    no_ack: Bit
    exclusive: Bit
    nowait: Bit
    arguments: TableField


@method(60, 21, "basic.consume_ok")
class BasicConsumeOk(Method):
    consumer_tag: ShortStr


@method(60, 30, "basic.cancel")
class BasicCancel(Method):
    consumer_tag: ShortStr
    nowait: Bit


@method(60, 31, "basic.cancel_ok")
class BasicCancelOk(Method):
    consumer_tag: ShortStr


@method(60, 40, "basic.publish")
class BasicPublish(Method):
    reserved_1: Short
    exchange: ShortStr
    routing_key: ShortStr
    mandatory: Bit
    immediate: Bit


@method(60, 50, "basic.return")
class BasicReturn(Method):
    reply_code: Short
    reply_text: ShortStr
    exchange: ShortStr
    routing_key: ShortStr


@method(60, 60, "basic.deliver")
class BasicDeliver(Method):
    consumer_tag: ShortStr
    delivery_tag: LongLong
    redelivered: Bit
    exchange: ShortStr
    routing_key: ShortStr


@method(60, 70, "basic.get")
class BasicGet(Method):
    reserved_1: Short
    queue: ShortStr
    no_ack: Bit


@method(60, 71, "basic.get_ok")
class BasicGetOk(Method):
    delivery_tag: LongLong
    redelivered: Bit
    exchange: ShortStr
    routing_key: ShortStr
    message_count: Long


@method(60, 72, "basic.get_empty")
class BasicGetEmpty(Method):
    reserved_1: ShortStr = ""


@method(60, 80, "basic.ack")
class BasicAck(Method):
    delivery_tag: LongLong
    multiple: Bit = False


@method(60, 90, "basic.reject")
class BasicReject(Method):
    delivery_tag: LongLong
    requeue: Bit


@method(60, 100, "basic.recover_async")
class BasicRecoverAsync(Method):
    requeue: Bit


@method(60, 110, "basic.recover")
class BasicRecover(Method):
    requeue: Bit


@method(60, 111, "basic.recover_ok")
class BasicRecoverOk(Method):
    pass


@method(60, 120, "basic.nack")
class BasicNack(Method):
    delivery_tag: LongLong
    multiple: Bit
    requeue: Bit


@method(85, 10, "confirm.select")
class ConfirmSelect(Method):
    nowait: Bit


@method(85, 11, "confirm.select_ok")
class ConfirmSelectOk(Method):
    pass


@method(90, 10, "tx.select")
class TxSelect(Method):
    pass


@method(90, 11, "tx.select_ok")
class TxSelectOk(Method):
    pass


@method(90, 20, "tx.commit")
class TxCommit(Method):
    pass


@method(90, 21, "tx.commit_ok")
class TxCommitOk(Method):
    pass


@method(90, 30, "tx.rollback")
class TxRollback(Method):
    pass


@method(90, 31, "tx.rollback_ok")
class TxRollbackOk(Method):
    pass

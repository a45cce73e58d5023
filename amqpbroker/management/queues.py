"""``/queues`` without their messages (FEATURES A18.4-A18.6); those are in ``messages``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from amqpbroker.broker.partitioned_ready import PartitionedReady
from amqpbroker.broker.quorum_queue import QuorumQueue
from amqpbroker.broker.stream_queue import StreamQueue
from amqpbroker.management.call import Answer, Api, Arguments, Flag, Json, created, done
from amqpbroker.management.channels import name_of
from amqpbroker.management.connections import addresses
from amqpbroker.management.consumers import describe as describe_consumer
from amqpbroker.management.errors import not_found
from amqpbroker.management.listing import respond
from amqpbroker.management.message_bytes import message_bytes
from amqpbroker.management.paths import new_router
from amqpbroker.management.values import to_json, to_table
from amqpbroker.wire.methods import QueueDeclare, QueueDelete, QueuePurge

if TYPE_CHECKING:
    from amqpbroker.broker.partitioned_ready import Partition
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.vhost import VHost

router = new_router()


class Declaration(BaseModel):
    """The body of a PUT; ``node`` is accepted, there is one."""

    durable: Flag = False
    auto_delete: Flag = False
    arguments: Arguments = Field(default_factory=dict)


def describe(call: Api, vhost: VHost, queue: Queue) -> dict[str, Any]:
    """Return a queue as the API shows it."""
    ready, unsettled = len(queue.ready), queue.unsettled_count
    if queue.type == "stream":
        unsettled = 0  # what is on loan is still there
    waiting = 0 if queue.retries is None else len(queue.retries)
    in_force = vhost.policies.of_queue(queue)
    policy, operator_policy = in_force.policy, in_force.operator_policy
    exclusive, active = queue.exclusive_consumer, queue.consumers.active
    row: dict[str, Any] = {
        "arguments": to_json(queue.arguments),
        "auto_delete": queue.is_auto_delete,
        "consumers": len(queue.consumers),
        "durable": queue.is_durable,
        "effective_policy_definition": dict(in_force.definition),
        "exclusive": queue.owner is not None,
        "exclusive_consumer_tag": None if exclusive is None else exclusive.tag,
        "messages": ready + unsettled + waiting,
        "messages_ready": ready,
        "messages_unacknowledged": unsettled,
        "name": queue.name,
        "node": call.node,
        "operator_policy": None if operator_policy is None else operator_policy.name,
        "policy": None if policy is None else policy.name,
        "single_active_consumer_tag": None,
        "state": "running",
        "type": queue.type,
        "vhost": vhost.name,
    }
    if queue.retries is not None:
        row["messages_delayed"] = waiting
    if isinstance(queue, StreamQueue):
        part = queue.stream.partition
        row["offsets"] = {
            "first": part.first,
            "next": part.next,
            "tracked": dict(queue.stream.tracked.offsets),
        }
        row["segments"] = part.segment_count
    if queue.consumers.is_single_active and active is not None:
        row["single_active_consumer_tag"] = active.tag
    if isinstance(queue, QuorumQueue):
        held = len(queue.held)
        row |= {"leader": call.node, "members": [call.node], "online": [call.node]}
        row |= {"messages_dlx": held, "messages": row["messages"] + held}
    if queue.owner is not None:
        row["owner_pid_details"] = {"name": queue.owner.name, **addresses(queue.owner.name)}
    return row


async def _respond(call: Api, vhosts: list[VHost]) -> Json:
    items = [(vhost, queue) for vhost in vhosts for queue in vhost.queues.values()]
    return await respond(
        call,
        items,
        lambda item: describe(call, *item),
        key=lambda item: (item[0].name, item[1].name),
    )


def _find(call: Api, vhost: str, name: str) -> tuple[VHost, Queue]:
    found = call.vhost(vhost)
    queue = found.queues.get(name)
    if queue is None:
        raise not_found()
    return found, queue


@router.get("/queues")
async def list_all(call: Api) -> Answer:
    """List the queues of all vhosts."""
    return await _respond(call, call.vhosts())


@router.get("/queues/{vhost:name}")
async def list_one(call: Api, vhost: str) -> Answer:
    """List the queues of a vhost."""
    return await _respond(call, [call.vhost(vhost)])


@router.get("/queues/{vhost:name}/{name:name}")
async def show(call: Api, vhost: str, name: str) -> Answer:
    """Show a queue with its consumers, its bytes, and its partitions if it has any."""
    found, queue = _find(call, vhost, name)
    consumers = [describe_consumer(call, consumer) for consumer in queue.consumers]
    sizes = await message_bytes(call.broker, queue)
    row = {**describe(call, found, queue), **sizes, "consumer_details": consumers}
    if isinstance(queue.ready, PartitionedReady):
        row["partitions"] = [_describe_partition(item) for item in queue.ready.partitions]
    return Json({**row, "deliveries": [], "incoming": []})


def _describe_partition(partition: Partition) -> dict[str, Any]:
    consumer = partition.consumer
    return {
        "channel": None if consumer is None else name_of(consumer.channel),
        "consumer_tag": None if consumer is None else consumer.tag,
        "messages_ready": len(partition),
        "messages_unacknowledged": partition.loan_count,
        "moving": partition.is_moving,
        "partition": partition.number,
    }


@router.put("/queues/{vhost:name}/{name:name}")
async def declare(call: Api, vhost: str, name: str) -> Answer:
    """Declare a queue."""
    found = call.vhost(vhost)
    body = await call.body(Declaration)
    is_new = name not in found.queues
    method = QueueDeclare(
        0,
        name,
        passive=False,
        durable=body.durable,
        exclusive=False,
        auto_delete=body.auto_delete,
        nowait=False,
        arguments=to_table(body.arguments),
    )
    with call.direct(found) as session:
        await session.ask(method)
    return created(is_new)


@router.delete("/queues/{vhost:name}/{name:name}")
async def delete(call: Api, vhost: str, name: str) -> Answer:
    """Delete a queue; ``if-empty=true`` and ``if-unused=true`` are conditions."""
    found, _ = _find(call, vhost, name)
    method = QueueDelete(
        0,
        name,
        if_unused=call.query_flag("if-unused"),
        if_empty=call.query_flag("if-empty"),
        nowait=False,
    )
    with call.direct(found) as session:
        await session.ask(method)
    return done()


@router.delete("/queues/{vhost:name}/{name:name}/contents")
async def purge(call: Api, vhost: str, name: str) -> Answer:
    """Drop the ready messages of a queue."""
    found, _ = _find(call, vhost, name)
    with call.direct(found) as session:
        await session.ask(QueuePurge(0, name, nowait=False))
    return done()

"""Reads a subject of NATS JetStream with nats-py: URL, stream, subject, how many messages."""

import asyncio
import json
import sys

import nats


def text(value):
    """Some versions of nats-py read headers as ASCII; what is more comes as surrogates then."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8") if value is not None else None


async def main():
    url, stream, subject, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    client = await nats.connect(url)
    consumer = await client.jetstream().pull_subscribe(subject, stream=stream)
    read = 0
    while read < count:
        for message in await consumer.fetch(count - read, timeout=30):
            headers = {name: text(value) for name, value in (message.headers or {}).items()}
            print(json.dumps({
                "id": headers.pop("Nats-Msg-Id"),
                "key": headers.pop("message-key", None),
                "event_type": headers.pop("event-type"),
                "content_type": headers.pop("content-type", None),
                "headers": headers,
                "payload": list(message.data),
            }))
            await message.ack()
            read += 1
    await client.close()


asyncio.run(main())

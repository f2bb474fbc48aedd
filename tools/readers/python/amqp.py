"""Reads a queue of RabbitMQ with pika: URL, queue, how many messages."""

import json
import sys

import pika

url, queue, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
read = 0
for method, properties, body in channel.consume(queue, inactivity_timeout=30):
    if method is None:
        sys.exit(f"{read} of {count} messages came")
    headers = dict(properties.headers or {})
    print(json.dumps({
        "id": properties.message_id,
        "key": headers.pop("message-key", None),
        "event_type": properties.type,
        "content_type": properties.content_type,
        "headers": headers,
        "payload": list(body),
    }))
    assert properties.delivery_mode == 2, "a message that does not outlive the broker"
    channel.basic_ack(method.delivery_tag)
    read += 1
    if read == count:
        break
channel.cancel()
connection.close()

"""Reads a queue of SQS behind a topic of SNS (raw delivery) with boto3: endpoint, queue, how many messages."""

import base64
import json
import sys
import time

import boto3

endpoint, queue, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sqs = boto3.client(
    "sqs",
    endpoint_url=endpoint,
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
read, end = 0, time.monotonic() + 30
while read < count:
    if time.monotonic() > end:
        sys.exit(f"{read} of {count} messages came")
    received = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]
    )
    for message in received.get("Messages", []):
        headers = {name: a["StringValue"] for name, a in message.get("MessageAttributes", {}).items()}
        headers.update(json.loads(headers.pop("headers", "{}")))
        encoding = headers.pop("payload-encoding", None)
        body = message["Body"]
        payload = {"base64": base64.b64decode, "empty": lambda _: b"", None: str.encode}[encoding](body)
        print(json.dumps({
            "id": headers.pop("message-id"),
            "key": headers.pop("message-key", None),
            "event_type": headers.pop("event-type"),
            "content_type": headers.pop("content-type", None),
            "headers": headers,
            "payload": list(payload),
        }))
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        read += 1

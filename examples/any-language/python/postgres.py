"""Orders and their messages in one transaction: Python and psycopg 3.

    python3 postgres.py postgresql://user@host/database < orders.jsonl

An order a line: {"id": 7, "customer": "Zoë", "cents": 995, "receipt": "<base64 of a PDF>"}. The tables are there: the
outbox's from `outbox migrate`, and orders (id, customer, cents). Prints the ids of an order's two messages, or why it
was refused; a refused order leaves nothing behind.
"""

import base64
import json
import sys
import uuid

import psycopg

INSERT = """
    insert into outbox_message (id, topic, key, event_type, payload, content_type, headers)
    values (%s, %s, %s, %s, %s, %s, %s)
"""


def enqueue(cursor, topic, key, event_type, payload, content_type, headers=None):
    """Writes a message in the cursor's transaction. The payload is bytes, headers map text to text."""
    message_id = uuid.uuid4()
    headers = json.dumps(headers) if headers else None
    cursor.execute(INSERT, (message_id, topic, key, event_type, payload, content_type, headers))
    return message_id


def place_order(db, order):
    """Writes the order and its messages: all of it or nothing."""
    receipt = base64.b64decode(order.pop("receipt"))
    body = json.dumps(order, ensure_ascii=False).encode()
    with db.transaction(), db.cursor() as cursor:
        created = enqueue(cursor, "orders", order["customer"], "order.created", body, "application/json",
                          {"source": "python", "customer": order["customer"]})
        printed = enqueue(cursor, "receipts", order["customer"], "receipt.printed", receipt, "application/pdf")
        cursor.execute("insert into orders (id, customer, cents) values (%(id)s, %(customer)s, %(cents)s)", order)
    return created, printed


def main():
    with psycopg.connect(sys.argv[1], autocommit=True) as db:
        for line in sys.stdin.buffer:
            try:
                print(*place_order(db, json.loads(line)))
            except psycopg.Error as error:
                print("refused:", type(error).__name__)


if __name__ == "__main__":
    main()

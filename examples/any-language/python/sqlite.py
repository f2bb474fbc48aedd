"""Orders and their messages in one transaction: Python and its own sqlite3.

    python3 sqlite.py shop.db < orders.jsonl

What goes in and out is described in postgres.py.
"""

import base64
import json
import sqlite3
import sys
import time
import uuid

# created_at has a default, but that one needs SQLite 3.42 (see sqlite3.sqlite_version).
INSERT = """
    insert into outbox_message (id, topic, key, event_type, payload, content_type, headers, created_at)
    values (?, ?, ?, ?, ?, ?, ?, ?)
"""


def enqueue(db, topic, key, event_type, payload, content_type, headers=None):
    """Writes a message in the open transaction. The payload is bytes, headers map text to text."""
    message_id = uuid.uuid4()
    headers = json.dumps(headers) if headers else None
    microseconds = time.time_ns() // 1_000
    db.execute(INSERT, (message_id.bytes, topic, key, event_type, payload, content_type, headers, microseconds))
    return message_id


def place_order(db, order):
    """Writes the order and its messages: all of it or nothing."""
    receipt = base64.b64decode(order.pop("receipt"))
    body = json.dumps(order, ensure_ascii=False).encode()
    with db:
        created = enqueue(db, "orders", order["customer"], "order.created", body, "application/json",
                          {"source": "python", "customer": order["customer"]})
        printed = enqueue(db, "receipts", order["customer"], "receipt.printed", receipt, "application/pdf")
        db.execute("insert into orders (id, customer, cents) values (:id, :customer, :cents)", order)
    return created, printed


def main():
    # A transaction begins with BEGIN IMMEDIATE and waits for the writer before it: a deferred one fails instead.
    db = sqlite3.connect(sys.argv[1], timeout=5, isolation_level="IMMEDIATE")
    for line in sys.stdin.buffer:
        try:
            print(*place_order(db, json.loads(line)))
        except sqlite3.Error as error:
            print("refused:", type(error).__name__)
    db.close()


if __name__ == "__main__":
    main()

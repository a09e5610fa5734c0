"""A client of the native protocol written from proto/client.proto alone, in plain Python: a second opinion on what that file
says, and the hand that sends bytes no proper client would.

    with native.Connection(broker.port) as c:
        c.call("queue_create", name="jobs")
        sent = c.call("send", queue="jobs", messages=[{"body": b"hello"}])
        sent["results"][0]["message_id"]
        got = c.call("receive", queue="jobs", max_messages=10, wait_ms=1000)["deliveries"]

A message is a dict. What is absent when encoding is left out; what is absent when decoding is there with its default, but for
messages, which are None. `call` raises Refused. `ask` sends without waiting, `answer` waits for one.
"""
import itertools
import socket
import struct

HANG_SECONDS = 300
PREFACE = struct.pack("<4sHH", b"HATO", 1, 0)

OK, INVALID, NOT_FOUND, EXISTS, RECEIPT_STALE, RECEIPT_INVALID, LIMIT, TOO_LARGE, OVERLOADED, STORAGE_FULL = range(10)
NOT_LEADER, TIMEOUT, UNKNOWN_OUTCOME, UNAUTHENTICATED, FORBIDDEN, PROTOCOL, VERSION, CORRUPT, IO = range(10, 19)
INTERNAL, CONFLICT, CLOSED, CANCELLED, NO_MEMORY = range(19, 24)

# Name of a message -> number of a field -> (its name, its type). A type is int, bool, double, text, bytes, or the name of a
# message; "*" before it: repeated. A type that ends with "?" knows absent from its default.
MESSAGES = {
    "Error": {1: ("code", "int"), 2: ("message", "text"), 3: ("field", "text"), 4: ("leader", "text")},
    "Attribute": {1: ("name", "text"), 2: ("text", "text?"), 3: ("number", "text?"), 4: ("binary", "bytes?"),
                  5: ("type_suffix", "text")},
    "Message": {1: ("body", "bytes"), 2: ("attributes", "*Attribute"), 3: ("group", "text"), 4: ("deduplication_id", "text"),
                5: ("delay_ms", "int"), 6: ("priority", "int"), 7: ("traceparent", "text"), 8: ("not_before_ms", "int"),
                9: ("no_delay", "bool"), 15: ("provenance", "Provenance")},
    "Provenance": {1: ("source_queue", "text"), 2: ("message_id", "text"), 3: ("sent_ms", "int"), 4: ("attempts", "int"),
                   5: ("first_received_ms", "int"), 6: ("moved_ms", "int"), 7: ("reason", "text"), 8: ("last_error", "text"),
                   9: ("last_status", "int")},
    "Delivery": {1: ("receipt", "bytes"), 2: ("message_id", "text"), 3: ("sequence", "int"), 4: ("sent_ms", "int"),
                 5: ("receive_count", "int"), 6: ("first_received_ms", "int"), 7: ("lease_until_ms", "int"),
                 8: ("message", "Message")},
    "QueueCounts": {1: ("ready", "int"), 2: ("in_flight", "int"), 3: ("delayed", "int"), 4: ("bytes", "int"),
                    5: ("oldest_sent_ms", "int"), 6: ("moving", "int"), 7: ("halted_groups", "int"), 8: ("sent_total", "int"),
                    9: ("received_total", "int"), 10: ("acked_total", "int"), 11: ("dead_lettered_total", "int"),
                    12: ("expired_total", "int"), 13: ("dead_letters_refused_total", "int")},
    "Bucket": {1: ("upper_ms", "int"), 2: ("count", "int")},
    "Histogram": {1: ("buckets", "*Bucket"), 2: ("count", "int"), 3: ("sum_ms", "int")},
    "GroupWeight": {1: ("group", "text"), 2: ("weight", "int")},
    "BindingSettings": {1: ("batch_size", "int?"), 2: ("window_ms", "int?"), 3: ("max_concurrency", "int?"),
                        4: ("paused", "bool?")},
    "QueueSettings": {1: ("kind", "int?"), 2: ("visibility_ms", "int?"), 3: ("delay_ms", "int?"), 4: ("retention_ms", "int?"),
                      5: ("max_message_bytes", "int?"), 6: ("max_messages", "int?"), 7: ("max_bytes", "int?"),
                      8: ("max_in_flight", "int?"), 9: ("receive_wait_ms", "int?"), 10: ("dead_letter_queue", "text?"),
                      11: ("max_receives", "int?"), 12: ("on_exhausted", "int?"), 13: ("content_deduplication", "bool?"),
                      14: ("deduplication_window_ms", "int?"), 15: ("deduplication_scope", "int?"),
                      16: ("group_weights", "*GroupWeight"), 17: ("clear_group_weights", "bool?"),
                      18: ("binding_function", "text?"), 19: ("binding", "BindingSettings"), 20: ("user_data", "bytes?")},
    "QueueInfo": {1: ("name", "text"), 2: ("arn", "text"), 3: ("shard", "int"), 4: ("settings", "QueueSettings"),
                  5: ("counts", "QueueCounts"), 6: ("created_ms", "int"), 7: ("modified_ms", "int"), 8: ("waited", "Histogram")},
    "FunctionSettings": {1: ("url", "text?"), 2: ("format", "int?"), 3: ("timeout_ms", "int?"), 4: ("max_concurrency", "int?"),
                         5: ("retry_min_ms", "int?"), 6: ("retry_max_ms", "int?"), 7: ("headers", "*text"),
                         8: ("clear_headers", "bool?"), 9: ("secrets", "*text"), 10: ("clear_secrets", "bool?"),
                         11: ("content_type", "text?"), 12: ("rate", "double?")},
    "Attempt": {1: ("started_ms", "int"), 2: ("duration_ms", "int"), 3: ("status", "int"), 4: ("error", "text"),
                5: ("answer", "bytes"), 6: ("messages", "int"), 7: ("queue", "text")},
    "FunctionInfo": {1: ("name", "text"), 2: ("settings", "FunctionSettings"), 3: ("queues", "*text"), 4: ("created_ms", "int"),
                     5: ("modified_ms", "int"), 6: ("state", "text"), 7: ("in_flight", "int"), 8: ("window", "int"),
                     9: ("delivered_total", "int"), 10: ("failed_total", "int"), 11: ("last_error", "text"),
                     12: ("retry_at_ms", "int"), 13: ("attempts", "*Attempt"), 14: ("partial", "bool"), 15: ("queue_count", "int")},
    "Hello": {1: ("client", "text"), 2: ("account", "text"), 3: ("region", "text")},
    "HelloReply": {1: ("broker", "text"), 2: ("node", "int"), 3: ("max_frame_bytes", "int"), 4: ("max_message_bytes", "int"),
                   5: ("cluster", "text")},
    "Send": {1: ("queue", "text"), 2: ("messages", "*Message"), 3: ("producer", "int"), 4: ("sequence", "int"),
             5: ("settled_below", "int")},
    "SendResult": {1: ("error", "Error"), 2: ("message_id", "text"), 3: ("sequence", "int"), 4: ("duplicate", "bool")},
    "SendReply": {1: ("results", "*SendResult")},
    "Receive": {1: ("queue", "text"), 2: ("max_messages", "int"), 3: ("visibility_ms", "int?"), 4: ("wait_ms", "int?"),
                5: ("max_bytes", "int")},
    "ReceiveReply": {1: ("deliveries", "*Delivery")},
    "StreamOpen": {1: ("queue", "text"), 2: ("credit", "int"), 3: ("visibility_ms", "int?"), 4: ("max_batch", "int")},
    "StreamCredit": {1: ("stream", "int"), 2: ("credit", "int")},
    "StreamClose": {1: ("stream", "int")},
    "StreamEnd": {1: ("error", "Error")},
    "Ack": {1: ("queue", "text"), 2: ("receipts", "*bytes")},
    "Nack": {1: ("queue", "text"), 2: ("receipts", "*bytes"), 3: ("delay_ms", "int"), 4: ("error", "text"), 5: ("status", "int"),
             6: ("uncounted", "bool")},
    "Extend": {1: ("queue", "text"), 2: ("receipts", "*bytes"), 3: ("visibility_ms", "int")},
    "SettleReply": {1: ("codes", "*int")},
    "Cancel": {1: ("queue", "text"), 2: ("message_ids", "*text")},
    "CancelReply": {1: ("codes", "*int")},
    "Peek": {1: ("queue", "text"), 2: ("max_messages", "int"), 3: ("after", "text"), 4: ("which", "int"), 5: ("group", "text")},
    "PeekedMessage": {1: ("message_id", "text"), 2: ("sequence", "int"), 3: ("state", "text"), 4: ("sent_ms", "int"),
                      5: ("receive_count", "int"), 6: ("due_ms", "int"), 7: ("last_error", "text"), 8: ("message", "Message"),
                      9: ("halted_ms", "int")},
    "PeekReply": {1: ("messages", "*PeekedMessage"), 2: ("next", "text")},
    "QueueCreate": {1: ("name", "text"), 2: ("settings", "QueueSettings")},
    "QueueSet": {1: ("name", "text"), 2: ("settings", "QueueSettings")},
    "QueueDelete": {1: ("name", "text")},
    "QueuePurge": {1: ("name", "text")},
    "QueuePurgeReply": {1: ("purged", "int")},
    "QueueShow": {1: ("name", "text")},
    "QueueList": {1: ("prefix", "text"), 2: ("after", "text"), 3: ("max", "int")},
    "QueueListReply": {1: ("queues", "*QueueInfo"), 2: ("next", "text")},
    "RedriveStart": {1: ("queue", "text"), 2: ("destination", "text"), 3: ("reason", "text"), 4: ("rate", "double")},
    "RedriveInfo": {1: ("id", "text"), 2: ("queue", "text"), 3: ("destination", "text"), 4: ("reason", "text"),
                    5: ("rate", "double"), 6: ("state", "text"), 7: ("moved", "int"), 8: ("skipped", "int"), 9: ("total", "int"),
                    10: ("started_ms", "int"), 11: ("ended_ms", "int")},
    "RedriveCancel": {1: ("queue", "text"), 2: ("id", "text")},
    "RedriveList": {1: ("queue", "text")},
    "RedriveListReply": {1: ("redrives", "*RedriveInfo")},
    "GroupResume": {1: ("queue", "text"), 2: ("group", "text")},
    "FunctionCreate": {1: ("name", "text"), 2: ("settings", "FunctionSettings")},
    "FunctionSet": {1: ("name", "text"), 2: ("settings", "FunctionSettings")},
    "FunctionDelete": {1: ("name", "text")},
    "FunctionShow": {1: ("name", "text"), 2: ("brief", "bool")},
    "FunctionList": {1: ("after", "text"), 2: ("max", "int")},
    "FunctionActivity": {1: ("names", "*text")},
    "FunctionListReply": {1: ("functions", "*FunctionInfo"), 2: ("next", "text")},
    "Bind": {1: ("queue", "text"), 2: ("function", "text"), 3: ("settings", "BindingSettings")},
    "Unbind": {1: ("queue", "text")},
    "ShardStatus": {1: ("shard", "int"), 2: ("role", "text"), 3: ("leader", "int"), 4: ("term", "int"), 5: ("commit", "int"),
                    6: ("applied", "int"), 7: ("durable", "int"), 8: ("queues", "int"), 9: ("problem", "text"),
                    10: ("replicas", "*ReplicaStatus"), 11: ("placed_version", "int")},
    "ReplicaStatus": {1: ("node", "int"), 2: ("voter", "bool"), 3: ("state", "text"), 4: ("matched", "int")},
    "Status": {},
    "ClusterStatus": {},
    "ClusterStatusReply": {1: ("cluster", "text"), 2: ("node", "int"), 3: ("nodes", "*NodeStatus"), 4: ("version", "int"),
                           5: ("plans", "*ShardPlan"), 6: ("replicas", "int")},
    "ShardPlan": {1: ("voters", "*int"), 2: ("lead", "int")},
    "NodeAdd": {1: ("node", "int"), 2: ("peer_address", "text"), 3: ("zone", "text")},
    "NodeSet": {1: ("node", "int"), 2: ("peer_address", "text?"), 3: ("zone", "text?"), 4: ("drain", "bool?"),
                5: ("fewer_replicas", "bool")},
    "NodeRemove": {1: ("node", "int")},
    "ShardLead": {1: ("shard", "int"), 2: ("node", "int")},
    "ClusterChanged": {1: ("version", "int")},
    "NodeStatus": {1: ("node", "int"), 2: ("peer_address", "text"), 3: ("client_address", "text"), 4: ("status", "StatusReply"),
                   5: ("problem", "text"), 6: ("zone", "text"), 7: ("drains", "bool"), 8: ("since", "int")},
    "StatusReply": {1: ("version", "text"), 2: ("node", "int"), 3: ("started_ms", "int"), 4: ("now_ms", "int"),
                    5: ("queues", "int"), 6: ("functions", "int"), 7: ("connections", "int"), 8: ("log_bytes", "int"),
                    9: ("store_bytes", "int"), 10: ("disk_free_bytes", "int"), 11: ("accepts_sends", "bool"),
                    12: ("totals", "QueueCounts"), 13: ("shards", "*ShardStatus"), 14: ("memory_bytes", "int")},
    "Ping": {},
    "Empty": {},
    "Request": {1: ("id", "int"), 2: ("hello", "Hello"), 3: ("ping", "Ping"), 4: ("status", "Status"), 5: ("send", "Send"),
                6: ("receive", "Receive"), 7: ("ack", "Ack"), 8: ("nack", "Nack"), 9: ("extend", "Extend"),
                10: ("stream_open", "StreamOpen"), 11: ("stream_credit", "StreamCredit"), 12: ("stream_close", "StreamClose"),
                13: ("cancel", "Cancel"), 14: ("peek", "Peek"), 15: ("queue_create", "QueueCreate"), 16: ("queue_set", "QueueSet"),
                17: ("queue_delete", "QueueDelete"), 18: ("queue_purge", "QueuePurge"), 19: ("queue_show", "QueueShow"),
                20: ("queue_list", "QueueList"), 21: ("redrive_start", "RedriveStart"), 22: ("redrive_cancel", "RedriveCancel"),
                23: ("redrive_list", "RedriveList"), 24: ("function_create", "FunctionCreate"), 25: ("function_set", "FunctionSet"),
                26: ("function_delete", "FunctionDelete"), 27: ("function_show", "FunctionShow"),
                28: ("function_list", "FunctionList"), 29: ("bind", "Bind"), 30: ("unbind", "Unbind"),
                31: ("group_resume", "GroupResume"), 32: ("function_activity", "FunctionActivity"),
                33: ("cluster_status", "ClusterStatus"), 34: ("node_add", "NodeAdd"), 35: ("node_set", "NodeSet"),
                36: ("node_remove", "NodeRemove"), 37: ("shard_lead", "ShardLead")},
    "Reply": {1: ("id", "int"), 2: ("error", "Error"), 3: ("empty", "Empty"), 4: ("hello", "HelloReply"),
              5: ("status", "StatusReply"), 6: ("send", "SendReply"), 7: ("receive", "ReceiveReply"), 8: ("settle", "SettleReply"),
              9: ("stream_delivery", "ReceiveReply"), 10: ("stream_end", "StreamEnd"), 11: ("cancel", "CancelReply"),
              12: ("peek", "PeekReply"), 13: ("queue", "QueueInfo"), 14: ("queues", "QueueListReply"), 15: ("purge", "QueuePurgeReply"),
              16: ("redrive", "RedriveInfo"), 17: ("redrives", "RedriveListReply"), 18: ("function", "FunctionInfo"),
              19: ("functions", "FunctionListReply"), 20: ("cluster", "ClusterStatusReply"),
              21: ("cluster_changed", "ClusterChanged")},
}

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
DEFAULTS = {"int": 0, "bool": False, "double": 0.0, "text": "", "bytes": b""}


# ------------------------------------------------------------ protobuf

def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tagged(number, wire, payload):
    return varint(number << 3 | wire) + payload


def encode_field(number, kind, value):
    if kind in ("int", "bool"):
        return tagged(number, VARINT, varint(int(value)))
    if kind == "double":
        return tagged(number, FIXED64, struct.pack("<d", value))
    if kind == "text":
        value = value.encode() if isinstance(value, str) else value  # bytes: text that is not UTF-8
    elif kind != "bytes":
        value = encode(kind, value)
    return tagged(number, LENGTH, varint(len(value)) + value)


def encode(name, fields):
    """The bytes of a message; an unknown name of a field is a mistake of the caller."""
    out = []
    numbers = {field: (number, kind) for number, (field, kind) in MESSAGES[name].items()}
    for field, value in fields.items():
        number, kind = numbers[field]
        for one in value if kind[0] == "*" else [value]:
            out.append(encode_field(number, kind.strip("*?"), one))
    return b"".join(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def raw_fields(data):
    """(number, wire type, value) of each field: a number, or bytes."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        wire = tag & 7
        if wire == VARINT:
            value, at = read_varint(data, at)
        elif wire == LENGTH:
            size, at = read_varint(data, at)
            value = data[at:at + size]
            at += size
        else:
            size = {FIXED64: 8, FIXED32: 4}[wire]
            value = data[at:at + size]
            at += size
        if at > len(data):
            raise ValueError("a field goes beyond its message")
        yield tag >> 3, wire, value


def decode_value(kind, wire, value):
    if kind == "int":
        return value
    if kind == "bool":
        return bool(value)
    if kind == "double":
        return struct.unpack("<d", value)[0]
    if kind == "text":
        return value.decode()
    return value if kind == "bytes" else decode(kind, value)


def packed(value):
    at = 0
    while at < len(value):
        one, at = read_varint(value, at)
        yield one


def decode(name, data):
    out = {}
    for field, kind in MESSAGES[name].values():
        out[field] = [] if kind[0] == "*" else DEFAULTS.get(kind)
    for number, wire, value in raw_fields(data):
        if number not in MESSAGES[name]:
            continue
        field, kind = MESSAGES[name][number]
        if kind == "*int" and wire == LENGTH:
            out[field].extend(packed(value))
        elif kind[0] == "*":
            out[field].append(decode_value(kind[1:], wire, value))
        else:
            out[field] = decode_value(kind.rstrip("?"), wire, value)
    return out


# ------------------------------------------------------------ the protocol

class Refused(Exception):
    """A request was refused as a whole."""

    def __init__(self, error):
        super().__init__(f"{error['code']} {error['field']}: {error['message']}")
        self.code = error["code"]
        self.field = error["field"]
        self.message = error["message"]
        self.leader = error["leader"]


class Gone(ConnectionError):
    """The broker closed the connection."""


def frame(payload):
    return struct.pack("<I", len(payload)) + payload


def request(number, op, **fields):
    """A whole frame."""
    return frame(encode("Request", {"id": number, op: fields}))


class Connection:
    def __init__(self, port, hello=True, preface=PREFACE, buffer=None, host="127.0.0.1"):
        self.socket = socket.socket()
        try:
            if buffer is not None:  # a small one makes a slow reader felt sooner
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            self.socket.settimeout(HANG_SECONDS)
            self.socket.connect((host, port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.ids = itertools.count(1)
            self.kept = {}  # replies that were read while another was waited for
            self.preface = None
            if preface is not None:
                self.write(preface)
                self.preface = self.read(8)
            if preface == PREFACE and hello:
                self.hello = self.call("hello", client="scenario")
        except BaseException:
            self.socket.close()
            raise

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def write(self, data):
        self.socket.sendall(data)

    def read(self, count):
        chunks = []
        while count > 0:
            chunk = self.socket.recv(min(count, 1 << 20))
            if not chunk:
                raise Gone("the broker closed the connection")
            chunks.append(chunk)
            count -= len(chunk)
        return b"".join(chunks)

    def read_reply(self):
        size, = struct.unpack("<I", self.read(4))
        return decode("Reply", self.read(size))

    def reads_end(self):
        """Whether nothing but the end of the connection comes."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def ask(self, op, **fields):
        """Sends a request; returns its id."""
        number = next(self.ids)
        self.write(request(number, op, **fields))
        return number

    def answer(self, number):
        """Waits for a reply to this id; returns what the oneof holds."""
        while not self.kept.get(number):
            reply = self.read_reply()
            self.kept.setdefault(reply["id"], []).append(reply)
        replies = self.kept[number]
        reply = replies.pop(0)
        if not replies:
            del self.kept[number]
        if reply["error"] is not None:
            raise Refused(reply["error"])
        return next((value for name, value in reply.items() if name not in ("id", "error") and value is not None), {})

    def call(self, op, **fields):
        return self.answer(self.ask(op, **fields))

    def code(self, op, **fields):
        """The code of a request whose refusal is what one wants to see."""
        try:
            self.call(op, **fields)
            return OK
        except Refused as refused:
            return refused.code

    # ------------------------------------------------------------ what is asked most

    def send(self, queue, *bodies, **fields):
        """Sends bodies (bytes, or dicts of Message); returns their ids. Anything refused ends it."""
        messages = [body if isinstance(body, dict) else {"body": body} for body in bodies]
        results = self.call("send", queue=queue, messages=messages, **fields)["results"]
        for result in results:
            if result["error"] is not None:
                raise Refused(result["error"])
        return [result["message_id"] for result in results]

    def receive(self, queue, count=1, **fields):
        return self.call("receive", queue=queue, max_messages=count, **fields)["deliveries"]

    def ack(self, queue, *deliveries):
        return self.call("ack", queue=queue, receipts=[one["receipt"] for one in deliveries])["codes"]

    def counts(self, queue):
        return self.call("queue_show", name=queue)["counts"]

    def queue_names(self, prefix, size=1000):
        """Page by page: the names on each."""
        pages, after = [], ""
        while not pages or after:
            reply = self.call("queue_list", prefix=prefix, after=after, max=size)
            pages.append([one["name"] for one in reply["queues"]])
            after = reply["next"]
        return pages

    def drain(self, queue, count=1000):
        """Receives and acks all that is ready; returns the deliveries."""
        found = []
        while True:
            some = self.receive(queue, count)
            if not some:
                return found
            self.ack(queue, *some)
            found += some


# ------------------------------------------------------------ clusters

def leaders(node):
    """Shard -> the node that leads it, as this one knows."""
    with Connection(node.port) as c:
        return {shard["shard"]: shard["leader"] for shard in c.call("status")["shards"]}


def agreed_leaders(nodes):
    """The same, once it is known of all and these nodes agree; else None."""
    views = [leaders(node) for node in nodes]
    return views[0] if 0 not in views[0].values() and all(view == views[0] for view in views) else None


def queues_by_leader(s, nodes, prefix):
    """Makes queues: a node that leads some shard -> a queue that it leads. There are two such nodes at least: shards are led by whom they
    happen to choose, and a node that leads all is stopped, which hands them over."""
    while True:
        view = s.wait_for("all nodes to agree on the leaders", lambda: agreed_leaders(nodes))
        wanted = {leader for shard, leader in view.items() if shard > 0}
        if len(wanted) > 1:
            break
        nodes[wanted.pop() - 1].restart()
    found = {}
    with Connection(nodes[0].port) as c:
        for number in itertools.count():
            leader = view[c.call("queue_create", name=f"{prefix}-{number}")["shard"]]
            found.setdefault(nodes[leader - 1], f"{prefix}-{number}")
            if len(found) == len(wanted):
                return found

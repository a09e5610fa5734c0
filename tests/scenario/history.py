"""What clients saw of a queue, and whether that can be true of a broker that keeps its promises.

Each client notes what it asked for before it asks, and what came back after. Whatever was under way when the broker was killed stays
open: it may have happened or not. What is checked does not depend on how fast anything was: leases are compared by the broker's own
clock, as lease_until_ms tells it.
"""
import threading


class Given:
    """A message as one receive gave it."""

    def __init__(self, delivery, given_ms):
        self.message_id = delivery["message_id"]
        self.sequence = delivery["sequence"]
        self.count = delivery["receive_count"]
        self.given_ms = given_ms
        self.until_ms = delivery["lease_until_ms"]
        self.let_go = False  # a nack or extend was asked for: the lease may have ended before its time
        self.ack_asked = False
        self.acked = False


class Story:
    """All that is known of one message, by its body."""

    def __init__(self):
        self.stored = set()  # ids that send replies told
        self.sends = 0  # replies that said stored
        self.given = []


class History:
    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()
        self.stories = {}
        self.problems = []
        self.acked = 0
        self.stored = 0

    def problem(self, text):
        with self.lock:
            self.problems.append(f"{self.name}: {text}")

    def story(self, body):
        return self.stories.get(body)

    def sending(self, body):
        with self.lock:
            self.stories.setdefault(body, Story())

    def sent(self, body, result):
        with self.lock:
            story = self.stories[body]
            story.stored.add(result["message_id"])
            story.sends += 1
            self.stored += story.sends == 1

    def received(self, delivery, visibility_ms):
        body = delivery["message"]["body"]
        given = Given(delivery, delivery["lease_until_ms"] - visibility_ms)
        with self.lock:
            if body not in self.stories:
                self.problems.append(f"{self.name}: received {body[:40]!r}, which nobody sent")
                self.stories[body] = Story()
            self.stories[body].given.append(given)
        return given

    @staticmethod
    def acking(given):
        given.ack_asked = True

    def ack_done(self, given):
        given.acked = True
        with self.lock:
            self.acked += 1

    def under_way(self):
        return self.stored - self.acked

    # ------------------------------------------------------------ judgement

    def check(self, kills):
        """Everything that is wrong, as sentences. To be asked when the queue has been drained."""
        out = list(self.problems)
        for body, story in self.stories.items():
            out += [f"{self.name}: {body[:40]!r} {problem}" for problem in self.check_one(story, kills)]
        return out

    def check_one(self, story, kills):
        given = sorted(story.given, key=lambda one: (one.count, one.given_ms))
        ids = story.stored | {one.message_id for one in given}
        if len(ids) > 1:
            yield f"is stored more than once: {sorted(ids)}"
        if story.sends and not any(one.ack_asked for one in given):
            yield f"was acknowledged to its sender and is lost; given {len(given)} times"
        counts = [one.count for one in given]
        if len(set(counts)) != len(counts):
            yield f"has a receive count twice: {counts}"
        if counts and counts[-1] > len(counts) + kills:
            yield f"has receive count {counts[-1]}, but was given {len(counts)} times and there were {kills} kills"
        for before, after in zip(given, given[1:]):
            if before.acked:
                yield f"was acked at receive {before.count} and came back at {after.count}"
            if after.given_ms < before.until_ms and not before.let_go and not before.ack_asked:
                yield (f"was given at {after.given_ms} (receive {after.count}) while the lease of receive {before.count} "
                       f"lasted until {before.until_ms}")
            if after.given_ms < before.given_ms:
                yield f"receive {after.count} was at {after.given_ms}, before receive {before.count} at {before.given_ms}"

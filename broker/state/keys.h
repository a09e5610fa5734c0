/* Keys and values of one shard in the store (README.md, "Keys"), and the way its modules read and write them.
 *
 * A key is the shard (u16), a letter, then integers, all big-endian, so that they sort. A value is a version byte, what
 * its module puts in, and a 32-bit XXH3 checksum of key and value: a value under the wrong key is found as well as a
 * flipped bit.
 *
 * `struct keys` is one shard's view of the store: reads see the entry under way, then entries that are not in the store
 * yet, then the store. Loop thread of the shard only; builders, value_open and value_seal are pure. */
#ifndef HATO_STATE_KEYS_H
#define HATO_STATE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct store;
struct store_batch;
struct store_iterator;

/* A spilled body is kept by entry and position; a whole entry at a position where no message begins. */
enum { BODY_WHOLE_ENTRY = 0 };

enum key_kind {
    KEY_APPLIED = 'a',
    KEY_BODY = 'b', /* in the family `bodies` */
    KEY_CHUNK = 'c',
    KEY_DUE = 'd',
    KEY_ENTRY = 'e',
    KEY_FRESH = 'f',
    KEY_EXTENT = 'g',
    KEY_INBOX = 'i',
    KEY_COLD = 'k', /* touch record of a chunk that is not open */
    KEY_LANE = 'l',
    KEY_MEMBERSHIP = 'm',
    KEY_FUNCTION = 'n',
    KEY_NODES = 'N',
    KEY_OUTBOX = 'o',
    KEY_OUTBOX_HEAD = 'O',
    KEY_PRODUCER_RUNS = 'p',
    KEY_PRODUCER = 'P',
    KEY_QUEUE = 'q',
    KEY_REDRIVE = 'r',
    KEY_SETTINGS = 's', /* name and settings of a queue */
    KEY_TOUCH = 't',
    KEY_DEDUP = 'u',
    KEY_LAST_ERROR = 'x',
    KEY_SWEEP = 'z',
};

enum { KEY_MAX = 132, KEY_HEAD = 3, KEY_HASH = 16 };

struct key {
    uint32_t len;
    uint8_t data[KEY_MAX];
};

static inline struct bytes key_view(const struct key *k)
{
    return (struct bytes){k->data, k->len};
}

/* The numbers of each kind in their order: see README.md. Fewer numbers than a kind has make the beginning of a range.
 * */
struct key key_of(uint16_t shard, enum key_kind kind); /* no number: also the beginning of all keys of the kind */
struct key key_of1(uint16_t shard, enum key_kind kind, uint64_t a);
struct key key_of2(uint16_t shard, enum key_kind kind, uint64_t a, uint64_t b);
struct key key_of3(uint16_t shard, enum key_kind kind, uint64_t a, uint64_t b, uint64_t c);
struct key key_of4(uint16_t shard, enum key_kind kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
struct key key_dedup(uint16_t shard, uint64_t queue, uint64_t generation, const uint8_t hash[KEY_HASH]);
struct key key_function(uint16_t shard, struct bytes name); /* name at most 128 bytes */

/* The first key after all that begin with k's bytes: the open end of a range. k is not all 0xff. */
struct key key_after(const struct key *k);

/* Takes the numbers of a key apart; false unless it is of that kind and has exactly `count` numbers. */
bool key_numbers(struct bytes key, enum key_kind kind, uint64_t *out, size_t count);

const char *key_kind_name(uint8_t kind); /* "chunk record"; for messages */

/* ---------------------------------------------------------------- values */

enum { VALUE_OVERHEAD = 5 }; /* version and checksum */

void value_begin(struct buffer *v, uint8_t version); /* clears v and puts the version */
void value_seal(struct buffer *v, struct bytes key); /* appends the checksum */

/* Checks a value as read: checksum, and version 1 to `version_max`. `*c` is then at what the module put in.
 * Errors: ERR_CORRUPT, ERR_VERSION (written by a later build); the message names the kind of key. */
int value_open(struct bytes key, struct bytes value, uint8_t version_max, struct cursor *c, struct error *e);

/* When a module has read its fields: ERR_CORRUPT if the cursor failed or something is left. */
int value_done(struct bytes key, const struct cursor *c, struct error *e);

/* ERR_CORRUPT for a value whose checksum holds and whose contents can't be: `what` says what is wrong. */
int value_corrupt(struct bytes key, const char *what, struct error *e);

/* ---------------------------------------------------------------- one shard's keys */

/* Since the log is replayed after a crash, nothing need be in the store as soon as it is applied. Whole entries gather in
 * `pending`, where a key that is rewritten counts once and one that came and went counts nothing: for a short queue that is
 * nearly all. It goes to the store when it is large, and before anything looks at the store by itself.
 *
 * When the store refuses it for want of space, `pending` stays whole: keys_get goes on giving what is right, and the write is
 * tried again at the next occasion. What has to look at the store by itself fails then, and so does an entry in whose
 * midst that happened, whatever its own code made of it. Any other failure of the store is for good. */
struct keys {
    uint16_t shard;
    struct store *store;         /* borrowed */
    struct store_batch *batch;   /* borrowed; what the entry under way changes */
    struct store_batch *pending; /* borrowed; what finished entries changed; NULL: they are written one by one */
    struct buffer out;           /* the value being made */
    struct buffer in;            /* the value last read */
    int code;                    /* of a write of `pending` that failed, of the entry under way or for good */
    struct error error;
};

void keys_init(struct keys *ks, uint16_t shard, struct store *store, struct store_batch *batch);
void keys_close(struct keys *ks); /* frees the buffers */

/* Writes what is pending. Errors: the store's. */
int keys_settle(struct keys *ks, struct error *e);
/* An entry begins: a write that was refused before it does not count. */
void keys_start(struct keys *ks);
/* The entry under way is complete: to pending, and from there to the store when there is much. Errors: the store's, also of
 * a keys_iterate since keys_start; then nothing of the entry counts. */
int keys_finish(struct keys *ks, struct error *e);

/* As store_iterate over the state of finished entries (of the one under way nothing is seen). When what is pending could not be
 * written it is invalid, and store_iterator_error says so. */
struct store_iterator *keys_iterate(struct keys *ks, const struct key *from, const struct key *to);

/* keys_begin gives the buffer to put a value's fields into; keys_put seals it and puts it under k. */
struct buffer *keys_begin(struct keys *ks, uint8_t version);
void keys_put(struct keys *ks, const struct key *k);
void keys_put_new(struct keys *ks, const struct key *k); /* k is known not to be there */
void keys_delete(struct keys *ks, const struct key *k);
void keys_delete_range(struct keys *ks, const struct key *from, const struct key *to); /* [from, to) */

/* The batches' value, else the store's. `*c` is valid until the next keys_get.
 * Errors: ERR_NOT_FOUND (no message is made), ERR_CORRUPT, ERR_VERSION, the store's. */
int keys_get(struct keys *ks, const struct key *k, uint8_t version_max, struct cursor *c, struct error *e);

#endif

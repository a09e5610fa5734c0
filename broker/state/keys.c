#include "state/keys.h"

#include <string.h>

#include "base/assert.h"
#include "store/store.h"

/* Apart from every other use of the hash. */
enum { CHECKSUM_BYTES = 4 };
#define CHECKSUM_SEED UINT64_C(0x6b65792b76616c75)

static void put_big(uint8_t *at, uint64_t v, size_t len)
{
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)(v >> (8 * (len - 1 - i)));
}

static void head(struct key *k, uint16_t shard, enum key_kind kind)
{
    put_big(k->data, shard, 2);
    k->data[2] = (uint8_t)kind;
    k->len = KEY_HEAD;
}

static void number(struct key *k, uint64_t v)
{
    put_big(k->data + k->len, v, sizeof v);
    k->len += (uint32_t)sizeof v;
}

struct key key_of(uint16_t shard, enum key_kind kind)
{
    struct key k;
    head(&k, shard, kind);
    return k;
}

struct key key_of1(uint16_t shard, enum key_kind kind, uint64_t a)
{
    struct key k;
    head(&k, shard, kind);
    number(&k, a);
    return k;
}

struct key key_of2(uint16_t shard, enum key_kind kind, uint64_t a, uint64_t b)
{
    struct key k;
    head(&k, shard, kind);
    number(&k, a);
    number(&k, b);
    return k;
}

struct key key_of3(uint16_t shard, enum key_kind kind, uint64_t a, uint64_t b, uint64_t c)
{
    struct key k;
    head(&k, shard, kind);
    number(&k, a);
    number(&k, b);
    number(&k, c);
    return k;
}

struct key key_of4(uint16_t shard, enum key_kind kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct key k = key_of3(shard, kind, a, b, c);
    number(&k, d);
    return k;
}

struct key key_dedup(uint16_t shard, uint64_t queue, uint64_t generation, const uint8_t hash[KEY_HASH])
{
    struct key k = key_of2(shard, KEY_DEDUP, queue, generation);
    memcpy(k.data + k.len, hash, KEY_HASH);
    k.len += KEY_HASH;
    return k;
}

struct key key_function(uint16_t shard, struct bytes name)
{
    ASSERT(name.len > 0 && name.len <= KEY_MAX - KEY_HEAD);
    struct key k;
    head(&k, shard, KEY_FUNCTION);
    memcpy(k.data + k.len, name.data, name.len);
    k.len += (uint32_t)name.len;
    return k;
}

struct key key_after(const struct key *k)
{
    struct key after = *k;
    while (after.len > 0 && after.data[after.len - 1] == 0xff)
        after.len--;
    ASSERT(after.len > 0);
    after.data[after.len - 1]++;
    return after;
}

bool key_numbers(struct bytes key, enum key_kind kind, uint64_t *out, size_t count)
{
    if (key.len != KEY_HEAD + count * sizeof *out || key.data[2] != (uint8_t)kind)
        return false;
    struct cursor c = cursor_open(key);
    cursor_take(&c, KEY_HEAD);
    for (size_t i = 0; i < count; i++)
        out[i] = cursor_u64be(&c);
    return true;
}

const char *key_kind_name(uint8_t kind)
{
    switch ((enum key_kind)kind) {
    case KEY_APPLIED:
        return "applied record";
    case KEY_BODY:
        return "spilled message";
    case KEY_CHUNK:
        return "chunk record";
    case KEY_DUE:
        return "due key";
    case KEY_ENTRY:
        return "entry record";
    case KEY_FRESH:
        return "index of fresh chunks";
    case KEY_EXTENT:
        return "extent record";
    case KEY_INBOX:
        return "inbox record";
    case KEY_COLD:
    case KEY_TOUCH:
        return "touch record";
    case KEY_LANE:
        return "lane record";
    case KEY_MEMBERSHIP:
        return "membership record";
    case KEY_FUNCTION:
        return "function record";
    case KEY_NODES:
        return "record of the nodes";
    case KEY_OUTBOX:
        return "outbox item";
    case KEY_OUTBOX_HEAD:
        return "outbox record";
    case KEY_PRODUCER_RUNS:
        return "producer's runs";
    case KEY_PRODUCER:
        return "producer record";
    case KEY_QUEUE:
        return "queue record";
    case KEY_REDRIVE:
        return "redrive record";
    case KEY_SETTINGS:
        return "settings record";
    case KEY_DEDUP:
        return "deduplication record";
    case KEY_LAST_ERROR:
        return "error record";
    case KEY_SWEEP:
        return "sweep record";
    }
    return "record of an unknown kind";
}

/* ---------------------------------------------------------------- values */

static uint32_t checksum(struct bytes key, struct bytes value)
{
    return (uint32_t)bytes_hash(value, bytes_hash(key, CHECKSUM_SEED));
}

static const char *kind_of(struct bytes key)
{
    return key_kind_name(key.len > 2 ? key.data[2] : 0);
}

static unsigned shard_of(struct bytes key)
{
    return key.len > 2 ? (unsigned)key.data[0] << 8 | key.data[1] : 0;
}

void value_begin(struct buffer *v, uint8_t version)
{
    buffer_clear(v);
    buffer_u8(v, version);
}

void value_seal(struct buffer *v, struct bytes key)
{
    buffer_u32(v, checksum(key, buffer_view(v)));
}

int value_corrupt(struct bytes key, const char *what, struct error *e)
{
    return error_set(e, ERR_CORRUPT,
                     "the %s of shard %u is damaged (%s): stop using this replica and restore its data from its peers "
                     "or from a backup",
                     kind_of(key), shard_of(key), what);
}

int value_open(struct bytes key, struct bytes value, uint8_t version_max, struct cursor *c, struct error *e)
{
    if (value.len < VALUE_OVERHEAD)
        return value_corrupt(key, "it is too short", e);
    struct bytes checked = bytes_of(value.data, value.len - CHECKSUM_BYTES);
    struct cursor sum = cursor_open(bytes_of(value.data + checked.len, CHECKSUM_BYTES));
    if (cursor_u32(&sum) != checksum(key, checked))
        return value_corrupt(key, "its checksum does not hold", e);
    *c = cursor_open(checked);
    uint8_t version = cursor_u8(c);
    if (version == 0)
        return value_corrupt(key, "it has no version", e);
    if (version > version_max)
        return error_set(e, ERR_VERSION,
                         "the %s of shard %u has version %u, this build knows up to %u: use a later one", kind_of(key),
                         shard_of(key), version, version_max);
    return ERR_OK;
}

int value_done(struct bytes key, const struct cursor *c, struct error *e)
{
    if (c->failed)
        return value_corrupt(key, "it ends too early", e);
    if (cursor_left(c) != 0)
        return value_corrupt(key, "it is too long", e);
    return ERR_OK;
}

/* ---------------------------------------------------------------- one shard's keys */

/* How much may be applied and not in the store: a write of so many changes takes a few milliseconds. */
enum { PENDING_CHANGES_MAX = 2048, PENDING_BYTES_MAX = 2 << 20 };

void keys_init(struct keys *ks, uint16_t shard, struct store *store, struct store_batch *batch)
{
    *ks = (struct keys){.shard = shard, .store = store, .batch = batch};
}

void keys_close(struct keys *ks)
{
    buffer_close(&ks->out);
    buffer_close(&ks->in);
}

struct buffer *keys_begin(struct keys *ks, uint8_t version)
{
    value_begin(&ks->out, version);
    return &ks->out;
}

void keys_put(struct keys *ks, const struct key *k)
{
    value_seal(&ks->out, key_view(k));
    store_put(ks->batch, STORE_STATE, key_view(k), buffer_view(&ks->out));
}

void keys_put_new(struct keys *ks, const struct key *k)
{
    value_seal(&ks->out, key_view(k));
    store_put_new(ks->batch, STORE_STATE, key_view(k), buffer_view(&ks->out));
}

void keys_delete(struct keys *ks, const struct key *k)
{
    store_delete(ks->batch, STORE_STATE, key_view(k));
}

void keys_delete_range(struct keys *ks, const struct key *from, const struct key *to)
{
    store_delete_range(ks->batch, STORE_STATE, key_view(from), key_view(to));
}

/* What the entries not yet in the store say of a key; the one under way comes first. */
static enum store_batch_state look(const struct keys *ks, const struct key *k, struct bytes *value)
{
    enum store_batch_state state = store_batch_get(ks->batch, STORE_STATE, key_view(k), value);
    if (state == STORE_BATCH_UNTOUCHED && ks->pending != NULL)
        state = store_batch_get(ks->pending, STORE_STATE, key_view(k), value);
    return state;
}

int keys_get(struct keys *ks, const struct key *k, uint8_t version_max, struct cursor *c, struct error *e)
{
    struct bytes value;
    buffer_clear(&ks->in);
    switch (look(ks, k, &value)) {
    case STORE_BATCH_DELETED:
        return ERR_NOT_FOUND;
    case STORE_BATCH_PUT:
        /* Copied: what the caller changes while it reads must not move what it reads. */
        buffer_put(&ks->in, value.data, value.len);
        break;
    case STORE_BATCH_UNTOUCHED: {
        int code = store_get(ks->store, STORE_STATE, key_view(k), &ks->in, e);
        if (code != ERR_OK)
            return code;
        break;
    }
    }
    return value_open(key_view(k), buffer_view(&ks->in), version_max, c, e);
}

/* ---------------------------------------------------------------- to the store */

static bool lasts(int code)
{
    return code != ERR_OK && code != ERR_STORAGE_FULL;
}

int keys_settle(struct keys *ks, struct error *e)
{
    int code = lasts(ks->code) ? ks->code : ERR_OK;
    if (code == ERR_OK && ks->pending != NULL && store_batch_bytes(ks->pending) > 0) {
        struct error why = {0};
        code = store_write(ks->store, ks->pending, &why);
        if (code == ERR_OK) {
            store_batch_clear(ks->pending);
        } else {
            ks->code = code;
            ks->error = why;
        }
    }
    if (code != ERR_OK && e != NULL)
        *e = ks->error;
    return code;
}

void keys_start(struct keys *ks)
{
    if (!lasts(ks->code))
        ks->code = ERR_OK;
}

int keys_finish(struct keys *ks, struct error *e)
{
    int code = ks->code;
    if (code != ERR_OK) {
        if (e != NULL)
            *e = ks->error;
    } else if (ks->pending == NULL) {
        code = store_write(ks->store, ks->batch, e);
    } else {
        store_batch_merge(ks->pending, ks->batch);
        if (store_batch_count(ks->pending) >= PENDING_CHANGES_MAX ||
            store_batch_bytes(ks->pending) >= PENDING_BYTES_MAX)
            code = keys_settle(ks, e);
    }
    store_batch_clear(ks->batch);
    return code;
}

struct store_iterator *keys_iterate(struct keys *ks, const struct key *from, const struct key *to)
{
    struct error why = {0};
    if (keys_settle(ks, &why) != ERR_OK)
        return store_iterator_failed(&why);
    return store_iterate(ks->store, STORE_STATE, key_view(from), key_view(to), NULL);
}

#include "state/lasterror.h"

#include "base/utf8.h"
#include "state/identity.h"
#include "state/keys.h"

enum { VERSION = 1 };

static struct key key_for(const struct keys *ks, uint64_t queue, uint64_t sequence)
{
    return key_of2(ks->shard, KEY_LAST_ERROR, queue, sequence);
}

static void put_text(struct buffer *v, struct bytes text, size_t max)
{
    size_t len = text.len < max ? text.len : max;
    buffer_varint(v, len);
    buffer_put(v, text.data, len);
}

static struct bytes take_text(struct cursor *c)
{
    return cursor_take(c, (size_t)cursor_varint(c));
}

void lasterror_put(struct keys *ks, uint64_t queue, uint64_t sequence, const struct lasterror *l)
{
    struct key k = key_for(ks, queue, sequence);
    struct buffer *v = keys_begin(ks, VERSION);
    put_text(v, utf8_cut(l->text, LASTERROR_TEXT_MAX), LASTERROR_TEXT_MAX);
    buffer_varint(v, l->status);
    put_text(v, l->source, IDENTITY_NAME_MAX);
    put_text(v, l->reason, LASTERROR_REASON_MAX);
    keys_put(ks, &k);
}

int lasterror_get(struct keys *ks, uint64_t queue, uint64_t sequence, struct lasterror *out, struct error *e)
{
    struct key k = key_for(ks, queue, sequence);
    struct cursor c;
    int code = keys_get(ks, &k, VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    out->text = take_text(&c);
    out->status = (uint32_t)cursor_varint(&c);
    out->source = take_text(&c);
    out->reason = take_text(&c);
    return value_done(key_view(&k), &c, e);
}

void lasterror_delete(struct keys *ks, uint64_t queue, uint64_t sequence)
{
    struct key k = key_for(ks, queue, sequence);
    keys_delete(ks, &k);
}

void lasterror_clear(struct keys *ks, uint64_t queue)
{
    struct key from = key_of1(ks->shard, KEY_LAST_ERROR, queue);
    struct key to = key_after(&from);
    keys_delete_range(ks, &from, &to);
}

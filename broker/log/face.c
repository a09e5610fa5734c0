#include "log/face.h"

#include "base/assert.h"

enum { FIXED_BYTES = 4 + 9 * 8 + 4 };

_Static_assert((uint64_t)(LOG_GROUP_MAX + 1) * (FIXED_BYTES + LOG_MEMBERSHIP_BYTES_MAX) < 256u << 20,
               "a checkpoint fits into a record");

void face_init(struct face *f)
{
    *f = (struct face){.first = 1};
}

void face_close(struct face *f)
{
    blob_unref(f->membership);
    f->membership = NULL;
}

static void set_snapshot(struct face *f, const struct record *r, struct bytes membership)
{
    blob_unref(f->membership);
    f->membership = membership.len > 0 ? blob_copy(membership) : NULL;
    f->snapshot_index = r->index;
    f->snapshot_term = r->term;
}

static const char *apply_entry(struct face *f, const struct record *r)
{
    if (r->index != f->last + 1)
        return "is an entry that does not follow the group's last";
    if (r->term < f->last_term)
        return "is an entry whose term is below that of the one before";
    f->last = r->index;
    f->last_term = r->term;
    return NULL;
}

static const char *apply_truncate(struct face *f, const struct record *r)
{
    if (r->index < f->first || r->index > f->last)
        return "truncates entries that are not there";
    f->last = r->index - 1;
    f->last_term = r->term;
    return NULL;
}

static const char *apply_first(struct face *f, const struct record *r)
{
    if (r->index > f->last + 1)
        return "compacts entries that are not there";
    if (r->index > f->first) {
        f->first = r->index;
        f->base_term = r->term;
    }
    return NULL;
}

static const char *apply_reset(struct face *f, const struct record *r, struct bytes membership)
{
    set_snapshot(f, r, membership);
    f->first = r->index + 1;
    f->base_term = r->term;
    f->last = r->index;
    f->last_term = r->term;
    return NULL;
}

static const char *apply_state(struct face *f, const struct record *r, struct bytes payload)
{
    struct cursor c = cursor_open(payload);
    uint64_t vote = cursor_u64(&c);
    if (c.failed || cursor_left(&c) > 0)
        return "is a hard state of another length";
    f->state = (struct log_hard_state){.term = r->term, .vote = vote, .commit = r->index};
    return NULL;
}

static const char *apply(struct face *f, const struct record *r, struct bytes payload)
{
    switch (r->kind) {
    case RECORD_ENTRY:
        return apply_entry(f, r);
    case RECORD_TRUNCATE:
        return apply_truncate(f, r);
    case RECORD_FIRST:
        return apply_first(f, r);
    case RECORD_RESET:
        return apply_reset(f, r, payload);
    case RECORD_SNAPSHOT:
        set_snapshot(f, r, payload);
        return NULL;
    case RECORD_STATE:
        return apply_state(f, r, payload);
    default:
        return "is of a kind that belongs to no group";
    }
}

const char *face_apply(struct face *f, const struct record *r, struct bytes payload)
{
    const char *flaw = apply(f, r, payload);
    if (flaw == NULL)
        f->used = true;
    return flaw;
}

static struct bytes membership_of(const struct face *f)
{
    return f->membership != NULL ? blob_view(f->membership) : (struct bytes){0};
}

bool face_equal(const struct face *a, const struct face *b)
{
    return a->used == b->used && a->state.term == b->state.term && a->state.vote == b->state.vote &&
           a->state.commit == b->state.commit && a->first == b->first && a->base_term == b->base_term &&
           a->last == b->last && a->last_term == b->last_term && a->snapshot_index == b->snapshot_index &&
           a->snapshot_term == b->snapshot_term && bytes_equal(membership_of(a), membership_of(b));
}

uint64_t face_bytes(const struct face *f)
{
    return FIXED_BYTES + membership_of(f).len;
}

void face_encode(const struct face *f, uint32_t group, struct buffer *out)
{
    struct bytes membership = membership_of(f);
    buffer_u32(out, group);
    buffer_u64(out, f->state.term);
    buffer_u64(out, f->state.vote);
    buffer_u64(out, f->state.commit);
    buffer_u64(out, f->first);
    buffer_u64(out, f->base_term);
    buffer_u64(out, f->last);
    buffer_u64(out, f->last_term);
    buffer_u64(out, f->snapshot_index);
    buffer_u64(out, f->snapshot_term);
    buffer_u32(out, (uint32_t)membership.len);
    buffer_put(out, membership.data, membership.len);
}

bool face_decode(struct cursor *c, uint32_t *group, struct face *out)
{
    *group = cursor_u32(c);
    *out = (struct face){.used = true};
    out->state.term = cursor_u64(c);
    out->state.vote = cursor_u64(c);
    out->state.commit = cursor_u64(c);
    out->first = cursor_u64(c);
    out->base_term = cursor_u64(c);
    out->last = cursor_u64(c);
    out->last_term = cursor_u64(c);
    out->snapshot_index = cursor_u64(c);
    out->snapshot_term = cursor_u64(c);
    struct bytes membership = cursor_take(c, cursor_u32(c));
    if (c->failed || *group > LOG_GROUP_MAX || membership.len > LOG_MEMBERSHIP_BYTES_MAX)
        return false;
    if (out->first == 0 || out->first > out->last + 1)
        return false;
    if (membership.len > 0)
        out->membership = blob_copy(membership);
    return true;
}

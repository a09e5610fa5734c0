/* A queue in memory, as the dispatcher's source. Answers leases in a later turn of the loop, checks that every lease
 * is settled exactly once, and remembers what was said of each message. */
#ifndef HATO_TEST_FAKE_SOURCE_H
#define HATO_TEST_FAKE_SOURCE_H

#include <check.h>
#include <proto/client.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/container.h"
#include "base/list.h"
#include "base/memory.h"
#include "dispatch/dispatcher.h"

/* protobuf-c's fields are not const, the tests' literals are. */
static inline void *loose(const void *literal)
{
    union {
        const void *in;
        void *out;
    } u = {.in = literal};
    return u.out;
}

enum fake_state { FAKE_READY, FAKE_LEASED, FAKE_DELAYED, FAKE_ACKED };

struct fake_message {
    uint64_t queue;
    struct buffer encoded;
    char id[40];
    char group[32];
    enum fake_state state;
    uint64_t lease;
    uint32_t receive_count;
    uint32_t acks, failures, returns, extensions;
    uint64_t due_ns;
    uint64_t delay_ms; /* of the last nack */
    uint32_t status;
    char error[SOURCE_ERROR_MAX + 1];
};

enum { FAKE_MESSAGES_MAX = 4096, FAKE_ORDER_MAX = 8192 };

struct fake_source {
    uv_loop_t *loop;
    struct dispatcher *dispatcher; /* to wake */
    bool fifo;
    struct fake_message messages[FAKE_MESSAGES_MAX];
    uint32_t count;
    uint32_t from; /* none before it is to be leased again */
    uint64_t next_lease;
    uv_check_t turn; /* answers leases, after the turn in which they were asked */
    uv_idle_t busy;
    struct source_lease *asked[1024];
    uint32_t asked_count;
    bool hold;        /* leases are not answered while true */
    int refuse;       /* leases are answered with this code */
    uint32_t leases;  /* asked so far */
    uint32_t empty;   /* of these came back empty */
    uint32_t batches; /* not released yet */
    uint32_t out;     /* messages leased now */
    uint32_t acked;
    uint32_t max_out;               /* most at once */
    uint32_t most_asked;            /* of one lease */
    uint64_t visibility_ms;         /* of the last lease */
    uint32_t order[FAKE_ORDER_MAX]; /* messages in the order leased */
    uint32_t order_count;
};

struct fake_batch {
    struct source_batch batch;
    struct source_message messages[];
};

static inline struct fake_message *fake_at(struct fake_source *s, struct source_token t)
{
    ck_assert_uint_ge(t.sequence, 1);
    ck_assert_uint_le(t.sequence, s->count);
    struct fake_message *m = &s->messages[t.sequence - 1];
    ck_assert_msg(m->state == FAKE_LEASED && m->lease == t.lease, "message %llu settled twice, or by a stale lease",
                  (unsigned long long)t.sequence);
    return m;
}

static inline bool fake_group_busy(const struct fake_source *s, const struct fake_message *m)
{
    if (!s->fifo)
        return false;
    for (const struct fake_message *o = s->messages; o < s->messages + s->count; o++) {
        if (o->queue != m->queue || strcmp(o->group, m->group) != 0)
            continue;
        if (o->state == FAKE_LEASED || (o < m && o->state == FAKE_DELAYED))
            return true;
    }
    return false;
}

static inline bool fake_due(struct fake_source *s, struct fake_message *m)
{
    (void)s;
    if (m->state == FAKE_DELAYED && uv_hrtime() >= m->due_ns)
        m->state = FAKE_READY;
    return m->state == FAKE_READY;
}

static inline uint32_t fake_available(void *ctx, uint64_t queue, uint32_t limit)
{
    struct fake_source *s = ctx;
    uint32_t n = 0;
    while (s->from < s->count && s->messages[s->from].state == FAKE_ACKED)
        s->from++;
    for (uint32_t i = s->from; i < s->count && n < limit; i++) {
        struct fake_message *m = &s->messages[i];
        if (m->queue == queue && fake_due(s, m) && !fake_group_busy(s, m))
            n++;
    }
    return n;
}

static inline bool fake_holds(void *ctx, uint64_t queue, uint64_t sequence)
{
    const struct fake_source *s = ctx;
    return sequence <= s->count && s->messages[sequence - 1].queue == queue &&
           s->messages[sequence - 1].state != FAKE_ACKED;
}

static inline void fake_nothing(uv_idle_t *idle)
{
    (void)idle;
}

static inline void fake_keep_busy(struct fake_source *s)
{
    uv_idle_start(&s->busy, fake_nothing);
}

static inline void fake_let_go(struct fake_source *s)
{
    s->hold = false;
    fake_keep_busy(s);
}

static inline void fake_lease(void *ctx, struct source_lease *lease)
{
    struct fake_source *s = ctx;
    ck_assert_uint_ge(lease->max_messages, 1);
    ck_assert_uint_lt(s->asked_count, 1024);
    s->asked[s->asked_count++] = lease;
    s->leases++;
    if (lease->max_messages > s->most_asked)
        s->most_asked = lease->max_messages;
    s->visibility_ms = lease->visibility_ms;
    fake_keep_busy(s);
}

static inline void fake_give(struct fake_source *s, struct source_lease *lease)
{
    struct fake_batch *b = malloc(sizeof *b + lease->max_messages * sizeof b->messages[0]);
    uint32_t n = 0;
    uint64_t bytes = 0;
    char taken[FAKE_MESSAGES_MAX] = {0};
    for (uint32_t i = s->from; i < s->count && n < lease->max_messages && s->refuse == 0; i++) {
        struct fake_message *m = &s->messages[i];
        if (m->queue == lease->queue && fake_due(s, m) && !fake_group_busy(s, m)) {
            if (n > 0 && bytes + m->encoded.len > lease->max_bytes)
                break;
            bytes += m->encoded.len;
            taken[i] = 1;
            n++;
        }
    }
    n = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (!taken[i])
            continue;
        struct fake_message *m = &s->messages[i];
        m->state = FAKE_LEASED;
        m->lease = ++s->next_lease;
        m->receive_count++;
        s->out++;
        if (s->order_count < FAKE_ORDER_MAX)
            s->order[s->order_count++] = i;
        b->messages[n++] = (struct source_message){.token = {i + 1, m->lease},
                                                   .message = buffer_view(&m->encoded),
                                                   .id = m->id,
                                                   .receipt = bytes_of("receipt", 7),
                                                   .sent_ms = 1700000000000 + i,
                                                   .first_received_ms = 1700000001000 + i,
                                                   .receive_count = m->receive_count};
    }
    if (s->out > s->max_out)
        s->max_out = s->out;
    if (n == 0) {
        s->empty++;
        free(b);
        lease->done(lease, s->refuse, NULL);
        return;
    }
    b->batch = (struct source_batch){b->messages, n};
    s->batches++;
    lease->done(lease, ERR_OK, &b->batch);
}

/* Wakes for what came due; true when something is still to come due. */
static inline bool fake_come_due(struct fake_source *s)
{
    bool delayed = false;
    for (uint32_t i = s->from; i < s->count; i++) {
        struct fake_message *m = &s->messages[i];
        if (m->state != FAKE_DELAYED)
            continue;
        if (!fake_due(s, m))
            delayed = true;
        else if (s->dispatcher != NULL)
            dispatcher_wake(s->dispatcher, m->queue);
    }
    return delayed;
}

static inline void fake_turn(uv_check_t *turn)
{
    struct fake_source *s = CONTAINER_OF(turn, struct fake_source, turn);
    if (!s->hold) {
        struct source_lease *now[1024];
        uint32_t count = s->asked_count;
        for (uint32_t i = 0; i < count; i++)
            now[i] = s->asked[i];
        s->asked_count = 0;
        for (uint32_t i = 0; i < count; i++)
            fake_give(s, now[i]);
    }
    if (!fake_come_due(s) && (s->hold || s->asked_count == 0))
        uv_idle_stop(&s->busy);
}

static inline void fake_release(void *ctx, struct source_batch *batch)
{
    struct fake_source *s = ctx;
    struct fake_batch *b = CONTAINER_OF(batch, struct fake_batch, batch);
    memset(b->messages, 0xdd, batch->count * sizeof b->messages[0]);
    free(b);
    s->batches--;
}

static inline void fake_ack(void *ctx, uint64_t queue, const struct source_token *tokens, size_t count)
{
    struct fake_source *s = ctx;
    ck_assert_uint_ge(count, 1);
    for (size_t i = 0; i < count; i++) {
        struct fake_message *m = fake_at(s, tokens[i]);
        ck_assert_uint_eq(m->queue, queue);
        m->state = FAKE_ACKED;
        m->acks++;
        s->acked++;
        s->out--;
    }
    if (s->dispatcher != NULL && s->fifo)
        dispatcher_wake(s->dispatcher, queue);
}

static inline void fake_nack(void *ctx, uint64_t queue, const struct source_nack *nack,
                             const struct source_token *tokens, size_t count)
{
    struct fake_source *s = ctx;
    ck_assert_uint_ge(count, 1);
    ck_assert_uint_le(nack->error.len, SOURCE_ERROR_MAX);
    for (size_t i = 0; i < count; i++) {
        struct fake_message *m = fake_at(s, tokens[i]);
        ck_assert_uint_eq(m->queue, queue);
        if (i > 0)
            ck_assert_uint_gt(tokens[i].sequence, tokens[i - 1].sequence);
        s->out--;
        m->delay_ms = nack->delay_ms;
        m->status = nack->status;
        memcpy(m->error, nack->error.data, nack->error.len);
        m->error[nack->error.len] = '\0';
        if (nack->uncounted) {
            m->returns++;
            m->receive_count--;
        } else {
            m->failures++;
        }
        m->state = nack->delay_ms > 0 ? FAKE_DELAYED : FAKE_READY;
        m->due_ns = uv_hrtime() + nack->delay_ms * 1000000;
    }
    fake_keep_busy(s);
    if (s->dispatcher != NULL)
        dispatcher_wake(s->dispatcher, queue);
}

static inline void fake_extend(void *ctx, uint64_t queue, uint64_t visibility_ms, const struct source_token *tokens,
                               size_t count)
{
    struct fake_source *s = ctx;
    ck_assert_uint_gt(visibility_ms, 0);
    for (size_t i = 0; i < count; i++) {
        struct fake_message *m = fake_at(s, tokens[i]);
        ck_assert_uint_eq(m->queue, queue);
        m->extensions++;
    }
}

static const struct source_ops fake_ops = {.lease = fake_lease,
                                           .release = fake_release,
                                           .ack = fake_ack,
                                           .nack = fake_nack,
                                           .extend = fake_extend,
                                           .available = fake_available,
                                           .holds = fake_holds};

static inline struct fake_source *fake_create(uv_loop_t *loop)
{
    struct fake_source *s = calloc(1, sizeof *s);
    s->loop = loop;
    uv_check_init(loop, &s->turn);
    uv_idle_init(loop, &s->busy);
    uv_check_start(&s->turn, fake_turn);
    uv_unref((uv_handle_t *)&s->turn);
    return s;
}

/* The handles; the rest is freed by fake_destroy when the loop has let go of them. */
static inline void fake_stop(struct fake_source *s)
{
    uv_close((uv_handle_t *)&s->turn, NULL);
    uv_close((uv_handle_t *)&s->busy, NULL);
}

static inline void fake_destroy(struct fake_source *s)
{
    ck_assert_uint_eq(s->batches, 0);
    for (uint32_t i = 0; i < s->count; i++)
        buffer_close(&s->messages[i].encoded);
    free(s);
}

/* A message is put in as the source's own business; the dispatcher must be woken. */
static inline struct fake_message *fake_put_message(struct fake_source *s, uint64_t queue, const Hato__Message *content)
{
    ck_assert_uint_lt(s->count, FAKE_MESSAGES_MAX);
    struct fake_message *m = &s->messages[s->count++];
    m->queue = queue;
    snprintf(m->id, sizeof m->id, "message-%u", s->count);
    snprintf(m->group, sizeof m->group, "%s", content->group);
    size_t len = hato__message__get_packed_size(content);
    hato__message__pack(content, buffer_reserve(&m->encoded, len));
    m->encoded.len = len;
    return m;
}

static inline struct fake_message *fake_put(struct fake_source *s, uint64_t queue, const char *group, const char *body)
{
    Hato__Message content = HATO__MESSAGE__INIT;
    content.body.data = loose(body);
    content.body.len = strlen(body);
    content.group = loose(group);
    return fake_put_message(s, queue, &content);
}

#endif

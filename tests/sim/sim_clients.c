#include "sim/sim_clients.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/wire.h"
#include "proto/command.pb-c.h"
#include "sim/sim_queues.h"
#include "sim/sim_route.h"

enum {
    PRODUCERS = 6,
    CONSUMERS = 8,
    BATCH_MAX = 8,
    HELD_MAX = 200,
    VISIBILITY_MIN_MS = 500,
    VISIBILITY_MAX_MS = 4000,
    DELAY_MAX_MS = 6000,
    PADDING_MAX = 3000,
    PAUSE_MAX = 10000,   /* looks at a producer whose last send has an unknown outcome */
    CLOSE_ONE_IN = 300,  /* looks at an open consumer */
    MESSAGES_MAX = 4000, /* of a run: checking order is quadratic */
    SPREAD_MAX = 66,     /* of these in a second: crashes later on find sends under way too */
    AT_ONCE = 50,
};

struct producer {
    struct command command;
    struct sim_route route;
    struct shard *at; /* while busy */
    struct sim_clients *clients;
    uint64_t id;
    uint64_t next_sequence;
    int queue;
    uint32_t first, count; /* messages in hand; 0: none */
    uint64_t queue_id;     /* with which they were tried; 0: not yet */
    bool other_id;         /* with others as well: the queue was deleted meanwhile */
    struct buffer bodies[BATCH_MAX];
    bool busy;
    uint32_t pause; /* before what has an unknown outcome is sent again */
};

struct held {
    struct sim_delivery d;
    uint64_t visibility_ms;
};

struct taker {
    struct consumer consumer;
    struct sim_route route;
    struct shard *at; /* while open */
    struct sim_clients *clients;
    int queue;
    bool open;
    uint64_t visibility_ms;
    struct held held[HELD_MAX];
    size_t held_count;
};

enum settle_kind { SETTLE_ACK, SETTLE_NACK, SETTLE_EXTEND, SETTLE_CANCEL, SETTLE_KINDS };

struct settle {
    struct command command;
    struct sim_clients *clients;
    enum settle_kind kind;
    struct held held;
    uint64_t delay_ms, visibility_ms;
    bool uncounted;
    uint32_t message;
    struct shard *at;
};

struct sim_clients {
    struct sim_cluster *cluster;
    struct sim_model *model;
    struct random random;
    struct sim_route route; /* of who makes queues, cancels and looks on */
    struct producer producers[PRODUCERS];
    struct taker takers[CONSUMERS];
    uint64_t send_one_in; /* of a producer's steps */
    struct sim_maker maker;
    uint32_t closed[SIM_QUEUES]; /* consumers, with a receive under way: its lease may end before it is given back */
    size_t settling;
    bool calm;
};

static bool chance(struct sim_clients *c, uint64_t one_in)
{
    return random_below(&c->random, one_in) == 0;
}

/* ---------------------------------------------------------------- producers */

static void on_sent(struct command *command, const struct reply *reply)
{
    struct producer *p = CONTAINER_OF(command, struct producer, command);
    struct sim_model *m = p->clients->model;
    p->busy = false;
    bool left_behind = reply->code == ERR_INVALID && p->other_id; /* stored, in the queue that was deleted */
    if (reply->code != ERR_OK &&
        !left_behind) { /* unknown, or not taken: the same batch goes again with the same sequences */
        p->pause = chance(p->clients, 2) ? (uint32_t)random_below(&p->clients->random, PAUSE_MAX) : 0;
        return;
    }
    uint64_t queue_id = p->other_id ? 0 : p->queue_id;
    uint64_t now = machine_clock_ms(shard_machine(p->at));
    for (uint32_t i = 0; i < p->count; i++) {
        const struct send_result *r = left_behind ? NULL : &reply->sent[i];
        if (r == NULL)
            sim_left_behind(m, p->first + i);
        else if (r->code == ERR_OK)
            sim_stored(m, p->first + i, queue_id, r->sequence, r->duplicate, now);
        else
            sim_violate(m, "message %u was refused: %s %s", p->first + i, error_code_name(r->code), r->message);
    }
    p->next_sequence += p->count;
    p->count = 0;
}

/* The id of another message of the queue, which makes a duplicate. */
static uint32_t id_of_another(struct sim_clients *c, int queue)
{
    const struct sim_model *m = c->model;
    for (int i = 0; i < 20; i++) {
        const struct sim_message *x = &m->messages[random_below(&c->random, m->count)];
        if (x->queue == queue && x->id != 0)
            return x->id;
    }
    return 0;
}

static void draw_id(struct sim_clients *c, uint32_t message, struct buffer *out)
{
    struct sim_message *x = &c->model->messages[message];
    if (!chance(c, 4))
        return;
    x->id = chance(c, 3) ? id_of_another(c, x->queue) : 0;
    if (x->id == 0)
        x->id = message + 1;
    char id[16];
    snprintf(id, sizeof id, "id%u", x->id);
    wire_put_bytes(out, 4, bytes_text(id));
}

static void make_batch(struct sim_clients *c, struct producer *p)
{
    struct sim_model *m = c->model;
    do
        p->queue = (int)random_below(&c->random, SIM_QUEUES);
    while (sim_queues[p->queue].is_dead);
    const struct sim_queue *q = &sim_queues[p->queue];
    p->first = (uint32_t)m->count;
    p->queue_id = 0;
    p->other_id = false;
    p->count = 1 + (uint32_t)random_below(&c->random, BATCH_MAX);
    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t id = (uint32_t)m->count++;
        struct sim_message *x = &m->messages[id];
        *x = (struct sim_message){.queue = (uint8_t)p->queue, .at = (uint8_t)p->queue, .lost = m->lost[p->queue]};
        uint8_t body[4 + PADDING_MAX];
        size_t len = 4 + (chance(c, 4) ? random_below(&c->random, PADDING_MAX) : random_below(&c->random, 64));
        memset(body, (int)(id & 0xff), len);
        memcpy(body, &id, 4);
        struct buffer *out = &p->bodies[i];
        buffer_clear(out);
        wire_put_bytes(out, 1, bytes_of(body, len));
        if (q->groups) {
            x->group = (uint8_t)(1 + random_below(&c->random, SIM_GROUPS));
            char group[8];
            snprintf(group, sizeof group, "g%u", x->group);
            wire_put_bytes(out, 3, bytes_text(group));
        }
        draw_id(c, id, out);
        if (q->delays && chance(c, 2)) {
            uint64_t delay = 1 + random_below(&c->random, DELAY_MAX_MS);
            wire_put_varint(out, 5, delay);
            x->due_ms = delay; /* made a point in time by the sent time of its first delivery */
        }
        if (q->priorities)
            wire_put_varint(out, 6, random_below(&c->random, 8));
    }
}

static bool sent_enough(const struct sim_clients *c)
{
    uint64_t so_far = AT_ONCE + c->cluster->nodes[0].now_us * SPREAD_MAX / 1000000;
    return c->model->count + BATCH_MAX >= MESSAGES_MAX || c->model->count >= so_far;
}

static bool has_room(const struct sim_clients *c, const struct shard *s)
{
    for (uint64_t i = 0; i < c->cluster->count; i++) {
        const struct sim_node *n = &c->cluster->nodes[i];
        if (n->up && n->shards[shard_number(s)] == s)
            return log_has_room(n->log);
    }
    return true;
}

static void produce(struct sim_clients *c, struct producer *p)
{
    if (p->busy)
        return;
    if (p->pause > 0 && !c->calm) {
        p->pause--;
        return;
    }
    if (p->count == 0) {
        if (c->calm || sent_enough(c) || !chance(c, c->send_one_in))
            return;
        make_batch(c, p);
    }
    struct queue_view q;
    struct shard *s;
    if (!sim_route_find(&p->route, p->queue, &s, &q))
        return;
    struct bytes messages[BATCH_MAX];
    for (uint32_t i = 0; i < p->count; i++) {
        struct sim_message *x = &c->model->messages[p->first + i];
        messages[i] = buffer_view(&p->bodies[i]);
        x->asked_ms = p->queue_id == 0 ? shard_now_ms(s) : 0;
        if (p->queue_id == 0)
            x->begun_ms = machine_clock_ms(shard_machine(s));
    }
    p->other_id = p->other_id || (p->queue_id != 0 && p->queue_id != q.id);
    p->queue_id = q.id;
    p->at = s;
    struct entry_send send = {.queue = q.id,
                              .producer = p->id,
                              .sequence = p->next_sequence,
                              .settled_below = p->next_sequence,
                              .count = p->count};
    p->command.done = on_sent;
    bool room = has_room(c, s);
    p->busy = shard_send(s, &p->command, &send, messages, NULL) == ERR_OK;
    if (p->busy && !room)
        sim_violate(c->model, "shard %u took a send while its node's log had no room", shard_number(s));
}

/* ---------------------------------------------------------------- settling */

static uint32_t settled_message(const struct settle *x)
{
    return x->kind == SETTLE_CANCEL ? x->message : x->held.d.message;
}

static bool settle_ends(const struct settle *x)
{
    return x->kind == SETTLE_ACK || x->kind == SETTLE_CANCEL;
}

static void on_settled(struct command *command, const struct reply *reply)
{
    struct settle *x = CONTAINER_OF(command, struct settle, command);
    struct sim_clients *c = x->clients;
    struct sim_model *m = c->model;
    const struct sim_delivery *d = &x->held.d;
    bool answered = reply->code == ERR_OK;
    int code = answered ? reply->codes[0] : reply->code;
    sim_settling(m, settled_message(x), settle_ends(x), -1);
    uint64_t now = machine_clock_ms(shard_machine(x->at));
    switch (x->kind) {
    case SETTLE_ACK:
        sim_acked(m, d, code, now);
        break;
    case SETTLE_NACK:
        sim_nacked(m, d, code, now, x->delay_ms, x->uncounted);
        break;
    case SETTLE_EXTEND:
        sim_extended(m, d, code, now, now + x->visibility_ms);
        break;
    case SETTLE_CANCEL:
        sim_cancelled(m, x->message, code, now);
        break;
    case SETTLE_KINDS:
        break;
    }
    c->settling--;
    memory_free(x);
}

static bool submit(struct sim_clients *c, struct sim_route *r, struct settle *x, int queue)
{
    struct queue_view q;
    struct shard *s;
    if (!sim_route_find(r, queue, &s, &q))
        return false;
    x->at = s;
    int code;
    const struct sim_place *place;
    struct entry_lease lease = {x->held.d.sequence, x->held.d.lease};
    struct entry_settle nack = {
        .queue = q.id, .delay_ms = x->delay_ms, .uncounted = x->uncounted, .count = 1, .error = bytes_text("no luck")};
    switch (x->kind) {
    case SETTLE_ACK:
        code = shard_ack(s, &x->command, q.id, &lease, 1, NULL);
        if (code == ERR_STORAGE_FULL && shard_refuse(s, NULL) == ERR_OK)
            sim_violate(c->model, "shard %u refused an ack for want of space, which it needs none of", shard_number(s));
        return code == ERR_OK;
    case SETTLE_NACK:
        return shard_nack(s, &x->command, &nack, &lease, NULL) == ERR_OK;
    case SETTLE_EXTEND:
        return shard_extend(s, &x->command, q.id, x->visibility_ms, &lease, 1, NULL) == ERR_OK;
    case SETTLE_CANCEL:
        place = sim_place(&c->model->messages[x->message]);
        return place->queue == q.id && shard_cancel(s, &x->command, q.id, &place->sequence, 1, NULL) == ERR_OK;
    case SETTLE_KINDS:
        break;
    }
    return false;
}

static void settle(struct sim_clients *c, struct sim_route *r, struct settle with, int queue)
{
    struct settle *x = memory_alloc(sizeof *x);
    *x = with;
    x->command.done = on_settled;
    x->clients = c;
    c->settling++;
    sim_settling(c->model, settled_message(x), settle_ends(x), 1);
    if (submit(c, r, x, queue))
        return;
    sim_settling(c->model, settled_message(x), settle_ends(x), -1);
    c->settling--;
    memory_free(x);
}

static void settle_one(struct sim_clients *c, struct taker *t)
{
    size_t i = random_below(&c->random, t->held_count);
    struct held h = t->held[i];
    t->held[i] = t->held[--t->held_count];
    struct settle x = {.held = h};
    uint64_t dice = c->calm ? 0 : random_below(&c->random, 20);
    if (dice < 11) {
        x.kind = SETTLE_ACK;
    } else if (dice < 14) {
        x.kind = SETTLE_NACK;
        x.delay_ms = chance(c, 2) ? random_below(&c->random, 2000) : 0;
        x.uncounted = chance(c, 3);
    } else if (dice < 16) {
        x.kind = SETTLE_EXTEND;
        x.visibility_ms = random_below(&c->random, VISIBILITY_MAX_MS);
        t->held[t->held_count++] = h;
    } else {
        return; /* forgotten: the lease runs out */
    }
    settle(c, &t->route, x, h.d.queue);
}

static void cancel_one(struct sim_clients *c)
{
    struct sim_model *m = c->model;
    if (m->count == 0)
        return;
    uint32_t i = (uint32_t)random_below(&c->random, m->count);
    const struct sim_message *x = &m->messages[i];
    if (x->state != SIM_STORED || x->at != x->queue || sim_place(x)->sequence == 0)
        return;
    settle(c, &c->route, (struct settle){.kind = SETTLE_CANCEL, .message = i}, x->queue);
}

/* ---------------------------------------------------------------- consumers */

static bool body_of(struct bytes message, uint32_t *id)
{
    struct cursor cur = cursor_open(message);
    struct wire_field f;
    while (wire_next(&cur, &f)) {
        if (f.number != 1 || f.bytes.len < 4)
            continue;
        memcpy(id, f.bytes.data, 4);
        for (size_t i = 4; i < f.bytes.len; i++)
            if (f.bytes.data[i] != (uint8_t)*id)
                return false;
        return true;
    }
    return false;
}

static void on_deliver(struct consumer *consumer, const struct delivered *messages, size_t count)
{
    struct taker *t = CONTAINER_OF(consumer, struct taker, consumer);
    struct sim_clients *c = t->clients;
    struct sim_model *m = c->model;
    if (consumer->once)
        t->open = false;
    for (size_t i = 0; i < count; i++) {
        const struct received *r = &messages[i].is;
        struct sim_delivery d = {.queue = t->queue,
                                 .queue_id = consumer->queue,
                                 .sequence = r->sequence,
                                 .lease = r->lease,
                                 .until_ms = r->lease_until_ms,
                                 .at_ms = r->lease_until_ms - t->visibility_ms,
                                 .sent_ms = r->sent_ms,
                                 .count = r->receive_count};
        if (!body_of(messages[i].message, &d.message)) {
            sim_violate(m, "a body came back altered (queue %d, sequence %llu)", t->queue,
                        (unsigned long long)r->sequence);
            continue;
        }
        struct sim_message *x = d.message < m->count ? &m->messages[d.message] : NULL;
        if (x != NULL && t->queue == x->queue && x->due_ms != 0 && x->due_ms <= DELAY_MAX_MS)
            x->due_ms += r->sent_ms;
        sim_delivered(m, &d);
        if (t->held_count < HELD_MAX)
            t->held[t->held_count++] = (struct held){.d = d, .visibility_ms = t->visibility_ms};
    }
}

static void on_ended(struct consumer *consumer, int code, const char *message)
{
    struct taker *t = CONTAINER_OF(consumer, struct taker, consumer);
    (void)code, (void)message;
    t->open = false;
}

static void consume(struct sim_clients *c, struct taker *t)
{
    struct queue_view q;
    struct shard *s;
    if (t->open || t->held_count > HELD_MAX / 2) {
        if (t->open && chance(c, CLOSE_ONE_IN)) {
            c->closed[t->queue] += t->consumer.asked > 0;
            shard_consumer_close(t->at, &t->consumer);
            t->open = false;
        } else if (t->open && !t->consumer.once && t->consumer.credit < 5 && t->held_count < HELD_MAX / 2) {
            shard_consumer_credit(t->at, &t->consumer, 1 + (uint32_t)random_below(&c->random, 10));
        }
        return;
    }
    t->queue = (int)random_below(&c->random, SIM_QUEUES);
    if (sim_queues[t->queue].is_dead && !c->calm && !chance(c, 20)) /* dead letters are rarely looked at */
        return;
    if (!sim_route_find(&t->route, t->queue, &s, &q))
        return;
    t->visibility_ms = VISIBILITY_MIN_MS + random_below(&c->random, VISIBILITY_MAX_MS - VISIBILITY_MIN_MS);
    t->consumer = (struct consumer){.queue = q.id, .visibility_ms = t->visibility_ms};
    t->consumer.credit = 1 + (uint32_t)random_below(&c->random, 20);
    t->consumer.batch_max = 1 + (uint32_t)random_below(&c->random, 20);
    t->consumer.bytes_max = chance(c, 3) ? 2000 : 0;
    t->consumer.once = chance(c, 2);
    t->consumer.deliver = on_deliver;
    t->consumer.ended = on_ended;
    t->at = s;
    t->open = shard_consumer_open(s, &t->consumer, NULL) == ERR_OK;
}

/* ---------------------------------------------------------------- the whole */

struct sim_clients *sim_clients_create(struct sim_cluster *cluster, struct sim_model *model, uint64_t seed)
{
    struct sim_clients *c = memory_zero(1, sizeof *c);
    c->cluster = cluster;
    c->model = model;
    random_open(&c->random, seed);
    static const uint64_t send_one_in[] = {6, 60, 300};
    c->send_one_in = send_one_in[random_below(&c->random, 3)];
    const struct sim_route route = {.cluster = cluster, .random = &c->random};
    c->route = route;
    c->maker = (struct sim_maker){.model = model, .route = &c->route};
    for (int i = 0; i < PRODUCERS; i++) {
        c->producers[i].clients = c;
        c->producers[i].route = route;
        c->producers[i].id = 1 + random_next(&c->random) / 2;
        c->producers[i].next_sequence = 1;
    }
    for (int i = 0; i < CONSUMERS; i++) {
        c->takers[i].clients = c;
        c->takers[i].route = route;
    }
    return c;
}

void sim_clients_destroy(struct sim_clients *c)
{
    for (int i = 0; i < PRODUCERS; i++)
        for (int k = 0; k < BATCH_MAX; k++)
            buffer_close(&c->producers[i].bodies[k]);
    memory_free(c);
}

void sim_clients_step(struct sim_clients *c, bool calm)
{
    c->calm = calm;
    for (int i = 0; i < SIM_QUEUES; i++)
        c->model->lost[i] = (uint32_t)sim_cluster_lost(c->cluster, sim_route_shard(i)) + c->closed[i];
    sim_make_queues(&c->maker);
    for (int i = 0; i < PRODUCERS; i++)
        produce(c, &c->producers[i]);
    for (int i = 0; i < CONSUMERS; i++) {
        struct taker *t = &c->takers[i];
        if (calm || chance(c, 5))
            consume(c, t);
        if (t->held_count > 0 && (calm || chance(c, 8)))
            settle_one(c, t);
    }
    if (!calm && chance(c, 30))
        cancel_one(c);
}

bool sim_clients_idle(const struct sim_clients *c)
{
    bool idle = c->settling == 0;
    for (int i = 0; i < CONSUMERS; i++)
        idle = idle && !c->takers[i].open;
    for (int i = 0; i < PRODUCERS; i++)
        idle = idle && !c->producers[i].busy;
    return idle;
}

bool sim_clients_done(struct sim_clients *c)
{
    for (int i = 0; i < PRODUCERS; i++)
        if (c->producers[i].count > 0)
            return false;
    for (int i = 0; i < SIM_QUEUES; i++) {
        struct queue_view q;
        struct shard *s;
        if (!sim_route_find(&c->route, i, &s, &q))
            return false;
        if (q.counts.ready + q.counts.in_flight + q.counts.delayed + q.counts.moving > 0)
            return false;
    }
    return c->settling == 0;
}

bool sim_clients_sending(const struct sim_clients *c)
{
    for (int i = 0; i < PRODUCERS; i++)
        if (c->producers[i].busy)
            return true;
    return false;
}

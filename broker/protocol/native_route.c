#include "protocol/native_route.h"

#include "base/assert.h"
#include "base/memory.h"
#include "base/wire.h"

/* Fields. */
enum {
    NAME = 1, /* of the queue, in each request that has one */
    SEND_PRODUCER = 3,
    RECEIVE_WAIT = 4,
};

static struct node *node_of(const struct session *s)
{
    return s->ns->native->node;
}

static uint64_t now_ms(const struct session *s)
{
    return uv_now(&s->ns->seat->loop.uv);
}

/* ---------------------------------------------------------------- what a request is */

static bool is_of_catalog(uint32_t number)
{
    return (number >= HATO__REQUEST__OP_FUNCTION_CREATE && number <= HATO__REQUEST__OP_FUNCTION_LIST) ||
           (number >= HATO__REQUEST__OP_NODE_ADD && number <= HATO__REQUEST__OP_SHARD_LEAD);
}

static bool is_of_no_shard(uint32_t number)
{
    return number < HATO__REQUEST__OP_SEND || number == HATO__REQUEST__OP_QUEUE_LIST ||
           number == HATO__REQUEST__OP_STREAM_CREDIT || number == HATO__REQUEST__OP_STREAM_CLOSE ||
           (number > HATO__REQUEST__OP_GROUP_RESUME && !is_of_catalog(number));
}

static bool find_field(struct bytes body, uint32_t number, enum wire_type type, struct wire_field *out)
{
    struct cursor c = cursor_open(body);
    struct wire_field f;
    bool found = false;
    while (wire_next(&c, &f)) {
        if (f.number == number && f.type == type) {
            *out = f;
            found = true;
        }
    }
    return found;
}

/* False: it has no name that could be a queue's, and is refused here. */
static bool shard_of(const struct session *s, uint32_t number, struct bytes body, uint16_t *out)
{
    struct wire_field name;
    char full[2 * IDENTITY_NAME_MAX];
    *out = 0;
    if (is_of_catalog(number))
        return true;
    if (!find_field(body, NAME, WIRE_BYTES, &name) || name.bytes.len > IDENTITY_NAME_MAX)
        return false;
    memcpy(full, s->prefix, s->prefix_len);
    memcpy(full + s->prefix_len, name.bytes.data, name.bytes.len);
    *out = identity_shard_of(bytes_of(full, s->prefix_len + name.bytes.len), node_birth(node_of(s))->shards);
    return true;
}

/* Asked twice it does no harm: it changes nothing, its messages are told apart by their producer's numbers, or what it leased the
 * first time comes back by itself. */
static bool is_repeatable(const struct kept *k)
{
    uint64_t id;
    uint32_t number;
    struct bytes body = {0};
    struct wire_field producer;
    switch (k->number) {
    case HATO__REQUEST__OP_RECEIVE:
    case HATO__REQUEST__OP_STREAM_OPEN:
    case HATO__REQUEST__OP_PEEK:
    case HATO__REQUEST__OP_QUEUE_SHOW:
    case HATO__REQUEST__OP_REDRIVE_LIST:
    case HATO__REQUEST__OP_FUNCTION_SHOW:
    case HATO__REQUEST__OP_FUNCTION_LIST:
        return true;
    case HATO__REQUEST__OP_SEND:
        return native_look(bytes_of(k->frame, k->len), &id, &number, &body) &&
               find_field(body, SEND_PRODUCER, WIRE_VARINT, &producer) && producer.value != 0;
    default:
        return false;
    }
}

/* As native_stream_open and native_receive have it. */
static bool may_wait(const struct kept *k)
{
    uint64_t id;
    uint32_t number;
    struct bytes body = {0};
    struct wire_field wait;
    if (k->number != HATO__REQUEST__OP_RECEIVE)
        return k->number == HATO__REQUEST__OP_STREAM_OPEN;
    native_look(bytes_of(k->frame, k->len), &id, &number, &body);
    return !find_field(body, RECEIVE_WAIT, WIRE_VARINT, &wait) || wait.value > 0;
}

/* ---------------------------------------------------------------- keeping and holding */

static void on_again(struct alarm *alarm);

static struct routes *routes_of(struct session *s)
{
    if (s->routes == NULL) {
        size_t shards = node_birth(node_of(s))->shards + 1u;
        s->routes = memory_zero(1, sizeof *s->routes + shards * sizeof s->routes->shards[0]);
        s->routes->session = s;
        list_init(&s->routes->held);
        list_init(&s->routes->relays);
    }
    return s->routes;
}

static void look_again(struct routes *r)
{
    if (!list_empty(&r->held) && !r->session->gone)
        alarm_set(&r->session->ns->alarms, &r->again, ROUTE_AGAIN_MS, on_again);
}

/* All that are held may go on at once. */
static size_t bytes_of_kept(const struct kept *k)
{
    return k->len + native_reply_room(k->number);
}

/* At its place by arrival; it counts against the session as an op would. */
static void hold(struct routes *r, struct kept *k)
{
    struct list_link *at = list_last(&r->held);
    bool first = at == NULL;
    while (at != NULL && CONTAINER_OF(at, struct kept, link)->order > k->order)
        at = list_previous(&r->held, at);
    list_after(&r->held, at != NULL ? at : &r->held.anchor, &k->link);
    r->shards[k->shard].held++;
    r->session->op_count++;
    r->session->op_bytes += bytes_of_kept(k);
    r->session->waiting += k->waits;
    if (first)
        look_again(r);
}

static void unhold(struct routes *r, struct kept *k)
{
    list_remove(&r->held, &k->link);
    r->shards[k->shard].held--;
    r->session->op_count--;
    r->session->op_bytes -= bytes_of_kept(k);
    r->session->waiting -= k->waits;
}

static void no_longer_out(struct routes *r, const struct kept *k)
{
    if (k->counts) {
        ASSERT(r->shards[k->shard].out > 0);
        r->shards[k->shard].out--;
    }
}

void route_done(struct session *s, struct kept *k)
{
    struct route *route = &s->routes->shards[k->shard];
    no_longer_out(s->routes, k);
    if (k->counts && !route->proven) {
        route->proven = true;
        if (route->held > 0 && !s->gone)
            alarm_set(&s->ns->alarms, &s->routes->again, 0, on_again);
    }
    memory_free(k);
}

static void fail_in_doubt(struct op *op, const struct kept *k)
{
    op_fail(op, ERR_UNKNOWN_OUTCOME, "",
            "shard %u lost its leader while this was under way, and none has decided it since: it may have been done, "
            "or be done "
            "yet; a send is repeated without harm under the same producer and sequence",
            k->shard);
}

void route_doubt(struct op *op)
{
    const struct kept *k = op->kept;
    uint32_t code = op->error.code;
    if (k != NULL && k->in_doubt &&
        (code == ERR_NOT_LEADER || code == ERR_OVERLOADED || code == ERR_STORAGE_FULL || code == ERR_CLOSED))
        fail_in_doubt(op, k);
}

bool route_again(struct op *op, int code)
{
    struct session *s = op->session;
    struct kept *k = op->kept;
    if (k == NULL || s->gone)
        return false;
    if (code == ERR_UNKNOWN_OUTCOME && k->number == HATO__REQUEST__OP_SEND)
        k->in_doubt = true;
    bool wanted = code == ERR_NOT_LEADER || (code == ERR_UNKNOWN_OUTCOME && is_repeatable(k));
    if (!wanted || now_ms(s) - k->since_ms >= ROUTE_WAIT_MS) {
        route_doubt(op);
        return false;
    }
    op->kept = NULL;
    no_longer_out(s->routes, k);
    if (k->counts)
        s->routes->shards[k->shard].proven = false;
    hold(s->routes, k);
    return true;
}

/* ---------------------------------------------------------------- on its way */

static void refuse_held(struct session *s, struct kept *k)
{
    struct op *op = op_create(s, k->id, 0);
    if (k->in_doubt)
        fail_in_doubt(op, k);
    else
        op_fail(op, ERR_NOT_LEADER, "", "shard %u has had no leader for %d s: a majority of its nodes is needed",
                k->shard, ROUTE_WAIT_MS / 1000);
    memory_free(k);
    op_answer(op);
}

/* Here and now: what was held once finds its room again when it is passed on. */
static void refuse_waiting(struct session *s, struct kept *k)
{
    struct op *op = op_create(s, k->id, 0);
    bool may = op_may_wait(op);
    ASSERT(!may);
    memory_free(k);
    op_answer(op);
}

/* The leader bounds what waits there as well, but answers only where it lives, and knows nothing of what waits for others. */
static void forward(struct session *s, struct kept *k, uint64_t leader)
{
    s->routes->starting = k;
    struct op *op = op_create(s, k->id, k->len);
    if (k->waits && !op_may_wait(op)) {
        op_answer(op);
        return;
    }
    if (k->number == HATO__REQUEST__OP_STREAM_OPEN) {
        idmap_put(&s->streams, op->id, op);
        op->streams = true;
    }
    relay_forward(op, leader, bytes_of(k->frame, k->len));
}

static void send_on_its_way(struct session *s, struct kept *k, uint64_t leader)
{
    uint64_t id = k->id;
    uint32_t credit = k->credit;
    struct bytes body = {0};
    struct bytes frame = bytes_of(k->frame, k->len);
    uint32_t number;
    struct route *route = &s->routes->shards[k->shard];
    k->credit = 0;
    if (k->counts) {
        route->proven = route->proven && route->target == leader;
        route->target = leader;
        route->out++;
    }
    bool taken = k->number == HATO__REQUEST__OP_STREAM_OPEN && idmap_find(&s->streams, id) != NULL;
    if (leader == node_birth(node_of(s))->node || taken) {
        s->routes->starting = k;
        bool good = native_look(frame, &id, &number, &body) && native_start(s, id, number, body, frame);
        ASSERT(good && s->routes->starting == NULL); /* is_readable */
    } else {
        forward(s, k, leader);
    }
    if (credit > 0) {
        const Hato__StreamCredit more = {.stream = id, .credit = credit};
        native_stream_credit(s, &more);
    }
}

/* The node to ask now, or 0: the shard has no leader, or those who are out have to come back first. */
static uint64_t target_of(const struct session *s, const struct kept *k)
{
    const struct route *route = &s->routes->shards[k->shard];
    uint64_t leader = node_leader(node_of(s), k->shard);
    return k->counts && route->out > 0 && (route->target != leader || !route->proven) ? 0 : leader;
}

/* Whether the leader will be able to read it: it would end the connection that others of this client's requests are on. */
static bool is_readable(uint32_t number, struct bytes frame)
{
    if (number == HATO__REQUEST__OP_SEND)
        return true; /* read field by field, and refused as a request */
    struct arena arena = {.block = 4096};
    ProtobufCAllocator allocator = native_allocator(&arena);
    bool good = hato__request__unpack(&allocator, frame.len, frame.data) != NULL;
    arena_close(&arena);
    return good;
}

bool route_take(struct session *s, uint64_t id, uint32_t number, struct bytes body, struct bytes frame, bool *good)
{
    uint16_t shard;
    if (!s->routed || is_of_no_shard(number) || !shard_of(s, number, body, &shard))
        return false;
    *good = is_readable(number, frame);
    if (!*good)
        return true;
    struct routes *r = routes_of(s);
    struct kept *k = memory_alloc(sizeof *k + frame.len);
    *k = (struct kept){.id = id,
                       .order = r->arrivals++,
                       .since_ms = now_ms(s),
                       .number = number,
                       .shard = shard,
                       .counts = number != HATO__REQUEST__OP_RECEIVE && number != HATO__REQUEST__OP_STREAM_OPEN,
                       .len = frame.len};
    memcpy(k->frame, frame.data, frame.len);
    k->waits = may_wait(k);
    uint64_t leader = target_of(s, k);
    bool held = leader == 0 || (k->counts && r->shards[shard].held > 0);
    if (held && k->waits && s->waiting >= NATIVE_WAITING_MAX)
        refuse_waiting(s, k);
    else if (held)
        hold(r, k);
    else
        send_on_its_way(s, k, leader);
    return true;
}

/* Each shard's in order: where one has to wait, those behind it do. */
static void on_again(struct alarm *alarm)
{
    struct routes *r = CONTAINER_OF(alarm, struct routes, again);
    struct session *s = r->session;
    struct list_link *next;
    uint64_t last = r->arrivals; /* what comes back while going through is looked at the next time */
    s->op_count++;               /* keeps the session meanwhile */
    for (struct list_link *l = list_first(&r->held); l != NULL; l = next) {
        struct kept *k = CONTAINER_OF(l, struct kept, link);
        next = list_next(&r->held, l);
        if (k->order >= last)
            break;
        if (now_ms(s) - k->since_ms >= ROUTE_WAIT_MS) {
            unhold(r, k);
            refuse_held(s, k);
            continue;
        }
        struct route *route = &r->shards[k->shard];
        uint64_t leader = target_of(s, k);
        if (leader == 0 || route->stuck == last) {
            route->stuck = last;
            continue;
        }
        unhold(r, k);
        send_on_its_way(s, k, leader);
    }
    for (struct list_link *l = list_first(&r->held); l != NULL; l = list_next(&r->held, l))
        r->shards[CONTAINER_OF(l, struct kept, link)->shard].stuck = 0;
    look_again(r);
    s->op_count--;
    session_op_done(s);
}

/* ---------------------------------------------------------------- the client's side */

bool route_credit(struct session *s, uint64_t id, uint32_t credit)
{
    if (s->routes == NULL)
        return false;
    for (struct list_link *l = list_first(&s->routes->held); l != NULL; l = list_next(&s->routes->held, l)) {
        struct kept *k = CONTAINER_OF(l, struct kept, link);
        if (k->id != id || k->number != HATO__REQUEST__OP_STREAM_OPEN)
            continue;
        if (credit > 0) {
            k->credit = credit_add(k->credit, credit);
            return true;
        }
        unhold(s->routes, k);
        struct op *op = op_create(s, k->id, 0);
        memory_free(k);
        native_stream_ended(op, ERR_OK, "");
        op_answer(op);
        return true;
    }
    return false;
}

void route_drained(struct session *s)
{
    if (s->routes != NULL)
        relay_drained(s->routes);
}

void route_gone(struct session *s)
{
    struct routes *r = s->routes;
    if (r == NULL)
        return;
    alarm_clear(&s->ns->alarms, &r->again);
    while (!list_empty(&r->held)) {
        struct kept *k = CONTAINER_OF(list_first(&r->held), struct kept, link);
        unhold(r, k);
        memory_free(k);
    }
    relay_gone(r);
}

void route_free(struct session *s)
{
    memory_free(s->routes);
}

/* ---------------------------------------------------------------- second shards */

void route_ask(struct op *op, uint64_t node, Hato__Request *request)
{
    size_t len = hato__request__get_packed_size(request);
    uint8_t *bytes = arena_alloc(&op->arena, len + 1);
    hato__request__pack(request, bytes);
    routes_of(op->session);
    relay_ask(op, node, bytes_of(bytes, len));
}

void route_visit(struct op *op, uint16_t shard, Hato__Request *request)
{
    struct session *s = op->session;
    uint64_t leader = node_leader(node_of(s), shard);
    if (leader == 0 || leader == node_birth(node_of(s))->node) {
        op_visit(op, shard);
        return;
    }
    route_ask(op, leader, request);
}

void route_visit_queue(struct op *op, struct bytes full_name, Hato__Request *request)
{
    route_visit(op, identity_shard_of(full_name, node_birth(node_of(op->session))->shards), request);
}

/* A seat: a loop, and the shards that live on it, driven through shard.h. */
#include "base/assert.h"
#include "base/memory.h"
#include "cluster/internal.h"

/* ---------------------------------------------------------------- what shards ask of their seat */

static struct place *place_of(struct seat *seat, const struct shard *s)
{
    /* Shard n is the (n / seats)th of its seat. */
    return &seat->inside->places[shard_number(s) / seat->node->seat_count];
}

static void note_known(struct place *p);

static bool tell_function(void *ctx, const struct function_view *f)
{
    struct place *p = ctx;
    const struct node_hooks *hooks = &p->seat->node->options.hooks;
    hooks->function_changed(hooks->ctx, p->seat, p->shard, f->name);
    return true;
}

/* A leader tells of its functions when it begins; who follows the catalog has them from its store. */
static void tell_functions(struct place *p)
{
    if (p->seat->node->options.hooks.function_changed != NULL && p->shard != NULL)
        machine_function_each(shard_machine(p->shard), "", tell_function, p);
}

/* A node by itself knows: it leads what it serves. */
static void note_leader(struct place *p, const struct shard *s)
{
    struct node *n = p->seat->node;
    struct shard_status status;
    if (!n->has_mesh)
        return;
    shard_status(s, &status);
    uint64_t leader = shard_problem(s)[0] != '\0' ? 0 : status.leader;
    if (leader == p->leader)
        return;
    p->leader = leader;
    atomic_store_explicit(&n->leaders[shard_number(s)], leader, memory_order_relaxed);
    TRACE(n->options.trace, TRACE_DEBUG, "shard's leader", trace_u64("shard", shard_number(s)),
          trace_u64("leader", leader), trace_u64("term", status.term));
    if (leader == 0 || leader == n->birth.node)
        return;
    tell_functions(p);
    note_known(p);
}

static void run_turn(struct turn *turn)
{
    struct place *p = CONTAINER_OF(turn, struct place, turn);
    shard_turn(p->shard);
    note_leader(p, p->shard);
    loop_at_turn_end(&p->seat->loop, TURN_WRITE, &p->seat->inside->due_turn);
}

static void ask_turn(void *ctx, struct shard *s)
{
    struct seat *seat = ctx;
    loop_at_turn_end(&seat->loop, TURN_SHARD, &place_of(seat, s)->turn);
}

struct pool_work {
    uv_work_t uv;
    struct work *work;
};

static void work_run(uv_work_t *uv)
{
    struct pool_work *p = uv->data;
    p->work->run(p->work);
}

static void work_done(uv_work_t *uv, int status)
{
    struct pool_work *p = uv->data;
    struct work *w = p->work;
    ASSERT(status == 0);
    memory_free(p);
    w->done(w);
}

static void pool_work(void *ctx, struct work *w)
{
    struct seat *seat = ctx;
    struct pool_work *p = memory_zero(1, sizeof *p);
    p->work = w;
    p->uv.data = p;
    int rc = uv_queue_work(&seat->loop.uv, &p->uv, work_run, work_done);
    ASSERT(rc == 0);
}

static void note_known(struct place *p)
{
    struct node *n = p->seat->node;
    if (p->known)
        return;
    p->known = true;
    if (atomic_fetch_add(&n->known, 1) + 1 != n->birth.shards + 1u)
        return;
    for (unsigned i = 0; i < n->seat_count; i++)
        loop_post(&n->seats[i].loop, &n->seats[i].inside->ready);
}

static void on_ready(struct mail *mail)
{
    struct seat_inside *in = CONTAINER_OF(mail, struct seat_inside, ready);
    struct seat *seat = in->env.ctx;
    struct node_hooks *hooks = &seat->node->options.hooks;
    if (in->step == SEAT_RUNS && hooks->ready != NULL)
        hooks->ready(hooks->ctx, seat);
}

static void leading(void *ctx, struct shard *s, bool leads)
{
    struct seat *seat = ctx;
    struct place *p = place_of(seat, s);
    struct node_hooks *hooks = &seat->node->options.hooks;
    if (hooks->leading != NULL)
        hooks->leading(hooks->ctx, seat, s, leads);
    if (leads)
        note_known(p);
}

static void queue_ready(void *ctx, struct shard *s, uint64_t queue)
{
    struct seat *seat = ctx;
    struct node_hooks *hooks = &seat->node->options.hooks;
    if (hooks->queue_ready != NULL)
        hooks->queue_ready(hooks->ctx, seat, s, queue);
}

static void queue_changed(void *ctx, struct shard *s, uint64_t queue)
{
    struct seat *seat = ctx;
    struct node_hooks *hooks = &seat->node->options.hooks;
    if (hooks->queue_changed != NULL)
        hooks->queue_changed(hooks->ctx, seat, s, queue);
}

static void function_changed(void *ctx, struct shard *s, const char *name)
{
    struct seat *seat = ctx;
    struct node_hooks *hooks = &seat->node->options.hooks;
    if (hooks->function_changed != NULL)
        hooks->function_changed(hooks->ctx, seat, s, name);
}

static void nodes_changed(void *ctx, struct shard *s)
{
    if (shard_number(s) == 0)
        placing_changed(((struct seat *)ctx)->node);
}

struct posted {
    struct mail mail;
    struct node *node;
    uint16_t shard;
    struct task *task;
};

static void run_posted(struct mail *mail)
{
    struct posted *p = CONTAINER_OF(mail, struct posted, mail);
    struct shard *s = p->shard <= p->node->birth.shards ? p->node->shards[p->shard] : NULL;
    p->task->run(p->task, s);
    memory_free(p);
}

static void post(void *ctx, uint16_t number, struct task *t)
{
    struct seat *seat = ctx;
    struct posted *p = memory_zero(1, sizeof *p);
    p->mail.run = run_posted;
    p->node = seat->node;
    p->shard = number;
    p->task = t;
    struct seat *to = number <= seat->node->birth.shards ? node_seat_of(seat->node, number) : seat;
    loop_post(&to->loop, &p->mail);
}

static void shard_stopped(void *ctx, struct shard *s)
{
    struct seat *seat = ctx;
    struct node *n = seat->node;
    struct place *p = place_of(seat, s);
    note_known(p);
    note_leader(p, s);
    if (!log_failed(n->log))
        return;
    struct error e = {0};
    log_failure(n->log, &e);
    node_fail(n, &e);
}

/* ---------------------------------------------------------------- timers */

static void set_due_timer(struct turn *turn)
{
    struct seat_inside *in = CONTAINER_OF(turn, struct seat_inside, due_turn);
    struct seat *seat = in->env.ctx;
    uint64_t least = NEVER;
    for (size_t i = 0; i < in->place_count; i++) {
        uint64_t due = shard_due_in_ms(in->places[i].shard);
        least = due < least ? due : least;
    }
    if (in->step != SEAT_RUNS)
        return;
    if (least == NEVER) {
        uv_timer_stop(&in->due);
        return;
    }
    uv_update_time(&seat->loop.uv);
    uv_timer_start(&in->due, in->on_due, least, 0);
}

static void on_due(uv_timer_t *timer)
{
    struct seat *seat = timer->data;
    struct seat_inside *in = seat->inside;
    for (size_t i = 0; i < in->place_count; i++)
        shard_due(in->places[i].shard);
    loop_at_turn_end(&seat->loop, TURN_WRITE, &in->due_turn);
}

static void look_after(struct seat *seat)
{
    struct seat_inside *in = seat->inside;
    struct node *n = seat->node;
    uint64_t now = uv_now(&seat->loop.uv);
    if (now - in->upkeep_ms < UPKEEP_MS)
        return;
    in->upkeep_ms = now;
    if (seat->number == 0) {
        node_look_at_space(n);
        flush_if_wanted(n);
        placing_found(n);
    }
    for (size_t i = 0; i < in->place_count; i++)
        shard_upkeep(in->places[i].shard);
}

static void go_on_stopping(struct seat *seat);

static void on_tick(uv_timer_t *timer)
{
    struct seat *seat = timer->data;
    struct seat_inside *in = seat->inside;
    bool accept = atomic_load(&seat->node->accepts_sends);
    for (size_t i = 0; i < in->place_count; i++) {
        shard_accept_sends(in->places[i].shard, accept);
        shard_tick(in->places[i].shard);
    }
    if (in->step == SEAT_RUNS)
        look_after(seat);
    else
        go_on_stopping(seat);
}

static void on_log_wake(uv_async_t *wake)
{
    struct seat *seat = wake->data;
    log_port_drain(seat->inside->port);
}

/* ---------------------------------------------------------------- life */

static void on_stop(struct mail *mail)
{
    struct seat_inside *in = CONTAINER_OF(mail, struct seat_inside, stop);
    struct seat *seat = in->env.ctx;
    in->step = SEAT_HANDS_OVER;
    uv_timer_stop(&in->due);
    for (size_t i = 0; i < in->place_count; i++)
        shard_retire(in->places[i].shard);
    go_on_stopping(seat);
}

/* While the lead of a shard is handed over the node still serves. */
static void let_go_if_handed_over(struct seat *seat)
{
    struct seat_inside *in = seat->inside;
    struct node_hooks *hooks = &seat->node->options.hooks;
    for (size_t i = 0; i < in->place_count; i++)
        if (shard_hands_over(in->places[i].shard))
            return;
    in->step = SEAT_LETS_GO;
    if (hooks->stopping != NULL)
        hooks->stopping(hooks->ctx, seat);
    else
        seat_let_go(seat);
}

static void post_all(struct node *n, size_t mail_offset)
{
    for (unsigned i = 0; i < n->seat_count; i++)
        loop_post(&n->seats[i].loop, (struct mail *)(void *)((char *)n->seats[i].inside + mail_offset));
}

/* The last of what was above may have closed inside a reply, that is inside of a shard: the seats go on in turns of their own. */
void seat_let_go(struct seat *seat)
{
    struct node *n = seat->node;
    if (atomic_fetch_add(&n->let_go, 1) + 1 == n->seat_count)
        post_all(n, offsetof(struct seat_inside, rest));
}

static bool is_busy(const struct seat *seat)
{
    const struct seat_inside *in = seat->inside;
    for (size_t i = 0; i < in->place_count; i++)
        if (shard_busy(in->places[i].shard))
            return true;
    if (in->step >= SEAT_TIRES && !in->mesh_closed)
        return true;
    return seat->number == 0 && seat->node->flushing;
}

static void close_seat(struct seat *seat)
{
    struct seat_inside *in = seat->inside;
    struct node_hooks *hooks = &seat->node->options.hooks;
    in->step = SEAT_CLOSED;
    for (size_t i = 0; i < in->place_count; i++) {
        shard_close(in->places[i].shard);
        loop_forget_turn(&seat->loop, TURN_SHARD, &in->places[i].turn);
    }
    loop_forget_turn(&seat->loop, TURN_WRITE, &in->due_turn);
    if (hooks->let_go != NULL)
        hooks->let_go(hooks->ctx, seat);
    uv_close((uv_handle_t *)&in->tick, NULL);
    uv_close((uv_handle_t *)&in->due, NULL);
    uv_close((uv_handle_t *)&in->log_wake, NULL);
    loop_stop(&seat->loop);
}

/* Work that is out has to come back before its shard may go: looked at again with every tick. */
static void go_on_stopping(struct seat *seat)
{
    struct seat_inside *in = seat->inside;
    struct node *n = seat->node;
    if (in->step == SEAT_HANDS_OVER) {
        let_go_if_handed_over(seat);
        return;
    }
    if (is_busy(seat))
        return;
    if (in->step == SEAT_CLOSES) {
        close_seat(seat);
    } else if (in->step == SEAT_TIRES) {
        in->step = SEAT_RESTS;
        if (atomic_fetch_add(&n->resting, 1) + 1 == n->seat_count)
            post_all(n, offsetof(struct seat_inside, close));
    }
}

static void on_rest(struct mail *mail)
{
    struct seat_inside *in = CONTAINER_OF(mail, struct seat_inside, rest);
    in->step = SEAT_TIRES;
    exchange_close(in->env.ctx);
    go_on_stopping(in->env.ctx);
}

static void on_close(struct mail *mail)
{
    struct seat_inside *in = CONTAINER_OF(mail, struct seat_inside, close);
    in->step = SEAT_CLOSES;
    go_on_stopping(in->env.ctx);
}

static void fill_env(struct seat *seat)
{
    struct seat_inside *in = seat->inside;
    in->env = (struct shard_env){
        .ctx = seat,
        .clock = seat->node->clock,
        .ask_turn = ask_turn,
        .work = pool_work,
        .leading = leading,
        .queue_ready = queue_ready,
        .queue_changed = queue_changed,
        .function_changed = function_changed,
        .nodes_changed = nodes_changed,
        .post = post,
        .send = exchange_send,
        .leader = exchange_leader,
        .stopped = shard_stopped,
    };
    in->ready.run = on_ready;
    in->stop.run = on_stop;
    in->rest.run = on_rest;
    in->close.run = on_close;
    in->due_turn.run = set_due_timer;
    in->on_due = on_due;
}

static int open_places(struct seat *seat, struct error *e)
{
    struct seat_inside *in = seat->inside;
    struct node *n = seat->node;
    for (unsigned number = (unsigned)seat->number; number <= n->birth.shards; number += n->seat_count) {
        struct place *p = &in->places[in->place_count];
        p->seat = seat;
        p->turn.run = run_turn;
        struct shard_options o = {.number = (uint16_t)number,
                                  .shards = n->birth.shards,
                                  .node = n->birth.node,
                                  .log = n->log,
                                  .port = in->port,
                                  .store = n->store,
                                  .env = &in->env,
                                  .seed = node_random(),
                                  .catch_up = &n->catch_up,
                                  .trace = n->options.trace};
        o.founders.voters = n->birth.founders;
        int rc = shard_open(&o, &p->shard, e);
        if (rc != ERR_OK)
            return rc;
        if (o.founders.voters.count > 0)
            shard_prefer(p->shard, o.founders.voters.ids[number % o.founders.voters.count]);
        n->shards[number] = p->shard;
        in->place_count++;
    }
    return ERR_OK;
}

static int open_seat(struct node *n, int number, struct error *e)
{
    struct seat *seat = &n->seats[number];
    seat->node = n;
    seat->number = number;
    int rc = loop_open(&seat->loop, number, e);
    if (rc != ERR_OK)
        return rc;
    struct seat_inside *in = memory_zero(1, sizeof *in);
    seat->inside = in;
    fill_env(seat);
    uv_timer_init(&seat->loop.uv, &in->tick);
    uv_timer_init(&seat->loop.uv, &in->due);
    uv_async_init(&seat->loop.uv, &in->log_wake, on_log_wake);
    in->tick.data = in->due.data = in->log_wake.data = seat;
    uv_timer_start(&in->tick, on_tick, SHARD_TICK_MS, SHARD_TICK_MS);
    in->port = node_port_create(n, in);
    in->places = memory_zero(n->birth.shards / n->seat_count + 2, sizeof *in->places);
    struct node_hooks *hooks = &n->options.hooks;
    rc = exchange_open(seat, e);
    if (rc == ERR_OK && hooks->opened != NULL)
        rc = hooks->opened(hooks->ctx, seat, e);
    return rc;
}

int seats_open(struct node *n, struct error *e)
{
    unsigned wanted = n->options.loops > 0 ? n->options.loops : 1;
    n->seats = memory_zero(wanted, sizeof *n->seats);
    for (unsigned i = 0; i < wanted; i++) {
        n->seat_count++;
        int rc = open_seat(n, (int)i, e);
        if (rc != ERR_OK)
            return rc;
    }
    for (unsigned i = 0; i < wanted; i++) {
        int rc = open_places(&n->seats[i], e);
        if (rc != ERR_OK)
            return rc;
    }
    int told = placing_start(n, e);
    if (told != ERR_OK)
        return told;
    for (unsigned i = 0; i < wanted; i++) {
        int rc = exchange_start(&n->seats[i], e);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

int seats_run(struct node *n, struct error *e)
{
    for (unsigned i = 1; i < n->seat_count; i++) {
        int rc = loop_start(&n->seats[i].loop, e);
        if (rc != ERR_OK)
            return rc;
    }
    loop_run(&n->seats[0].loop);
    for (unsigned i = 1; i < n->seat_count; i++)
        loop_join(&n->seats[i].loop);
    n->ran = true;
    if (!n->failed)
        (void)store_flush(n->store, STORE_STATE, NULL); /* a quick start next time, where there is space */
    return ERR_OK;
}

void seat_stop(struct seat *seat)
{
    if (!atomic_exchange(&seat->inside->stop_asked, true))
        loop_post(&seat->loop, &seat->inside->stop);
}

/* After seats_run nothing is left but memory; after a failed seats_open the process is about to end, and what the loops
 * hold goes with it. */
void seats_close(struct node *n)
{
    for (unsigned i = 0; i < n->seat_count; i++) {
        struct seat *seat = &n->seats[i];
        if (seat->inside == NULL || !n->ran)
            continue;
        memory_free(seat->inside->places);
        memory_free(seat->inside);
        loop_close(&seat->loop);
    }
    if (n->ran)
        memory_free(n->seats);
}

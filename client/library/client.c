#include "library/client.h"

#include <signal.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/memory.h"
#include "library/batch.h"
#include "library/call.h"
#include "library/link.h"
#include "library/reach.h"
#include "library/reply.h"
#include "library/request.h"
#include "library/stream.h"

enum {
    WRITE_REQUESTS_MAX = 256, /* frames in one vectored write */
    EXPIRE_PAUSE_MIN_MS = 5,  /* between two looks at all deadlines */
    LISTS = 8,                /* of a client */
};
static const uint64_t WRITE_BYTES_MAX = 8u << 20;

uint64_t client_now(void)
{
    return uv_hrtime() / 1000000;
}

/* ---------------------------------------------------------------- the turn */

static void on_turn(uv_idle_t *handle);

/* An idle handle: it runs in the turn after this callback's, and keeps the loop from waiting until it has. */
void client_wake(struct hato_client *c)
{
    if (c->turn_asked || c->handles_closing)
        return;
    c->turn_asked = true;
    uv_idle_start(&c->turn, on_turn);
}

static struct write *gather(struct hato_client *c)
{
    size_t count = list_count(&c->queued);
    if (count > WRITE_REQUESTS_MAX)
        count = WRITE_REQUESTS_MAX;
    struct write *w = memory_alloc(sizeof *w + count * sizeof(void *));
    w->client = c;
    w->count = 0;
    for (uint64_t bytes = 0; w->count < count && bytes < WRITE_BYTES_MAX;) {
        struct request *r = CONTAINER_OF(list_take(&c->queued), struct request, link);
        bytes += r->frame.len - r->start;
        r->writes++;
        w->requests[w->count++] = r;
        if (r->operation->unanswered) {
            r->state = REQUEST_GONE;
            continue;
        }
        request_sent(c, r);
    }
    return w;
}

/* A broker met after a reconnect may take less than the one the requests were made for. */
static void refuse_too_large(struct hato_client *c)
{
    struct list_link *next = NULL;
    for (struct list_link *l = list_first(&c->queued); l != NULL; l = next) {
        next = list_next(&c->queued, l);
        struct request *r = CONTAINER_OF(l, struct request, link);
        uint64_t bytes = r->frame.len - r->start - 4;
        if (bytes <= c->max_frame_bytes)
            continue;
        struct error e;
        error_set(&e, ERR_TOO_LARGE, "a request of %llu bytes is above the broker's limit of %llu",
                  (unsigned long long)bytes, (unsigned long long)c->max_frame_bytes);
        request_fail(c, r, &e);
        next = list_first(&c->queued); /* callbacks may have changed the list */
    }
}

static void write_out(struct hato_client *c)
{
    if (c->link == NULL || !link_ready(c->link) || c->writing)
        return;
    batch_seal_all(c);
    if (list_empty(&c->queued))
        return;
    c->writing = true;
    link_write(c->link, gather(c));
}

void client_written(struct hato_client *c)
{
    c->writing = false;
    if (!list_empty(&c->queued) || map_count(&c->open) > 0)
        client_wake(c);
}

static void tell_failed(struct hato_client *c)
{
    for (size_t left = list_count(&c->failed); left > 0; left--) {
        struct hato_call *call = CONTAINER_OF(list_take(&c->failed), struct hato_call, link);
        struct error *e = call->failure;
        call->failure = NULL;
        call_finish_error(call, e);
        memory_free(e);
    }
}

static void close_handles(struct hato_client *c);

static void fail_all(struct hato_client *c, const struct error *why)
{
    batch_seal_all(c);
    struct list *lists[] = {&c->sent, &c->queued};
    for (size_t i = 0; i < 2; i++) {
        for (size_t left = list_count(lists[i]); left > 0 && !list_empty(lists[i]); left--)
            request_fail(c, CONTAINER_OF(list_first(lists[i]), struct request, link), why);
    }
}

/* Whatever callbacks start meanwhile is ended in another turn, so that other things on the loop go on. */
static void end_everything(struct hato_client *c)
{
    struct error why;
    error_set(&why, ERR_CLOSED, "the client was closed before the answer came");
    fail_all(c, &why);
    stream_fail_all(c, &why); /* after the calls, whose callbacks may give credit */
    if (list_empty(&c->failed) && list_empty(&c->sent) && list_empty(&c->queued) && map_count(&c->open) == 0 &&
        list_empty(&c->streams))
        close_handles(c);
    else
        client_wake(c);
}

static void on_turn(uv_idle_t *handle)
{
    struct hato_client *c = handle->data;
    c->turn_asked = false;
    uv_idle_stop(&c->turn);
    tell_failed(c);
    if (c->closing) {
        end_everything(c);
        return;
    }
    stream_turn(c);
    write_out(c);
}

/* ---------------------------------------------------------------- deadlines */

static void expire_list(struct hato_client *c, struct list *list, uint64_t now, uint64_t *earliest)
{
    struct list_link *next = NULL;
    for (struct list_link *l = list_first(list); l != NULL; l = next) {
        struct request *r = CONTAINER_OF(l, struct request, link);
        if (r->deadline > now) {
            *earliest = r->deadline < *earliest ? r->deadline : *earliest;
            next = list_next(list, l);
            continue;
        }
        request_expire(c, r, now);
        next = list_first(list); /* callbacks may have changed it; what was seen is not due any more */
    }
}

static void on_timer(uv_timer_t *handle)
{
    struct hato_client *c = handle->data;
    c->timer_at = UINT64_MAX;
    uint64_t now = client_now();
    uint64_t earliest = UINT64_MAX;
    batch_seal_all(c);
    expire_list(c, &c->queued, now, &earliest);
    expire_list(c, &c->sent, now, &earliest);
    stream_expire_all(c, now, &earliest);
    if (c->link != NULL)
        link_look(c->link, now, &earliest);
    if (earliest != UINT64_MAX)
        client_arm(c, earliest > now + EXPIRE_PAUSE_MIN_MS ? earliest : now + EXPIRE_PAUSE_MIN_MS);
    client_wake(c);
}

void client_arm(struct hato_client *c, uint64_t deadline)
{
    if (deadline >= c->timer_at || c->handles_closing)
        return;
    uint64_t now = client_now();
    c->timer_at = deadline;
    uv_update_time(c->loop);
    uv_timer_start(&c->timer, on_timer, deadline > now ? deadline - now : 0, 0);
}

/* ---------------------------------------------------------------- what the link tells */

static void tell_connection(struct hato_client *c, bool connected, const struct error *e)
{
    if (c->options.on_connection == NULL || c->closing)
        return;
    struct hato_error told = {HATO_OK, "", ""};
    if (e != NULL)
        told = (struct hato_error){(int)e->code, e->field, e->message};
    c->in_callbacks++;
    c->options.on_connection(c->options.user, connected, &told);
    c->in_callbacks--;
}

void client_connected(struct hato_client *c)
{
    reach_reached(c);
    batch_seal_all(c);
    refuse_too_large(c);
    stream_wake_all(c);
    client_wake(c);
    tell_connection(c, true, NULL);
}

void client_lost(struct hato_client *c, const struct error *why)
{
    struct error kept = *why;
    bool was_connected = link_ready(c->link);
    c->link = NULL;
    c->writing = false;
    stream_lost_all(c);
    request_requeue_all(c, &kept);
    if (c->closing)
        return;
    reach_lost(c, was_connected, &kept);
    if (was_connected)
        tell_connection(c, false, &kept);
}

void client_unreachable(struct hato_client *c, const struct error *why)
{
    struct error kept = *why;
    uint64_t patience = c->options.first_connect_ms;
    if (!c->reach.ever && patience > 0 && client_now() + 1 >= c->reach.began_ms + patience) {
        fail_all(c, &kept);
        stream_fail_all(c, &kept);
    }
    tell_connection(c, false, &kept);
}

/* ---------------------------------------------------------------- opening and closing */

static char *text_or(const char *text, const char *otherwise)
{
    const char *chosen = text != NULL ? text : otherwise;
    return memory_string(chosen, strlen(chosen));
}

static uint64_t number_or(uint64_t number, uint64_t otherwise)
{
    return number != 0 ? number : otherwise;
}

static void take_options(struct hato_client *c, const struct hato_options *o)
{
    c->options = *o;
    c->name = text_or(o->name, "libhato");
    c->account = text_or(o->account, "");
    c->region = text_or(o->region, "");
    c->options.timeout_ms = number_or(o->timeout_ms, 30000);
    c->options.connect_timeout_ms = number_or(o->connect_timeout_ms, 5000);
    c->options.reconnect_min_ms = number_or(o->reconnect_min_ms, 50);
    c->options.reconnect_max_ms = number_or(o->reconnect_max_ms, 5000);
    c->options.silence_max_ms = number_or(o->silence_max_ms, 20000);
    c->options.pending_bytes_max = number_or(o->pending_bytes_max, 256u << 20);
    c->options.batch_messages_max = (uint32_t)number_or(o->batch_messages_max, CLIENT_MESSAGES_MAX);
    c->options.batch_bytes_max = number_or(o->batch_bytes_max, 128u << 10);
}

static int check_options(struct reach *r, const struct hato_options *o, struct error *e)
{
    if (o->batch_messages_max > CLIENT_MESSAGES_MAX)
        return error_field(e, ERR_INVALID, "batch_messages_max", "batch_messages_max is %u; the limit is %d",
                           o->batch_messages_max, CLIENT_MESSAGES_MAX);
    if (o->reconnect_max_ms != 0 && o->reconnect_max_ms < o->reconnect_min_ms)
        return error_field(e, ERR_INVALID, "reconnect_max_ms", "reconnect_max_ms is below reconnect_min_ms");
    return reach_parse(r, o->server != NULL ? o->server : HATO_DEFAULT_SERVER, e);
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    while (seed == 0) { /* 0 means "none" on the wire */
        if (uv_random(NULL, NULL, &seed, sizeof seed, 0, NULL) != 0)
            seed = uv_hrtime() ^ (uint64_t)uv_os_getpid() << 40;
    }
    return seed;
}

/* libuv writes to a connection that the other side has closed like any other: the default would end the program. */
static void ignore_broken_pipes(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

static void open_handles(struct hato_client *c)
{
    uv_idle_init(c->loop, &c->turn);
    uv_timer_init(c->loop, &c->timer);
    uv_timer_init(c->loop, &c->reach.timer);
    c->turn.data = c;
    c->timer.data = c;
    c->reach.timer.data = c;
    c->timer_at = UINT64_MAX;
    c->handles = 3;
}

struct hato_client *hato_client_create(uv_loop_t *loop, const struct hato_options *options, char *text, size_t size)
{
    static const struct hato_options defaults;
    const struct hato_options *o = options != NULL ? options : &defaults;
    struct hato_client *c = memory_zero(1, sizeof *c);
    struct error e;
    int rc = check_options(&c->reach, o, &e);
    if (rc == ERR_OK && loop == NULL && uv_loop_init(&c->own_loop) != 0)
        rc = error_set(&e, ERR_IO, "cannot make an event loop: out of file descriptors or memory");
    if (rc != ERR_OK) {
        if (text != NULL)
            snprintf(text, size, "%s", e.message);
        memory_free(c);
        return NULL;
    }
    c->owns_loop = loop == NULL;
    c->loop = loop != NULL ? loop : &c->own_loop;
    take_options(c, o);
    ignore_broken_pipes();
    random_open(&c->random, random_seed());
    if (c->options.producer == 0)
        c->options.producer = random_seed();
    c->max_frame_bytes = CLIENT_FRAME_DEFAULT;
    c->next_id = LINK_FIRST_ID;
    c->next_sequence = 1;
    struct list *lists[LISTS] = {&c->queued, &c->sent,    &c->unsettled,     &c->failed,
                                 &c->kept,   &c->streams, &c->dirty_streams, &c->request_pool};
    for (size_t i = 0; i < LISTS; i++)
        list_init(lists[i]);
    open_handles(c);
    reach_begin(c);
    return c;
}

static void free_pools(struct hato_client *c)
{
    for (struct list_link *l; (l = list_take(&c->request_pool)) != NULL;)
        request_free(CONTAINER_OF(l, struct request, link));
    for (struct list_link *l; (l = list_take(&c->kept)) != NULL;) {
        struct hato_call *call = CONTAINER_OF(l, struct hato_call, link);
        hato_reply_destroy(call->reply);
        memory_free(call);
    }
    for (struct hato_call *call; (call = c->call_pool) != NULL;) {
        c->call_pool = call->next;
        memory_free(call);
    }
}

static void on_handle_closed(uv_handle_t *handle);

/* What was asked while the handles closed, each round in a turn of its own: a callback may ask for more. */
static void on_late_turn(uv_idle_t *handle)
{
    struct hato_client *c = handle->data;
    tell_failed(c);
    stream_turn(c);
    if (list_empty(&c->failed) && list_empty(&c->streams))
        uv_close((uv_handle_t *)&c->turn, on_handle_closed);
}

static void open_late_turn(struct hato_client *c)
{
    uv_idle_init(c->loop, &c->turn);
    c->handles = 1;
    uv_idle_start(&c->turn, on_late_turn);
}

static void end_client(struct hato_client *c)
{
    hato_closed_cb closed = c->closed;
    void *user = c->closed_user;
    free_pools(c);
    map_close(&c->open);
    idmap_close(&c->by_id);
    arena_close(&c->arena);
    buffer_close(&c->key);
    memory_free(c->name);
    memory_free(c->account);
    memory_free(c->region);
    memory_free(c->scope);
    if (!c->owns_loop)
        memory_free(c);
    if (closed != NULL)
        closed(user);
}

void client_handle_gone(struct hato_client *c)
{
    ASSERT(c->handles > 0);
    if (--c->handles > 0)
        return;
    if (!list_empty(&c->failed) || !list_empty(&c->streams))
        open_late_turn(c);
    else
        end_client(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
    client_handle_gone(handle->data);
}

static void close_handles(struct hato_client *c)
{
    c->handles_closing = true;
    if (c->link != NULL)
        link_close(c->link);
    c->link = NULL;
    reach_end(c);
    uv_close((uv_handle_t *)&c->turn, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    uv_close((uv_handle_t *)&c->reach.timer, on_handle_closed);
}

static void begin_closing(struct hato_client *c, hato_closed_cb closed, void *user)
{
    ASSERT(!c->closing);
    c->closing = true;
    c->closed = closed;
    c->closed_user = user;
    uv_timer_stop(&c->reach.timer); /* no new try */
    client_wake(c);
}

void hato_client_close(struct hato_client *c, hato_closed_cb closed, void *user)
{
    ASSERT(!c->owns_loop); /* it is destroyed */
    begin_closing(c, closed, user);
}

void hato_client_destroy(struct hato_client *c)
{
    if (c == NULL)
        return;
    ASSERT(c->owns_loop && !c->in_wait && c->in_callbacks == 0);
    begin_closing(c, NULL, NULL);
    uv_run(&c->own_loop, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&c->own_loop) == 0);
    memory_free(c);
}

uv_loop_t *hato_client_loop(struct hato_client *c)
{
    return c->loop;
}

bool hato_client_connected(const struct hato_client *c)
{
    return c->link != NULL && link_ready(c->link);
}

size_t hato_client_pending(const struct hato_client *c)
{
    return c->pending_calls;
}

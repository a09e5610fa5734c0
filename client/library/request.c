#include "library/request.h"

#include "base/assert.h"
#include "base/memory.h"
#include "library/call.h"
#include "library/encode.h"
#include "library/reach.h"
#include "library/stream.h"

enum { POOL_MAX = 64, POOL_FRAME_BYTES_MAX = 2 * 1024 * 1024 };

struct request *request_create(struct hato_client *c, const struct operation *op)
{
    struct list_link *pooled = list_take(&c->request_pool);
    struct request *r = pooled != NULL ? CONTAINER_OF(pooled, struct request, link) : memory_zero(1, sizeof *r);
    struct buffer frame = r->frame;
    struct buffer key = r->key;
    *r = (struct request){.operation = op, .frame = frame, .key = key, .deadline = UINT64_MAX};
    buffer_clear(&r->frame);
    buffer_clear(&r->key);
    r->id = c->next_id++;
    return r;
}

void request_free(struct request *r)
{
    buffer_close(&r->frame);
    buffer_close(&r->key);
    memory_free(r);
}

static void recycle(struct hato_client *c, struct request *r)
{
    if (list_count(&c->request_pool) >= POOL_MAX || r->frame.capacity > POOL_FRAME_BYTES_MAX)
        request_free(r);
    else
        list_prepend(&c->request_pool, &r->link);
}

void request_pack(struct request *r, struct hato_client *c, Hato__Request *message)
{
    message->id = r->id;
    encode_frame(&r->frame, message);
    r->accounted = r->frame.len;
    c->pending_bytes += r->accounted;
}

void request_add_call(struct request *r, struct hato_call *call)
{
    call->request = r;
    call->next = NULL;
    if (r->calls == NULL)
        r->calls = call;
    else
        r->last_call->next = call;
    r->last_call = call;
    if (call->deadline < r->deadline)
        r->deadline = call->deadline;
    client_arm(call->client, call->deadline);
}

void request_queue(struct hato_client *c, struct request *r)
{
    r->state = REQUEST_QUEUED;
    list_append(&c->queued, &r->link);
    if (r->sequence != 0)
        list_append(&c->unsettled, &r->send_link);
    client_wake(c);
}

void request_drop(struct hato_client *c, struct request *r)
{
    ASSERT(r->calls == NULL && r->state != REQUEST_OPEN);
    if (r->state == REQUEST_SENT) {
        list_remove(&c->sent, &r->link);
        idmap_remove(&c->by_id, r->id);
    } else if (r->state == REQUEST_QUEUED) {
        list_remove(&c->queued, &r->link);
    }
    if (list_linked(&r->send_link))
        list_remove(&c->unsettled, &r->send_link);
    r->state = REQUEST_GONE;
    c->pending_bytes -= r->accounted;
    r->accounted = 0;
    if (r->writes == 0)
        recycle(c, r);
}

void request_written(struct hato_client *c, struct request *r)
{
    ASSERT(r->writes > 0);
    if (--r->writes == 0 && r->state == REQUEST_GONE) {
        c->pending_bytes -= r->accounted;
        recycle(c, r);
    }
}

struct hato_call *request_take_calls(struct request *r)
{
    struct hato_call *calls = r->calls;
    for (struct hato_call *call = calls; call != NULL; call = call->next)
        call->request = NULL;
    r->calls = NULL;
    return calls;
}

void request_fail(struct hato_client *c, struct request *r, const struct error *e)
{
    struct hato_call *calls = request_take_calls(r);
    if (r->stream != NULL)
        r->stream->request = NULL;
    request_drop(c, r);
    while (calls != NULL) {
        struct hato_call *call = calls;
        calls = call->next;
        call_finish_error(call, e);
    }
}

/* Takes the calls that are due out of the request, and finds the next deadline among the others. */
static struct hato_call *take_due(struct request *r, uint64_t now)
{
    struct hato_call *due = NULL;
    struct hato_call **due_end = &due;
    struct hato_call **at = &r->calls;
    r->deadline = UINT64_MAX;
    r->last_call = NULL;
    while (*at != NULL) {
        struct hato_call *call = *at;
        if (call->deadline <= now) {
            *at = call->next;
            *due_end = call;
            due_end = &call->next;
            call->next = NULL;
            call->request = NULL;
            continue;
        }
        r->last_call = call;
        r->deadline = call->deadline < r->deadline ? call->deadline : r->deadline;
        at = &call->next;
    }
    return due;
}

static void time_is_up(const struct hato_client *c, const struct hato_call *call, struct error *e)
{
    if (call->cancelled)
        error_set(e, ERR_CANCELLED, "cancelled before the answer came");
    else if (!c->reach.ever) /* nothing was ever sent: no outcome is unknown */
        reach_never(c, call->timeout_ms, e);
    else if (!hato_client_connected(c) && c->reach.error.code != ERR_OK)
        error_set(e, ERR_TIMEOUT, "no answer within %llu ms: %s", (unsigned long long)call->timeout_ms,
                  c->reach.error.message);
    else
        error_set(e, ERR_TIMEOUT, "no answer within %llu ms", (unsigned long long)call->timeout_ms);
}

void request_expire(struct hato_client *c, struct request *r, uint64_t now)
{
    struct hato_call *due = take_due(r, now);
    bool brings_messages = r->operation->request == HATO__REQUEST__OP_RECEIVE && r->state == REQUEST_SENT;
    if (r->calls == NULL && !brings_messages)
        request_drop(c, r);
    while (due != NULL) {
        struct hato_call *call = due;
        due = call->next;
        struct error e;
        time_is_up(c, call, &e);
        call_finish_error(call, &e);
    }
}

static bool waits(const struct request *r)
{
    return r->operation->request == HATO__REQUEST__OP_RECEIVE && r->calls != NULL;
}

void request_sent(struct hato_client *c, struct request *r)
{
    r->state = REQUEST_SENT;
    list_append(&c->sent, &r->link);
    idmap_put(&c->by_id, r->id, r);
    if (waits(r))
        call_begin_anew(r->calls);
}

/* A receive waits anew on the next connection, but not for ever on ones that are lost again and again. */
static void wait_anew(struct request *r)
{
    struct hato_call *call = r->calls;
    if (!waits(r))
        return;
    if (call->waits_end == 0 && call->deadline != UINT64_MAX)
        call->waits_end = call->deadline + call->grace_ms + call->timeout_ms;
    call_begin_anew(call);
}

/* What was not written yet of streams that are gone with the connection. */
static void drop_unanswered(struct hato_client *c)
{
    struct list_link *next = NULL;
    for (struct list_link *l = list_first(&c->queued); l != NULL; l = next) {
        next = list_next(&c->queued, l);
        struct request *r = CONTAINER_OF(l, struct request, link);
        if (r->operation->unanswered)
            request_drop(c, r);
    }
}

void request_requeue_all(struct hato_client *c, const struct error *why)
{
    struct error unknown;
    error_set(&unknown, ERR_UNKNOWN_OUTCOME,
              "the connection was lost before the answer came (%.200s): look whether it was done", why->message);
    drop_unanswered(c);
    struct list failing;
    list_init(&failing);
    for (struct list_link *l; (l = list_last(&c->sent)) != NULL;) { /* from the last, each before those before */
        struct request *r = CONTAINER_OF(l, struct request, link);
        list_remove(&c->sent, l);
        idmap_remove(&c->by_id, r->id);
        r->state = REQUEST_QUEUED;
        if (r->calls != NULL && r->operation->repeatable) {
            r->repeated = true;
            wait_anew(r);
            list_prepend(&c->queued, l);
        } else {
            list_prepend(&failing, l);
        }
    }
    for (struct list_link *l; (l = list_take(&failing)) != NULL;) {
        list_append(&c->queued, l); /* where request_fail looks for it */
        request_fail(c, CONTAINER_OF(l, struct request, link), &unknown);
    }
}

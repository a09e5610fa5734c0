#include "library/call.h"

#include "base/assert.h"
#include "base/memory.h"
#include "library/reply.h"
#include "library/request.h"

static uint64_t deadline_of(const struct hato_call *call)
{
    bool waits = call->request != NULL && call->request->state == REQUEST_SENT;
    return call->timeout_ms == 0 ? UINT64_MAX : client_now() + (waits ? call->grace_ms : 0) + call->timeout_ms;
}

struct hato_call *call_create(struct hato_client *c, hato_done_cb done, void *user)
{
    struct hato_call *call = c->call_pool;
    if (call != NULL)
        c->call_pool = call->next;
    else
        call = memory_alloc(sizeof *call);
    *call = (struct hato_call){.client = c, .done = done, .user = user, .timeout_ms = c->options.timeout_ms};
    call->deadline = deadline_of(call);
    c->pending_calls++;
    return call;
}

static void call_free(struct hato_call *call)
{
    call->next = call->client->call_pool;
    call->client->call_pool = call;
}

void call_fail(struct hato_call *call, const struct error *e)
{
    ASSERT(call->failure == NULL && e->code != ERR_OK);
    call->request = NULL;
    call->failure = memory_alloc(sizeof *call->failure);
    *call->failure = *e;
    list_append(&call->client->failed, &call->link);
    client_wake(call->client);
}

void call_finish(struct hato_call *call, const struct hato_reply *reply)
{
    struct hato_client *c = call->client;
    call->request = NULL;
    call->next = NULL;
    c->pending_calls--;
    if (call->done == NULL) {
        call->reply = hato_reply_keep(reply);
        list_append(&c->kept, &call->link);
        return;
    }
    c->in_callbacks++;
    call->done(call->user, reply);
    c->in_callbacks--;
    call_free(call);
}

void call_finish_error(struct hato_call *call, const struct error *e)
{
    struct reply_view v;
    reply_view_error(&v, e);
    call_finish(call, &v.reply);
}

static void call_due(struct hato_call *call, uint64_t deadline)
{
    struct request *r = call->request;
    call->deadline = deadline;
    if (r == NULL)
        return;
    bool alone = r->calls == call && call->next == NULL;
    if (alone || deadline < r->deadline)
        r->deadline = deadline;
    client_arm(call->client, deadline);
}

void call_begin_anew(struct hato_call *call)
{
    if (call->cancelled)
        return;
    uint64_t deadline = deadline_of(call);
    call_due(call, call->waits_end != 0 && call->waits_end < deadline ? call->waits_end : deadline);
}

void hato_call_timeout(struct hato_call *call, uint64_t timeout_ms)
{
    call->timeout_ms = timeout_ms;
    call_due(call, deadline_of(call));
}

void hato_call_cancel(struct hato_call *call)
{
    call->cancelled = true;
    call_due(call, 0);
}

struct hato_reply *hato_wait(struct hato_call *call)
{
    struct hato_client *c = call->client;
    ASSERT(c->owns_loop && call->done == NULL && !c->in_wait && c->in_callbacks == 0);
    c->in_wait = true;
    while (call->reply == NULL)
        uv_run(c->loop, UV_RUN_ONCE);
    c->in_wait = false;
    list_remove(&c->kept, &call->link);
    struct hato_reply *reply = call->reply;
    call_free(call);
    return reply;
}

void hato_ignore(void *user, const struct hato_reply *reply)
{
    (void)user;
    (void)reply;
}

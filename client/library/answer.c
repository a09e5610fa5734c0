#include "library/answer.h"

#include "base/assert.h"
#include "library/call.h"
#include "library/decode.h"
#include "library/reach.h"
#include "library/reply.h"
#include "library/stream.h"

/* The results of a send, or the codes of a settlement, to the calls they belong to. */
static void finish_batch(struct hato_call *calls, const struct hato_sent *sent, const int *codes)
{
    ASSERT((sent != NULL) != (codes != NULL));
    while (calls != NULL) {
        struct hato_call *call = calls;
        calls = call->next;
        struct reply_view part;
        reply_view_open(&part, NULL);
        for (uint32_t i = call->first; i < call->first + call->count && part.reply.error.code == HATO_OK; i++) {
            if (sent != NULL)
                part.reply.error = sent[i].error;
            else if (codes[i] != HATO_OK)
                part.reply.error = (struct hato_error){codes[i], "", hato_code_text(codes[i])};
        }
        part.reply.sent = sent != NULL ? sent + call->first : NULL;
        part.reply.sent_count = sent != NULL ? call->count : 0;
        part.reply.codes = codes != NULL ? codes + call->first : NULL;
        part.reply.code_count = codes != NULL ? call->count : 0;
        call_finish(call, &part.reply);
    }
}

/* All codes of a settlement or cancel, in the arena; NULL when their number is wrong. */
static int *expand_codes(struct hato_client *c, const struct request *r, const Hato__Code *in, size_t count)
{
    if (count != 0 && count != r->items)
        return NULL;
    int *codes = arena_alloc(&c->arena, sizeof *codes * (r->items + 1));
    for (uint32_t i = 0; i < r->items; i++) {
        codes[i] = count > 0 ? (int)in[i] : HATO_OK;
        if (r->repeated && codes[i] != HATO_OK && codes[i] == r->operation->gone)
            codes[i] = r->operation->gone_means;
    }
    return codes;
}

static bool malformed(struct error *e, const struct request *r, const char *how)
{
    error_set(e, ERR_PROTOCOL, "the broker's answer to %s %s", r->operation->name, how);
    return false;
}

static void finish_refused(struct hato_client *c, struct request *r, const Hato__Error *in)
{
    struct reply_view v;
    reply_view_open(&v, NULL);
    v.reply.error = decode_error(in);
    if (r->repeated && r->operation->gone != 0 && v.reply.error.code == r->operation->gone) {
        v.reply.error.code = r->operation->gone_means;
        if (v.reply.error.code == HATO_OK)
            v.reply.error = (struct hato_error){HATO_OK, "", ""};
    }
    struct hato_call *calls = request_take_calls(r);
    request_drop(c, r);
    while (calls != NULL) {
        struct hato_call *call = calls;
        calls = call->next;
        call_finish(call, &v.reply);
    }
}

static bool finish_shared(struct hato_client *c, struct request *r, const Hato__Reply *reply, struct error *e)
{
    const struct hato_sent *sent = NULL;
    const int *codes = NULL;
    if (reply->op_case == HATO__REPLY__OP_SEND) {
        if (reply->send->n_results != r->items)
            return malformed(e, r, "has a wrong number of results");
        sent = decode_sent(&c->arena, reply->send);
    } else {
        bool settle = reply->op_case == HATO__REPLY__OP_SETTLE;
        codes = expand_codes(c, r, settle ? reply->settle->codes : reply->cancel->codes,
                             settle ? reply->settle->n_codes : reply->cancel->n_codes);
        if (codes == NULL)
            return malformed(e, r, "has a wrong number of results");
    }
    struct hato_call *calls = request_take_calls(r);
    request_drop(c, r);
    finish_batch(calls, sent, codes);
    return true;
}

static void finish_single(struct hato_client *c, struct request *r, const Hato__Reply *reply)
{
    struct hato_call *call = request_take_calls(r);
    if (call == NULL && reply->op_case == HATO__REPLY__OP_RECEIVE)
        stream_give_back(c, (const char *)r->key.data, reply->receive);
    request_drop(c, r);
    if (call == NULL)
        return;
    struct reply_view v;
    reply_view_open(&v, &c->arena);
    decode_reply(&c->arena, c->scope, &v.reply, reply);
    call_finish(call, &v.reply);
}

static bool answer(struct hato_client *c, struct request *r, const Hato__Reply *reply, struct error *e)
{
    if (r->stream != NULL && reply->error != NULL)
        stream_over(r->stream, reply->error);
    else if (r->stream != NULL && reply->op_case == HATO__REPLY__OP_STREAM_DELIVERY)
        stream_deliver(r->stream, reply->stream_delivery);
    else if (r->stream != NULL && reply->op_case == HATO__REPLY__OP_STREAM_END)
        stream_over(r->stream, reply->stream_end->error);
    else if (reply->error != NULL)
        finish_refused(c, r, reply->error);
    else if (reply->op_case != r->operation->reply || r->stream != NULL)
        return malformed(e, r, "is of another kind");
    else if (reply->op_case == HATO__REPLY__OP_SEND || reply->op_case == HATO__REPLY__OP_SETTLE ||
             reply->op_case == HATO__REPLY__OP_CANCEL)
        return finish_shared(c, r, reply, e);
    else
        finish_single(c, r, reply);
    return true;
}

static int refusal(const Hato__Reply *reply)
{
    const Hato__Error *e = reply->error;
    if (e == NULL && reply->op_case == HATO__REPLY__OP_STREAM_END)
        e = reply->stream_end->error;
    return e != NULL ? (int)e->code : HATO_OK;
}

/* What the answer tells about the broker's node; false: it is to be left, `e` says why. A ping and its status a node answers by
 * itself, cut off or not. */
static bool judge(struct hato_client *c, const struct request *r, const Hato__Reply *reply, struct error *e)
{
    if (refusal(reply) == HATO_NOT_LEADER)
        return !reach_undecided(c, r->id, e);
    Hato__Request__OpCase asked = r->operation->request;
    reach_answered(c, asked != HATO__REQUEST__OP_PING && asked != HATO__REQUEST__OP_STATUS &&
                          asked != HATO__REQUEST__OP_CLUSTER_STATUS);
    return true;
}

bool answer_frame(struct hato_client *c, struct bytes frame, struct error *e)
{
    struct error undecided;
    Hato__Reply *reply = decode_unpack(&c->arena, frame);
    bool ok = reply != NULL;
    if (!ok) {
        error_set(e, ERR_PROTOCOL, "the broker sent a frame that is not a reply");
    } else if (reply->id == 0) {
        struct hato_error told = decode_error(reply->error);
        error_set(e, told.code > 0 && told.code < ERR_CODE_MAX ? (enum error_code)told.code : ERR_PROTOCOL, "%s",
                  told.message);
        ok = false;
    } else {
        struct request *r = idmap_find(&c->by_id, reply->id);
        if (r != NULL) { /* else its time was up */
            bool stay = judge(c, r, reply, &undecided);
            ok = answer(c, r, reply, e);
            if (ok && !stay)
                *e = undecided;
            ok = ok && stay;
        }
    }
    arena_reset(&c->arena);
    return ok;
}

#include "protocol/native_survey.h"

#include "base/assert.h"
#include "protocol/native_route.h"

static void one_less(struct survey *s)
{
    if (--s->out > 0)
        return;
    alarm_clear(&s->op->session->ns->alarms, &s->late);
    s->done(s);
}

static void on_answer(struct op *asking)
{
    struct survey_node *at = asking->extra;
    struct survey *s = at->survey;
    const Hato__Reply *reply = NULL;
    ProtobufCAllocator allocator = native_allocator(&s->op->arena); /* its texts stay */
    at->asking = NULL;
    if (asking->error.code == ERR_OK)
        reply = hato__reply__unpack(&allocator, asking->answered.len, asking->answered.data);
    if (asking->error.code == ERR_OK && reply == NULL)
        error_set(&asking->error, ERR_PROTOCOL, "its answer can't be read");
    s->answered(s, at->about, reply, &asking->error);
    op_free(asking);
    one_less(s);
}

static void on_late(struct alarm *alarm)
{
    struct survey *s = CONTAINER_OF(alarm, struct survey, late);
    s->out++;
    for (unsigned i = 0; i < s->count; i++) {
        struct op *asking = s->nodes[i].asking;
        if (asking == NULL)
            continue;
        relay_forget(asking);
        op_fail(asking, ERR_TIMEOUT, "", "it gave no answer within %d s", SURVEY_WAIT_MS / 1000);
        on_answer(asking);
    }
    one_less(s);
}

void survey_open(struct survey *s, struct op *op)
{
    s->op = op;
    s->count = 0;
    s->out = 1;
    alarm_set(&op->session->ns->alarms, &s->late, SURVEY_WAIT_MS, on_late);
}

void survey_ask(struct survey *s, uint64_t node, unsigned about, Hato__Request *request)
{
    ASSERT(s->count < SURVEY_NODES_MAX);
    struct survey_node *at = &s->nodes[s->count++];
    *at = (struct survey_node){.survey = s, .node = node, .about = about};
    if (relay_is_late(s->op->session, node)) {
        struct error e;
        error_set(&e, ERR_TIMEOUT, "it still owes an answer to an earlier question");
        s->answered(s, about, NULL, &e);
        return;
    }
    at->asking = op_create(s->op->session, 0, 0);
    at->asking->extra = at;
    at->asking->always_home = on_answer;
    s->out++;
    route_ask(at->asking, node, request);
}

void survey_close(struct survey *s)
{
    one_less(s);
}

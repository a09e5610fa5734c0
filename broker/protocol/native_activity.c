/* How deliveries to functions go: added up over the seats of a node, and over nodes, which ask each other with FunctionActivity. */
#include "command/check.h"
#include "protocol/native_describe.h"

/* ---------------------------------------------------------------- adding up */

/* Both newest first. */
static void merge_attempts(struct arena *a, Hato__FunctionInfo *info, Hato__Attempt **more, size_t count)
{
    size_t most = info->n_attempts + count < DESCRIBE_ATTEMPTS_MAX ? info->n_attempts + count : DESCRIBE_ATTEMPTS_MAX;
    Hato__Attempt **merged = arena_alloc(a, (most + 1) * sizeof *merged);
    for (size_t i = 0, ours = 0, theirs = 0; i < most; i++) {
        bool from_ours = theirs == count ||
                         (ours < info->n_attempts && info->attempts[ours]->started_ms >= more[theirs]->started_ms);
        merged[i] = from_ours ? info->attempts[ours++] : more[theirs++];
    }
    info->attempts = merged;
    info->n_attempts = most;
}

static void add(struct describing *x, struct described *d, const struct function_activity *act)
{
    Hato__FunctionInfo *info = d->info;
    bool quiet = strcmp(info->state, "idle") == 0 || strcmp(info->state, "paused") == 0;
    if (quiet || strcmp(act->state, "open") == 0 || strcmp(act->state, "gone") == 0)
        info->state = (char *)(uintptr_t)act->state;
    info->in_flight += act->in_flight;
    info->window += act->window;
    info->delivered_total += act->delivered_total;
    info->failed_total += act->failed_total;
    if (act->last_error[0] != '\0')
        info->last_error = (char *)(uintptr_t)act->last_error;
    if (act->retry_at_ms > info->retry_at_ms)
        info->retry_at_ms = act->retry_at_ms;
    if (x->attempts)
        merge_attempts(&x->op->arena, info, act->attempts, act->attempt_count);
    d->known = true;
}

void activity_of_seat(struct describing *x, struct seat *seat)
{
    const struct native_services *services = x->op->session->ns->native->services;
    if (services == NULL || services->function_activity == NULL)
        return;
    for (size_t i = 0; i < x->count; i++) {
        struct function_activity act = {0};
        services->function_activity(services->ctx, seat, x->all[i].name, &x->op->arena, &act);
        if (act.known)
            add(x, &x->all[i], &act);
    }
}

/* ---------------------------------------------------------------- of other nodes */

static void add_told(struct describing *x, const Hato__FunctionInfo *told)
{
    const struct session *s = x->op->session;
    char full[2 * IDENTITY_NAME_MAX];
    snprintf(full, sizeof full, "%s%s", s->prefix, told->name);
    struct described *d = map_find(&x->by_name, bytes_text(full));
    struct function_activity act = {
        .state = told->state,
        .in_flight = told->in_flight,
        .window = told->window,
        .delivered_total = told->delivered_total,
        .failed_total = told->failed_total,
        .retry_at_ms = told->retry_at_ms,
        .last_error = told->last_error,
        .attempts = told->attempts,
        .attempt_count = told->n_attempts,
    };
    if (d != NULL)
        add(x, d, &act);
}

/* What node `i` leads lacks what it knows. */
static void lacks(struct describing *x, unsigned i)
{
    for (size_t k = 0; k < x->count; k++)
        x->all[k].info->partial = x->all[k].info->partial || (x->all[k].nodes >> i & 1) != 0;
}

static void on_answer(struct survey *s, unsigned i, const Hato__Reply *reply, const struct error *why)
{
    struct describing *x = CONTAINER_OF(s, struct describing, survey);
    (void)why;
    if (reply == NULL || reply->op_case != HATO__REPLY__OP_FUNCTIONS) {
        lacks(x, i);
        return;
    }
    for (size_t k = 0; k < reply->functions->n_functions; k++)
        add_told(x, reply->functions->functions[k]);
}

static void on_done(struct survey *s)
{
    describe_reply(s->op);
}

static void ask(struct describing *x, unsigned i)
{
    Hato__FunctionActivity activity = HATO__FUNCTION_ACTIVITY__INIT;
    Hato__Request request = HATO__REQUEST__INIT;
    activity.names = arena_alloc(&x->op->arena, x->count * sizeof *activity.names);
    for (size_t k = 0; k < x->count; k++)
        if ((x->all[k].nodes >> i & 1) != 0)
            activity.names[activity.n_names++] = x->all[k].info->name;
    request.op_case = HATO__REQUEST__OP_FUNCTION_ACTIVITY;
    request.function_activity = &activity;
    survey_ask(&x->survey, x->nodes[i], i, &request);
}

void activity_of_others(struct describing *x)
{
    long_ended(x->op); /* what is left is waiting */
    survey_open(&x->survey, x->op);
    x->survey.answered = on_answer;
    x->survey.done = on_done;
    for (unsigned i = 0; i < x->node_count; i++)
        ask(x, i);
    survey_close(&x->survey);
}

/* ---------------------------------------------------------------- asked by another node */

static void reply_known(struct op *op)
{
    struct describing *x = op->extra;
    Hato__Reply reply = HATO__REPLY__INIT;
    Hato__FunctionListReply list = HATO__FUNCTION_LIST_REPLY__INIT;
    list.functions = arena_alloc(&op->arena, x->count * sizeof *list.functions);
    for (size_t i = 0; i < x->count; i++)
        if (x->all[i].known)
            list.functions[list.n_functions++] = x->all[i].info;
    reply.op_case = HATO__REPLY__OP_FUNCTIONS;
    reply.functions = &list;
    op_reply(op, &reply);
    op_answer(op);
}

static void seat_at(struct op *op, struct shard *s)
{
    activity_of_seat(op->extra, node_seat_of(op->session->ns->native->node, shard_number(s)));
    op_return(op);
}

/* The first shard of each seat is where one finds it. */
static void next_seat(struct op *op)
{
    struct describing *x = op->extra;
    struct node *n = op->session->ns->native->node;
    if (x->shard >= node_seats(n) || x->shard > node_birth(n)->shards) {
        reply_known(op);
        return;
    }
    op->at = seat_at;
    op->home = next_seat;
    long_visit(op, x->shard++);
}

static bool add_name(struct describing *x, const char *name)
{
    struct described *d = &x->all[x->count++];
    d->name = op_function_name(x->op, name, "names");
    d->info = arena_alloc(&x->op->arena, sizeof *d->info);
    hato__function_info__init(d->info);
    d->info->name = (char *)(uintptr_t)name;
    d->info->state = (char *)(uintptr_t) "idle";
    return d->name != NULL;
}

void native_function_activity(struct op *op)
{
    const Hato__FunctionActivity *a = op->request->function_activity;
    if (a->n_names == 0 || a->n_names > CHECK_BATCH_MAX) {
        op_fail(op, ERR_INVALID, "names", "there are %zu names; there must be 1 to %d", a->n_names, CHECK_BATCH_MAX);
        op_answer(op);
        return;
    }
    op_weigh(op, a->n_names * (size_t)DESCRIBED_BYTES);
    struct describing *x = describe_begin(op, (uint32_t)a->n_names);
    x->attempts = a->n_names == 1;
    for (size_t i = 0; i < a->n_names; i++) {
        if (!add_name(x, a->names[i])) {
            op_answer(op);
            return;
        }
    }
    next_seat(op);
}

/* Functions and their bindings. The catalog (shard 0) keeps functions; a queue keeps its binding. */
#include "command/check.h"
#include "proto/command.pb-c.h"
#include "protocol/native_describe.h"
#include "protocol/native_route.h"
#include "state/settings.h"

/* ---------------------------------------------------------------- showing */

static bool catalog_leads(struct op *op, struct shard *s)
{
    if (shard_leads(s))
        return true;
    op_fail(op, ERR_NOT_LEADER, "", "this node does not lead the catalog now; retry");
    return false;
}

/* The function of the op's extra name, which is then described. */
static void describe_one(struct op *op, const char *name)
{
    struct function_view f;
    if (!machine_function_find(shard_machine(op->shard), name, &f)) {
        op_fail(op, ERR_NOT_FOUND, "function",
                "there is no function '%s'; create it first (hato function create %s --url URL)", short_name(name),
                short_name(name));
        op_return(op);
        return;
    }
    struct describing *x = describe_begin(op, 1);
    bool shows = op->request->op_case == HATO__REQUEST__OP_FUNCTION_SHOW;
    x->attempts = shows;
    describe_add(x, &f);
    if (!shows)
        unsent_hold(op, arena_bytes(&op->arena));
    else if (!unsent_take(op, arena_bytes(&op->arena)))
        describe_close(x); /* nobody describes it */
    op->home = shows && op->request->function_show->brief ? describe_reply : describe_home;
    op_return(op);
}

static void show_at(struct op *op, struct shard *s)
{
    if (!catalog_leads(op, s)) {
        op_return(op);
        return;
    }
    describe_one(op, op->extra);
}

void native_function_show(struct op *op)
{
    op->extra = (void *)(uintptr_t)op_function_name(op, op->request->function_show->name, "name");
    if (op->extra == NULL) {
        op_answer(op);
        return;
    }
    op->at = show_at;
    op_visit(op, 0);
}

enum { LIST_BYTES_MAX = 16 * 1024 * 1024 }; /* of a page: where it is reached, the next one goes on */

static bool list_one(void *ctx, const struct function_view *f)
{
    struct describing *x = ctx;
    const struct session *s = x->op->session;
    if (strncmp(f->name, s->prefix, s->prefix_len) != 0)
        return strcmp(f->name, s->prefix) < 0;
    if (x->count == x->max || x->bytes >= x->bytes_max) {
        x->next = x->all[x->count - 1].info->name;
        return false;
    }
    describe_add(x, f);
    return true;
}

static void list_at(struct op *op, struct shard *s)
{
    struct describing *x = op->extra;
    const char *after = op->request->function_list->after;
    char from[2 * IDENTITY_NAME_MAX];
    snprintf(from, sizeof from, "%s%s", op->session->prefix, after);
    if (catalog_leads(op, s))
        machine_function_each(shard_machine(s), from, list_one, x);
    if (!unsent_take(op, arena_bytes(&op->arena)))
        describe_close(x); /* nobody describes them */
    op_return(op);
}

void native_function_list(struct op *op)
{
    const Hato__FunctionList *l = op->request->function_list;
    if (l->max > CHECK_BATCH_MAX || strlen(l->after) > IDENTITY_FUNCTION_MAX) {
        op_fail(op, ERR_INVALID, "max", "max is %u; it must be 1 to %d, and after a function's name", l->max,
                CHECK_BATCH_MAX);
        op_answer(op);
        return;
    }
    uint32_t max = l->max == 0 ? 100 : l->max;
    op_weigh(op, max * (size_t)DESCRIBED_BYTES);
    describe_begin(op, max)->bytes_max = unsent_reply_max(op->session->ns->native, LIST_BYTES_MAX);
    op->at = list_at;
    op->home = describe_home;
    long_visit(op, 0);
}

/* ---------------------------------------------------------------- creating and changing */

static void on_written(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    if (reply->code != ERR_OK) {
        op_refused(op, reply);
        op_return(op);
        return;
    }
    describe_one(op, op->extra);
}

static void create_at(struct op *op, struct shard *s)
{
    Hato__Log__FunctionCreate create = HATO__LOG__FUNCTION_CREATE__INIT;
    create.name = op->extra;
    create.settings = op->request->function_create->settings;
    native_submit(op, s, COMMAND_FUNCTION_CREATE, &create.base, on_written);
}

static void set_at(struct op *op, struct shard *s)
{
    Hato__Log__FunctionSet set = HATO__LOG__FUNCTION_SET__INIT;
    set.name = op->extra;
    set.settings = op->request->function_set->settings;
    native_submit(op, s, COMMAND_FUNCTION_SET, &set.base, on_written);
}

static void write_function(struct op *op, const char *name, const Hato__FunctionSettings *settings,
                           void (*at)(struct op *, struct shard *))
{
    op->extra = (void *)(uintptr_t)op_function_name(op, name, "name");
    if (op->extra == NULL || (settings != NULL && settings_function_check(settings, &op->error) != ERR_OK)) {
        op_answer(op);
        return;
    }
    op->at = at;
    op_visit(op, 0);
}

void native_function_create(struct op *op)
{
    const Hato__FunctionCreate *c = op->request->function_create;
    write_function(op, c->name, c->settings, create_at);
}

void native_function_set(struct op *op)
{
    const Hato__FunctionSet *c = op->request->function_set;
    write_function(op, c->name, c->settings, set_at);
}

/* ---------------------------------------------------------------- deleting: not while a queue is bound */

struct deleting {
    const char *name;
    const char *queue; /* bound to it */
    uint16_t shard;
    struct op *op;
};

static bool find_bound(void *ctx, const struct queue_view *q)
{
    struct deleting *x = ctx;
    const char *function = q->settings->binding_function;
    if (function == NULL || strcmp(function, x->name) != 0)
        return true;
    x->queue = op_text(x->op, short_name(q->name));
    return false;
}

static void look_at(struct op *op, struct shard *s)
{
    struct deleting *x = op->extra;
    machine_queue_each(shard_machine(s), "", find_bound, x);
    if (x->queue != NULL)
        op_fail(op, ERR_CONFLICT, "name", "queue '%s' is bound to the function: unbind it first (hato unbind %s)",
                x->queue, x->queue);
    op_return(op);
}

static void on_deleted(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    if (reply->code != ERR_OK) {
        op_refused(op, reply);
    } else {
        Hato__Empty empty = HATO__EMPTY__INIT;
        Hato__Reply out = HATO__REPLY__INIT;
        out.op_case = HATO__REPLY__OP_EMPTY;
        out.empty = &empty;
        op_reply(op, &out);
    }
    op_return(op);
}

static void delete_at(struct op *op, struct shard *s)
{
    struct deleting *x = op->extra;
    Hato__Log__FunctionDelete command = HATO__LOG__FUNCTION_DELETE__INIT;
    command.name = (char *)(uintptr_t)x->name;
    native_submit(op, s, COMMAND_FUNCTION_DELETE, &command.base, on_deleted);
}

static void look_home(struct op *op)
{
    struct deleting *x = op->extra;
    bool more = x->shard <= node_birth(op->session->ns->native->node)->shards;
    op->at = more ? look_at : delete_at;
    op->home = more ? look_home : NULL;
    long_visit(op, more ? x->shard++ : 0);
}

void native_function_delete(struct op *op)
{
    struct deleting *x = op_extra(op, sizeof *x);
    x->op = op;
    x->shard = 1;
    x->name = op_function_name(op, op->request->function_delete->name, "name");
    if (x->name == NULL)
        op_answer(op);
    else
        look_home(op);
}

/* ---------------------------------------------------------------- binding */

struct binding {
    const char *queue;
    const char *function; /* "" unbinds */
    Hato__BindingSettings *settings;
};

static void on_bound(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    struct binding *x = op->extra;
    struct queue_view q;
    if (reply->code != ERR_OK) {
        op_refused(op, reply);
    } else if (op_find_queue(op, x->queue, &q)) {
        Hato__Reply out = HATO__REPLY__INIT;
        out.op_case = HATO__REPLY__OP_QUEUE;
        out.queue = encode_queue_info(&op->arena, shard_machine(op->shard), &q, NULL);
        op_reply(op, &out);
        unsent_hold(op, op->frame.len);
    }
    op_return(op);
}

static void bind_at(struct op *op, struct shard *s)
{
    struct binding *x = op->extra;
    struct queue_view q;
    if (!op_find_queue(op, x->queue, &q)) {
        op_return(op);
        return;
    }
    Hato__QueueSettings settings = HATO__QUEUE_SETTINGS__INIT;
    settings.binding_function = (char *)(uintptr_t)x->function;
    settings.binding = x->function[0] != '\0' ? x->settings : NULL;
    Hato__Log__QueueSet set = HATO__LOG__QUEUE_SET__INIT;
    set.has_queue = true;
    set.queue = q.id;
    set.settings = &settings;
    native_submit(op, s, COMMAND_QUEUE_SET, &set.base, on_bound);
}

static void bind_home(struct op *op)
{
    struct binding *x = op->extra;
    op->at = bind_at;
    op->home = NULL;
    op_visit_queue(op, bytes_text(x->queue));
}

static void function_at(struct op *op, struct shard *s)
{
    struct binding *x = op->extra;
    struct function_view f;
    if (catalog_leads(op, s) && !machine_function_find(shard_machine(s), x->function, &f))
        op_fail(op, ERR_NOT_FOUND, "function",
                "there is no function '%s'; create it first (hato function create %s --url URL)",
                short_name(x->function), short_name(x->function));
    op_return(op);
}

void native_bind(struct op *op)
{
    const Hato__Bind *b = op->request->bind;
    struct binding *x = op_extra(op, sizeof *x);
    x->settings = b->settings;
    x->queue = op_queue_name(op, b->queue, "queue");
    x->function = x->queue != NULL ? op_function_name(op, b->function, "function") : NULL;
    if (x->function == NULL || (b->settings != NULL && settings_binding_check(b->settings, &op->error) != ERR_OK)) {
        op_answer(op);
        return;
    }
    Hato__FunctionShow show = HATO__FUNCTION_SHOW__INIT;
    Hato__Request request = HATO__REQUEST__INIT;
    show.name = b->function;
    show.brief = true;
    request.op_case = HATO__REQUEST__OP_FUNCTION_SHOW;
    request.function_show = &show;
    op->at = function_at;
    op->home = bind_home;
    route_visit(op, 0, &request);
}

void native_unbind(struct op *op)
{
    struct binding *x = op_extra(op, sizeof *x);
    x->function = "";
    x->queue = op_queue_name(op, op->request->unbind->queue, "queue");
    if (x->queue == NULL)
        op_answer(op);
    else
        bind_home(op);
}

#include "library/reply.h"

#include <string.h>

#include "base/container.h"
#include "base/memory.h"

struct kept_reply {
    struct hato_reply reply;
    struct arena arena;
};

void reply_view_open(struct reply_view *v, struct arena *arena)
{
    *v = (struct reply_view){.arena = arena};
    v->reply.error = (struct hato_error){HATO_OK, "", ""};
    v->reply.next = "";
}

void reply_view_error(struct reply_view *v, const struct error *e)
{
    reply_view_open(v, NULL);
    v->reply.error = (struct hato_error){(int)e->code, e->field, e->message};
}

static const char *copy_text(struct arena *a, const char *text)
{
    return arena_text(a, text, strlen(text));
}

static struct hato_error copy_error(struct arena *a, const struct hato_error *e)
{
    return (struct hato_error){e->code, copy_text(a, e->field), copy_text(a, e->message)};
}

/* What shares its memory with other calls' replies: errors, results of sends, codes. */
static void copy_shared(struct arena *a, struct hato_reply *r)
{
    r->error = copy_error(a, &r->error);
    r->next = copy_text(a, r->next);
    if (r->codes != NULL)
        r->codes = arena_copy(a, r->codes, r->code_count * sizeof *r->codes);
    if (r->sent == NULL)
        return;
    struct hato_sent *sent = arena_copy(a, r->sent, r->sent_count * sizeof *sent);
    for (size_t i = 0; i < r->sent_count; i++) {
        sent[i].error = copy_error(a, &sent[i].error);
        sent[i].message_id = copy_text(a, sent[i].message_id);
    }
    r->sent = sent;
}

struct hato_reply *hato_reply_keep(const struct hato_reply *reply)
{
    const struct reply_view *v = (const struct reply_view *)reply;
    struct kept_reply *kept = memory_zero(1, sizeof *kept);
    kept->reply = *reply;
    if (v->arena == NULL) {
        copy_shared(&kept->arena, &kept->reply);
    } else {
        kept->arena = *v->arena;
        *v->arena = (struct arena){0};
    }
    return &kept->reply;
}

void hato_reply_destroy(struct hato_reply *reply)
{
    if (reply == NULL)
        return;
    struct kept_reply *kept = CONTAINER_OF(reply, struct kept_reply, reply);
    arena_close(&kept->arena);
    memory_free(kept);
}

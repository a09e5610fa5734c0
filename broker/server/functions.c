#include "server/functions.h"

#include <string.h>

#include "base/memory.h"
#include "dispatch/quota.h"
#include "state/settings.h"

/* ---------------------------------------------------------------- a quota's word to a loop */

struct word {
    struct mail mail;
    struct functions *functions;
    struct quota *quota;
    unsigned seat;
    bool permit;
};

static void on_word(struct mail *mail)
{
    struct word *w = CONTAINER_OF(mail, struct word, mail);
    struct push_seat *push = w->functions->pushes[w->seat];
    if (push != NULL)
        push_quota(push, w->quota, w->permit);
    else if (w->permit)
        quota_give(w->quota, w->seat, UINT32_MAX);
    quota_unref(w->quota);
    memory_free(w);
}

static void pass(void *ctx, struct quota *q, unsigned loop, bool permit)
{
    struct functions *f = ctx;
    struct word *w = memory_alloc(sizeof *w);
    *w = (struct word){.mail.run = on_word, .functions = f, .quota = quota_ref(q), .seat = loop, .permit = permit};
    loop_post(&node_seat(f->node, loop)->loop, &w->mail);
}

/* ---------------------------------------------------------------- the catalog's word to all seats */

struct notice {
    struct mail mail;
    struct functions *functions;
    unsigned seat;
    struct Hato__FunctionSettings *settings; /* NULL: deleted */
    struct quota *quota;
    char name[];
};

static void on_notice(struct mail *mail)
{
    struct notice *n = CONTAINER_OF(mail, struct notice, mail);
    struct push_seat *push = n->functions->pushes[n->seat];
    if (push != NULL && n->settings != NULL)
        push_function(push, n->name, n->settings, n->quota);
    else if (push != NULL)
        push_function_deleted(push, n->name);
    settings_function_free(n->settings);
    quota_unref(n->quota);
    memory_free(n);
}

static void notify(struct functions *f, const char *name, const struct Hato__FunctionSettings *settings,
                   struct quota *quota)
{
    size_t len = strlen(name) + 1;
    for (unsigned i = 0; i < f->seats; i++) {
        struct notice *n = memory_zero(1, sizeof *n + len);
        n->mail.run = on_notice;
        n->functions = f;
        n->seat = i;
        if (settings != NULL) {
            n->settings = settings_function_copy(settings);
            n->quota = quota_ref(quota);
        }
        memcpy(n->name, name, len);
        loop_post(&node_seat(f->node, i)->loop, &n->mail);
    }
}

void functions_changed(struct functions *f, struct shard *catalog, const char *name)
{
    struct function_view view;
    if (!machine_function_find(shard_machine(catalog), name, &view)) {
        notify(f, name, NULL, NULL);
        quota_unref(map_remove(&f->quotas, bytes_text(name)));
        return;
    }
    struct quota *q = map_find(&f->quotas, bytes_text(name));
    if (q == NULL) {
        q = quota_create(name, pass, f);
        map_put(&f->quotas, bytes_text(quota_function(q)), q);
    }
    notify(f, name, view.settings, q);
}

void functions_close(struct functions *f)
{
    size_t at = 0;
    struct quota *q;
    while ((q = map_next(&f->quotas, &at)) != NULL)
        quota_unref(q);
    map_close(&f->quotas);
}

/* hato bind, unbind, pause, resume */
#include <stdio.h>

#include "base/human.h"
#include "cli/command.h"
#include "cli/view.h"

#define BINDING(field) offsetof(struct hato_binding_settings, field)

static const struct option bind_options[] = {
    {"batch", OPTION_U32, BINDING(batch_size), "N",
     "messages in a request of format lambda; the others take one each (10)", NULL, BINDING(present),
     HATO_BINDING_BATCH_SIZE, .min = 1, .max = 1000},
    {"window", OPTION_DURATION, BINDING(window_ms), "DURATION", "wait so long for a full batch (0)", NULL,
     BINDING(present), HATO_BINDING_WINDOW, .max = 300 * OPTION_SECOND},
    {"max-concurrency", OPTION_U32, BINDING(max_concurrency), "N", "batches out at once (1000)", NULL, BINDING(present),
     HATO_BINDING_MAX_CONCURRENCY, .min = 1, .max = 10000},
    {"paused", OPTION_SWITCH, BINDING(paused), NULL, "deliver nothing for now (off)", NULL, BINDING(present),
     HATO_BINDING_PAUSED},
    {0},
};

static enum exit_code finish(struct run *r, struct hato_call *call, const char *done)
{
    enum exit_code code;
    struct hato_reply *reply = command_wait(r, call, &code);
    if (reply == NULL)
        return code;
    const struct hato_queue *q = &reply->queues[0];
    const struct hato_binding_settings *b = &q->settings.binding;
    char window[HUMAN_TEXT_MAX];
    struct json j = {0};
    if (r->globals.json) {
        view_queue_json(&j, q);
        json_print(&j);
    } else if (q->settings.function == NULL || q->settings.function[0] == '\0') {
        printf("%s %s\n", done, q->name);
    } else {
        printf("%s %s -> %s: batch %u, window %s, concurrency %u%s\n", done, q->name, q->settings.function,
               b->batch_size, human_duration_text(b->window_ms, window), b->max_concurrency,
               b->paused ? ", paused" : "");
    }
    buffer_close(&j.out);
    hato_reply_destroy(reply);
    return code;
}

static enum exit_code bind_queue(struct run *r)
{
    return finish(r, hato_bind(r->client, r->arguments.items[0], r->arguments.items[1], r->values, NULL, NULL),
                  "bound");
}

static enum exit_code unbind_queue(struct run *r)
{
    return finish(r, hato_unbind(r->client, r->arguments.items[0], NULL, NULL), "unbound");
}

static enum exit_code set_paused(struct run *r, bool paused, const char *done)
{
    struct hato_queue_settings settings = {
        .present = HATO_QUEUE_BINDING,
        .binding = {.present = HATO_BINDING_PAUSED, .paused = paused},
    };
    return finish(r, hato_queue_set(r->client, r->arguments.items[0], &settings, NULL, NULL), done);
}

static enum exit_code pause_queue(struct run *r)
{
    return set_paused(r, true, "paused");
}

static enum exit_code resume_queue(struct run *r)
{
    return set_paused(r, false, "resumed");
}

const struct command bind_commands[] = {
    {"bind", "QUEUE FUNCTION", "Pushes a queue's messages to a function; again to change how.", NULL,
     "hato bind jobs resize --batch 10 --window 200ms", 2, 2, bind_options, sizeof(struct hato_binding_settings),
     bind_queue},
    {"unbind", "QUEUE", "Stops pushing; messages stay in the queue.", NULL, "hato unbind jobs", 1, 1, NULL, 0,
     unbind_queue},
    {"pause", "QUEUE", "Pushes nothing until resumed; requests under way end.", NULL, "hato pause jobs", 1, 1, NULL, 0,
     pause_queue},
    {"resume", "QUEUE", "Goes on pushing.", NULL, "hato resume jobs", 1, 1, NULL, 0, resume_queue},
    {0},
};

/* hato redrive */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/view.h"
#include "cli/watch.h"

struct redrive_values {
    struct hato_redrive_options options;
    uint32_t given;
    bool detach;
    bool cancel;
    bool list;
};

#define REDRIVE(field) offsetof(struct redrive_values, options.field)

static const struct option redrive_options[] = {
    {"to", OPTION_TEXT, REDRIVE(destination), "QUEUE", "move all there (each message to where it came from)", NULL, 0,
     0},
    {"reason", OPTION_TEXT, REDRIVE(reason), "TEXT", "only messages whose last error contains this", NULL, 0, 0},
    {"rate", OPTION_REAL, REDRIVE(rate), "N", "messages a second, 0.001 to 1000000 (0: as fast as it goes)", NULL,
     offsetof(struct redrive_values, given), 1},
    {"detach", OPTION_FLAG, offsetof(struct redrive_values, detach), NULL, "start it and don't wait for its end", NULL,
     0, 0},
    {"cancel", OPTION_FLAG, offsetof(struct redrive_values, cancel), NULL, "stop the running one", NULL, 0, 0},
    {"list", OPTION_FLAG, offsetof(struct redrive_values, list), NULL, "the last ten, newest first", NULL, 0, 0},
    {0},
};

static enum exit_code print_one(struct run *r, const struct hato_redrive *d)
{
    if (r->globals.json) {
        struct json j = {0};
        view_redrive_json(&j, d);
        json_print(&j);
        buffer_close(&j.out);
        return EXIT_DONE;
    }
    char moved[TEXT_MAX], total[TEXT_MAX], skipped[TEXT_MAX];
    printf("%s: moved %s of %s messages, skipped %s\n", d->state, text_count(d->moved, moved),
           text_count(d->total, total), text_count(d->skipped, skipped));
    if (d->skipped > 0 && strcmp(d->state, "running") != 0)
        fprintf(stderr,
                "skipped is what did not match, was in flight or delayed (in a FIFO queue: or behind such a one of its "
                "group), "
                "has no queue to go back to (gone, or never had one), or was refused there (full): hato peek %s shows "
                "what is left; --to QUEUE moves it elsewhere\n",
                r->arguments.items[0]);
    return EXIT_DONE;
}

static enum exit_code list(struct run *r)
{
    enum exit_code code;
    struct hato_reply *reply = command_wait(r, hato_redrive_list(r->client, r->arguments.items[0], NULL, NULL), &code);
    if (reply == NULL)
        return code;
    struct json j = {0};
    struct table t;
    table_open(&t, "REDRIVE|STATE|STARTED|>MOVED|>SKIPPED|>TOTAL|TO");
    json_list(&j, NULL);
    for (size_t i = 0; i < reply->redrive_count; i++) {
        const struct hato_redrive *d = &reply->redrives[i];
        char text[TEXT_MAX];
        view_redrive_json(&j, d);
        table_cell(&t, "%s", d->id);
        table_cell(&t, "%s", d->state);
        table_cell(&t, "%s", text_time(d->started_ms, text));
        table_cell(&t, "%s", text_count(d->moved, text));
        table_cell(&t, "%s", text_count(d->skipped, text));
        table_cell(&t, "%s", text_count(d->total, text));
        table_cell(&t, "%s", d->destination[0] != '\0' ? d->destination : "where they came from");
    }
    json_list_end(&j);
    if (r->globals.json)
        json_print(&j);
    else
        table_print(&t);
    if (r->globals.json)
        buffer_close(&t.cells);
    buffer_close(&j.out);
    hato_reply_destroy(reply);
    return code;
}

/* ---------------------------------------------------------------- watching */

static const struct hato_redrive *find(const struct hato_reply *reply, const char *id)
{
    for (size_t i = 0; i < reply->redrive_count; i++) {
        if (strcmp(reply->redrives[i].id, id) == 0)
            return &reply->redrives[i];
    }
    return NULL;
}

/* Looks again and again until the redrive has ended. */
static enum exit_code watch_until_end(struct run *r, const char *id, struct watch *w)
{
    struct progress p = {0};
    enum exit_code code;
    for (;;) {
        struct hato_reply *reply =
            command_wait(r, hato_redrive_list(r->client, r->arguments.items[0], NULL, NULL), &code);
        const struct hato_redrive *d = reply != NULL ? find(reply, id) : NULL;
        bool running = d != NULL && strcmp(d->state, "running") == 0;
        if (running && p.verb == NULL)
            progress_open(&p, "moved", d->total);
        if (running && !w->stopped) {
            progress_at(&p, d->moved, d->moved + d->skipped);
            hato_reply_destroy(reply);
            watch_pause(w);
            continue;
        }
        progress_close(&p);
        if (d != NULL)
            print_one(r, d);
        if (running && !r->globals.json)
            fprintf(stderr, "it goes on in the broker; stop it with: hato redrive %s --cancel\n",
                    r->arguments.items[0]);
        if (d != NULL && strcmp(d->state, "cancelled") == 0)
            code = EXIT_REFUSED; /* by somebody else: what was asked for is not done */
        hato_reply_destroy(reply);
        return running ? EXIT_STOPPED : code;
    }
}

static enum exit_code watch(struct run *r, const char *id)
{
    struct watch w;
    watch_open(&w, hato_client_loop(r->client));
    enum exit_code code = watch_until_end(r, id, &w);
    watch_close(&w);
    return code;
}

static enum exit_code start(struct run *r)
{
    const struct redrive_values *v = r->values;
    enum exit_code code;
    struct hato_reply *reply =
        command_wait(r, hato_redrive_start(r->client, r->arguments.items[0], &v->options, NULL, NULL), &code);
    if (reply == NULL)
        return code;
    if (v->detach)
        code = print_one(r, &reply->redrives[0]);
    else
        code = watch(r, reply->redrives[0].id);
    hato_reply_destroy(reply);
    return code;
}

static enum exit_code cancel(struct run *r)
{
    enum exit_code code;
    struct hato_reply *reply =
        command_wait(r, hato_redrive_cancel(r->client, r->arguments.items[0], NULL, NULL, NULL), &code);
    if (reply != NULL)
        print_one(r, &reply->redrives[0]);
    hato_reply_destroy(reply);
    return code;
}

static enum exit_code redrive(struct run *r)
{
    const struct redrive_values *v = r->values;
    bool starts = v->options.destination != NULL || v->options.reason != NULL || v->given != 0 || v->detach;
    if (v->cancel + v->list + starts > 1)
        return command_usage(r, "cancel",
                             "--cancel, --list, and what starts a redrive (--to, --reason, --rate, --detach) "
                             "contradict each other: give one of them");
    return v->cancel ? cancel(r) : v->list ? list(r) : start(r);
}

const struct command redrive_commands[] = {
    {"redrive", "QUEUE", "Moves dead letters back to where they came from, and watches until it is done.", NULL,
     "hato redrive jobs-dead --reason timeout --rate 100\nhato redrive jobs-dead --list", 1, 1, redrive_options,
     sizeof(struct redrive_values), redrive},
    {0},
};

/* hato queue create, set, list, show, purge, delete, resume-group */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/human.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/view.h"

enum { WEIGHT_MAX = 1000 };

struct queue_values {
    struct hato_queue_settings settings;
    struct text_list weights;
    bool clear_weights;
};

#define SETTING(field) offsetof(struct queue_values, settings.field)
#define PRESENT SETTING(present)

static const struct option settings_options[] = {
    {"visibility", OPTION_DURATION, SETTING(visibility_ms), "DURATION", "how long a lease lasts (30s)", NULL, PRESENT,
     HATO_QUEUE_VISIBILITY, .max = 7 * OPTION_DAY},
    {"delay", OPTION_DURATION, SETTING(delay_ms), "DURATION", "messages can be received only after this (0)", NULL,
     PRESENT, HATO_QUEUE_DELAY, .max = 10 * OPTION_YEAR},
    {"retention", OPTION_DURATION, SETTING(retention_ms), "DURATION",
     "messages are dropped this long after they were sent and their delay was over (4d)", NULL, PRESENT,
     HATO_QUEUE_RETENTION, .min = OPTION_SECOND, .max = 10 * OPTION_YEAR},
    {"wait", OPTION_DURATION, SETTING(receive_wait_ms), "DURATION", "waiting time of receives that name none (0)", NULL,
     PRESENT, HATO_QUEUE_RECEIVE_WAIT, .max = OPTION_HOUR},
    {"dead-letter", OPTION_TEXT, SETTING(dead_letter), "QUEUE",
     "where messages go that fail too often; made when it is missing; while it is full they stay and are given out on; "
     "'' for none (none)",
     NULL, PRESENT, HATO_QUEUE_DEAD_LETTER},
    {"max-receives", OPTION_U32, SETTING(max_receives), "N", "receives before that (10)", NULL, PRESENT,
     HATO_QUEUE_MAX_RECEIVES, .min = 1, .max = 1000000},
    {"on-exhausted", OPTION_CHOICE, SETTING(on_exhausted), "WHAT",
     "what happens to a message that used them up (dead-letter; halt-group: FIFO queues only)", view_exhausted, PRESENT,
     HATO_QUEUE_ON_EXHAUSTED},
    {"max-message", OPTION_SIZE, SETTING(max_message_bytes), "SIZE", "largest message, body and attributes (1MiB)",
     NULL, PRESENT, HATO_QUEUE_MAX_MESSAGE_BYTES, .min = 1, .max = 64 * OPTION_MIB},
    {"max-messages", OPTION_U64, SETTING(max_messages), "N",
     "sends beyond so many messages are refused; 0: no limit (0)", NULL, PRESENT, HATO_QUEUE_MAX_MESSAGES},
    {"max-bytes", OPTION_SIZE, SETTING(max_bytes), "SIZE", "sends beyond so many bytes are refused; 0: no limit (0)",
     NULL, PRESENT, HATO_QUEUE_MAX_BYTES},
    {"max-in-flight", OPTION_U32, SETTING(max_in_flight), "N", "leases at once (120000)", NULL, PRESENT,
     HATO_QUEUE_MAX_IN_FLIGHT, .min = 1, .max = 10000000},
    {"content-deduplication", OPTION_SWITCH, SETTING(content_deduplication), NULL,
     "equal bodies are duplicates where no id is given (off)", NULL, PRESENT, HATO_QUEUE_CONTENT_DEDUPLICATION},
    {"deduplication-window", OPTION_DURATION, SETTING(deduplication_window_ms), "DURATION",
     "how long ids are remembered (5m)", NULL, PRESENT, HATO_QUEUE_DEDUPLICATION_WINDOW, .min = OPTION_SECOND,
     .max = 7 * OPTION_DAY},
    {"deduplication-scope", OPTION_CHOICE, SETTING(deduplication_scope), "SCOPE",
     "within what ids are compared (queue)", view_scopes, PRESENT, HATO_QUEUE_DEDUPLICATION_SCOPE},
    {"weight", OPTION_LIST, offsetof(struct queue_values, weights), "GROUP=N",
     "a group's share of service, 1 to 1000 (1); again for more groups; replaces all weights", NULL, PRESENT,
     HATO_QUEUE_GROUP_WEIGHTS},
    {"clear-weights", OPTION_FLAG, offsetof(struct queue_values, clear_weights), NULL, "all groups weigh 1 again", NULL,
     PRESENT, HATO_QUEUE_GROUP_WEIGHTS},
    {0},
};

static enum exit_code take_weights(struct run *r, struct queue_values *v)
{
    if (v->weights.count > 0 && v->clear_weights)
        return command_usage(r, "weight",
                             "--weight and --clear-weights contradict each other: give one of them "
                             "(--weight replaces all weights)");
    if (v->weights.count == 0)
        return EXIT_DONE;
    struct hato_group_weight *weights = memory_zero(v->weights.count, sizeof *weights);
    v->settings.group_weights = weights;
    for (size_t i = 0; i < v->weights.count; i++) {
        const char *text = v->weights.items[i];
        const char *equals = strrchr(text, '=');
        uint64_t weight = 0;
        if (equals == NULL || equals == text || !option_number(equals + 1, WEIGHT_MAX, &weight) || weight == 0)
            return command_usage(r, "weight", "--weight takes GROUP=N with N from 1 to %d, not '%.60s'", WEIGHT_MAX,
                                 text);
        weights[i].group = memory_string(text, (size_t)(equals - text));
        weights[i].weight = (uint32_t)weight;
        v->settings.group_weight_count++;
    }
    return EXIT_DONE;
}

static void free_weights(struct queue_values *v)
{
    for (size_t i = 0; i < v->settings.group_weight_count; i++)
        memory_free((char *)v->settings.group_weights[i].group);
    memory_free((void *)v->settings.group_weights);
}

static enum exit_code finish_change(struct run *r, struct hato_call *call, const char *what)
{
    enum exit_code code;
    struct hato_reply *reply = command_wait(r, call, &code);
    if (reply == NULL)
        return code;
    if (r->globals.json) {
        struct json j = {0};
        view_queue_json(&j, &reply->queues[0]);
        json_print(&j);
        buffer_close(&j.out);
    } else {
        printf("%s %s\n", what, reply->queues[0].name);
    }
    hato_reply_destroy(reply);
    return code;
}

static enum exit_code create(struct run *r)
{
    struct queue_values *v = r->values;
    const char *name = r->arguments.items[0];
    size_t len = strlen(name);
    bool named_fifo = len > 5 && strcmp(name + len - 5, ".fifo") == 0;
    v->settings.present |= HATO_QUEUE_KIND;
    v->settings.kind = named_fifo ? HATO_FIFO : HATO_STANDARD;
    enum exit_code code = take_weights(r, v);
    if (code == EXIT_DONE)
        code = finish_change(r, hato_queue_create(r->client, name, &v->settings, NULL, NULL), "created");
    free_weights(v);
    return code;
}

static enum exit_code set(struct run *r)
{
    struct queue_values *v = r->values;
    if (v->settings.present == 0)
        return command_usage(r, "", "nothing to set: name at least one setting, such as --visibility 1m");
    enum exit_code code = take_weights(r, v);
    if (code == EXIT_DONE)
        code = finish_change(r, hato_queue_set(r->client, r->arguments.items[0], &v->settings, NULL, NULL), "changed");
    free_weights(v);
    return code;
}

/* ---------------------------------------------------------------- list and show */

struct list_values {
    const char *prefix;
    bool names;
};

static const struct option list_options[] = {
    {"prefix", OPTION_TEXT, offsetof(struct list_values, prefix), "TEXT", "only queues whose names begin so", NULL, 0,
     0},
    {"names", OPTION_FLAG, offsetof(struct list_values, names), NULL,
     "names only, one a line; with --json a list of them", NULL, 0, 0},
    {0},
};

static void add_row(struct table *t, const struct hato_queue *q)
{
    char text[TEXT_MAX];
    table_cell(t, "%s", q->name);
    table_cell(t, "%s", text_count(q->counts.ready, text));
    table_cell(t, "%s", text_count(q->counts.in_flight, text));
    table_cell(t, "%s", text_count(q->counts.delayed, text));
    table_cell(t, "%s", text_count(q->counts.moving, text));
    table_cell(t, "%s", human_size_text(q->counts.bytes, text));
    table_cell(t, "%s", text_age(q->counts.oldest_sent_ms, text_now_ms(), text));
    table_cell(t, "%s", q->settings.function != NULL ? q->settings.function : "");
}

/* Pages are printed as they come: with very many queues nothing is held but a page. With --json the list is held, so that it is
 * printed whole or not at all. */
static enum exit_code list(struct run *r)
{
    const struct list_values *v = r->values;
    struct json j = {0};
    char after[2048] = "";
    enum exit_code code;
    bool any = false;
    bool tabular = !r->globals.json && !v->names;
    if (r->globals.json)
        json_list(&j, NULL);
    for (bool more = true; more;) {
        struct hato_list_options options = {.prefix = v->prefix, .after = after, .max = 1000};
        struct hato_reply *reply = command_wait(r, hato_queue_list(r->client, &options, NULL, NULL), &code);
        if (reply == NULL) {
            buffer_close(&j.out);
            return code;
        }
        struct table t;
        if (tabular)
            table_open(&t, "QUEUE|>READY|>IN FLIGHT|>DELAYED|>MOVING|>SIZE|>OLDEST|FUNCTION");
        for (size_t i = 0; i < reply->queue_count; i++) {
            if (r->globals.json && v->names)
                json_text(&j, NULL, reply->queues[i].name);
            else if (r->globals.json)
                view_queue_json(&j, &reply->queues[i]);
            else if (v->names)
                printf("%s\n", reply->queues[i].name);
            else
                add_row(&t, &reply->queues[i]);
        }
        any = any || reply->queue_count > 0;
        if (tabular && any)
            table_print(&t);
        else if (tabular)
            buffer_close(&t.cells);
        snprintf(after, sizeof after, "%s", reply->next);
        more = after[0] != '\0';
        hato_reply_destroy(reply);
    }
    if (r->globals.json) {
        json_list_end(&j);
        json_print(&j);
    } else if (tabular && !any && v->prefix != NULL) {
        fprintf(stderr, "no queue's name begins with '%.80s'\n", v->prefix);
    } else if (tabular && !any) {
        fprintf(stderr, "no queues; make one with: hato queue create jobs\n");
    }
    buffer_close(&j.out);
    return EXIT_DONE;
}

static enum exit_code show(struct run *r)
{
    enum exit_code code;
    struct hato_reply *reply = command_wait(r, hato_queue_show(r->client, r->arguments.items[0], NULL, NULL), &code);
    if (reply == NULL)
        return code;
    if (r->globals.json) {
        struct json j = {0};
        view_queue_json(&j, &reply->queues[0]);
        json_print(&j);
        buffer_close(&j.out);
    } else {
        view_queue(&reply->queues[0]);
    }
    hato_reply_destroy(reply);
    return code;
}

/* ---------------------------------------------------------------- purge, delete, resume-group */

static const char asks[] = "Asks first where standard input and standard error are a terminal, with --json as well;\n"
                           "elsewhere, as in a script, it does not ask.";

struct sure_values {
    bool yes;
};

static const struct option sure_options[] = {
    {"yes", OPTION_FLAG, offsetof(struct sure_values, yes), NULL, "don't ask", NULL, 0, 0},
    {0},
};

static enum exit_code purge(struct run *r)
{
    const struct sure_values *v = r->values;
    const char *name = r->arguments.items[0];
    if (!command_confirm(v->yes, "Delete all messages of %s?", name))
        return EXIT_STOPPED;
    enum exit_code code;
    struct hato_reply *reply = command_wait(r, hato_queue_purge(r->client, name, NULL, NULL), &code);
    if (reply == NULL)
        return code;
    char count[TEXT_MAX];
    if (r->globals.json)
        printf("{\"purged\":%llu}\n", (unsigned long long)reply->purged);
    else
        printf("purged %s messages\n", text_count(reply->purged, count));
    hato_reply_destroy(reply);
    return code;
}

static enum exit_code finish_empty(struct run *r, struct hato_call *call, const char *done, const char *name)
{
    enum exit_code code;
    struct hato_reply *reply = command_wait(r, call, &code);
    if (reply == NULL)
        return code;
    struct json j = {0};
    if (r->globals.json) {
        json_object(&j, NULL);
        json_text(&j, done, name);
        json_object_end(&j);
        json_print(&j);
    } else {
        printf("%s %s\n", done, name);
    }
    buffer_close(&j.out);
    hato_reply_destroy(reply);
    return code;
}

static enum exit_code delete_queue(struct run *r)
{
    const struct sure_values *v = r->values;
    const char *name = r->arguments.items[0];
    if (!command_confirm(v->yes, "Delete the queue %s with its messages?", name))
        return EXIT_STOPPED;
    return finish_empty(r, hato_queue_delete(r->client, name, NULL, NULL), "deleted", name);
}

static enum exit_code resume_group(struct run *r)
{
    const char *group = r->arguments.items[1];
    return finish_empty(r, hato_group_resume(r->client, r->arguments.items[0], group, NULL, NULL), "resumed", group);
}

const struct command queue_commands[] = {
    {"queue create", "QUEUE", "Creates a queue; again with the same settings does nothing.",
     "A name has 1 to 80 of A-Z a-z 0-9 _ -; a queue whose name ends with .fifo keeps the order within each group.\n"
     "A dead-letter queue that is missing is made along, with the defaults and a retention of 14 days.",
     "hato queue create jobs-dead\nhato queue create jobs --visibility 30s --dead-letter jobs-dead --max-receives 5", 1,
     1, settings_options, sizeof(struct queue_values), create},
    {"queue set", "QUEUE", "Changes settings of a queue; those not given stay.", NULL,
     "hato queue set jobs --visibility 2m --max-messages 1000000", 1, 1, settings_options, sizeof(struct queue_values),
     set},
    {"queue list", "", "Lists queues with their counts.", NULL, "hato queue list --prefix jobs", 0, 0, list_options,
     sizeof(struct list_values), list},
    {"queue show", "QUEUE", "Shows a queue: counts, settings, time waited.", NULL, "hato queue show jobs", 1, 1, NULL,
     0, show},
    {"queue purge", "QUEUE", "Deletes all messages of a queue.", asks, "hato queue purge jobs --yes", 1, 1,
     sure_options, sizeof(struct sure_values), purge},
    {"queue delete", "QUEUE", "Deletes a queue and its messages.", asks, "hato queue delete jobs --yes", 1, 1,
     sure_options, sizeof(struct sure_values), delete_queue},
    {"queue resume-group", "QUEUE GROUP", "Lets a halted group of a FIFO queue go on.",
     "A group halts at a message that used up its receives when the queue's on-exhausted is halt-group. The message "
     "is\n"
     "tried again then. hato peek QUEUE --which halted-at lists groups and messages; to drop a message instead, and "
     "let\n"
     "its group go on behind it: hato cancel QUEUE MESSAGE-ID.",
     "hato queue resume-group orders.fifo customer-17", 2, 2, NULL, 0, resume_group},
    {"purge", "QUEUE", "Short for queue purge.", asks, "hato purge jobs --yes", 1, 1, sure_options,
     sizeof(struct sure_values), purge},
    {0},
};

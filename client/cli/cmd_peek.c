/* hato peek */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/view.h"

struct peek_values {
    struct hato_peek_options options;
    bool all;
    bool full;
};

#define PEEK(field) offsetof(struct peek_values, options.field)

static const struct option peek_options[] = {
    {"max", OPTION_U32, PEEK(max_messages), "N", "messages at most, of a page with --all (10)", NULL, 0, 0, .min = 1,
     .max = 1000},
    {"after", OPTION_TEXT, PEEK(after), "MESSAGE-ID", "go on from this message", NULL, 0, 0},
    {"which", OPTION_CHOICE, PEEK(which), "STATE", "only those; halted-at: where groups of a FIFO queue halted (all)",
     view_which, 0, 0},
    {"group", OPTION_TEXT, PEEK(group), "TEXT", "only this group", NULL, 0, 0},
    {"all", OPTION_FLAG, offsetof(struct peek_values, all), NULL, "all pages, to the end", NULL, 0, 0},
    {"full", OPTION_FLAG, offsetof(struct peek_values, full), NULL, "whole bodies, attributes and history", NULL, 0, 0},
    {0},
};

/* Why it is where it is: what a receiver said of it last, here or where it came from; "" when nobody did, and it never moved. */
static void tell_why(const struct hato_peeked *p, char *out, size_t size)
{
    char all[512];
    const struct hato_provenance *moved = p->message.provenance;
    const char *error = p->last_error[0] == '\0' && moved != NULL ? moved->last_error : p->last_error;
    if (moved != NULL)
        snprintf(all, sizeof all, "%s in %s%s%s", moved->reason, moved->source_queue, error[0] != '\0' ? ": " : "",
                 error);
    else
        snprintf(all, sizeof all, "%s", error);
    text_line(all, strlen(all), 70, out, size);
}

static bool any_why(const struct hato_reply *reply)
{
    for (size_t i = 0; i < reply->peeked_count; i++)
        if (reply->peeked[i].last_error[0] != '\0' || reply->peeked[i].message.provenance != NULL)
            return true;
    return false;
}

static void add_row(struct table *t, const struct hato_peeked *p, bool why)
{
    char age[TEXT_MAX], due[TEXT_MAX], body[200], told[300];
    uint64_t now = text_now_ms();
    text_line(p->message.body, p->message.body_len, 50, body, sizeof body);
    table_cell(t, "%s", p->message_id);
    table_cell(t, "%s", p->state);
    table_cell(t, "%s", text_age(p->sent_ms, now, age));
    table_cell(t, "%u", p->receive_count);
    table_cell(t, "%s", text_age(p->due_ms, now, due));
    if (why) {
        tell_why(p, told, sizeof told);
        table_cell(t, "%s", told);
    }
    table_cell(t, "%s", body);
}

/* Where groups halted: what one needs to resume a group, or to cancel its message. */
static void add_halted_row(struct table *t, const struct hato_peeked *p)
{
    char age[TEXT_MAX], group[200], error[200];
    text_line(p->message.group, strlen(p->message.group), sizeof group, group, sizeof group);
    text_line(p->last_error, strlen(p->last_error), 70, error, sizeof error);
    table_cell(t, "%s", group);
    table_cell(t, "%s", p->message_id);
    table_cell(t, "%s", text_age(p->halted_ms, text_now_ms(), age));
    table_cell(t, "%u", p->receive_count);
    table_cell(t, "%s", error);
}

static void print_full(const struct hato_peeked *p)
{
    char at[TEXT_MAX];
    printf("%s  %s, sent %s, %u receives\n", p->message_id, p->state, text_time(p->sent_ms, at), p->receive_count);
    if (p->due_ms != 0)
        printf("  due %s\n", text_time(p->due_ms, at));
    if (p->halted_ms != 0)
        printf("  its group halted here %s\n", text_time(p->halted_ms, at));
    view_text_line("last error:", p->last_error);
    view_message_lines(&p->message);
    text_body(stdout, p->message.body, p->message.body_len);
    printf("\n\n");
}

static void print_page(struct run *r, struct json *j, const struct hato_reply *reply)
{
    const struct peek_values *v = r->values;
    struct table t;
    bool halted = v->options.which == HATO_PEEK_HALTED_AT;
    bool tabular = !r->globals.json && !v->full && reply->peeked_count > 0;
    bool why = any_why(reply);
    if (tabular)
        table_open(&t, halted ? "GROUP|MESSAGE|>HALTED|>RECEIVES|LAST ERROR"
                       : why  ? "MESSAGE|STATE|>SENT|>RECEIVES|>DUE|WHY|BODY"
                              : "MESSAGE|STATE|>SENT|>RECEIVES|>DUE|BODY");
    for (size_t i = 0; i < reply->peeked_count; i++) {
        if (r->globals.json)
            view_peeked_json(j, &reply->peeked[i]);
        else if (v->full)
            print_full(&reply->peeked[i]);
        else if (halted)
            add_halted_row(&t, &reply->peeked[i]);
        else
            add_row(&t, &reply->peeked[i], why);
    }
    if (tabular)
        table_print(&t);
}

static enum exit_code peek(struct run *r)
{
    const struct peek_values *v = r->values;
    struct hato_peek_options options = v->options;
    struct json j = {0};
    char after[256] = "";
    struct progress progress;
    uint64_t pages = 0;
    enum exit_code code;
    progress_open(&progress, "looking: page", 0);
    if (r->globals.json)
        json_list(&j, NULL);
    /* A page may be empty: the broker looks at so many messages at once, and may have found none that is asked for. */
    for (bool more = true; more;) {
        struct hato_reply *reply =
            command_wait(r, hato_peek(r->client, r->arguments.items[0], &options, NULL, NULL), &code);
        if (reply == NULL)
            break;
        pages++;
        if (reply->peeked_count == 0) {
            progress_at(&progress, pages, 0);
        } else {
            progress_close(&progress);
            print_page(r, &j, reply);
        }
        snprintf(after, sizeof after, "%s", reply->next);
        options.after = after;
        more = after[0] != '\0' && (v->all || reply->peeked_count == 0);
        hato_reply_destroy(reply);
    }
    progress_close(&progress);
    if (r->globals.json && code == EXIT_DONE) {
        json_list_end(&j);
        json_print(&j);
    } else if (code == EXIT_DONE && after[0] != '\0' && !v->all) {
        fflush(stdout);
        fprintf(stderr, "more follow: --after %s, or --all\n", after);
    }
    buffer_close(&j.out);
    return code;
}

const struct command peek_commands[] = {
    {"peek", "QUEUE", "Looks at messages without receiving them.", NULL,
     "hato peek jobs --max 20\nhato peek jobs-dead --full\nhato peek orders.fifo --which halted-at --full", 1, 1,
     peek_options, sizeof(struct peek_values), peek},
    {0},
};

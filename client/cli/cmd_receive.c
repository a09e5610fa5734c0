/* hato receive */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cli/command.h"
#include "cli/view.h"

enum { FOLLOW_CREDIT = 100, ONCE_MAX = 1000 };

enum { GIVEN_WAIT = 1, GIVEN_VISIBILITY = 2 };

struct receive_values {
    struct hato_receive_options options;
    const char *max; /* what it may be depends on --follow */
    uint32_t given;
    bool ack;
    bool follow;
    bool body;
};

#define RECEIVE(field) offsetof(struct receive_values, options.field)

static const struct option receive_options[] = {
    {"max", OPTION_TEXT, offsetof(struct receive_values, max), "N",
     "messages at most, 1 to 1000 (1); with --follow: stop after so many", NULL, 0, 0},
    {"wait", OPTION_DURATION, RECEIVE(wait_ms), "DURATION", "wait so long for a first message (the queue's)", NULL,
     offsetof(struct receive_values, given), GIVEN_WAIT, .max = OPTION_HOUR},
    {"visibility", OPTION_DURATION, RECEIVE(visibility_ms), "DURATION", "lease them for so long (the queue's)", NULL,
     offsetof(struct receive_values, given), GIVEN_VISIBILITY, .max = 7 * OPTION_DAY},
    {"ack", OPTION_FLAG, offsetof(struct receive_values, ack), NULL, "delete them once they are printed", NULL, 0, 0},
    {"follow", OPTION_FLAG, offsetof(struct receive_values, follow), NULL,
     "go on as messages come, until ctrl-c; with --json one object a line", NULL, 0, 0},
    {"body", OPTION_FLAG, offsetof(struct receive_values, body), NULL, "print bodies only, a line each", NULL, 0, 0},
    {0},
};

static void print_delivery(struct run *r, const struct hato_delivery *d)
{
    const struct receive_values *v = r->values;
    if (r->globals.json) {
        struct json j = {0};
        view_delivery_json(&j, d);
        json_print(&j);
        buffer_close(&j.out);
    } else if (v->body) {
        fwrite(d->message.body, 1, d->message.body_len, stdout);
        putchar('\n');
    } else {
        view_delivery(d);
    }
}

static enum exit_code output_failed(struct run *r)
{
    return command_failed(r, "cannot write to standard output; what was not written is not acked and comes back");
}

/* ---------------------------------------------------------------- once */

static void print_all(struct run *r, const struct hato_reply *reply)
{
    if (!r->globals.json) {
        for (size_t i = 0; i < reply->delivery_count; i++)
            print_delivery(r, &reply->deliveries[i]);
        return;
    }
    struct json j = {0};
    json_list(&j, NULL);
    for (size_t i = 0; i < reply->delivery_count; i++)
        view_delivery_json(&j, &reply->deliveries[i]);
    json_list_end(&j);
    json_print(&j);
    buffer_close(&j.out);
}

static enum exit_code ack_all(struct run *r, const struct hato_reply *received)
{
    if (!command_written())
        return output_failed(r);
    struct hato_bytes *receipts = memory_zero(received->delivery_count, sizeof *receipts);
    for (size_t i = 0; i < received->delivery_count; i++)
        receipts[i] = received->deliveries[i].receipt;
    enum exit_code code;
    struct hato_call *call = hato_ack(r->client, r->arguments.items[0], receipts, received->delivery_count, NULL, NULL);
    hato_reply_destroy(command_wait(r, call, &code));
    memory_free(receipts);
    return code;
}

static enum exit_code receive_once(struct run *r)
{
    const struct receive_values *v = r->values;
    enum exit_code code;
    struct hato_reply *reply =
        command_wait(r, hato_receive(r->client, r->arguments.items[0], &v->options, NULL, NULL), &code);
    if (reply == NULL)
        return code;
    print_all(r, reply);
    if (v->ack && reply->delivery_count > 0)
        code = ack_all(r, reply);
    hato_reply_destroy(reply);
    return code;
}

/* ---------------------------------------------------------------- following */

struct follower {
    struct run *run;
    struct hato_stream *stream; /* NULL when over */
    uv_signal_t interrupt;
    uint64_t left;    /* of --max; UINT64_MAX: no end */
    uint64_t credit;  /* what the broker has */
    unsigned acks;    /* under way */
    unsigned unknown; /* acks repeated after a lost connection that found the lease gone */
    bool closing;
    enum exit_code code;
};

static void stop(struct follower *f)
{
    if (f->stream != NULL && !f->closing)
        hato_stream_close(f->stream);
    f->closing = true;
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    (void)number;
    stop(handle->data);
}

static void on_acked(void *user, const struct hato_reply *reply)
{
    struct follower *f = user;
    f->acks--;
    if (reply->error.code == HATO_UNKNOWN_OUTCOME)
        f->unknown++;
    else if (reply->error.code != HATO_OK)
        f->code = command_error(f->run, &reply->error);
}

static void on_delivery(void *user, struct hato_stream *stream, const struct hato_delivery *deliveries, size_t count)
{
    struct follower *f = user;
    const struct receive_values *v = f->run->values;
    for (size_t i = 0; i < count; i++)
        print_delivery(f->run, &deliveries[i]);
    if (!command_written()) {
        f->code = output_failed(f->run);
        stop(f);
        return;
    }
    for (size_t i = 0; v->ack && i < count; i++) {
        f->acks++;
        hato_ack(f->run->client, f->run->arguments.items[0], &deliveries[i].receipt, 1, on_acked, f);
    }
    f->left -= f->left == UINT64_MAX ? 0 : count < f->left ? count : f->left;
    f->credit -= count < f->credit ? count : f->credit;
    uint64_t wanted = f->left < FOLLOW_CREDIT ? f->left : FOLLOW_CREDIT;
    if (f->left == 0)
        stop(f);
    else if (wanted > f->credit)
        hato_stream_credit(stream, (uint32_t)(wanted - f->credit));
    f->credit = wanted;
}

static void on_end(void *user, const struct hato_error *error)
{
    struct follower *f = user;
    f->stream = NULL;
    if (error->code != HATO_OK)
        f->code = command_error(f->run, error);
}

static void tell_unknown(struct follower *f)
{
    static const struct hato_error unknown = {
        HATO_UNKNOWN_OUTCOME, "", "acks were under way when the connection was lost; most likely they were done"};
    enum exit_code code = command_error(f->run, &unknown);
    if (f->code == EXIT_DONE)
        f->code = code;
}

static enum exit_code follow(struct run *r)
{
    const struct receive_values *v = r->values;
    struct follower f = {.run = r, .left = v->options.max_messages != 0 ? v->options.max_messages : UINT64_MAX};
    struct hato_stream_options options = {
        .credit = f.left < FOLLOW_CREDIT ? (uint32_t)f.left : FOLLOW_CREDIT,
        .max_batch = FOLLOW_CREDIT,
        .has_visibility = v->options.has_visibility,
        .visibility_ms = v->options.visibility_ms,
    };
    f.credit = options.credit;
    uv_loop_t *loop = hato_client_loop(r->client);
    uv_signal_init(loop, &f.interrupt);
    f.interrupt.data = &f;
    uv_signal_start(&f.interrupt, on_interrupt, SIGINT);
    f.stream = hato_stream_open(r->client, r->arguments.items[0], &options, on_delivery, on_end, &f);
    while (f.stream != NULL || f.acks > 0)
        uv_run(loop, UV_RUN_ONCE);
    if (f.unknown > 0)
        tell_unknown(&f);
    uv_close((uv_handle_t *)&f.interrupt, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    return f.code;
}

static bool take_max(struct receive_values *v)
{
    uint64_t max = 0;
    if (v->max == NULL)
        return true;
    bool good = option_number(v->max, v->follow ? UINT32_MAX : ONCE_MAX, &max) && max > 0;
    v->options.max_messages = (uint32_t)max;
    return good;
}

static enum exit_code receive(struct run *r)
{
    struct receive_values *v = r->values;
    v->options.has_wait = (v->given & GIVEN_WAIT) != 0;
    v->options.has_visibility = (v->given & GIVEN_VISIBILITY) != 0;
    if (v->body && r->globals.json)
        return command_usage(r, "body", "--body and --json contradict each other: give one of them");
    if (!take_max(v))
        return command_usage(r, "max", "--max takes a whole number, 1 to %d (or more with --follow), not '%.60s'",
                             ONCE_MAX, v->max);
    if (v->follow && v->options.has_wait)
        return command_usage(r, "wait", "--wait has no meaning with --follow, which waits for ever");
    return v->follow ? follow(r) : receive_once(r);
}

const struct command receive_commands[] = {
    {"receive", "QUEUE", "Receives messages: they are leased until acked, nacked, or their time is up.",
     "Receipts are for hato ack, nack and extend. Prints nothing (with --json an empty list) when none came.\n"
     "--deadline counts from the end of the wait, or from when the broker is gone.",
     "hato receive jobs --max 10 --wait 20s\nhato receive jobs --follow --ack --body", 1, 1, receive_options,
     sizeof(struct receive_values), receive},
    {0},
};

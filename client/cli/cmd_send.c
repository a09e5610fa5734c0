/* hato send */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli/base64.h"
#include "cli/command.h"
#include "cli/json.h"
#include "cli/lines.h"
#include "cli/text.h"

enum { ATTRIBUTES_MAX = 64, LINES_WINDOW = 4000 };
static const size_t BODY_MAX = 64u << 20; /* the largest message any broker takes */

enum { GIVEN_DELAY = 1, GIVEN_NOT_BEFORE = 2 };

struct send_values {
    struct hato_message message;
    struct text_list attributes;
    uint32_t window;
    uint32_t given;
    bool lines;
    bool quiet;
};

#define MESSAGE(field) offsetof(struct send_values, message.field)

static const struct option send_options[] = {
    {"lines", OPTION_FLAG, offsetof(struct send_values, lines), NULL,
     "every line of standard input, without its LF or CRLF, is a message; tells how many at the end", NULL, 0, 0},
    {"window", OPTION_U32, offsetof(struct send_values, window), "N", "sends under way at once with --lines (4000)",
     NULL, 0, 0, .min = 1, .max = 65536},
    {"delay", OPTION_DURATION, MESSAGE(delay_ms), "DURATION", "not to be received earlier (the queue's); 0: at once",
     NULL, offsetof(struct send_values, given), GIVEN_DELAY, .max = 10 * OPTION_YEAR},
    {"no-delay", OPTION_FLAG, MESSAGE(no_delay), NULL, "at once, also where the queue has a delay", NULL, 0, 0},
    {"not-before", OPTION_U64, MESSAGE(not_before_ms), "MS", "a point in time (milliseconds since 1970) for a delay",
     NULL, offsetof(struct send_values, given), GIVEN_NOT_BEFORE, .min = 1},
    {"group", OPTION_TEXT, MESSAGE(group), "TEXT", "order (FIFO queue) or fairness (standard queue)", NULL, 0, 0},
    {"dedup", OPTION_TEXT, MESSAGE(deduplication_id), "ID", "a second message with this id is dropped", NULL, 0, 0},
    {"attr", OPTION_LIST, offsetof(struct send_values, attributes), "NAME=VALUE",
     "an attribute; NAME:number=5, NAME:binary=BASE64; again for more", NULL, 0, 0},
    {"priority", OPTION_U32, MESSAGE(priority), "N", "0 (lowest) to 7; standard queues (0)", NULL, 0, 0, .max = 7},
    {"traceparent", OPTION_TEXT, MESSAGE(traceparent), "TEXT",
     "W3C trace context (00-TRACE-PARENT-FLAGS), reaches the function; one whose ids are all zeros is refused", NULL, 0,
     0},
    {"quiet", OPTION_FLAG, offsetof(struct send_values, quiet), NULL, "don't print message ids", NULL, 0, 0},
    {0},
};

/* ---------------------------------------------------------------- attributes */

struct attributes {
    struct hato_attribute items[ATTRIBUTES_MAX];
    struct buffer memory[ATTRIBUTES_MAX]; /* name, zero byte, value */
    size_t count;
};

static void free_attributes(struct attributes *a)
{
    for (size_t i = 0; i < ATTRIBUTES_MAX; i++)
        buffer_close(&a->memory[i]);
}

/* NAME=VALUE, NAME:TYPE=VALUE with TYPE text, number, binary, and a label after a dot: NAME:number.float=1.5 */
static bool read_attribute(struct hato_attribute *a, struct buffer *memory, const char *text)
{
    static const char *const types[] = {"text", "number", "binary"};
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return false;
    buffer_put(memory, text, (size_t)(equals - text));
    buffer_u8(memory, 0);
    char *colon = strchr((char *)memory->data, ':');
    if (colon != NULL) {
        char *type = colon + 1;
        *colon = '\0';
        size_t len = strcspn(type, ".");
        a->type = (enum hato_attribute_type)3;
        for (int i = 0; i < 3; i++) {
            if (strlen(types[i]) == len && strncmp(types[i], type, len) == 0)
                a->type = (enum hato_attribute_type)i;
        }
    }
    size_t head = memory->len;
    if ((int)a->type == 3)
        return false;
    if (a->type == HATO_BINARY && !base64_read(memory, bytes_text(equals + 1)))
        return false;
    if (a->type != HATO_BINARY)
        buffer_put(memory, equals + 1, strlen(equals + 1));
    a->name = (const char *)memory->data;
    const char *dot = colon != NULL ? strchr(a->name + strlen(a->name) + 1, '.') : NULL;
    a->type_suffix = dot != NULL ? dot + 1 : "";
    a->value = memory->data + head;
    a->value_len = memory->len - head;
    return true;
}

static enum exit_code take_attributes(struct run *r, struct send_values *v, struct attributes *a)
{
    if (v->attributes.count > ATTRIBUTES_MAX)
        return command_usage(r, "attr", "--attr is given %zu times, the limit is %d", v->attributes.count,
                             ATTRIBUTES_MAX);
    for (size_t i = 0; i < v->attributes.count; i++) {
        if (!read_attribute(&a->items[i], &a->memory[i], v->attributes.items[i]))
            return command_usage(r, "attr",
                                 "--attr takes NAME=VALUE, NAME:number=VALUE or NAME:binary=BASE64, not '%.60s'",
                                 v->attributes.items[i]);
    }
    v->message.attributes = a->items;
    v->message.attribute_count = v->attributes.count;
    return EXIT_DONE;
}

/* ---------------------------------------------------------------- bodies given as arguments, or the whole input */

static enum exit_code read_input(struct run *r, struct buffer *body)
{
    for (;;) {
        ssize_t n = read(STDIN_FILENO, buffer_reserve(body, 65536), 65536);
        if (n == 0)
            return EXIT_DONE;
        if (n < 0)
            return command_failed(r, "cannot read standard input: %s", strerror(errno));
        body->len += (size_t)n;
        if (body->len > BODY_MAX)
            return command_usage(r, "",
                                 "standard input is above 64MiB, the largest message; --lines sends line by line");
    }
}

static void print_sent(struct run *r, const struct send_values *v, const struct hato_reply *reply)
{
    struct json j = {0};
    if (r->globals.json)
        json_list(&j, NULL);
    for (size_t i = 0; i < reply->sent_count; i++) {
        const struct hato_sent *s = &reply->sent[i];
        if (r->globals.json) {
            json_object(&j, NULL);
            json_text(&j, "message_id", s->message_id);
            json_number(&j, "sequence", s->sequence);
            json_bool(&j, "duplicate", s->duplicate);
            json_text(&j, "code", hato_code_name(s->error.code));
            if (s->error.code != HATO_OK)
                json_text(&j, "message", s->error.message);
            json_object_end(&j);
        } else if (s->error.code != HATO_OK) {
            command_error_at(r, &s->error, "message %zu", i + 1);
        } else if (!v->quiet) {
            printf("%s%s\n", s->message_id, s->duplicate ? " (duplicate)" : "");
        }
    }
    if (r->globals.json) {
        json_list_end(&j);
        json_print(&j);
    }
    buffer_close(&j.out);
}

static enum exit_code send_bodies(struct run *r, const struct send_values *v, struct hato_message *messages,
                                  size_t count)
{
    struct hato_reply *reply = hato_wait(hato_send(r->client, r->arguments.items[0], messages, count, NULL, NULL));
    enum exit_code code = EXIT_DONE;
    size_t failed = 0;
    for (size_t i = 0; i < reply->sent_count; i++)
        failed += reply->sent[i].error.code != HATO_OK;
    if (reply->sent_count == 0 || (failed > 0 && count == 1)) {
        code = command_error(r, &reply->error);
    } else {
        print_sent(r, v, reply);
        code = failed == 0 ? EXIT_DONE : failed < count ? EXIT_PARTLY : EXIT_REFUSED;
    }
    hato_reply_destroy(reply);
    return code;
}

static enum exit_code send_arguments(struct run *r, const struct send_values *v)
{
    size_t count = r->arguments.count - 1;
    if (count == 0)
        return command_usage(r, "", "no message: give its body, '-' for standard input, or --lines");
    if (v->window != 0)
        return command_usage(r, "window", "--window has a meaning with --lines only");
    if (count > 1 && v->message.deduplication_id != NULL)
        return command_usage(r, "", "with --dedup all but the first message would be dropped as duplicates");
    struct hato_message *messages = memory_zero(count, sizeof *messages);
    struct buffer input = {0};
    bool taken = false;
    enum exit_code code = EXIT_DONE;
    for (size_t i = 0; i < count && code == EXIT_DONE; i++) {
        const char *text = r->arguments.items[i + 1];
        messages[i] = v->message;
        messages[i].body = text;
        messages[i].body_len = strlen(text);
        if (strcmp(text, "-") != 0)
            continue;
        code =
            taken ? command_usage(r, "", "'-' is given twice; standard input can be read once") : read_input(r, &input);
        taken = true;
        messages[i].body = input.data;
        messages[i].body_len = input.len;
    }
    if (code == EXIT_DONE)
        code = send_bodies(r, v, messages, count);
    buffer_close(&input);
    memory_free(messages);
    return code;
}

static enum exit_code send_lines(struct run *r, const struct send_values *v)
{
    if (r->arguments.count > 1)
        return command_usage(r, "lines", "--lines takes the messages from standard input, not from arguments");
    if (v->message.deduplication_id != NULL)
        return command_usage(r, "", "with --dedup all lines but the first would be dropped as duplicates");
    uint32_t window = v->window != 0 ? v->window : LINES_WINDOW;
    return lines_send(r, r->arguments.items[0], &v->message, window);
}

/* A delay of 0 is one that is given: it overrides the queue's. */
static enum exit_code take_delay(struct run *r, struct send_values *v)
{
    bool delay = (v->given & GIVEN_DELAY) != 0;
    bool point = (v->given & GIVEN_NOT_BEFORE) != 0;
    if (delay + point + v->message.no_delay > 1)
        return command_usage(r, "delay",
                             "--delay, --not-before and --no-delay contradict each other: give one of them");
    v->message.no_delay = v->message.no_delay || (delay && v->message.delay_ms == 0);
    return EXIT_DONE;
}

static enum exit_code send_command(struct run *r)
{
    struct send_values *v = r->values;
    struct attributes *a = memory_zero(1, sizeof *a);
    enum exit_code code = take_delay(r, v);
    if (code == EXIT_DONE)
        code = take_attributes(r, v, a);
    if (code == EXIT_DONE)
        code = v->lines ? send_lines(r, v) : send_arguments(r, v);
    free_attributes(a);
    memory_free(a);
    return code;
}

const struct command send_commands[] = {
    {"send", "QUEUE [MESSAGE...]", "Sends messages; prints their ids once they are durable.",
     "'-' as a message is all of standard input. With --lines a broker that goes away and comes back is waited for;\n"
     "every line is stored once.",
     "hato send jobs 'hello' --delay 10m --attr kind=new\nhato send jobs --lines < jobs.txt\nhato send jobs - < "
     "body.bin",
     1, TEXT_LIST_MAX, send_options, sizeof(struct send_values), send_command},
    {0},
};

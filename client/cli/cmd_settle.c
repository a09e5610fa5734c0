/* hato ack, nack, extend, cancel */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cli/base64.h"
#include "cli/command.h"
#include "cli/json.h"

enum { SETTLE_BATCH = 1000, NAME_LINE_MAX = 4096 };

struct settle_values {
    struct hato_nack_options nack;
    uint64_t visibility_ms;
    uint32_t given;
};

enum { GIVEN_VISIBILITY = 1 };

#define NACK(field) offsetof(struct settle_values, nack.field)

static const struct option nack_options[] = {
    {"delay", OPTION_DURATION, NACK(delay_ms), "DURATION", "not to be received again earlier (0)", NULL, 0, 0,
     .max = 7 * OPTION_DAY},
    {"error", OPTION_TEXT, NACK(error), "TEXT", "kept as the message's last error, cut at 1KiB", NULL, 0, 0},
    {"status", OPTION_U32, NACK(status), "N", "a status kept with it (0: none)", NULL, 0, 0},
    {"uncounted", OPTION_FLAG, NACK(uncounted), NULL, "the receive doesn't count: it was not tried", NULL, 0, 0},
    {0},
};

static const struct option extend_options[] = {
    {"visibility", OPTION_DURATION, offsetof(struct settle_values, visibility_ms), "DURATION",
     "how long the lease lasts from now (needed; 0 gives it back)", NULL, offsetof(struct settle_values, given),
     GIVEN_VISIBILITY, .max = 7 * OPTION_DAY},
    {0},
};

static bool cancels(const struct run *r)
{
    return r->command->name[0] == 'c';
}

static const char *what(const struct run *r)
{
    return cancels(r) ? "message id" : "receipt";
}

/* What is named on the command line, or line by line on standard input for '-'. */
struct names {
    struct buffer text;    /* each with its zero byte */
    struct buffer offsets; /* of them, as size_t */
    size_t count;
};

static void add_name(struct names *n, const char *text, size_t len)
{
    size_t offset = n->text.len;
    buffer_put(&n->offsets, &offset, sizeof offset);
    buffer_put(&n->text, text, len);
    buffer_u8(&n->text, 0);
    n->count++;
}

static const char *name_at(const struct names *n, size_t i)
{
    size_t offset;
    memcpy(&offset, n->offsets.data + i * sizeof offset, sizeof offset);
    return (const char *)n->text.data + offset;
}

static void close_names(struct names *n)
{
    buffer_close(&n->text);
    buffer_close(&n->offsets);
}

/* No more of a line is read than tells that it is too long. */
static bool read_line(struct buffer *line)
{
    int c;
    buffer_clear(line);
    while ((c = getc(stdin)) != EOF && c != '\n' && line->len <= NAME_LINE_MAX)
        buffer_u8(line, (uint8_t)c);
    if (line->len > 0 && line->data[line->len - 1] == '\r')
        line->len--;
    return c != EOF || line->len > 0;
}

static enum exit_code add_line(struct run *r, struct names *n, const struct buffer *line, unsigned long long number)
{
    if (line->len > NAME_LINE_MAX)
        return command_usage(r, "", "line %llu of standard input has more than %d bytes; give one %s a line", number,
                             NAME_LINE_MAX, what(r));
    if (line->len > 0 && memchr(line->data, '\0', line->len) != NULL)
        return command_usage(r, "", "line %llu of standard input has a zero byte; give one %s a line", number, what(r));
    if (line->len > 0)
        add_name(n, (const char *)line->data, line->len);
    return EXIT_DONE;
}

static enum exit_code read_input(struct run *r, struct names *n)
{
    struct buffer line = {0};
    enum exit_code code = EXIT_DONE;
    for (unsigned long long number = 1; code == EXIT_DONE && read_line(&line); number++)
        code = add_line(r, n, &line, number);
    buffer_close(&line);
    if (code == EXIT_DONE && ferror(stdin))
        code = command_failed(r, "cannot read standard input: %s; nothing was changed", strerror(errno));
    return code;
}

static enum exit_code read_names(struct run *r, struct names *n)
{
    enum exit_code code = EXIT_DONE;
    for (size_t i = 1; code == EXIT_DONE && i < r->arguments.count; i++) {
        const char *text = r->arguments.items[i];
        if (strcmp(text, "-") == 0)
            code = read_input(r, n);
        else
            add_name(n, text, strlen(text));
    }
    return code;
}

/* ---------------------------------------------------------------- in batches, with a result each */

struct settling {
    struct run *run;
    struct names names;
    struct json json;
    size_t done;
    size_t refused;
    enum exit_code code; /* of a batch that failed as a whole */
};

static const char *told(const struct run *r, int code)
{
    if (cancels(r) && code == HATO_INVALID)
        return "not a message id; give it as hato send or hato peek printed it";
    if (cancels(r) && code == HATO_CONFLICT)
        return "in flight: somebody received it, and who has the receipt can ack it; or moving to the dead-letter "
               "queue";
    return hato_code_text(code);
}

static void note(struct settling *s, const char *name, int code)
{
    s->done += code == HATO_OK;
    s->refused += code != HATO_OK;
    if (s->run->globals.json) {
        json_object(&s->json, NULL);
        json_text(&s->json, cancels(s->run) ? "message_id" : "receipt", name);
        json_text(&s->json, "code", hato_code_name(code));
        json_object_end(&s->json);
    } else if (code != HATO_OK) {
        fprintf(stderr, "hato: %s: %s\n", name, told(s->run, code));
    }
}

static struct hato_call *call_for(struct run *r, const struct hato_bytes *receipts, const char *const *names,
                                  size_t count)
{
    const struct settle_values *v = r->values;
    const char *queue = r->arguments.items[0];
    switch (r->command->name[0]) {
    case 'a':
        return hato_ack(r->client, queue, receipts, count, NULL, NULL);
    case 'n':
        return hato_nack(r->client, queue, receipts, count, &v->nack, NULL, NULL);
    case 'e':
        return hato_extend(r->client, queue, receipts, count, v->visibility_ms, NULL, NULL);
    default:
        return hato_cancel(r->client, queue, names, count, NULL, NULL);
    }
}

static void settle_batch(struct settling *s, size_t from, size_t count)
{
    struct hato_bytes *receipts = memory_zero(count, sizeof *receipts);
    struct buffer *memory = memory_zero(count, sizeof *memory);
    const char **names = memory_zero(count, sizeof *names);
    for (size_t i = 0; i < count; i++) {
        names[i] = name_at(&s->names, from + i);
        base64_read(&memory[i], bytes_text(names[i]));
        receipts[i] = (struct hato_bytes){memory[i].data, memory[i].len};
    }
    struct hato_reply *reply = hato_wait(call_for(s->run, receipts, names, count));
    if (reply->code_count == 0)
        s->code = command_error(s->run, &reply->error);
    for (size_t i = 0; i < reply->code_count; i++)
        note(s, names[i], reply->codes[i]);
    hato_reply_destroy(reply);
    for (size_t i = 0; i < count; i++)
        buffer_close(&memory[i]);
    memory_free(receipts);
    memory_free(memory);
    memory_free(names);
}

static enum exit_code check_receipts(struct run *r, const struct names *names)
{
    struct buffer scratch = {0};
    enum exit_code code = EXIT_DONE;
    for (size_t i = 0; i < names->count && code == EXIT_DONE; i++) {
        buffer_clear(&scratch);
        if (!base64_read(&scratch, bytes_text(name_at(names, i))) || scratch.len == 0)
            code = command_usage(r, "", "'%.100s' is not a receipt; give it as hato receive printed it",
                                 name_at(names, i));
    }
    buffer_close(&scratch);
    return code;
}

static enum exit_code settle(struct run *r, const char *done)
{
    struct settling s = {.run = r};
    s.code = read_names(r, &s.names);
    if (s.code == EXIT_DONE && !cancels(r))
        s.code = check_receipts(r, &s.names);
    if (s.code != EXIT_DONE) {
        close_names(&s.names);
        return s.code;
    }
    if (r->globals.json)
        json_list(&s.json, NULL);
    for (size_t at = 0; at < s.names.count && s.code == EXIT_DONE; at += SETTLE_BATCH)
        settle_batch(&s, at, s.names.count - at < SETTLE_BATCH ? s.names.count - at : SETTLE_BATCH);
    if (r->globals.json) {
        json_list_end(&s.json);
        json_print(&s.json);
    } else if (s.code == EXIT_DONE || s.done > 0) {
        printf("%s %zu\n", done, s.done);
    }
    buffer_close(&s.json.out);
    close_names(&s.names);
    if (s.code != EXIT_DONE)
        return s.code;
    return s.refused == 0 ? EXIT_DONE : s.done > 0 ? EXIT_PARTLY : EXIT_REFUSED;
}

static enum exit_code ack(struct run *r)
{
    return settle(r, "acked");
}

static enum exit_code nack(struct run *r)
{
    return settle(r, "given back");
}

static enum exit_code extend(struct run *r)
{
    const struct settle_values *v = r->values;
    if ((v->given & GIVEN_VISIBILITY) == 0)
        return command_usage(r, "visibility", "--visibility is needed: how long the lease lasts from now");
    return settle(r, "extended");
}

static enum exit_code cancel(struct run *r)
{
    return settle(r, "cancelled");
}

const struct command settle_commands[] = {
    {"ack", "QUEUE RECEIPT...", "Deletes received messages: they are done.", "'-' reads receipts from standard input.",
     "hato ack jobs AQIDBAUGBwg", 2, TEXT_LIST_MAX, NULL, sizeof(struct settle_values), ack},
    {"nack", "QUEUE RECEIPT...", "Gives received messages back, at once or after a delay.",
     "'-' reads receipts from standard input.", "hato nack jobs AQIDBAUGBwg --delay 30s --error 'no such user'", 2,
     TEXT_LIST_MAX, nack_options, sizeof(struct settle_values), nack},
    {"extend", "QUEUE RECEIPT...", "Makes leases last longer.", "'-' reads receipts from standard input.",
     "hato extend jobs AQIDBAUGBwg --visibility 5m", 2, TEXT_LIST_MAX, extend_options, sizeof(struct settle_values),
     extend},
    {"cancel", "QUEUE MESSAGE-ID...", "Deletes messages that nobody holds, such as delayed ones.",
     "Ids are those that send and peek print; '-' reads them from standard input.",
     "hato cancel jobs 00080000-0000-0001-0000-000000000080", 2, TEXT_LIST_MAX, NULL, sizeof(struct settle_values),
     cancel},
    {0},
};

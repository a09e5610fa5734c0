#include "cli/lines.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/human.h"
#include "base/memory.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/text.h"

enum { READ_BYTES = 256 * 1024, REASONS_TOLD = 5 };
static const size_t LINE_MAX_BYTES = 64u << 20;
static const uint64_t UNDER_WAY_BYTES = 64u << 20; /* well below the client's own limit, whatever the window */

/* The input is read by libuv's pool, since it may be a pipe that makes one wait. */
struct lines {
    struct run *run;
    const char *queue;
    const struct hato_message *like;
    uint32_t window;
    struct progress progress;
    uv_fs_t reading;
    struct buffer input; /* read, the lines from `at` on not sent yet */
    size_t at;
    size_t scanned; /* from `at`: known to hold no line's end */
    bool reading_now;
    bool at_end;
    bool stopped; /* a line failed, the input is not readable, or the user wants no more */
    bool interrupted;
    uv_signal_t interrupt;
    uint32_t under_way;
    uint64_t under_way_bytes;
    uint64_t line; /* number of the last line sent */
    uint64_t sent;
    uint64_t duplicates;
    struct buffer failed; /* the numbers of lines not stored, or in doubt, as uint64_t, in the order told */
    uint64_t in_doubt;    /* of them: those that may have been stored */
    uint64_t bytes;       /* of bodies stored */
    uint64_t input_bytes; /* taken from the input */
    enum exit_code code;
};

struct line {
    struct lines *lines;
    uint64_t number;
    size_t len;
};

static void go_on(struct lines *s);

static size_t failed_count(const struct lines *s)
{
    return s->failed.len / sizeof(uint64_t);
}

static void tell_failure(struct lines *s, const struct line *l, const struct hato_error *e)
{
    if (failed_count(s) > REASONS_TOLD)
        return;
    progress_close(&s->progress);
    enum exit_code code = command_error_at(s->run, e, "line %llu", (unsigned long long)l->number);
    if (s->code == EXIT_DONE)
        s->code = code;
}

static void on_sent(void *user, const struct hato_reply *reply)
{
    struct line *l = user;
    struct lines *s = l->lines;
    s->under_way--;
    s->under_way_bytes -= l->len;
    if (reply->error.code == HATO_OK) {
        s->sent++;
        s->bytes += l->len;
        s->duplicates += reply->sent[0].duplicate;
    } else {
        buffer_put(&s->failed, &l->number, sizeof l->number);
        s->in_doubt += reply->error.code == HATO_TIMEOUT || reply->error.code == HATO_UNKNOWN_OUTCOME ||
                       reply->error.code == HATO_CLOSED;
        s->stopped = true;
        tell_failure(s, l, &reply->error);
    }
    memory_free(l);
    progress_at(&s->progress, s->sent, s->input_bytes);
    go_on(s);
}

static void send_one(struct lines *s, const uint8_t *data, size_t len)
{
    struct line *l = memory_alloc(sizeof *l);
    *l = (struct line){s, ++s->line, len};
    struct hato_message m = *s->like;
    m.body = data;
    m.body_len = len > 0 && data[len - 1] == '\r' ? len - 1 : len;
    s->under_way++;
    s->under_way_bytes += len;
    hato_send(s->run->client, s->queue, &m, 1, on_sent, l);
}

/* The next whole line; at the input's end also one without its end. False when there is none. */
static bool take_line(struct lines *s)
{
    const uint8_t *from = s->input.data + s->at;
    size_t have = s->input.len - s->at;
    const uint8_t *end = have > s->scanned ? memchr(from + s->scanned, '\n', have - s->scanned) : NULL;
    if (end == NULL && (!s->at_end || have == 0)) {
        s->scanned = have;
        return false;
    }
    size_t len = end != NULL ? (size_t)(end - from) : have;
    s->at += len + (end != NULL);
    s->input_bytes += len + (end != NULL);
    s->scanned = 0;
    send_one(s, from, len);
    return true;
}

static void on_read(uv_fs_t *req)
{
    struct lines *s = req->data;
    ssize_t n = req->result;
    uv_fs_req_cleanup(req);
    s->reading_now = false;
    if (n > 0) {
        s->input.len += (size_t)n;
    } else if (n == 0) {
        s->at_end = true;
    } else { /* what is there of a line may be half of it */
        s->stopped = true;
        s->code = command_failed(s->run, "cannot read standard input: %s", strerror((int)-n));
    }
    go_on(s);
}

static void read_more(struct lines *s)
{
    if (s->at > 0) {
        memmove(s->input.data, s->input.data + s->at, s->input.len - s->at);
        s->input.len -= s->at;
        s->at = 0;
    }
    if (s->input.len > LINE_MAX_BYTES) {
        s->stopped = true;
        s->code =
            command_usage(s->run, "", "line %llu is above 64MiB, the largest message", (unsigned long long)s->line + 1);
        return;
    }
    uv_buf_t buf = uv_buf_init((char *)buffer_reserve(&s->input, READ_BYTES), READ_BYTES);
    s->reading.data = s;
    s->reading_now = true;
    uv_fs_read(hato_client_loop(s->run->client), &s->reading, STDIN_FILENO, &buf, 1, -1, on_read);
}

static void go_on(struct lines *s)
{
    if (s->reading_now)
        return;
    while (!s->stopped && s->under_way < s->window && s->under_way_bytes < UNDER_WAY_BYTES) {
        if (take_line(s))
            continue;
        if (!s->at_end)
            read_more(s);
        return;
    }
}

static bool over(const struct lines *s)
{
    bool no_more = s->stopped || (s->at_end && s->at == s->input.len);
    return no_more && s->under_way == 0;
}

/* The first ctrl-c stops reading, and what is under way is waited for; a second one ends the program. */
static void on_interrupt(uv_signal_t *handle, int number)
{
    (void)number;
    struct lines *s = handle->data;
    s->interrupted = true;
    s->stopped = true;
}

/* ---------------------------------------------------------------- the end */

static int compare(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

struct range {
    uint64_t first, last;
};

/* The next range of the sorted numbers from `*at` on; false when there is none. */
static bool next_range(const struct lines *s, size_t *at, struct range *out)
{
    const uint64_t *numbers = (const uint64_t *)(const void *)s->failed.data;
    if (*at == failed_count(s))
        return false;
    out->first = out->last = numbers[(*at)++];
    while (*at < failed_count(s) && numbers[*at] == out->last + 1)
        out->last = numbers[(*at)++];
    return true;
}

static void tell_end_json(const struct lines *s, uint64_t ms)
{
    struct json j = {0};
    json_object(&j, NULL);
    json_number(&j, "sent", s->sent);
    json_number(&j, "duplicates", s->duplicates);
    json_number(&j, "failed", failed_count(s));
    json_number(&j, "in_doubt", s->in_doubt);
    json_number(&j, "bytes", s->bytes);
    json_number(&j, "ms", ms);
    json_list(&j, "failed_lines");
    struct range r;
    for (size_t at = 0; next_range(s, &at, &r);) {
        json_list(&j, NULL);
        json_number(&j, NULL, r.first);
        json_number(&j, NULL, r.last);
        json_list_end(&j);
    }
    json_list_end(&j);
    json_object_end(&j);
    json_print(&j);
    buffer_close(&j.out);
}

static void tell_failed(const struct lines *s)
{
    char count[TEXT_MAX];
    char doubt[TEXT_MAX];
    fprintf(stderr, "hato: %s %s not stored", text_count(failed_count(s), count),
            failed_count(s) == 1 ? "line was" : "lines were");
    if (s->in_doubt > 0)
        fprintf(stderr, ", or may have been all the same (%s without an answer: look before sending them again)",
                text_count(s->in_doubt, doubt));
    bool begun = false;
    struct range r;
    for (size_t at = 0; next_range(s, &at, &r);) {
        fprintf(stderr, "%s%llu", begun ? ", " : ": ", (unsigned long long)r.first);
        begun = true;
        if (r.last > r.first)
            fprintf(stderr, "-%llu", (unsigned long long)r.last);
    }
    fprintf(stderr, "; reading stopped after line %llu\n", (unsigned long long)s->line);
}

static void tell_end(struct lines *s)
{
    uint64_t ms = progress_elapsed_ms(&s->progress);
    if (failed_count(s) > 0)
        qsort(s->failed.data, failed_count(s), sizeof(uint64_t), compare);
    if (s->run->globals.json) {
        tell_end_json(s, ms);
        return;
    }
    char count[TEXT_MAX], size[HUMAN_TEXT_MAX], rate[TEXT_MAX];
    printf("sent %s messages (%s) in %.1f s, %s/s\n", text_count(s->sent, count), human_size_text(s->bytes, size),
           (double)ms / 1000, text_count(ms > 0 ? s->sent * 1000 / ms : s->sent, rate));
    if (s->duplicates > 0)
        printf("%s of them were duplicates\n", text_count(s->duplicates, count));
    if (failed_count(s) > 0)
        tell_failed(s);
}

static enum exit_code end_code(const struct lines *s)
{
    if (s->interrupted)
        return EXIT_STOPPED;
    return s->code == EXIT_REFUSED && s->sent > 0 ? EXIT_PARTLY : s->code;
}

static uint64_t input_size(void)
{
    struct stat st;
    return fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

enum exit_code lines_send(struct run *r, const char *queue, const struct hato_message *like, uint32_t window)
{
    struct lines s = {.run = r, .queue = queue, .like = like, .window = window};
    uv_loop_t *loop = hato_client_loop(r->client);
    progress_open(&s.progress, "sent", input_size());
    uv_signal_init(loop, &s.interrupt);
    s.interrupt.data = &s;
    uv_signal_start_oneshot(&s.interrupt, on_interrupt, SIGINT);
    go_on(&s);
    while (!over(&s))
        uv_run(loop, UV_RUN_ONCE);
    progress_close(&s.progress);
    tell_end(&s);
    if (s.reading_now) { /* a read of a pipe that nobody writes to can't be called off */
        fflush(stdout);
        _exit((int)end_code(&s));
    }
    uv_close((uv_handle_t *)&s.interrupt, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    buffer_close(&s.input);
    buffer_close(&s.failed);
    return end_code(&s);
}

#include "cli/lines.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/human.h"
#include "base/memory.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/text.h"

enum { READ_BYTES = 256 * 1024, FAILURES_TOLD = 5 };
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
    bool stdin_failed;
    uint32_t under_way;
    uint64_t under_way_bytes;
    uint64_t line; /* number of the last line sent */
    uint64_t sent;
    uint64_t duplicates;
    uint64_t failed;
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

static void tell_failure(struct lines *s, const struct line *l, const struct hato_error *e)
{
    if (s->failed > FAILURES_TOLD)
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
        s->failed++;
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
    } else {
        s->at_end = true;
        s->stdin_failed = n < 0;
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
    return no_more && s->under_way == 0 && (!s->reading_now || s->interrupted);
}

/* The first ctrl-c stops reading, and what is under way is waited for; a second one ends the program. */
static void on_interrupt(uv_signal_t *handle, int number)
{
    (void)number;
    struct lines *s = handle->data;
    s->interrupted = true;
    s->stopped = true;
}

static void tell_end(const struct lines *s)
{
    uint64_t ms = progress_elapsed_ms(&s->progress);
    if (s->run->globals.json) {
        printf("{\"sent\":%llu,\"duplicates\":%llu,\"failed\":%llu,\"bytes\":%llu,\"ms\":%llu}\n",
               (unsigned long long)s->sent, (unsigned long long)s->duplicates, (unsigned long long)s->failed,
               (unsigned long long)s->bytes, (unsigned long long)ms);
        return;
    }
    char count[TEXT_MAX], size[HUMAN_TEXT_MAX], rate[TEXT_MAX];
    printf("sent %s messages (%s) in %.1f s, %s/s\n", text_count(s->sent, count), human_size_text(s->bytes, size),
           (double)ms / 1000, text_count(ms > 0 ? s->sent * 1000 / ms : s->sent, rate));
    if (s->duplicates > 0)
        printf("%s of them were duplicates\n", text_count(s->duplicates, count));
    if (s->failed > 0)
        fprintf(stderr, "hato: %s lines were not stored; reading stopped after line %llu\n",
                text_count(s->failed, count), (unsigned long long)s->line);
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
    if (s.interrupted) {
        tell_end(&s);
        fflush(stdout);
        _exit(EXIT_STOPPED); /* a read of a pipe that nobody writes to can't be called off */
    }
    uv_close((uv_handle_t *)&s.interrupt, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    buffer_close(&s.input);
    if (s.stdin_failed)
        s.code = command_failed(r, "cannot read standard input");
    tell_end(&s);
    return s.code == EXIT_REFUSED && s.sent > 0 ? EXIT_PARTLY : s.code;
}

/* hato top: a live view of queues and functions in the terminal. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/text.h"
#include "cli/top.h"

enum { PAGE = 1000, INTERVAL_MS = 1000, ANSWER_MS = 5000 };

static const char SCREEN_ON[] = "\033[?1049h\033[?25l";
static const char SCREEN_OFF[] = "\033[?25h\033[?1049l";

struct top_values {
    uint64_t interval_ms;
    bool once;
};

static const struct option top_options[] = {
    {"interval", OPTION_DURATION, offsetof(struct top_values, interval_ms), "DURATION", "between two looks (1s)", NULL,
     0, 0, .min = 100, .max = OPTION_HOUR},
    {"once", OPTION_FLAG, offsetof(struct top_values, once), NULL,
     "print one frame and end, after two looks, so that rates are there", NULL, 0, 0},
    {0},
};

struct top {
    struct run *run;
    uv_loop_t *loop;
    uv_tty_t keys;
    uv_signal_t resized;
    uv_signal_t interrupted;
    uv_timer_t timer;
    struct hato_call *asking; /* cancelled when the user quits */
    struct top_look now;
    struct top_look before;
    enum top_order order;
    enum top_table scrolled;
    size_t first[TOP_TABLES];
    char problem[300];
    char server[300];
    char typed[64];
    bool quit;
    bool due;
    bool redraw;
    bool interactive;
    enum exit_code code;
};

/* ---------------------------------------------------------------- asking */

/* NULL when it failed, or the user quits; the reason is in `problem`. */
static struct hato_reply *ask(struct top *t, struct hato_call *call)
{
    t->asking = call;
    if (t->interactive && t->now.at_ns != 0)
        hato_call_timeout(call, ANSWER_MS);
    struct hato_reply *reply = hato_wait(call);
    t->asking = NULL;
    if (reply->error.code == HATO_OK)
        return reply;
    if (!t->interactive || t->now.at_ns == 0)
        t->code = t->quit ? EXIT_DONE : command_error(t->run, &reply->error);
    snprintf(t->problem, sizeof t->problem, "%s", reply->error.message);
    hato_reply_destroy(reply);
    return NULL;
}

static bool ask_queues(struct top *t, struct top_look *l)
{
    char after[2048] = "";
    do {
        struct hato_list_options options = {.after = after, .max = PAGE};
        struct hato_reply *reply = ask(t, hato_queue_list(t->run->client, &options, NULL, NULL));
        if (reply == NULL)
            return false;
        top_look_queues(l, reply->queues, reply->queue_count);
        snprintf(after, sizeof after, "%s", reply->next);
        hato_reply_destroy(reply);
    } while (after[0] != '\0' && l->queue_count < TOP_QUEUES_MAX);
    l->more_queues = after[0] != '\0';
    return true;
}

static bool ask_functions(struct top *t, struct top_look *l)
{
    char after[2048] = "";
    do {
        struct hato_list_options options = {.after = after, .max = PAGE};
        struct hato_reply *reply = ask(t, hato_function_list(t->run->client, &options, NULL, NULL));
        if (reply == NULL)
            return false;
        top_look_functions(l, reply->functions, reply->function_count);
        snprintf(after, sizeof after, "%s", reply->next);
        hato_reply_destroy(reply);
    } while (after[0] != '\0' && l->function_count < TOP_FUNCTIONS_MAX);
    l->more_functions = after[0] != '\0';
    return true;
}

static bool ask_all(struct top *t, struct top_look *l)
{
    struct hato_reply *reply = ask(t, hato_status(t->run->client, NULL, NULL));
    if (reply == NULL)
        return false;
    top_look_status(l, reply->status, uv_hrtime());
    hato_reply_destroy(reply);
    return ask_queues(t, l) && ask_functions(t, l);
}

/* A new look; the one before stays when it fails. */
static bool look(struct top *t)
{
    struct top_look l = {0};
    if (!ask_all(t, &l)) {
        top_look_close(&l);
        return false;
    }
    t->problem[0] = '\0';
    top_look_rate(&l, &t->now);
    top_look_close(&t->before);
    t->before = t->now;
    t->now = l;
    return true;
}

/* ---------------------------------------------------------------- the terminal */

static void keep_within(size_t *first, size_t count)
{
    if (*first + 1 > count)
        *first = count > 0 ? count - 1 : 0;
}

static void draw(struct top *t)
{
    struct buffer text = {0};
    struct buffer out = {0};
    struct top_frame f = {
        .look = &t->now,
        .server = t->server,
        .problem = t->problem[0] != '\0' ? t->problem : NULL,
        .order = t->order,
        .scrolled = t->scrolled,
        .now_ms = text_now_ms(),
    };
    if (t->interactive)
        uv_tty_get_winsize(&t->keys, &f.columns, &f.rows);
    keep_within(&t->first[TOP_QUEUES], t->now.queue_count);
    keep_within(&t->first[TOP_FUNCTIONS], t->now.function_count);
    memcpy(f.first, t->first, sizeof f.first);
    top_draw(&text, &f);
    if (t->interactive)
        buffer_printf(&out, "\033[H");
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\n' && t->interactive)
            buffer_printf(&out, "\033[K%s", i + 1 < text.len ? "\r\n" : "");
        else
            buffer_u8(&out, text.data[i]);
    }
    if (t->interactive)
        buffer_printf(&out, "\033[J");
    fwrite(out.data, 1, out.len, stdout);
    fflush(stdout);
    buffer_close(&text);
    buffer_close(&out);
}

static void quit(struct top *t)
{
    t->quit = true;
    if (t->asking != NULL)
        hato_call_cancel(t->asking);
}

static void on_key(struct top *t, const char *key, size_t len)
{
    bool arrow = len >= 3 && key[0] == '\033' && key[1] == '[';
    t->redraw = true;
    if (key[0] == 'q' || key[0] == 3)
        quit(t);
    else if (key[0] == 's')
        t->order = (t->order + 1) % TOP_ORDERS;
    else if (key[0] == '\t')
        t->scrolled = (t->scrolled + 1) % TOP_TABLES;
    else if (key[0] == 'j' || (arrow && key[2] == 'B'))
        t->first[t->scrolled]++;
    else if ((key[0] == 'k' || (arrow && key[2] == 'A')) && t->first[t->scrolled] > 0)
        t->first[t->scrolled]--;
}

/* Of the first of several that may have come together: an escape sequence goes to its final letter. */
static size_t key_length(const char *keys, size_t len)
{
    size_t i = 2;
    if (len < 3 || keys[0] != '\033' || keys[1] != '[')
        return 1;
    while (i < len && !(keys[i] >= '@' && keys[i] <= '~'))
        i++;
    return i < len ? i + 1 : len;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct top *t = handle->data;
    *buf = uv_buf_init(t->typed, sizeof t->typed);
}

static void on_keys(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct top *t = stream->data;
    for (size_t at = 0; n > 0 && at < (size_t)n;) {
        size_t len = key_length(buf->base + at, (size_t)n - at);
        on_key(t, buf->base + at, len);
        at += len;
    }
    if (n < 0)
        quit(t);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct top *t = handle->data;
    t->redraw = true;
    if (number != SIGWINCH)
        quit(t);
}

static void on_timer(uv_timer_t *timer)
{
    ((struct top *)timer->data)->due = true;
}

static bool terminal_open(struct top *t)
{
    if (uv_tty_init(t->loop, &t->keys, STDIN_FILENO, 1) != 0)
        return false;
    t->keys.data = t;
    uv_tty_set_mode(&t->keys, UV_TTY_MODE_RAW);
    uv_read_start((uv_stream_t *)&t->keys, on_alloc, on_keys);
    uv_signal_init(t->loop, &t->resized);
    t->resized.data = t;
    uv_signal_start(&t->resized, on_signal, SIGWINCH);
    uv_signal_init(t->loop, &t->interrupted);
    t->interrupted.data = t;
    uv_signal_start(&t->interrupted, on_signal, SIGTERM);
    fputs(SCREEN_ON, stdout);
    return true;
}

static void terminal_close(struct top *t)
{
    fputs(SCREEN_OFF, stdout);
    fflush(stdout);
    uv_tty_reset_mode();
    uv_close((uv_handle_t *)&t->keys, NULL);
    uv_close((uv_handle_t *)&t->resized, NULL);
    uv_close((uv_handle_t *)&t->interrupted, NULL);
}

static void pause_between(struct top *t, uint64_t ms)
{
    t->due = false;
    uv_update_time(t->loop);
    uv_timer_start(&t->timer, on_timer, ms, 0);
    while (!t->due && !t->quit) {
        uv_run(t->loop, UV_RUN_ONCE);
        if (t->redraw && t->interactive)
            draw(t);
        t->redraw = false;
    }
}

/* ---------------------------------------------------------------- the command */

static void run_once(struct top *t, uint64_t interval_ms)
{
    if (!look(t))
        return;
    pause_between(t, interval_ms);
    if (!look(t))
        return;
    struct json j = {0};
    if (t->run->globals.json) {
        top_json(&j, &t->now);
        json_print(&j);
    } else {
        draw(t);
    }
    buffer_close(&j.out);
}

static void run_live(struct top *t, uint64_t interval_ms)
{
    t->interactive = true;
    if (!look(t)) /* before the screen is taken: an error is told like any other */
        return;
    if (!terminal_open(t)) {
        t->code = command_failed(t->run, "this terminal cannot be used; --once prints one frame");
        return;
    }
    while (!t->quit) {
        draw(t);
        pause_between(t, interval_ms);
        if (!t->quit)
            look(t);
    }
    terminal_close(t);
}

static enum exit_code top(struct run *r)
{
    const struct top_values *v = r->values;
    uint64_t interval = v->interval_ms != 0 ? v->interval_ms : INTERVAL_MS;
    bool live = !v->once && !r->globals.json;
    if (live && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)))
        return command_usage(r, "", "this is no terminal: --once prints one frame");
    struct top t = {.run = r, .loop = hato_client_loop(r->client), .order = TOP_BY_NAME};
    const char *server = r->globals.server != NULL ? r->globals.server : getenv("HATO_SERVER");
    snprintf(t.server, sizeof t.server, "%s", server != NULL && server[0] != '\0' ? server : HATO_DEFAULT_SERVER);
    uv_timer_init(t.loop, &t.timer);
    t.timer.data = &t;
    if (live)
        run_live(&t, interval);
    else
        run_once(&t, interval);
    uv_close((uv_handle_t *)&t.timer, NULL);
    uv_run(t.loop, UV_RUN_NOWAIT);
    top_look_close(&t.now);
    top_look_close(&t.before);
    return t.code;
}

const struct command top_commands[] = {
    {"top", "", "Shows queues and functions live: counts and rates.",
     "q quits, s sorts the queues by name, ready or rate, the arrows (or j and k) scroll the queues, after Tab the\n"
     "functions, after another the queues again. Functions that are open or gone come first, then those that fail.",
     "hato top\nhato top --once", 0, 0, top_options, sizeof(struct top_values), top},
    {0},
};

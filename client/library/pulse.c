#include "library/pulse.h"

#include <limits.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "library/encode.h"

enum {
    KEEPALIVE_S = 60,
    LOOKS_TO_GIVE_UP = 3,                /* that found the broker silent, one after the other */
    LOOKS_IN_MAX = LOOKS_TO_GIVE_UP + 1, /* silence_max_ms holds so many: a silence begins between two of them */
};

static void look_later(struct pulse *p, uint64_t now)
{
    uint64_t pause = p->client->options.silence_max_ms / LOOKS_IN_MAX;
    p->look_at = now + (pause > 0 ? pause : 1);
    client_arm(p->client, p->look_at);
}

/* What the system notices by itself: an idle connection that is dead is gone before the next call needs it. */
static void watch(const struct pulse *p)
{
    uv_tcp_keepalive(p->tcp, 1, KEEPALIVE_S);
#ifdef TCP_USER_TIMEOUT
    uint64_t max = p->client->options.silence_max_ms;
    unsigned ms = max < INT_MAX ? (unsigned)max : INT_MAX;
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)p->tcp, &fd) == 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
#endif
}

void pulse_begin(struct pulse *p, struct hato_client *c, uv_tcp_t *tcp)
{
    p->client = c;
    p->tcp = tcp;
    watch(p);
    look_later(p, client_now());
}

void pulse_heard(struct pulse *p)
{
    p->heard = true;
    p->owed = false;
}

void pulse_asked(struct pulse *p)
{
    p->owed = true;
}

static void on_ping_written(uv_write_t *write, int status)
{
    struct pulse *p = write->data;
    (void)status; /* a connection that can't be written to shows it to whoever reads it, too */
    p->pinging = false;
}

/* Nobody waits for the answer: that something comes is all it has to tell. */
static void ping(struct pulse *p)
{
    Hato__Ping empty = HATO__PING__INIT;
    Hato__Request message = HATO__REQUEST__INIT;
    message.id = p->client->next_id++;
    message.op_case = HATO__REQUEST__OP_PING;
    message.ping = &empty;
    buffer_clear(&p->ping_bytes);
    encode_frame(&p->ping_bytes, &message);
    uv_buf_t buf = uv_buf_init((char *)p->ping_bytes.data, (unsigned)p->ping_bytes.len);
    p->ping.data = p;
    p->pinging = uv_write(&p->ping, (uv_stream_t *)p->tcp, &buf, 1, on_ping_written) == 0;
}

/* Whether a ping waits behind something large that the broker goes on taking. */
static bool writing_on(struct pulse *p)
{
    size_t before = p->unwritten;
    p->unwritten = uv_stream_get_write_queue_size((const uv_stream_t *)p->tcp);
    return p->pinging && p->unwritten < before;
}

/* Between the ping and the end there is a further look, and a turn of the loop before each: an answer that came while the loop
 * was held up is read before it is missed. */
int pulse_look(struct pulse *p, uint64_t now, uint64_t *earliest, struct error *e)
{
    if (now >= p->look_at) {
        bool awaited = p->owed || !list_empty(&p->client->sent);
        bool alive = writing_on(p) || p->heard || !awaited;
        p->heard = false;
        p->silent = alive ? 0 : p->silent + 1;
        if (p->silent == LOOKS_TO_GIVE_UP)
            return error_set(e, ERR_IO, "the broker gave no sign of life for %llu ms",
                             (unsigned long long)p->client->options.silence_max_ms);
        if (p->silent == 1 && !p->pinging)
            ping(p);
        look_later(p, now);
    }
    *earliest = p->look_at < *earliest ? p->look_at : *earliest;
    return ERR_OK;
}

void pulse_close(struct pulse *p)
{
    buffer_close(&p->ping_bytes);
}

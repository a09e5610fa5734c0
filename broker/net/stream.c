#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>

#include "base/assert.h"
#include "base/memory.h"
#include "net/tls.h"

enum {
    OUT_KEEP = 256 * 1024, /* a buffer that grew beyond this is given back once it is empty */
    KEEPALIVE_S = 60,
};

static void start_write(struct stream *s);
static void close_because(struct stream *s, int why);
static void update_reading(struct stream *s);

/* Follows what `in` holds. False when that grew beyond what all may hold together. */
static bool account(struct stream *s)
{
    struct stream_budget *b = s->budget;
    if (b == NULL)
        return true;
    size_t now = s->in.len > STREAM_KEPT_FREE ? s->in.len : 0;
    size_t before = s->budgeted;
    s->budgeted = now;
    if (now <= before) {
        atomic_fetch_sub_explicit(&b->bytes, before - now, memory_order_relaxed);
        return true;
    }
    uint64_t all = atomic_fetch_add_explicit(&b->bytes, now - before, memory_order_relaxed) + (now - before);
    return all <= b->bytes_max;
}

/* Follows what waits to be sent. Of `writing` nothing is free before all is. */
static void account_unsent(struct stream *s)
{
    struct stream_budget *b = s->unsent;
    if (b == NULL)
        return;
    size_t held = s->out.len + s->writing.len;
    size_t now = held > STREAM_KEPT_FREE ? held : 0;
    size_t before = atomic_load_explicit(&s->unsent_counted, memory_order_relaxed);
    if (now == before)
        return;
    atomic_store_explicit(&s->unsent_counted, now, memory_order_relaxed);
    atomic_fetch_add_explicit(&b->bytes, (uint64_t)now - before, memory_order_relaxed);
}

static void let_go(struct stream *s)
{
    buffer_close(&s->in);
    account(s);
}

static void on_closed(uv_handle_t *handle)
{
    struct stream *s = handle->data;
    struct tls *tls = s->tls;
    struct error *problem = s->tls_problem;
    let_go(s);
    buffer_close(&s->out);
    buffer_close(&s->writing);
    account_unsent(s);
    s->ops->closed(s, s->why);
    tls_destroy(tls);
    memory_free(problem);
}

static void close_because(struct stream *s, int why)
{
    if (s->closing)
        return;
    s->closing = true;
    s->why = why;
    loop_forget_turn(s->loop, TURN_WRITE, &s->flush);
    loop_forget_turn(s->loop, TURN_SHARD, &s->feed);
    loop_forget_turn(s->loop, TURN_WRITE, &s->next);
    uv_close((uv_handle_t *)&s->tcp, on_closed);
}

void stream_close(struct stream *s)
{
    close_because(s, 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct stream *s = handle->data;
    if (s->in.len == 0 || s->tls != NULL) {
        *buf = uv_buf_init(s->loop->scratch, LOOP_SCRATCH);
        return;
    }
    size_t room = s->want > s->in.len ? s->want - s->in.len : 0;
    if (room < 64 * 1024)
        room = 64 * 1024;
    if (room > 4 * 1024 * 1024)
        room = 4 * 1024 * 1024; /* a large frame announced is not memory given: it grows as it comes */
    *buf = uv_buf_init((char *)buffer_reserve(&s->in, room), (unsigned)room);
}

static void keep_rest(struct stream *s, struct bytes all, size_t used)
{
    ASSERT(used <= all.len);
    if (all.data != s->in.data) {
        buffer_put(&s->in, all.data + used, all.len - used);
        return;
    }
    if (used == all.len) {
        buffer_close(&s->in);
        return;
    }
    memmove(s->in.data, s->in.data + used, all.len - used);
    s->in.len = all.len - used;
}

/* Another loop's streams may have made it so: this one is the one that grew. */
static void be_crowded(struct stream *s)
{
    if (s->ops->crowded != NULL)
        s->ops->crowded(s);
    else
        close_because(s, UV_ENOBUFS);
    let_go(s);
}

static bool has_output(const struct stream *s)
{
    if (s->tls == NULL)
        return s->out.len > 0;
    return tls_has_output(s->tls) || (s->out.len > 0 && tls_ready(s->tls));
}

/* The peer is told why, as far as the kernel takes it at once. */
static void end_tls(struct stream *s, const struct error *e)
{
    s->tls_problem = memory_alloc(sizeof *e);
    *s->tls_problem = *e;
    if (!s->write_busy && has_output(s))
        start_write(s);
    close_because(s, e->code == ERR_CLOSED ? UV_EOF : UV_EPROTO);
}

/* Decrypts into s->in. False: the stream is closed. */
static bool take_tls(struct stream *s, struct bytes in)
{
    struct error e = {0};
    size_t before = s->in.len;
    int rc = tls_take(s->tls, in, &s->in, &e);
    if (!s->secured && tls_ready(s->tls)) {
        s->secured = true;
        update_reading(s);
        if (s->ops->connected != NULL)
            s->ops->connected(s);
    }
    if (s->closing)
        return false;
    if (has_output(s))
        loop_at_turn_end(s->loop, TURN_WRITE, &s->flush);
    if (rc != ERR_OK && s->in.len == before) {
        end_tls(s, &e);
        return false;
    }
    return true;
}

/* libuv would go on reading as long as there is something. */
static void count_turn(struct stream *s, size_t n)
{
    s->turn_bytes += n;
    loop_at_turn_end(s->loop, TURN_WRITE, &s->next);
    if (s->turn_bytes >= STREAM_TURN_BYTES)
        uv_read_stop((uv_stream_t *)&s->tcp);
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
    struct stream *s = tcp->data;
    if (s->closing || n == 0)
        return;
    if (n < 0) {
        if (n == UV_EOF && !s->write_busy && has_output(s))
            start_write(s); /* a peer that has said all may still listen */
        close_because(s, (int)n);
        return;
    }
    s->active_ms = uv_now(&s->loop->uv);
    count_turn(s, (size_t)n);
    struct bytes all = {(uint8_t *)buf->base, (size_t)n};
    if (s->tls != NULL) {
        if (!take_tls(s, all))
            return;
        if (s->in.len == 0) {
            buffer_close(&s->in); /* an idle connection holds none */
            return;
        }
        all = buffer_view(&s->in);
    } else if (s->in.len > 0) {
        s->in.len += (size_t)n;
        all = buffer_view(&s->in);
    }
    size_t used = 0;
    if (all.len >= s->want) {
        s->want = 0;
        used = s->ops->data(s, all);
        if (s->closing)
            return;
    }
    keep_rest(s, all, used);
    if (!account(s) && !s->closed_when_flushed)
        be_crowded(s);
}

static void on_next(struct turn *turn)
{
    struct stream *s = CONTAINER_OF(turn, struct stream, next);
    if (s->turn_bytes >= STREAM_TURN_BYTES && s->reading)
        uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
    s->turn_bytes = 0;
}

static bool is_paused(const struct stream *s)
{
    if (s->closing || s->connecting)
        return true;
    if (s->tls != NULL && !s->secured)
        return false; /* nothing leaves before the peer's word is read */
    return s->closed_when_flushed || s->paused_by_backlog || s->paused_by_owner;
}

static void update_reading(struct stream *s)
{
    bool wanted = !is_paused(s);
    if (wanted == s->reading)
        return;
    s->reading = wanted;
    if (wanted)
        uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
    else if (!s->closing)
        uv_read_stop((uv_stream_t *)&s->tcp);
    if (wanted && s->in.len > 0)
        loop_at_turn_end(s->loop, TURN_SHARD, &s->feed);
}

static void after_write(struct stream *s)
{
    account_unsent(s);
    if (s->paused_by_backlog && stream_backlog(s) < s->backlog_pause / 2) {
        s->paused_by_backlog = false;
        update_reading(s);
        if (s->ops->drained != NULL)
            s->ops->drained(s);
    }
    if (!s->closing && s->closed_when_flushed && stream_backlog(s) == 0)
        close_because(s, 0);
}

static void on_written(uv_write_t *write, int status)
{
    struct stream *s = write->data;
    s->write_busy = false;
    buffer_clear(&s->writing);
    s->written = 0;
    if (s->writing.capacity > OUT_KEEP)
        buffer_close(&s->writing);
    if (s->closing)
        return;
    if (status != 0) {
        close_because(s, status);
        return;
    }
    if (has_output(s))
        start_write(s);
    after_write(s);
}

static void encrypt_out(struct stream *s)
{
    if (tls_ready(s->tls)) {
        tls_put(s->tls, buffer_view(&s->out));
        buffer_clear(&s->out);
        if (s->out.capacity > OUT_KEEP)
            buffer_close(&s->out);
    }
    tls_take_output(s->tls, &s->writing);
}

static void swap_out(struct stream *s)
{
    s->written = 0;
    if (s->tls != NULL) {
        encrypt_out(s);
        return;
    }
    struct buffer empty = s->writing;
    s->writing = s->out;
    s->out = empty;
}

static void start_write(struct stream *s)
{
    swap_out(s);
    s->begun += s->writing.len;
    uv_buf_t buf = uv_buf_init((char *)s->writing.data, (unsigned)s->writing.len);
    int n = uv_try_write((uv_stream_t *)&s->tcp, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        close_because(s, n);
        return;
    }
    s->written = n > 0 ? (size_t)n : 0;
    if (s->written == s->writing.len) {
        buffer_clear(&s->writing);
        s->written = 0;
        if (s->writing.capacity > OUT_KEEP)
            buffer_close(&s->writing);
        return;
    }
    buf = uv_buf_init((char *)s->writing.data + s->written, (unsigned)(s->writing.len - s->written));
    s->write.data = s;
    s->write_busy = true;
    int rc = uv_write(&s->write, (uv_stream_t *)&s->tcp, &buf, 1, on_written);
    if (rc != 0) {
        s->write_busy = false;
        close_because(s, rc);
    }
}

static void on_flush(struct turn *turn)
{
    struct stream *s = CONTAINER_OF(turn, struct stream, flush);
    if (s->closing || s->connecting)
        return;
    if (!s->write_busy && has_output(s))
        start_write(s);
    if (s->closing)
        return;
    after_write(s);
}

static void on_feed(struct turn *turn)
{
    struct stream *s = CONTAINER_OF(turn, struct stream, feed);
    if (is_paused(s) || s->in.len == 0 || s->in.len < s->want)
        return;
    s->want = 0;
    size_t used = s->ops->data(s, buffer_view(&s->in));
    if (s->closing)
        return;
    keep_rest(s, buffer_view(&s->in), used);
    account(s);
}

static void init(struct stream *s, struct loop *loop, const struct stream_ops *ops)
{
    *s = (struct stream){
        .loop = loop, .ops = ops, .backlog_max = STREAM_BACKLOG_MAX, .backlog_pause = STREAM_BACKLOG_PAUSE};
    s->flush.run = on_flush;
    s->feed.run = on_feed;
    s->next.run = on_next;
    int rc = uv_tcp_init(&loop->uv, &s->tcp);
    ASSERT(rc == 0);
    s->tcp.data = s;
}

static void begin(struct stream *s)
{
    uv_tcp_nodelay(&s->tcp, 1);
    uv_tcp_keepalive(&s->tcp, 1, KEEPALIVE_S);
    s->active_ms = uv_now(&s->loop->uv);
    update_reading(s);
}

void stream_accept(struct stream *s, struct loop *loop, uv_stream_t *server, const struct stream_ops *ops)
{
    init(s, loop, ops);
    int rc = uv_accept(server, (uv_stream_t *)&s->tcp);
    ASSERT(rc == 0); /* libuv calls back only with a connection in hand */
    begin(s);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct stream *s = connect->data;
    if (s->closing)
        return;
    if (status != 0) {
        close_because(s, status);
        return;
    }
    s->connecting = false;
    begin(s);
    if (has_output(s))
        loop_at_turn_end(s->loop, TURN_WRITE, &s->flush);
    if (s->tls == NULL && s->ops->connected != NULL)
        s->ops->connected(s);
}

void stream_connect(struct stream *s, struct loop *loop, const struct sockaddr *to, const struct stream_ops *ops)
{
    init(s, loop, ops);
    s->connecting = true;
    s->connect.data = s;
    int rc = uv_tcp_connect(&s->connect, &s->tcp, to, on_connected);
    if (rc != 0)
        close_because(s, rc);
}

void stream_secure(struct stream *s, struct tls *tls)
{
    ASSERT(s->tls == NULL && s->in.len == 0 && s->out.len == 0);
    s->tls = tls;
}

int stream_take_over(struct stream *s, struct stream *from, struct bytes rest, const struct stream_ops *ops,
                     struct error *e)
{
    uv_os_fd_t fd;
    ASSERT(!from->closing && !from->write_busy);
    if (uv_fileno((uv_handle_t *)&from->tcp, &fd) != 0 || (fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return error_set(e, ERR_IO, "cannot duplicate a socket: %s", strerror(errno));
    init(s, from->loop, ops);
    int rc = uv_tcp_open(&s->tcp, fd);
    ASSERT(rc == 0); /* it was a stream's */
    s->tls = from->tls;
    s->secured = from->secured;
    from->tls = NULL;
    buffer_put(&s->in, rest.data, rest.len);
    s->out = from->out;
    from->out = (struct buffer){0};
    close_because(from, 0);
    begin(s);
    if (has_output(s))
        loop_at_turn_end(s->loop, TURN_WRITE, &s->flush);
    return ERR_OK;
}

const char *stream_why(const struct stream *s)
{
    if (s->tls_problem != NULL)
        return s->tls_problem->message;
    return s->why == 0 ? "closed by this side" : uv_strerror(s->why);
}

struct buffer *stream_out(struct stream *s)
{
    return &s->out;
}

void stream_written(struct stream *s)
{
    if (s->closing || s->out.len == 0)
        return;
    size_t backlog = stream_backlog(s);
    if (backlog > s->backlog_max) {
        close_because(s, UV_ENOBUFS);
        return;
    }
    /* Here and not after the write: whoever looks at the backlog now is owed a `drained`, even if the kernel takes it all. */
    if (backlog > s->backlog_pause && !s->paused_by_backlog) {
        s->paused_by_backlog = true;
        update_reading(s);
    }
    account_unsent(s);
    loop_at_turn_end(s->loop, TURN_WRITE, &s->flush);
}

void stream_put(struct stream *s, const void *data, size_t len)
{
    if (s->closing)
        return;
    buffer_put(&s->out, data, len);
    stream_written(s);
}

size_t stream_backlog(const struct stream *s)
{
    return s->out.len + s->writing.len - s->written;
}

size_t stream_unsent(const struct stream *s)
{
    return s->out.len + uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp);
}

uint64_t stream_taken(const struct stream *s)
{
    return s->begun - uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp);
}

void stream_pause(struct stream *s)
{
    s->paused_by_owner = true;
    update_reading(s);
}

void stream_resume(struct stream *s)
{
    s->paused_by_owner = false;
    update_reading(s);
}

void stream_close_soon(struct stream *s)
{
    if (s->closing)
        return;
    s->closed_when_flushed = true;
    update_reading(s);
    loop_at_turn_end(s->loop, TURN_WRITE, &s->flush);
}

void stream_peer(const struct stream *s, char *out, size_t size)
{
    struct sockaddr_storage address;
    int len = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?";
    int port = 0;
    if (uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&address, &len) == 0) {
        if (address.ss_family == AF_INET6) {
            const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
            uv_ip6_name(six, host, sizeof host);
            port = ntohs(six->sin6_port);
        } else {
            const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
            uv_ip4_name(four, host, sizeof host);
            port = ntohs(four->sin_port);
        }
    }
    snprintf(out, size, "%s:%d", host, port);
}

/* One TCP connection on a loop: bytes in to a parser, bytes out through one growing buffer, with limits on both.
 *
 * In: reads land in the loop's scratch memory and are handed on where they are; only what the parser leaves (the beginning
 * of a frame) is copied and kept, so an idle connection holds no buffer. A frame that is announced holds only what has come of it, and that counts
 * against a budget shared by many streams.
 * Out: what is put during a turn leaves in one write at its end. What waits is counted in a budget shared by many streams. A peer
 * that does not read is felt as `stream_backlog`;
 * above STREAM_BACKLOG_PAUSE the stream stops reading, above its `backlog_max` it is closed. A peer that vanished without a
 * word is found out after a minute of silence and some seconds of asking.
 *
 * A connection is accepted (stream_accept) or dialled (stream_connect), and may be in TLS (stream_secure).
 *
 * Threads: the loop's only. A stream is closed exactly once; `closed` is its last call and the memory is then the owner's. */
#ifndef HATO_NET_STREAM_H
#define HATO_NET_STREAM_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "net/loop.h"

struct stream;
struct tls;

struct stream_ops {
    /* The connection that was dialled is there, and where it is in TLS, accepted or dialled, both sides know each other. Comes
     * before the first `data`. May be NULL. */
    void (*connected)(struct stream *s);
    /* Bytes came. Returns how many of them are used up; the rest is given again, with more behind it. May close the stream
     * (the return value is then ignored). */
    size_t (*data)(struct stream *s, struct bytes in);
    /* The backlog fell well below STREAM_BACKLOG_PAUSE after having been above it, be it within one turn. May be NULL. */
    void (*drained)(struct stream *s);
    /* What the parser left is kept, and with it the streams that share the budget keep more than it allows. The owner says so to its
     * peer and closes; what is kept of this stream goes at once. NULL: closed without a word. */
    void (*crowded)(struct stream *s);
    /* The connection is gone; `why` is a libuv error number, or 0 when this side closed it (stream_why has the words). Nothing is
     * called after this. */
    void (*closed)(struct stream *s, int why);
};

enum {
    /* Read in one turn, about. What a peer has sent beyond is read in the next: while the disk works on what came first, so that who sends
     * much at once doesn't wait for each part in turn, and others are served in between. */
    STREAM_TURN_BYTES = 384 * 1024,
    STREAM_KEPT_FREE = 64 * 1024, /* that a stream may keep, each way, and that its budget does not count */
    STREAM_BACKLOG_PAUSE = 4 * 1024 * 1024,
    STREAM_BACKLOG_MAX = 256 * 1024 * 1024, /* default of backlog_max: a few of the largest frames */
};

/* What streams keep of frames that are not whole, or of bytes that their peers have not read, all together; shared by streams of
 * any loops, outlives them. */
struct stream_budget {
    atomic_uint_least64_t bytes;
    uint64_t bytes_max;
};

struct stream {
    uv_tcp_t tcp;
    struct loop *loop;
    const struct stream_ops *ops;
    struct turn flush;
    struct turn feed;      /* what the parser left is given again after a pause */
    struct turn next;      /* a turn in which something was read is over */
    size_t turn_bytes;     /* read in it */
    struct buffer in;      /* what the parser left */
    struct buffer out;     /* what this turn wrote */
    struct buffer writing; /* what the kernel has not taken yet */
    size_t written;        /* of `writing`, already taken */
    uint64_t begun;        /* bytes that were ever in `writing` */
    uv_write_t write;
    size_t backlog_max;
    size_t backlog_pause;         /* STREAM_BACKLOG_PAUSE, unless the owner sets it */
    struct stream_budget *budget; /* of `in`; NULL: none. The owner sets it before the first byte comes */
    size_t budgeted;              /* what of it this stream has */
    struct stream_budget
        *unsent; /* likewise, of `out` and `writing`. Only counted: what follows from it is the owner's to say */
    atomic_size_t unsent_counted; /* what of it this stream has; written by its loop, read by any */
    size_t want;                  /* the parser needs this many bytes before it is worth asking */
    uint64_t active_ms;           /* loop time of the last byte in */
    uv_connect_t connect;
    struct tls *tls;           /* NULL: none */
    struct error *tls_problem; /* why TLS ended it; NULL: it did not */
    int why;
    bool write_busy;
    bool paused_by_backlog;
    bool paused_by_owner;
    bool reading;
    bool closing;
    bool closed_when_flushed;
    bool connecting;
    bool secured; /* by TLS: both sides know each other */
};

/* Takes over a connection accepted from `server`; to be called where the listener says there is one. */
void stream_accept(struct stream *s, struct loop *loop, uv_stream_t *server, const struct stream_ops *ops);

/* Dials. `connected` or `closed` follows, never from inside. How long that may take is the owner's to say, with stream_close. What is
 * put before leaves once it is there. */
void stream_connect(struct stream *s, struct loop *loop, const struct sockaddr *to, const struct stream_ops *ops);

/* All bytes of this connection are in TLS: to be said right after accept or connect. Takes `tls` over. */
void stream_secure(struct stream *s, struct tls *tls);

/* Goes on with the connection of `from` and its TLS, for another owner: what `from` has put leaves from here, `rest` (what its
 * parser has not used; copied) is given here first. `from` is then closed as by stream_close. Nothing may be on its way out of `from`.
 * On error (ERR_IO) nothing has happened. */
int stream_take_over(struct stream *s, struct stream *from, struct bytes rest, const struct stream_ops *ops,
                     struct error *e);

/* Why the connection ended, for people. In `closed`. */
const char *stream_why(const struct stream *s);

/* Where to write; ask again after every call into the stream. Call stream_written when done. */
struct buffer *stream_out(struct stream *s);
void stream_written(struct stream *s);
void stream_put(struct stream *s, const void *data, size_t len);

size_t stream_backlog(const struct stream *s); /* bytes put and not taken by the kernel, as of the last write's end */
size_t stream_unsent(const struct stream *s);  /* the same as of now: tells whether it moves */
uint64_t
stream_taken(const struct stream *s); /* bytes the kernel ever took, as of now: the same while the peer reads nothing */

/* Stops and goes on reading, for an owner with too much in hand. What the parser left before the pause is given to it again,
 * though nothing more may come. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);

void stream_close(struct stream *s);      /* now; what was not written is lost */
void stream_close_soon(struct stream *s); /* once what was put has left; reads nothing more */

/* The peer's address as text. */
void stream_peer(const struct stream *s, char *out, size_t size);

/* A listening socket that hands each connection to `accepted`, which calls stream_accept. */
struct listener {
    uv_tcp_t tcp;
    struct loop *loop;
    void (*accepted)(struct listener *l, void *ctx);
    void *ctx;
    int port; /* as bound: useful with port 0 */
};

/* Binds; connections are refused until listener_start. `address` is HOST:PORT with a literal IPv4 or IPv6 address ("[::1]:9325") or "localhost". `share` lets several loops
 * listen on one address. */
int listener_open(struct listener *l, struct loop *loop, const char *address, bool share,
                  void (*accepted)(struct listener *l, void *ctx), void *ctx, struct error *e);
int listener_start(struct listener *l, struct error *e);
void listener_close(struct listener *l, void (*closed)(uv_handle_t *handle)); /* `closed` may be NULL */

/* Whether nobody else listens there. Listeners that share a port would share it with those of another process, too, and each would
 * get some of the other's connections: to be asked before the first of them opens. ERR_INVALID, ERR_IO. */
int listener_probe(const char *address, struct error *e);
/* An address that listener_open took, with another port: that which was bound where 0 was asked for. */
void address_with_port(const char *address, int port, char *out, size_t out_size);
enum { ADDRESS_TEXT = 80 };

/* Whether `address` is reachable from this machine only. */
int address_is_loopback(const char *address, bool *out, struct error *e);

#endif

/* One native connection, and one request of it. Nobody outside of protocol/ includes this.
 *
 * A request (`struct op`) is read on the session's seat, visits the shard that decides, and comes home with its reply encoded:
 *
 *     session_data -> native_dispatch -> op_visit -> op->at (on the shard's seat) -> op_return -> written -> freed
 *
 * A session lives until its connection is closed and its last op is home. */
#ifndef HATO_PROTOCOL_NATIVE_SESSION_H
#define HATO_PROTOCOL_NATIVE_SESSION_H

#include "base/bytes.h"
#include "base/idmap.h"
#include "proto/client.pb-c.h"
#include "protocol/native.h"
#include "state/identity.h"

/* Something that waits for there to be less unsent. */
struct unsent_wait {
    struct list_link link;
    struct session *session;
    void (*again)(struct unsent_wait *w, bool may); /* it waits no more, unless it says so again */
};

struct session {
    struct stream stream;
    struct native_seat *ns;
    struct list_link link;
    struct list ops;      /* streams and waiting receives: what ends with the connection */
    struct idmap streams; /* by request id */
    struct alarm silent;  /* until the preface is there */
    size_t op_count;
    size_t waiting; /* streams and receives that may wait: of the ops, and held by the routes */
    uint64_t op_bytes;
    uint64_t promised;     /* of native->promised */
    struct routes *routes; /* to other nodes; NULL before the first request that may be theirs */
    bool routed;           /* requests may go on to other nodes; not so where one passed them on to this one */
    bool passed_on;        /* by another node, for a client of its own: that node has checked the frames */
    bool preface;          /* seen */
    bool begun; /* a hello was taken, or something else was asked: its prefix stays, whatever seat reads it */
    bool gone;  /* the connection is closed */
    bool paused;
    atomic_bool behind;             /* the peer does not read what it is sent; set and cleared at home, read anywhere */
    struct unsent_wait relays_wait; /* at home: the relays are not read meanwhile */
    struct unsent_wait reads_wait;  /* at home: likewise the peer, and `paused` */
    uint64_t taken;                 /* of the stream, at the last look for who reads nothing */
    uint64_t taken_ms;              /* when it was not so yet */
    struct list long_waits;         /* ops that wait for `long_op` to end */
    struct op *long_op;             /* the one under way; native_long.c */
    size_t long_waiting;            /* of long_waits */
    bool long_starting;
    struct list parked;                 /* parcels of streams that wait for the peer to read */
    char prefix[IDENTITY_NAME_MAX + 1]; /* "account:region:" */
    size_t prefix_len;
};

struct op {
    struct visit visit;
    struct session *session;
    uint64_t id;
    size_t frame_bytes; /* counted against the session */
    size_t unsent;      /* counted in native->unsent */
    size_t promised;    /* counted in native->promised, and against the session */
    struct arena arena;
    const Hato__Request *request;               /* in the arena; NULL for a send */
    void (*at)(struct op *op, struct shard *s); /* on the shard's seat */
    void (*home)(struct op *op);                /* once, when it came home well; NULL: it is answered, and ends */
    void (*always_home)(struct op *op);         /* instead, however it came home */
    struct shard *shard;                        /* where it is */
    struct command command;
    struct buffer frame;            /* the reply, with its length in front */
    struct error error;             /* ERR_OK: `frame` holds the reply */
    struct list_link link;          /* of session->ops */
    struct list_link long_link;     /* of session->long_waits, or of a seat's long_looks */
    void (*abandon)(struct op *op); /* of those in session->ops: the connection is gone */
    void (*resumed)(struct op *op); /* likewise, may be NULL: the peer reads again */
    size_t away;                    /* mail about it that has to come home before it is freed */
    bool waits;                     /* counted in session->waiting */
    struct kept *kept;              /* its request as it came, where it may have to be asked again */
    struct relay *relay;            /* to the node that was asked; NULL: none */
    uint64_t relay_id;              /* its request's there */
    struct list_link relay_link;    /* of relay->ops */
    bool asks;                      /* the relay is asked on the way; else it answers */
    bool streams;                   /* a stream that was passed on */
    bool closing;                   /* of such a stream: the other node was told so */
    uint32_t credit;                /* likewise: that it is still to be told */
    struct bytes answered;          /* while it comes home: what the other node that it asked replied, or nothing */
    bool begun;  /* of such a stream: the other node's count of its credit is not the client's first word */
    bool ended;  /* answered, and only waits for its mail */
    void *extra; /* the operation's own, in the arena */
};

/* Runs `mail` on a seat: now when it is this one. */
void seat_send(struct seat *from, struct seat *to, struct mail *mail);

/* An op of the session ended: it may be read on, or freed. */
void session_op_done(struct session *s);

/* Sends bytes to the peer. */
void session_put(struct session *s, const struct buffer *frame);

/* ---------------------------------------------------------------- op.c */

struct op *op_create(struct session *session, uint64_t id, size_t frame_bytes);
void op_free(struct op *op); /* at home */

/* Goes to a shard and calls op->at there. */
void op_visit(struct op *op, uint16_t shard);
uint16_t op_shard_of(const struct op *op, struct bytes full_name);
void op_visit_queue(struct op *op, struct bytes full_name);
void op_visit_by(struct op *op, uint16_t shard,
                 void (*run)(struct visit *v, struct shard *s)); /* which calls op->at then or later */

/* At home, after a visit or an answer of another node. */
void op_come_home(struct op *op);

/* From the shard: the reply is in op->frame, or op->error says why there is none. */
void op_return(struct op *op);
void op_fail(struct op *op, int code, const char *field, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* At home: counts what its reply may take against the connection, as its frame is. */
void op_weigh(struct op *op, size_t bytes);

/* At home: writes the reply (or the refusal), and ends the op. */
void op_answer(struct op *op);
void op_mail_home(struct op *op); /* one mail less away; frees an op that waits for it */

/* At home: it may stay for as long as its peer likes. False, and op->error, when the connection has too many such, or the request
 * is too large to be kept. Its frame is not counted against the connection any more. */
bool op_may_wait(struct op *op);

/* The op ends with the connection: linked into the session's ops. */
void op_wait(struct op *op, void (*abandon)(struct op *op));

/* Encodes a reply into op->frame; sets its id. */
void op_reply(struct op *op, Hato__Reply *reply);

/* A refusal by the shard or the machine into op->error. */
void op_refused(struct op *op, const struct reply *reply);

void *op_extra(struct op *op, size_t size); /* zeroed */
const char *op_text(struct op *op, const char *text);

/* The queue's full name, checked; NULL and op->error when it is not a name. */
const char *op_queue_name(struct op *op, const char *name, const char *field);
const char *op_function_name(struct op *op, const char *name, const char *field);

/* The queue on this shard; false and op->error (ERR_NOT_FOUND) when there is none, or the shard does not lead. */
bool op_find_queue(struct op *op, const char *full_name, struct queue_view *out);
/* The same of one that another field of the request names. */
bool op_find_queue_of(struct op *op, const char *full_name, const char *field, struct queue_view *out);

/* The part of a full name that its owner knows it by. */
const char *short_name(const char *full_name);

/* ---------------------------------------------------------------- native_unsent.c */

/* Whether the session may ask for anything: not while it has much to read, or is promised it, and all have all they may. At home. */
bool unsent_may_ask(const struct session *s);
/* Counts what an op's reply may take until it is made. Once an op, at home; kept when it ends. */
void unsent_promise(struct op *op, size_t bytes);
void unsent_keep(struct op *op);
/* Whether the session may be given more to read. Any thread. */
bool unsent_may(const struct session *s);
/* What one reply may have now, of `max`: `max`, or less. Any thread. */
size_t unsent_reply_max(const struct native *n, size_t max);
/* Whether a request may be answered that asks for much; else ERR_OVERLOADED and what to do. At home. */
int unsent_check(const struct session *s, uint32_t number, struct error *e);

/* Counts what an op's reply takes before it is put, in place of what was counted for it: where the op is. Ends with the op. */
void unsent_hold(struct op *op, size_t bytes);
/* The same, unless all would then have too much: false, and op->error. */
bool unsent_take(struct op *op, size_t bytes);

/* On a seat's thread: looked at every NATIVE_UNSENT_AGAIN_MS until forgotten. */
void unsent_wait(struct native_seat *here, struct unsent_wait *w);
void unsent_forget(struct native_seat *here, struct unsent_wait *w);
void unsent_refuse(struct error *e);

/* Closes those who read nothing while nobody may be given more, from now on. */
void unsent_watch(struct native_seat *here);
/* Whether a reply of another node may be passed on: a small one, too, where there is no room for more. At home. */
bool unsent_may_pass(const struct session *s, size_t bytes);

/* ---------------------------------------------------------------- native_long.c */

/* Whether an operation is one of those that take long. */
bool long_is(uint32_t number);
/* At home: whether it may begin. Else it waits: native_begin is called when those before it have ended. */
bool long_begin(struct op *op);
/* At home: it ends; the next one begins. */
void long_ended(struct op *op);
/* At home: the peer has read, which the next one may wait for, too. */
void long_go_on(struct session *s);
/* As op_visit, for what goes over many queues: when it is its turn there. */
void long_visit(struct op *op, uint16_t shard);

/* Of a stream: it stays at the most there can be. */
static inline uint32_t credit_add(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* ---------------------------------------------------------------- operations */

typedef void (*native_operation)(struct op *op);

/* Parses a frame and starts what it asks for. False: it can't be read, and the connection is to be closed. */
bool native_dispatch(struct session *s, struct bytes frame);

/* Begins what an op asks for. */
void native_begin(struct op *op);

/* What its reply may take beyond what was asked, for those that answer with settings: counted against the connection while it is
 * under way. Other large replies are counted by their operations. */
size_t native_reply_room(uint32_t number);

void native_send(struct session *s, uint64_t id, struct bytes send, size_t frame_bytes);
void native_receive(struct op *op);
void native_stream_open(struct op *op);
void native_stream_credit(struct session *s, const Hato__StreamCredit *credit);
void native_stream_close(struct session *s, const Hato__StreamClose *close);
void native_ack(struct op *op);
void native_nack(struct op *op);
void native_extend(struct op *op);
void native_cancel(struct op *op);
void native_peek(struct op *op);
void native_queue_create(struct op *op);
void native_queue_set(struct op *op);
void native_queue_delete(struct op *op);
void native_queue_purge(struct op *op);
void native_queue_show(struct op *op);
void native_queue_list(struct op *op);
void native_redrive_start(struct op *op);
void native_redrive_cancel(struct op *op);
void native_redrive_list(struct op *op);
void native_group_resume(struct op *op);
void native_function_create(struct op *op);
void native_function_set(struct op *op);
void native_function_delete(struct op *op);
void native_function_show(struct op *op);
void native_function_list(struct op *op);
void native_function_activity(struct op *op);
void native_bind(struct op *op);
void native_unbind(struct op *op);
void native_status(struct op *op);
void native_cluster_status(struct op *op);
/* Asks all nodes; `asked` gets what they say, in the op's arena, at home. */
void native_ask_cluster(struct op *op, void (*asked)(struct op *op, Hato__ClusterStatusReply *body));
void native_node_add(struct op *op);
void native_node_set(struct op *op);
void native_node_remove(struct op *op);
void native_shard_lead(struct op *op);

/* Puts the last reply of a stream into op->frame; ERR_OK: its client closed it. */
void native_stream_ended(struct op *op, int code, const char *why);

/* The session's peer reads again: parked parcels go on. */
void native_streams_drained(struct session *s);

/* native_queue.c: proposes a command of proto/command.proto. */
void native_submit(struct op *op, struct shard *s, enum command_kind kind, const ProtobufCMessage *message,
                   void (*done)(struct command *c, const struct reply *reply));

/* native_encode.c */
ProtobufCAllocator native_allocator(struct arena *a);
void encode_deliveries(struct buffer *out, uint64_t id, uint32_t reply_field, uint64_t secret, uint64_t queue,
                       const struct delivered *messages, size_t count);
Hato__QueueInfo *encode_queue_info(struct arena *a, const struct machine *m, const struct queue_view *q,
                                   const struct queue_waited *waited);

#endif

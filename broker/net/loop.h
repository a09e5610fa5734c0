/* A loop: one thread, one libuv loop, a mailbox, and work that is put off to the end of the turn.
 *
 * A turn is what happens between two waits for the kernel. What arrives in one turn is handled together: commands become
 * one entry, replies one write. So whoever has something to do "when all of this turn is in" asks for a `struct turn`.
 *
 * Threads: everything belongs to the loop's thread except loop_post and loop_stop. */
#ifndef HATO_NET_LOOP_H
#define HATO_NET_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "base/list.h"

/* Mail from any thread: `run` is called once on the loop's thread, in the order posted by any one thread. The sender owns
 * the memory, and gives it up until `run`. */
struct mail {
    struct mail *next;
    void (*run)(struct mail *mail);
};

/* Called once at the end of the turn in which turn_ask was called; may ask again. Lower `order` first. */
struct turn {
    struct list_link link;
    void (*run)(struct turn *turn);
    bool asked;
};

/* Turns run in this order, each stage to its end before the next: what shards produce is written in the same turn. */
enum turn_stage { TURN_SHARD, TURN_WRITE, TURN_STAGES };

enum { LOOP_SCRATCH = 128 * 1024 };

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t end_of_turn;
    _Atomic(struct mail *) box; /* newest first */
    struct list turns[TURN_STAGES];
    char *scratch; /* where reads land first; LOOP_SCRATCH bytes */
    bool scratch_taken;
    atomic_bool stopping;
    int number;
    pthread_t thread;
    bool running;
    void (*stopped)(struct loop *loop, void *ctx);
    void *stopped_ctx;
};

int loop_open(struct loop *loop, int number, struct error *e);

/* Runs on the calling thread until loop_stop, then closes what the loop itself opened. Every other handle must be closed by
 * its owner, at the latest in `stopped`, which runs on the loop's thread when stopping. */
void loop_run(struct loop *loop);

/* As loop_run, on a thread of its own; loop_join waits for it. */
int loop_start(struct loop *loop, struct error *e);
void loop_join(struct loop *loop);
void loop_close(struct loop *loop);

/* From any thread. */
void loop_stop(struct loop *loop);
void loop_post(struct loop *loop, struct mail *mail);

void loop_at_turn_end(struct loop *loop, enum turn_stage stage, struct turn *turn);
void loop_forget_turn(struct loop *loop, enum turn_stage stage, struct turn *turn); /* takes back what was asked */

#endif

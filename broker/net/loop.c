#include "net/loop.h"

#include "base/assert.h"
#include "base/memory.h"

static void drain_box(struct loop *loop)
{
    struct mail *newest = atomic_exchange_explicit(&loop->box, NULL, memory_order_acquire);
    struct mail *oldest = NULL;
    while (newest != NULL) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct mail *next = oldest->next;
        oldest->run(oldest);
        oldest = next;
    }
}

static void on_wake(uv_async_t *wake)
{
    struct loop *loop = wake->data;
    drain_box(loop);
    if (!atomic_load(&loop->stopping))
        return;
    if (loop->stopped != NULL) {
        void (*stopped)(struct loop *, void *) = loop->stopped;
        loop->stopped = NULL;
        stopped(loop, loop->stopped_ctx);
    }
    uv_stop(&loop->uv);
}

static void run_stage(struct list *stage)
{
    /* Work asked for while the stage runs is done in the same turn, so that nothing waits for the next event. */
    while (!list_empty(stage)) {
        struct list_link *first = list_first(stage);
        struct turn *turn = CONTAINER_OF(first, struct turn, link);
        list_remove(stage, first);
        turn->asked = false;
        turn->run(turn);
    }
}

static int asked_first(const struct loop *loop)
{
    int i = 0;
    while (i < TURN_STAGES && list_empty(&loop->turns[i]))
        i++;
    return i;
}

static void on_end_of_turn(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    /* A later stage may ask for an earlier one (a peer that reads again gives credit): left alone, that would wait for the
     * next event while the loop sleeps. */
    for (int i = asked_first(loop); i < TURN_STAGES; i = asked_first(loop))
        run_stage(&loop->turns[i]);
}

int loop_open(struct loop *loop, int number, struct error *e)
{
    *loop = (struct loop){.number = number};
    atomic_init(&loop->box, NULL);
    atomic_init(&loop->stopping, false);
    for (int i = 0; i < TURN_STAGES; i++)
        list_init(&loop->turns[i]);
    int rc = uv_loop_init(&loop->uv);
    if (rc != 0)
        return error_set(e, ERR_IO, "cannot create an event loop: %s", uv_strerror(rc));
    rc = uv_async_init(&loop->uv, &loop->wake, on_wake);
    ASSERT(rc == 0);
    rc = uv_prepare_init(&loop->uv, &loop->end_of_turn);
    ASSERT(rc == 0);
    loop->wake.data = loop;
    loop->end_of_turn.data = loop;
    uv_prepare_start(&loop->end_of_turn, on_end_of_turn);
    loop->scratch = memory_alloc(LOOP_SCRATCH);
    return ERR_OK;
}

void loop_run(struct loop *loop)
{
    do /* also when it was stopped before: what was posted until then is read */
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    while (!atomic_load(&loop->stopping));
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->end_of_turn, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void *thread_main(void *arg)
{
    loop_run(arg);
    return NULL;
}

int loop_start(struct loop *loop, struct error *e)
{
    int rc = pthread_create(&loop->thread, NULL, thread_main, loop);
    if (rc != 0)
        return error_set(e, ERR_IO, "cannot start a thread: %s", uv_strerror(-rc));
    loop->running = true;
    return ERR_OK;
}

void loop_join(struct loop *loop)
{
    if (!loop->running)
        return;
    pthread_join(loop->thread, NULL);
    loop->running = false;
}

void loop_close(struct loop *loop)
{
    int rc = uv_loop_close(&loop->uv);
    ASSERT(rc == 0);
    memory_free(loop->scratch);
    loop->scratch = NULL;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    uv_async_send(&loop->wake);
}

void loop_post(struct loop *loop, struct mail *mail)
{
    struct mail *head = atomic_load_explicit(&loop->box, memory_order_relaxed);
    do
        mail->next = head;
    while (!atomic_compare_exchange_weak_explicit(&loop->box, &head, mail, memory_order_release, memory_order_relaxed));
    if (head == NULL)
        uv_async_send(&loop->wake);
}

void loop_at_turn_end(struct loop *loop, enum turn_stage stage, struct turn *turn)
{
    if (turn->asked)
        return;
    turn->asked = true;
    list_append(&loop->turns[stage], &turn->link);
}

void loop_forget_turn(struct loop *loop, enum turn_stage stage, struct turn *turn)
{
    if (!turn->asked)
        return;
    turn->asked = false;
    list_remove(&loop->turns[stage], &turn->link);
}

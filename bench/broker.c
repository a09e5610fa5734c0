#include "bench/broker.h"

enum { BROKER_CALL_MS = 120000, BROKER_CONNECT_MS = 5000 };

struct fan {
    uint64_t done;
    struct error failed;
};

int broker_open(struct hato_client **client, const char *server, struct error *e)
{
    struct hato_options options = {
        .server = server, .name = "hato-bench", .timeout_ms = BROKER_CALL_MS, .first_connect_ms = BROKER_CONNECT_MS};
    char why[ERROR_MESSAGE_MAX];
    *client = hato_client_create(NULL, &options, why, sizeof(why));
    return *client != NULL ? ERR_OK : error_set(e, ERR_IO, "%s", why);
}

int broker_ask(struct hato_call *call, struct hato_reply **reply, struct error *e)
{
    *reply = hato_wait(call);
    int code = (*reply)->error.code;
    if (code == HATO_OK)
        return ERR_OK;
    error_set(e, (enum error_code)code, "%s", (*reply)->error.message);
    hato_reply_destroy(*reply);
    *reply = NULL;
    return code;
}

int broker_do(struct hato_call *call, struct error *e)
{
    struct hato_reply *reply = NULL;
    int rc = broker_ask(call, &reply, e);
    hato_reply_destroy(reply);
    return rc;
}

static void fan_done(void *user, const struct hato_reply *reply)
{
    struct fan *f = user;
    f->done++;
    if (reply->error.code != HATO_OK && f->failed.code == ERR_OK)
        error_set(&f->failed, (enum error_code)reply->error.code, "%s", reply->error.message);
}

int broker_fan(struct hato_client *client, uint64_t count, uint32_t window, broker_call call, struct error *e)
{
    struct fan f = {0};
    uint64_t made = 0;
    while (f.done < made || (made < count && f.failed.code == ERR_OK)) {
        while (made < count && made - f.done < window && f.failed.code == ERR_OK)
            call(client, made++, fan_done, &f);
        uv_run(hato_client_loop(client), UV_RUN_ONCE);
    }
    return f.failed.code == ERR_OK ? ERR_OK : error_set(e, f.failed.code, "%s", f.failed.message);
}

int broker_left(struct hato_client *client, const char *queue, uint64_t *left, struct error *e)
{
    struct hato_reply *reply = NULL;
    int rc = broker_ask(hato_queue_show(client, queue, NULL, NULL), &reply, e);
    if (rc == ERR_OK) {
        const struct hato_counts *c = &reply->queues[0].counts;
        *left = c->ready + c->in_flight + c->delayed;
    }
    hato_reply_destroy(reply);
    return rc;
}

/* The command line in processes of its own, against a scripted broker in another. */
#ifndef HATO_TESTS_CLIENT_COMMAND_DOUBLE_H
#define HATO_TESTS_CLIENT_COMMAND_DOUBLE_H

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "client/harness.h"

static char out[65536];
static char err[65536];
static char server[32];
static pid_t broker;

/* ---------------------------------------------------------------- the broker's process */

static const char HOSTILE[] = "a\033[2Jb\r\n\xc2\x9b\xc3\xa9";
static const char HARMLESS[] = "a.[2Jb...\xc3\xa9";

static void put_queue(struct double_peer *p, uint64_t id, const char *name)
{
    Hato__QueueCounts counts = HATO__QUEUE_COUNTS__INIT;
    counts.ready = 1234567;
    counts.in_flight = 2;
    Hato__QueueSettings settings = HATO__QUEUE_SETTINGS__INIT;
    settings.has_visibility_ms = true;
    settings.visibility_ms = 30000;
    Hato__QueueInfo info = HATO__QUEUE_INFO__INIT;
    info.name = (char *)name;
    info.counts = &counts;
    info.settings = &settings;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_QUEUE;
    reply.queue = &info;
    double_reply(p, &reply);
}

/* Two pages of one queue each. */
static void put_page(struct double_peer *p, uint64_t id, const char *after)
{
    Hato__QueueInfo info = HATO__QUEUE_INFO__INIT;
    Hato__QueueCounts counts = HATO__QUEUE_COUNTS__INIT;
    Hato__QueueInfo *list[] = {&info};
    Hato__QueueListReply queues = HATO__QUEUE_LIST_REPLY__INIT;
    bool first = after[0] == '\0';
    counts.ready = first ? 5 : 6;
    info.name = (char *)(first ? "aaa" : "bbb");
    info.counts = &counts;
    queues.n_queues = 1;
    queues.queues = list;
    queues.next = (char *)(first ? "aaa" : "");
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_QUEUES;
    reply.queues = &queues;
    double_reply(p, &reply);
}

/* The connection is lost before the answer; asked again, the receipt is gone. */
static void lose_ack(struct double_peer *p, uint64_t id)
{
    Hato__Code stale = HATO__CODE__RECEIPT_STALE;
    if (p->number == 1)
        double_hang_up(p);
    else
        double_settled(p, id, &stale, 1);
}

static void put_hostile_message(struct double_peer *p, uint64_t id)
{
    Hato__Provenance provenance = HATO__PROVENANCE__INIT;
    provenance.source_queue = (char *)"jobs";
    provenance.last_error = (char *)HOSTILE;
    Hato__Message message = HATO__MESSAGE__INIT;
    message.body = (ProtobufCBinaryData){sizeof HOSTILE - 1, (uint8_t *)HOSTILE};
    message.group = (char *)HOSTILE;
    message.deduplication_id = (char *)HOSTILE;
    message.provenance = &provenance;
    Hato__PeekedMessage peeked = HATO__PEEKED_MESSAGE__INIT;
    peeked.last_error = (char *)HOSTILE;
    peeked.message = &message;
    Hato__PeekedMessage *messages[] = {&peeked};
    Hato__PeekReply peek = HATO__PEEK_REPLY__INIT;
    peek.n_messages = 1;
    peek.messages = messages;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_PEEK;
    reply.peek = &peek;
    double_reply(p, &reply);
}

static void put_function(struct double_peer *p, uint64_t id)
{
    Hato__FunctionInfo info = HATO__FUNCTION_INFO__INIT;
    info.name = (char *)"resize";
    info.last_error = (char *)HOSTILE;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_FUNCTION;
    reply.function = &info;
    double_reply(p, &reply);
}

static void act(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    static unsigned delivered;
    Hato__Code second_stale[] = {HATO__CODE__OK, HATO__CODE__RECEIPT_STALE};
    (void)b;
    switch (r->op_case) {
    case HATO__REQUEST__OP_SEND:
        if (strcmp(r->send->queue, "nowhere") == 0)
            double_refuse(p, r->id, HATO_NOT_FOUND, "queue", "no queue named nowhere");
        else
            double_stored(p, r->id, r->send);
        break;
    case HATO__REQUEST__OP_RECEIVE:
        if (strcmp(r->receive->queue, "killed") == 0)
            _exit(0);
        if (strcmp(r->receive->queue, "silent") == 0)
            break;
        double_deliver(p, r->id, false, 1, r->receive->max_messages);
        break;
    case HATO__REQUEST__OP_ACK:
        if (strcmp(r->ack->queue, "lost-ack") == 0) {
            lose_ack(p, r->id);
            break;
        }
        double_settled(p, r->id, second_stale, r->ack->n_receipts == 2 ? 2 : 0);
        break;
    case HATO__REQUEST__OP_PEEK:
        put_hostile_message(p, r->id);
        break;
    case HATO__REQUEST__OP_FUNCTION_SHOW:
        if (strcmp(r->function_show->name, "hostile") == 0)
            double_refuse(p, r->id, HATO_NOT_FOUND, "name", HOSTILE);
        else
            put_function(p, r->id);
        break;
    case HATO__REQUEST__OP_NACK:
    case HATO__REQUEST__OP_EXTEND:
        double_settled(p, r->id, NULL, 0);
        break;
    case HATO__REQUEST__OP_QUEUE_CREATE:
        put_queue(p, r->id, r->queue_create->name);
        break;
    case HATO__REQUEST__OP_QUEUE_SHOW:
        put_queue(p, r->id, r->queue_show->name);
        break;
    case HATO__REQUEST__OP_QUEUE_LIST:
        put_page(p, r->id, r->queue_list->after);
        break;
    case HATO__REQUEST__OP_STREAM_OPEN:
        double_deliver(p, r->id, true, 1, r->stream_open->credit);
        delivered = r->stream_open->credit;
        break;
    case HATO__REQUEST__OP_STREAM_CREDIT:
        double_deliver(p, r->stream_credit->stream, true, delivered + 1, r->stream_credit->credit);
        delivered += r->stream_credit->credit;
        break;
    case HATO__REQUEST__OP_STREAM_CLOSE:
        double_stream_end(p, r->stream_close->stream, 0);
        break;
    case HATO__REQUEST__OP_PING: /* never answered */
        break;
    default:
        double_empty(p, r->id);
    }
}

static void run_broker(int tell)
{
    uv_loop_t loop;
    struct double_broker b;
    uv_loop_init(&loop);
    double_open(&b, &loop, act, NULL);
    if (write(tell, b.address, sizeof b.address) < 0)
        _exit(1);
    close(tell);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static void start_broker(void)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    broker = fork();
    ck_assert_int_ge(broker, 0);
    if (broker == 0) {
        close(fds[0]);
        run_broker(fds[1]);
        _exit(0);
    }
    close(fds[1]);
    ck_assert_int_gt(read(fds[0], server, sizeof server), 0);
    close(fds[0]);
    setenv("HATO_SERVER", server, 1);
}

static void stop_broker(void)
{
    kill(broker, SIGKILL);
    waitpid(broker, NULL, 0);
}

/* ---------------------------------------------------------------- running commands */

static void slurp(const char *path, char *to, size_t size)
{
    FILE *f = fopen(path, "r");
    size_t n = fread(to, 1, size - 1, f);
    to[n] = '\0';
    fclose(f);
}

/* In a process of its own, as it is run in life. Closes `input`. */
static int run_from(int input, const char **argv)
{
    char dir[] = "/tmp/hato-test-XXXXXX";
    char paths[3][64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    for (int i = 1; i < 3; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%d", dir, i);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(input, 0);
        for (int i = 1; i < 3; i++)
            dup2(open(paths[i], O_WRONLY | O_CREAT, 0600), i);
        int code = command_main(argc, argv);
        fflush(NULL);
        _exit(code);
    }
    int status;
    close(input);
    waitpid(pid, &status, 0);
    slurp(paths[1], out, sizeof out);
    slurp(paths[2], err, sizeof err);
    for (int i = 1; i < 3; i++)
        unlink(paths[i]);
    rmdir(dir);
    ck_assert_msg(WIFEXITED(status), "it was killed: %s", err);
    return WEXITSTATUS(status);
}

static int input_of_bytes(const void *data, size_t len)
{
    char path[] = "/tmp/hato-test-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static int input_of(const char *text)
{
    return input_of_bytes(text, strlen(text));
}

/* Can be read so far, then reading fails. */
static int broken_input(const char *text)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ck_assert_int_eq(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(write(ends[0], "never read", 10), 10);
    close(ends[1]);
    return ends[0];
}

#define RUN_FROM(input, ...) run_from(input, (const char *[]){"hato", __VA_ARGS__, NULL})
#define RUN_INPUT(input, ...) RUN_FROM(input_of(input), __VA_ARGS__)
#define RUN(...) RUN_INPUT("", __VA_ARGS__)

#endif

/* Nodes with their meshes over real sockets, all on one loop. One test program includes it once. */
#ifndef HATO_TESTS_CLUSTER_MESH_NODES_H
#define HATO_TESTS_CLUSTER_MESH_NODES_H

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "cluster/mesh.h"
#include "unit/net/certificates.h"
#include "unit/net/peer.h"

enum { NODES = 3, SHARDS = 8 };

struct node {
    struct birth birth;
    struct roster *roster;
    struct mesh mesh;
    struct mesh_ops ops;
    struct tls_context *tls;
    char dir[96];
    bool open, closed;
    struct buffer got; /* "from:shard:body," */
    size_t got_bytes;
    unsigned unreachable;
};

static struct loop loop;
static struct error e;
static struct node nodes[NODES + 1]; /* by id */
static int ports[NODES + 1];
static char dir[64], peers[128];
static struct trace trace;
static struct buffer lines;

/* ---------------------------------------------------------------- nodes */

static inline void write_line(void *context, enum trace_level level, const char *line, size_t len)
{
    (void)context, (void)level;
    buffer_put(&lines, line, len);
}

static inline bool was_traced(const char *text)
{
    buffer_u8(&lines, 0);
    lines.len--;
    return strstr((const char *)lines.data, text) != NULL;
}

static inline struct loop *loop_of(void *ctx, uint16_t shard)
{
    (void)ctx, (void)shard;
    return &loop;
}

static inline void on_frame(void *ctx, uint64_t node, uint16_t shard, struct blob *frame)
{
    struct node *n = ctx;
    n->got_bytes += frame->len;
    if (frame->len < 100)
        buffer_printf(&n->got, "%d:%u:%.*s,", (int)node, shard, (int)frame->len, (const char *)frame->data);
}

static inline void on_unreachable(void *ctx, struct mesh *m, uint64_t node)
{
    (void)node;
    struct node *n = ctx;
    ck_assert_ptr_eq(m, &n->mesh);
    n->unreachable++;
}

static inline void on_mesh_closed(struct mesh *m)
{
    CONTAINER_OF(m, struct node, mesh)->closed = true;
}

static inline void until(bool (*true_of)(void))
{
    while (!true_of())
        uv_run(&loop.uv, UV_RUN_ONCE);
}

static inline int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static inline void begin_as(struct node *n, uint64_t id, char birth, uint64_t instance)
{
    char listen[32];
    const struct membership_list founders = {.ids = {1, 2, 3}, .count = 3};
    n->birth = (struct birth){.node = id, .shards = SHARDS, .founders = founders};
    birth_cluster_id("test", &founders, SHARDS, n->birth.cluster);
    memset(n->birth.id, birth, 32);
    snprintf(n->dir, sizeof n->dir, "%s/%d", dir, (int)id);
    ck_assert_int_eq(system("true"), 0);
    mkdir(n->dir, 0700);
    const struct roster_options who = {.data = n->dir, .birth = &n->birth, .peers = peers, .instance = instance};
    ck_assert_msg(roster_create(&who, &n->roster, &e) == ERR_OK, "%s", e.message);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", ports[id]);
    if (n->ops.ctx == NULL)
        n->ops = (struct mesh_ops){.ctx = n, .loop_of = loop_of, .frame = on_frame, .unreachable = on_unreachable};
    const struct mesh_options o = {.loop = &loop,
                                   .roster = n->roster,
                                   .tls = n->tls,
                                   .listen = listen,
                                   .seed = id,
                                   .trace = &trace,
                                   .ops = &n->ops};
    ck_assert_msg(mesh_open(&n->mesh, &o, &e) == ERR_OK, "%s", e.message);
    ck_assert_msg(mesh_start(&n->mesh, &e) == ERR_OK, "%s", e.message);
    n->open = true;
    n->closed = false;
}

static inline void begin(uint64_t id)
{
    begin_as(&nodes[id], id, (char)('0' + id), id);
}

static inline void end(struct node *n)
{
    mesh_close(&n->mesh, on_mesh_closed);
    while (!n->closed)
        uv_run(&loop.uv, UV_RUN_ONCE);
    n->open = false;
    roster_destroy(n->roster);
    n->roster = NULL;
}

static inline void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    snprintf(dir, sizeof dir, "/tmp/hato-mesh-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    const struct trace_options lines_to = {
        .level = TRACE_INFO, .burst = 1000000, .clock = clock_real(), .write = write_line};
    trace_open(&trace, &lines_to);
    for (int i = 1; i <= NODES; i++) {
        ports[i] = free_port();
        snprintf(peers + strlen(peers), sizeof peers - strlen(peers), "%s%d=127.0.0.1:%d", i > 1 ? "," : "", i,
                 ports[i]);
    }
    ck_assert_int_eq(loop_open(&loop, 0, &e), ERR_OK);
}

static inline void teardown(void)
{
    for (int i = 1; i <= NODES; i++) {
        if (nodes[i].open)
            end(&nodes[i]);
        buffer_close(&nodes[i].got);
        tls_context_destroy(nodes[i].tls);
    }
    loop_stop(&loop);
    loop_run(&loop);
    loop_close(&loop);
    trace_close(&trace);
    buffer_close(&lines);
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static inline bool put(uint64_t from, uint64_t to, uint16_t shard, const void *data, size_t len)
{
    struct mesh_frame f;
    struct buffer *out = mesh_begin(&nodes[from].mesh, &f, to, shard, len);
    if (out == NULL)
        return false;
    buffer_put(out, data, len);
    mesh_end(&f);
    return true;
}

static inline bool put_text(uint64_t from, uint64_t to, uint16_t shard, const char *text)
{
    return put(from, to, shard, text, strlen(text));
}

static inline bool two_and_one_reach_each_other(void)
{
    return mesh_reaches(&nodes[1].mesh, 2) && mesh_reaches(&nodes[2].mesh, 1);
}

static inline bool got(uint64_t id, const char *text)
{
    struct buffer *b = &nodes[id].got;
    buffer_u8(b, 0);
    b->len--;
    return strstr((const char *)b->data, text) != NULL;
}

static inline const char *path(const char *name)
{
    static char paths[8][96];
    static int next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", dir, name);
    return p;
}

static inline void certify(struct node *n, const char *name, struct authority *a, const char *ca)
{
    authority_issue(a, name, "IP:127.0.0.1", -DAY_S, DAY_S, path(name), path("key"));
    const struct tls_files files = {path(name), path("key"), path(ca)};
    ck_assert_int_eq(tls_context_create(&files, &n->tls, &e), ERR_OK);
}

static inline int mesh_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}

#endif

/* The space on the data directory's disk: whether sends are accepted, and when a store that had none is opened anew. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cluster/internal.h"

enum {
    ANEW_SPARE_BYTES = 1 << 20, /* for what opening the store writes */
    ANEW_LOOKS_MIN = 5, /* one a second, after a start, so that a disk that stays nearly full leaves time between */
};

static uint64_t free_bytes(const struct node *n)
{
    struct statvfs fs;
    return statvfs(n->options.data, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

/* Whether a file may grow to so much: a quota is not seen otherwise. Where files can't be given their space beforehand it is believed. */
static bool may_take(const struct node *n, uint64_t bytes)
{
    int fd = open(n->options.data, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno != ENOSPC && errno != EDQUOT;
    bool may = fallocate(fd, 0, 0, (off_t)bytes) == 0 || (errno != ENOSPC && errno != EDQUOT);
    close(fd);
    return may;
}

static void open_store_anew(struct node *n, uint64_t space)
{
    struct node_hooks *hooks = &n->options.hooks;
    n->looks++;
    if (n->anew || n->looks <= ANEW_LOOKS_MIN || hooks->begin_anew == NULL || !store_needs_reopening(n->store))
        return;
    uint64_t wanted = store_unwritten_bytes(n->store) + ANEW_SPARE_BYTES;
    if (space < wanted || !may_take(n, wanted))
        return;
    n->anew = true;
    TRACE(n->options.trace, TRACE_WARN, "the store had no space, the broker begins anew",
          trace_u64("free_bytes", space));
    hooks->begin_anew(hooks->ctx);
}

void node_look_at_space(struct node *n)
{
    uint64_t space = free_bytes(n);
    log_check_space(n->log);
    bool accepts = log_has_room(n->log) && space >= n->options.disk_reserve;
    bool before = atomic_exchange(&n->accepts_sends, accepts);
    if (before && !accepts)
        TRACE(n->options.trace, TRACE_WARN, "disk nearly full, sends are refused", trace_u64("free_bytes", space),
              trace_u64("disk_reserve", n->options.disk_reserve), trace_u64("log_has_room", log_has_room(n->log)));
    if (!before && accepts)
        TRACE(n->options.trace, TRACE_INFO, "disk has space again, sends are accepted", trace_u64("free_bytes", space));
    atomic_store(&n->free_bytes, space);
    atomic_store(&n->store_bytes, store_bytes(n->store));
    open_store_anew(n, space);
}

void node_space(const struct node *n, struct node_space *out)
{
    out->log_bytes = log_bytes(n->log);
    out->store_bytes = atomic_load(&n->store_bytes);
    out->free_bytes = atomic_load(&n->free_bytes);
    out->accepts_sends = atomic_load(&n->accepts_sends) && log_has_room(n->log);
}

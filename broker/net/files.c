#include "net/files.h"

#include <sys/resource.h>

uint64_t files_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024; /* POSIX systems allow no less in practice */
    struct rlimit most = {limit.rlim_max, limit.rlim_max};
    if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &most) == 0)
        return most.rlim_cur;
    return limit.rlim_cur;
}

static uint32_t bounded(uint64_t count)
{
    return count > FILES_CONNECTIONS_MAX ? FILES_CONNECTIONS_MAX : count > 0 ? (uint32_t)count : 1;
}

void files_share_out(uint64_t limit, struct files_share *out)
{
    uint64_t reserve = limit / 2 < FILES_RESERVE ? limit / 2 : FILES_RESERVE;
    uint64_t rest = limit - reserve;
    out->http = bounded(rest / 4);
    out->native = bounded(rest - rest / 4);
}

#include "bench/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/wire.h"

enum { START_TRIES_MAX = 60000, STOP_TRIES_MAX = 30000, TEXT_MAX = 4096, WORDS_MAX = 256, KEEP_EACH_MS = 100 };

static void process_sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

int process_free_port(int *port, struct error *e)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good =
        fd >= 0 && bind(fd, (struct sockaddr *)&at, size) == 0 && getsockname(fd, (struct sockaddr *)&at, &size) == 0;
    if (fd >= 0)
        close(fd);
    *port = ntohs(at.sin_port);
    return good ? ERR_OK : error_set(e, ERR_IO, "no free port: %s", strerror(errno));
}

static void process_path(const struct process *p, const char *name, char *path)
{
    snprintf(path, PROCESS_PATH_MAX + 16, "%s/%s", p->dir, name);
}

/* In the child: becomes the server. */
static _Noreturn void process_become(const struct process *p)
{
    char files[PROCESS_PATH_MAX + 16], output[PROCESS_PATH_MAX + 16];
    process_path(p, "data", files);
    process_path(p, "output", output);
    int out = open(output, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (out >= 0) {
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
    }
    /* No server outlives a benchmark that was killed. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (p->kind == PROCESS_BROKER)
        execl(p->program, p->program, "--data", files, "--listen", p->address, "--http", p->http, (char *)NULL);
    else
        execl(p->program, p->program, "--file", files, "--listen", p->address,
              p->kind == PROCESS_LIMIT_UNSYNCED ? "--no-fsync" : NULL, (char *)NULL);
    fprintf(stderr, "cannot run %s: %s\n", p->program, strerror(errno));
    _exit(127);
}

static void process_last_words(const struct process *p, char text[WORDS_MAX])
{
    char path[PROCESS_PATH_MAX + 16];
    process_path(p, "output", path);
    text[0] = 0;
    FILE *f = fopen(path, "r");
    char line[WORDS_MAX];
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] != 0)
            memcpy(text, line, sizeof(line));
    }
    if (f != NULL)
        fclose(f);
}

static int process_run(struct process *p, struct error *e)
{
    p->pid = fork();
    if (p->pid == 0)
        process_become(p);
    if (p->pid < 0) {
        p->pid = 0;
        return error_set(e, ERR_IO, "cannot fork: %s", strerror(errno));
    }
    for (int i = 0; i < START_TRIES_MAX; i++) {
        struct wire w;
        bool up = wire_open(&w, p->address, NULL) == ERR_OK;
        wire_close(&w);
        if (up)
            return ERR_OK;
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid) {
            char words[WORDS_MAX];
            process_last_words(p, words);
            p->pid = 0;
            return error_set(e, ERR_IO, "%s ended at once: %s", p->program, words[0] != 0 ? words : "it said nothing");
        }
        process_sleep_ms(1);
    }
    return error_set(e, ERR_TIMEOUT, "%s takes no connections", p->program);
}

static int process_remove(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

/* A benchmark that is interrupted must not leave twenty gigabytes behind: a child, out of reach of the terminal, waits for
 * the end of the leash. The server may still be writing then, so it tries until the directory is gone. */
static _Noreturn void process_keep(const struct process *p, int leash)
{
    setsid();
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        close(fd);
    char nothing;
    while (read(leash, &nothing, 1) < 0 && errno == EINTR)
        continue;
    for (int i = 0; i < STOP_TRIES_MAX / KEEP_EACH_MS && access(p->dir, F_OK) == 0; i++) {
        if (nftw(p->dir, process_remove, 16, FTW_DEPTH | FTW_PHYS) != 0)
            process_sleep_ms(KEEP_EACH_MS);
    }
    _exit(0);
}

static int process_make_dir(struct process *p, const char *parent, struct error *e)
{
    int ends[2];
    snprintf(p->dir, sizeof(p->dir), "%s/hato-bench-XXXXXX", parent);
    if (mkdtemp(p->dir) == NULL)
        return error_set(e, ERR_IO, "cannot make a directory in %s: %s", parent, strerror(errno));
    if (pipe2(ends, O_CLOEXEC) == 0) {
        p->keeper = fork();
        if (p->keeper == 0) {
            close(ends[1]);
            process_keep(p, ends[0]);
        }
        close(ends[0]);
        p->leash = ends[1];
        if (p->keeper > 0)
            return ERR_OK;
        close(ends[1]);
        p->keeper = 0;
    }
    rmdir(p->dir);
    return error_set(e, ERR_IO, "cannot fork: %s", strerror(errno));
}

int process_start(struct process *p, enum process_kind kind, const char *program, const char *parent, struct error *e)
{
    *p = (struct process){.kind = kind, .program = program};
    int port = 0, http = 0;
    int rc = process_free_port(&port, e);
    if (rc == ERR_OK)
        rc = process_free_port(&http, e);
    if (rc != ERR_OK)
        return rc;
    snprintf(p->address, sizeof(p->address), "127.0.0.1:%d", port);
    snprintf(p->http, sizeof(p->http), "127.0.0.1:%d", http);
    rc = process_make_dir(p, parent, e);
    if (rc != ERR_OK)
        return rc;
    rc = process_run(p, e);
    if (rc != ERR_OK)
        process_stop(p);
    return rc;
}

static void process_end(struct process *p, int how)
{
    if (p->pid == 0)
        return;
    kill(p->pid, how);
    for (int i = 0; i < STOP_TRIES_MAX && waitpid(p->pid, NULL, WNOHANG) == 0; i++) {
        if (i == STOP_TRIES_MAX - 1)
            kill(p->pid, SIGKILL);
        process_sleep_ms(1);
    }
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

int process_restart(struct process *p, bool kill, struct error *e)
{
    process_end(p, kill ? SIGKILL : SIGTERM);
    return process_run(p, e);
}

void process_stop(struct process *p)
{
    process_end(p, SIGTERM);
    if (p->keeper == 0)
        return;
    close(p->leash);
    waitpid(p->keeper, NULL, 0);
    p->keeper = 0;
}

bool process_parse_status(const char *text, struct process_usage *usage)
{
    unsigned long long now = 0, peak = 0;
    const char *rss = strstr(text, "\nVmRSS:");
    const char *hwm = strstr(text, "\nVmHWM:");
    if (rss == NULL || hwm == NULL || sscanf(rss, "\nVmRSS: %llu kB", &now) != 1 ||
        sscanf(hwm, "\nVmHWM: %llu kB", &peak) != 1)
        return false;
    usage->memory_bytes = now * 1024;
    usage->memory_peak_bytes = peak * 1024;
    return true;
}

bool process_parse_stat(const char *text, uint64_t ticks_per_s, struct process_usage *usage)
{
    /* The second field is the program's name in brackets and may hold anything, brackets and spaces included. */
    const char *rest = strrchr(text, ')');
    unsigned long long user = 0, system = 0;
    if (rest == NULL || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return false;
    usage->cpu_ns = (user + system) * (1000000000u / ticks_per_s);
    return true;
}

static bool process_read(pid_t pid, const char *name, char *text)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    FILE *f = fopen(path, "r");
    size_t n = f != NULL ? fread(text, 1, TEXT_MAX - 1, f) : 0;
    text[n] = 0;
    if (f != NULL)
        fclose(f);
    return n > 0;
}

int process_usage(pid_t pid, struct process_usage *usage, struct error *e)
{
    char text[TEXT_MAX];
    *usage = (struct process_usage){0};
    if (process_read(pid, "status", text) && process_parse_status(text, usage) && process_read(pid, "stat", text) &&
        process_parse_stat(text, (uint64_t)sysconf(_SC_CLK_TCK), usage))
        return ERR_OK;
    return error_set(e, ERR_NOT_FOUND, "there is no process %d to watch", (int)pid);
}

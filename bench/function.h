/* The trivial function: an HTTP/1.1 server that answers every request with 200 and an empty list of failures, and counts. */
#ifndef HATO_BENCH_FUNCTION_H
#define HATO_BENCH_FUNCTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/error.h"

/* Lives in memory shared with whoever started it. */
struct function_counts {
    atomic_uint_least64_t requests;
    atomic_uint_least64_t messages;
    atomic_uint_least64_t connections;
    atomic_int port; /* listening; 0: not yet; -1: failed */
};

enum { FUNCTION_BODY_MAX = 16 * 1024 * 1024, FUNCTION_READ_BYTES = 256 * 1024 };

/* Serves on 127.0.0.1 until SIGINT or SIGTERM. Errors: ERR_IO. */
int function_serve(int port, struct function_counts *counts, struct error *e);

/* Starts it as a process of its own, on a free port, with counts that both see. It ends with its parent. */
int function_start(struct function_counts **counts, pid_t *pid, struct error *e);
void function_stop(struct function_counts *counts, pid_t pid); /* accepts NULL */

/* The messages in a request's body: records of an SQS event, else 1. Pure. */
uint64_t function_messages(struct bytes body);

#endif

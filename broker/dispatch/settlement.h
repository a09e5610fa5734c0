/* What a request's outcome means for each of its messages: ack, counted nack with a delay, or uncounted nack. Every
 * message of the job is settled exactly once. */
#ifndef HATO_DISPATCH_SETTLEMENT_H
#define HATO_DISPATCH_SETTLEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatch/answer.h"

struct job;

/* There was no answer: which of its messages are at fault (suspects.h). False: none. Before the endpoint learns of it. */
bool settlement_blame(struct job *j);

/* `told_ms`: the answer's Retry-After; 0: none. Comes after the endpoint has learned from the outcome. */
void settlement_make(struct job *j, const struct judgement *verdict, uint64_t told_ms);

/* All go back uncounted, at once, in their old places. */
void settlement_return(struct job *j, uint32_t status, const char *error);

#endif

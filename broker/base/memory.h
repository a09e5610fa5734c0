/* Allocation that either succeeds or ends the process.
 *
 * Every buffer, queue and connection of the broker has a named limit that is checked before memory is asked for, so an
 * allocation that fails means the machine is misjudged, and an acknowledged log survives a stop. Nothing here is for
 * sizes that come from outside unchecked. */
#ifndef HATO_BASE_MEMORY_H
#define HATO_BASE_MEMORY_H

#include <stddef.h>

void *memory_alloc(size_t size);                         /* uninitialised; size 0 gives a unique pointer */
void *memory_zero(size_t count, size_t size);            /* zeroed; asserts count * size does not overflow */
void *memory_grow(void *old, size_t count, size_t size); /* as realloc; asserts on overflow */
char *memory_string(const char *text, size_t len);       /* copies and terminates */
void memory_free(void *p);                               /* accepts NULL */

#endif

/* From a member back to the struct that holds it; for the intrusive containers (list.h, heap.h). */
#ifndef HATO_BASE_CONTAINER_H
#define HATO_BASE_CONTAINER_H

#include <stddef.h>

#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif

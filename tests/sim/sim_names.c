#include "sim/sim_names.h"

#include <string.h>

#include "base/memory.h"

static size_t names_find(const struct sim_names *n, const char *path, bool *found)
{
    size_t low = 0, high = n->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(n->at[middle].path, path);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

struct sim_inode *sim_names_get(const struct sim_names *n, const char *path)
{
    bool found;
    size_t i = names_find(n, path, &found);
    return found ? n->at[i].inode : NULL;
}

void sim_names_set(struct sim_names *n, const char *path, struct sim_inode *inode)
{
    bool found;
    size_t i = names_find(n, path, &found);
    if (!found) {
        if (n->n == n->capacity) {
            n->capacity = n->capacity * 2 + 8;
            n->at = memory_grow(n->at, n->capacity, sizeof *n->at);
        }
        memmove(&n->at[i + 1], &n->at[i], (n->n - i) * sizeof *n->at);
        n->n++;
        n->at[i].path = memory_string(path, strlen(path));
    }
    n->at[i].inode = inode;
}

void sim_names_drop(struct sim_names *n, const char *path)
{
    bool found;
    size_t i = names_find(n, path, &found);
    if (!found)
        return;
    memory_free(n->at[i].path);
    memmove(&n->at[i], &n->at[i + 1], (n->n - i - 1) * sizeof *n->at);
    n->n--;
}

void sim_names_clear(struct sim_names *n)
{
    while (n->n > 0)
        memory_free(n->at[--n->n].path);
}

void sim_names_assign(struct sim_names *to, const struct sim_names *from)
{
    sim_names_clear(to);
    for (size_t i = 0; i < from->n; i++)
        sim_names_set(to, from->at[i].path, from->at[i].inode);
}

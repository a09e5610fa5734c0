/* Takes all spilled messages out of a node's store, as a store that is damaged without being inconsistent: drop_bodies DIR/store */
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"

int main(int argc, char **argv)
{
    struct error e = {0};
    struct store *s;
    if (argc != 2)
        return EXIT_FAILURE;
    int code = store_open(&(struct store_options){.dir = argv[1]}, &s, &e);
    if (code == ERR_OK) {
        code = store_drop_range(s, STORE_BODIES, bytes_of("\0", 1), bytes_of("\xff", 1), &e);
        if (code == ERR_OK)
            code = store_flush(s, STORE_BODIES, &e);
        store_close(s);
    }
    if (code != ERR_OK)
        fprintf(stderr, "drop_bodies: %s\n", e.message);
    return code == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

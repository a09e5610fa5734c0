#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "hato: assertion failed: %s at %s:%d; please report this with the lines above\n", what, file, line);
    abort();
}

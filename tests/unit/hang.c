/* Linked into every unit test: libcheck ends a test after 4 seconds unless it is told otherwise, which a slow machine or a sanitizer
 * takes for honest work. A test that hangs is still ended. */
#include <stdlib.h>

__attribute__((constructor)) static void allow_slow_machines(void)
{
    setenv("CK_DEFAULT_TIMEOUT", "900", 0);
}

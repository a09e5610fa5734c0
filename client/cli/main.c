#include <fcntl.h>
#include <stddef.h>

#include "cli/command.h"

/* A stream that is closed at the start would give its number to the next file opened, or libuv's assertion: it becomes one that
 * can't be used, whose errors are told like others. */
static void fill_closed_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    }
}

int main(int argc, char **argv)
{
    fill_closed_streams();
    return command_main(argc, (const char **)argv);
}

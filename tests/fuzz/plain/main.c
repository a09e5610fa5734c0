/* Runs a fuzzer's kept inputs without a fuzzing engine: each as it is, cut short at every length, and with a few thousand
 * seeded changes, so that each test run looks a little around what was once found. Prints TAP lines.
 *
 *   corpus_<name> DIRECTORY */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20, CUTS_MAX = 4096, CHANGES = 500, PATH_LEN_MAX = 4096 };

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = (*state += UINT64_C(0x9e3779b97f4a7c15));
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* In memory of exactly its size, so that the address sanitizer sees a read past the end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        abort();
    if (size > 0)
        memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void run_changed(const uint8_t *data, size_t size, uint64_t seed)
{
    uint8_t *changed = malloc(size);
    if (changed == NULL)
        abort();
    for (int round = 0; round < CHANGES; round++) {
        memcpy(changed, data, size);
        size_t changes = 1 + next_random(&seed) % 4;
        for (size_t i = 0; i < changes; i++) {
            uint8_t *at = &changed[next_random(&seed) % size];
            if (next_random(&seed) % 2 == 0)
                *at ^= (uint8_t)(1U << next_random(&seed) % 8);
            else
                *at = (uint8_t)next_random(&seed);
        }
        run(changed, size);
    }
    free(changed);
}

static void run_around(const uint8_t *data, size_t size)
{
    run(data, size);
    size_t cuts = size < CUTS_MAX ? size : CUTS_MAX;
    for (size_t len = 0; len < cuts; len++)
        run(data, len);
    if (size > 0)
        run_changed(data, size, size);
}

/* The size of what was read; SIZE_MAX when it cannot be. */
static size_t read_input(const char *path, uint8_t *data)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return SIZE_MAX;
    size_t size = fread(data, 1, INPUT_MAX, file);
    int failed = ferror(file);
    (void)fclose(file);
    return failed ? SIZE_MAX : size;
}

static int run_directory(const char *folder, uint8_t *data)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    int inputs = 0;
    int unread = 0;
    for (int i = 0; i < count; i++) {
        char path[PATH_LEN_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            size_t size = read_input(path, data);
            printf("# %s\n", entries[i]->d_name);
            fflush(stdout);
            if (size == SIZE_MAX)
                unread++;
            else
                run_around(data, size);
            inputs++;
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    printf("%sok 1 - the kept inputs and their neighbours do no harm (%d inputs)\n",
           inputs > 0 && unread == 0 ? "" : "not ", inputs);
    return inputs > 0 && unread == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    uint8_t *data = malloc(INPUT_MAX);
    if (data == NULL)
        abort();
    int code = run_directory(argv[1], data);
    free(data);
    return code;
}

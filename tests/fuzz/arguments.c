/*
 * arguments.c - libFuzzer target: the command line, as words that end in '\0'. The program is
 * included, since what parses is static: server.c, or with -DCLIENT client.c.
 */
#define main run_main
#ifdef CLIENT
#include "../../client.c"
#else
#include "../../server.c"
#endif
#undef main

#include <stdint.h>

#define WORDS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(int count, char *words[])
{
#ifdef CLIENT
    return parse_options(count, words) == -1 ? -1 : parse_operands(count - optind, words + optind);
#else
    return parse_arguments(count, words);
#endif
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static __typeof__(options) defaults;
    static bool begun;
    if (!begun)
        defaults = options;
    begun = true;
    char *text = malloc(size + 1), *words[WORDS_MAX + 2] = {"program"};
    int count = 1;
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t at = 0; at < size && count <= WORDS_MAX; at += strlen(text + at) + 1)
        words[count++] = text + at;
    options = defaults;
    optind = 0; // getopt is to begin anew
    int result = parse(count, words);
    if (result != 0 && result != -1)
        abort();
    if (result == 0 && (options.port < 0 || options.port > 65535))
        abort();
    free(text);
    return 0;
}

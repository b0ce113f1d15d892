/*
 * arguments.c - libFuzzer target: the command line, as words that end in '\0'. The program is
 * included, since what parses is static: server.c, or with -DCLIENT client.c. Used wrongly, it
 * would exit: here that ends the input.
 */
#include <setjmp.h>
#include <stdlib.h>

#define main run_main
#define exit end_input

static _Noreturn void end_input(int status);

#ifdef CLIENT
#include "../../client.c"
#else
#include "../../server.c"
#endif
#undef main
#undef exit

#include <stdint.h>

#define WORDS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static jmp_buf input_end;

static void end_input(int status)
{
    if (status != 0 && status != 2)
        abort();
    longjmp(input_end, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static __typeof__(options) defaults;
    static bool begun;
    if (!begun)
        defaults = options;
    begun = true;
    char *const text = malloc(size + 1);
    char *words[WORDS_MAX + 2] = {"program"};
    int count = 1;
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t at = 0; at < size && count <= WORDS_MAX; at += strlen(text + at) + 1)
        words[count++] = text + at;
    options = defaults;
    optind = 0; // getopt is to begin anew
    if (setjmp(input_end) == 0) {
        parse_arguments(count, words);
        if (options.port < 0 || options.port > 65535)
            abort();
    }
    free(text);
    return 0;
}

/*
 * replay.c - a main for the targets of libFuzzer where there is no libFuzzer, as with gcov.
 *
 * usage: replay SEED COUNT: so many random inputs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SIZE_MAX_DRAWN 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char *argv[])
{
    uint8_t data[SIZE_MAX_DRAWN];
    long count = argc > 2 ? strtol(argv[2], NULL, 10) : 1;
    srandom(argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1);
    for (long i = 0; i < count; i++) {
        size_t size = (size_t)random() % SIZE_MAX_DRAWN;
        int small = (int)(random() % 2); // many fields are small numbers
        for (size_t k = 0; k < size; k++)
            data[k] = (uint8_t)(small && random() % 2 ? random() % 4 : random());
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%ld inputs\n", count);
    return 0;
}

/*
 * bytes.c - SCTP sockets as what they are to most of a program: plain descriptors that bytes go
 * into and come out of. stdio, sendfile, splice, io_uring. What a stack cannot do fails; but it
 * never succeeds with bytes gone. Run by test_userland_calls.py, over any stack. Exit status 0: all
 * is as it should be.
 */
#include "check.h"
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SIZE 50000 /* more than any buffer of stdio's, and than any part of a message */

static char pattern[SIZE], copy[SIZE];

static void fill_pattern(void)
{
    for (size_t i = 0; i < SIZE; i++)
        pattern[i] = (char)(i * 2654435761u >> 24);
}

/* So many bytes, in as many reads as it takes: are they the pattern? */
static bool arrives(int fd, size_t size)
{
    size_t total = 0;

    memset(copy, 0, sizeof(copy));
    while (total < size) {
        ssize_t got = read(fd, copy + total, size - total);
        if (got <= 0)
            return false;
        total += (size_t)got;
    }
    return memcmp(copy, pattern, size) == 0;
}

/* ---- stdio */

static void test_stdio(void)
{
    char line[64] = "";
    int ends[2];

    connect_pair(ends);
    expect(dprintf(ends[0], "%d messages\n", 3) == 11 && recv(ends[1], line, 64, 0) == 11 &&
               strcmp(line, "3 messages\n") == 0,
           "dprintf");
    FILE *writer = fdopen(dup(ends[0]), "w"), *reader = fdopen(dup(ends[1]), "r");
    expect(fputs("a line\nand the next\n", writer) >= 0 && fflush(writer) == 0, "fputs");
    expect(fgets(line, 64, reader) != NULL && strcmp(line, "a line\n") == 0 &&
               fgets(line, 64, reader) != NULL && strcmp(line, "and the next\n") == 0,
           "fgets");
    expect(send(ends[0], pattern, SIZE, 0) == SIZE && fread(copy, 1, SIZE, reader) == SIZE &&
               memcmp(copy, pattern, SIZE) == 0,
           "fread of a message that is larger than its buffer");
    expect(fwrite(pattern, 1, SIZE, writer) == SIZE && fflush(writer) == 0 &&
               arrives(ends[1], SIZE),
           "fwrite of more than a buffer");
    fclose(writer);
    close(ends[0]);
    expect(fgetc(reader) == EOF && feof(reader), "the end of the file");
    fclose(reader);
    close(ends[1]);
}

/* ---- from descriptor to descriptor, inside the kernel */

static int open_file(void)
{
    char name[] = "/tmp/bytes.XXXXXX";
    int fd = check(mkstemp(name), "mkstemp");

    unlink(name);
    check((int)write(fd, pattern, SIZE), "write");
    return fd;
}

/* Some kernels refuse to; then nothing may be sent. */
static void expect_moved(ssize_t moved, size_t so_far, int from, const char *what)
{
    if (moved == -1 && so_far == 0) {
        struct pollfd silent = {.fd = from, .events = POLLIN};
        expect(poll(&silent, 1, 0) == 0, what);
        return;
    }
    expect(so_far == SIZE && arrives(from, SIZE), what);
}

static void test_sendfile(void)
{
    int ends[2], file = open_file();
    ssize_t moved = 0;
    off_t offset = 0;

    connect_pair(ends);
    while (offset < SIZE && (moved = sendfile(ends[0], file, &offset, SIZE - (size_t)offset)) > 0)
        continue;
    expect_moved(moved, (size_t)offset, ends[1], "sendfile");
    close(file);
    close_pair(ends);
}

static void test_splice_out(void)
{
    int ends[2], tube[2], file = open_file();
    size_t total = 0;
    loff_t offset = 0;
    ssize_t moved = 0;

    connect_pair(ends);
    check(pipe(tube), "pipe");
    while (total < SIZE) {
        ssize_t in = splice(file, &offset, tube[1], NULL, 4096, 0);
        if (in <= 0)
            break;
        for (ssize_t left = in; left > 0; left -= moved) {
            moved = splice(tube[0], NULL, ends[0], NULL, (size_t)left, 0);
            if (moved <= 0)
                break;
            total += (size_t)moved;
        }
        if (moved <= 0)
            break;
    }
    expect_moved(moved, total, ends[1], "splice into a socket");
    close(file);
    close_pair(tube);
    close_pair(ends);
}

/* What cannot be spliced, or not to its end, can still be read. */
static void test_splice_in(void)
{
    int ends[2], tube[2];
    size_t total = 0;
    ssize_t moved;

    connect_pair(ends);
    check(pipe(tube), "pipe");
    check((int)send(ends[0], pattern, SIZE, 0), "send");
    memset(copy, 0, sizeof(copy));
    while (total < SIZE && (moved = splice(ends[1], NULL, tube[1], NULL, 65536, 0)) > 0)
        for (ssize_t left = moved; left > 0;) {
            ssize_t got = read(tube[0], copy + total, (size_t)left);
            if (got <= 0)
                break;
            total += (size_t)got;
            left -= got;
        }
    if (total == 0)
        expect(arrives(ends[1], SIZE), "a message that cannot be spliced can be read");
    else
        expect(total == SIZE && memcmp(copy, pattern, SIZE) == 0, "splice from a socket");
    close_pair(tube);
    close_pair(ends);
}

static void test_cat(void)
{
    int ends[2], tube[2], status = -1;

    connect_pair(ends);
    check(pipe(tube), "pipe");
    pid_t child = check(fork(), "fork");
    if (child == 0) {
        dup2(ends[1], 0);
        dup2(tube[1], 1);
        closefrom(3);
        execlp("cat", "cat", (char *)NULL);
        _exit(9);
    }
    close(tube[1]);
    close(ends[1]);
    check((int)send(ends[0], pattern, SIZE, 0), "send");
    close(ends[0]);
    expect(arrives(tube[0], SIZE) && waitpid(child, &status, 0) == child && status == 0,
           "a message of 50,000 bytes through cat");
    close(tube[0]);
}

/* ---- io_uring, without a library */

struct ring {
    int fd;
    struct io_uring_params params;
    char *rings; /* both, where the kernel has IORING_FEAT_SINGLE_MMAP */
    struct io_uring_sqe *entries;
};

static int open_ring(struct ring *ring)
{
    memset(ring, 0, sizeof(*ring));
    ring->fd = (int)syscall(SYS_io_uring_setup, 4, &ring->params);
    if (ring->fd == -1)
        return -1;
    size_t size =
        ring->params.cq_off.cqes + ring->params.cq_entries * sizeof(struct io_uring_cqe) + 4096;
    ring->rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
                       IORING_OFF_SQ_RING);
    ring->entries =
        mmap(NULL, ring->params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
    return ring->rings == MAP_FAILED || ring->entries == MAP_FAILED ? -1 : 0;
}

static uint32_t *ring_word(struct ring *ring, uint32_t offset)
{
    return (uint32_t *)(void *)(ring->rings + offset);
}

/* One operation, and its result: bytes, or minus errno. */
static int run(struct ring *ring, int operation, int fd, void *bytes, unsigned size)
{
    uint32_t *tail = ring_word(ring, ring->params.sq_off.tail);
    uint32_t mask = *ring_word(ring, ring->params.sq_off.ring_mask), index = *tail & mask;

    memset(&ring->entries[index], 0, sizeof(ring->entries[index]));
    ring->entries[index].opcode = (uint8_t)operation;
    ring->entries[index].fd = fd;
    ring->entries[index].addr = (uint64_t)(uintptr_t)bytes;
    ring->entries[index].len = size;
    ring_word(ring, ring->params.sq_off.array)[index] = index;
    atomic_store((_Atomic uint32_t *)tail, *tail + 1);
    if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
        return -errno;
    uint32_t *head = ring_word(ring, ring->params.cq_off.head);
    struct io_uring_cqe *done =
        (struct io_uring_cqe *)(void *)(ring->rings + ring->params.cq_off.cqes);
    int result = done[*head & *ring_word(ring, ring->params.cq_off.ring_mask)].res;
    atomic_store((_Atomic uint32_t *)head, *head + 1);
    return result;
}

static void test_io_uring(void)
{
    struct ring ring;
    char buffer[16] = "";
    int ends[2];

    if (open_ring(&ring) == -1) {
        printf("io_uring: not here: %s\n", strerror(errno));
        return;
    }
    connect_pair(ends);
    expect(run(&ring, IORING_OP_SEND, ends[0], pattern, SIZE) == SIZE && arrives(ends[1], SIZE),
           "io_uring: send");
    expect(run(&ring, IORING_OP_WRITE, ends[0], pattern, 16) == 16 && arrives(ends[1], 16),
           "io_uring: write");
    send(ends[1], "hello", 5, 0);
    expect(run(&ring, IORING_OP_RECV, ends[0], buffer, 16) == 5 && strcmp(buffer, "hello") == 0,
           "io_uring: recv");
    send(ends[1], "again", 5, 0);
    expect(run(&ring, IORING_OP_READ, ends[0], buffer, 16) == 5 && strcmp(buffer, "again") == 0,
           "io_uring: read");
    close(ends[1]);
    expect(run(&ring, IORING_OP_RECV, ends[0], buffer, 16) == 0, "io_uring: the end of the file");
    close(ends[0]);
    close(ring.fd);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    fill_pattern();
    test_stdio();
    test_sendfile();
    test_splice_out();
    test_splice_in();
    test_cat();
    test_io_uring();
    return failures != 0;
}

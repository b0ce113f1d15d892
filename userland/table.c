/* Descriptors: which number names which socket of the engine.
 *
 * A program asks for every descriptor that it reads or closes, so "not ours" is answered
 * without a lock: two array look-ups. The engine's own descriptors (UDP sockets, epoll)
 * are kept here too, so that a program that closes everything it doesn't know leaves them
 * alone. */
#include "internal.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#define CHUNK_SIZE 1024
#define CHUNK_COUNT 1024 /* Linux's fs.nr_open is 1024 * 1024 */
#define RESERVED_COUNT 8

typedef _Atomic(struct us_sock *) slot;

static _Atomic(slot *) chunks[CHUNK_COUNT];
static atomic_int reserved[RESERVED_COUNT]; /* fd + 1, or 0 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void table_lock(void)
{
    pthread_mutex_lock(&lock);
}

void table_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void table_reset_after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
}

static slot *find_slot(int fd)
{
    if (fd < 0 || fd >= CHUNK_SIZE * CHUNK_COUNT)
        return NULL;
    slot *chunk = atomic_load_explicit(&chunks[fd / CHUNK_SIZE], memory_order_acquire);
    return chunk == NULL ? NULL : &chunk[fd % CHUNK_SIZE];
}

bool us_owns(int fd)
{
    slot *found = find_slot(fd);
    return found != NULL && atomic_load_explicit(found, memory_order_acquire) != NULL;
}

struct us_sock *table_get(int fd)
{
    slot *found = find_slot(fd);
    struct us_sock *sock = NULL;

    if (found != NULL) {
        table_lock();
        sock = atomic_load(found);
        if (sock != NULL)
            atomic_fetch_add(&sock->refs, 1);
        table_unlock();
    }
    if (sock == NULL)
        errno = EBADF;
    return sock;
}

void sock_release(struct us_sock *sock)
{
    if (atomic_fetch_sub(&sock->refs, 1) == 1) {
        int saved = errno;
        sock_destroy(sock);
        errno = saved;
    }
}

/* fd names sock from now on, and holds a reference. 0, or -1 with errno. */
int table_put(int fd, struct us_sock *sock)
{
    if (fd < 0 || fd >= CHUNK_SIZE * CHUNK_COUNT) {
        errno = EMFILE;
        return -1;
    }
    table_lock();
    slot *chunk = atomic_load(&chunks[fd / CHUNK_SIZE]);
    if (chunk == NULL) {
        chunk = calloc(CHUNK_SIZE, sizeof *chunk);
        if (chunk == NULL) {
            table_unlock();
            errno = ENOMEM;
            return -1;
        }
        atomic_store_explicit(&chunks[fd / CHUNK_SIZE], chunk, memory_order_release);
    }
    atomic_fetch_add(&sock->refs, 1);
    sock->descriptors++;
    sock->fd = fd;
    atomic_store_explicit(&chunk[fd % CHUNK_SIZE], sock, memory_order_release);
    table_unlock();
    return 0;
}

static int another_descriptor(const struct us_sock *sock)
{
    for (int i = 0; i < CHUNK_COUNT; i++) {
        slot *chunk = atomic_load(&chunks[i]);
        for (int k = 0; chunk != NULL && k < CHUNK_SIZE; k++)
            if (atomic_load(&chunk[k]) == sock)
                return i * CHUNK_SIZE + k;
    }
    return -1;
}

/* Takes fd out of the table. The reference that it held goes to the caller. */
static struct us_sock *take(int fd)
{
    slot *found = find_slot(fd);
    struct us_sock *sock = NULL;

    if (found == NULL)
        return NULL;
    table_lock();
    sock = atomic_exchange(found, NULL);
    if (sock != NULL) {
        sock->descriptors--;
        if (sock->fd == fd)
            sock->fd = sock->descriptors > 0 ? another_descriptor(sock) : -1;
    }
    table_unlock();
    return sock;
}

void us_forget(int fd)
{
    struct us_sock *sock = take(fd);

    if (sock == NULL)
        return;
    ready_forget(fd);
    sock_release(sock);
}

int us_close(int fd)
{
    struct us_sock *sock = take(fd);

    if (sock == NULL) {
        errno = EBADF;
        return -1;
    }
    ready_forget(fd);
    int result = k_close(fd);
    sock_release(sock);
    return result;
}

void us_alias(int fd, int newfd)
{
    struct us_sock *sock = table_get(fd);

    if (sock == NULL)
        return;
    us_forget(newfd);
    (void)table_put(newfd, sock);
    sock_release(sock);
}

int reserve_descriptor(int fd)
{
    struct rlimit limit = {.rlim_cur = 1024};

    getrlimit(RLIMIT_NOFILE, &limit);
    long from = limit.rlim_cur < 1024 ? (long)limit.rlim_cur : 1024;
    int moved = k_fcntl(fd, F_DUPFD_CLOEXEC, from > 32 ? from - 16 : 0);
    if (moved < 0)
        moved = k_fcntl(fd, F_DUPFD_CLOEXEC, 0);
    k_close(fd);
    for (int i = 0; moved >= 0 && i < RESERVED_COUNT; i++) {
        int expected = 0;
        if (atomic_compare_exchange_strong(&reserved[i], &expected, moved + 1))
            break;
    }
    return moved;
}

void release_descriptor(int fd)
{
    for (int i = 0; i < RESERVED_COUNT; i++) {
        int expected = fd + 1;
        atomic_compare_exchange_strong(&reserved[i], &expected, 0);
    }
    k_close(fd);
}

bool us_reserved(int fd)
{
    for (int i = 0; i < RESERVED_COUNT; i++)
        if (atomic_load_explicit(&reserved[i], memory_order_relaxed) == fd + 1 && fd >= 0)
            return true;
    return false;
}
